package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
)

// Defaults, used where a setting is 0.
const (
	DefaultPerURL   = 15 * time.Second
	DefaultPerChain = 20 * time.Second
	DefaultMaxBytes = 64 << 20
)

// maxBytesCeiling is what "unlimited" comes to: no CRL is larger than 1 GiB.
const maxBytesCeiling = 1 << 30

// maxPathLength bounds the paths that CheckPath looks at.
const maxPathLength = 16

// Options say how a Checker works.
type Options struct {
	// Directory is where CRLs are cached, the crl directory of the data
	// directory. It is made if missing and must be used by one Checker only.
	Directory string
	// Settings bound the fetching. Zero values mean the defaults.
	Settings directory.Revocation
	// Signers returns further certificates that may have signed a CRL, see
	// Question.Signers; nil means none. It is called for every check.
	Signers func() []*x509.Certificate
	// Resolver finds the addresses of CRL servers; it must not be nil.
	Resolver Resolver
	// Logger gets a line for every CRL that changed or could not be had; nil means none.
	Logger *slog.Logger
	// Now is the clock that decisions are made by; nil means time.Now.
	Now func() time.Time
}

// Status is the answer for a certificate or a path.
type Status struct {
	// Status is domainsec.RevocationGood, RevocationRevoked or
	// RevocationUnknown; for a path that is an anchor alone, of which nothing
	// is checked, it is RevocationNotRequired.
	Status domainsec.RevocationStatus
	// Detail says for eyes which certificate and address, and why. It is empty when good.
	Detail string
	// ThisUpdate is that of the oldest CRL used; zero when none was.
	ThisUpdate time.Time
	// ValidUntil is when the answer ends: the earliest nextUpdate used. When
	// unknown it is the time from which asking again may help. Zero: no end.
	ValidUntil time.Time
	// Answers are those for single certificates, leaf first.
	Answers []Answer
}

// Checker answers by CRLs. It is made by Open and safe for concurrent use.
type Checker struct {
	disk       *disk
	fetcher    *fetcher
	perURL     time.Duration
	perChain   time.Duration
	maxBytes   int64
	logger     *slog.Logger
	now        func() time.Time
	signers    func() []*x509.Certificate
	parsing    chan struct{} // one per CRL being parsed, which takes the CRL's size in memory
	running    sync.WaitGroup
	generation atomic.Uint64

	mu      sync.Mutex
	entries map[string]*entry
	ocsp    map[ocspKey]Answer
	stopped bool
	endLoop context.CancelFunc // of the background refresh; nil when it does not run
}

// Open makes a Checker on a cache directory. It answers and fetches at once;
// Start adds the background refresh. Stop must be called when it is done with.
func Open(o Options) (*Checker, error) {
	if o.Directory == "" || o.Resolver == nil {
		return nil, errors.New("opening CRL cache: a directory and a resolver are needed")
	}
	d, err := openDisk(o.Directory)
	if err != nil {
		return nil, fmt.Errorf("opening CRL cache: %w", err)
	}
	c := &Checker{
		disk:     d,
		perURL:   orDefault(o.Settings.PerURL, DefaultPerURL),
		perChain: orDefault(o.Settings.PerChain, DefaultPerChain),
		maxBytes: min(orDefault(o.Settings.MaxBytes, DefaultMaxBytes), maxBytesCeiling),
		logger:   o.Logger,
		now:      o.Now,
		signers:  o.Signers,
		parsing:  make(chan struct{}, maxParsing),
		entries:  make(map[string]*entry),
		ocsp:     make(map[ocspKey]Answer),
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.signers == nil {
		c.signers = func() []*x509.Certificate { return nil }
	}
	settings := &atomic.Pointer[directory.Revocation]{}
	settings.Store(&o.Settings)
	c.fetcher = newFetcher(o.Directory, newDialer(o.Resolver, o.Settings.AllowPrivateTargets), c.maxBytes, settings)
	return c, nil
}

// CheckPath asks for every certificate of a path, leaf first, but the last,
// which is the anchor. One revoked certificate makes the path revoked;
// otherwise one unknown makes it unknown. It takes no longer than the time per
// chain allows. The caller has verified the path.
func (c *Checker) CheckPath(ctx context.Context, path []*x509.Certificate) Status {
	if len(path) == 1 && path[0] != nil {
		return Status{Status: domainsec.RevocationNotRequired, Detail: "the certificate is itself the anchor"}
	}
	answers, err := c.Explain(ctx, path)
	if err != nil {
		return Status{Detail: err.Error(), ValidUntil: c.now().Add(retryLater)}
	}
	return combine(answers)
}

// Explain answers as CheckPath does, for each certificate of the path but the
// last, in their order, and says what was looked at. The error means that the
// path is none: empty, too long, or with a hole.
func (c *Checker) Explain(ctx context.Context, path []*x509.Certificate) ([]Answer, error) {
	if len(path) == 0 || len(path) > maxPathLength || slices.Contains(path, nil) {
		return nil, fmt.Errorf("a path of %d certificates cannot be checked", len(path))
	}
	ctx, cancel := context.WithTimeout(ctx, c.perChain)
	defer cancel()
	answers := make([]Answer, len(path)-1)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			started := time.Now()
			answers[i] = c.check(ctx, path[i], path[i+1:])
			answers[i].Took = time.Since(started)
		})
	}
	wg.Wait()
	return answers, nil
}

// Generation changes whenever a CRL in the cache does. A verdict that is kept
// must be kept under the generation read before CheckPath was called.
func (c *Checker) Generation() uint64 { return c.generation.Load() }

// combine makes one answer of those for a path's certificates.
func combine(answers []Answer) Status {
	worst := domainsec.RevocationGood
	for _, a := range answers {
		if a.Status == domainsec.RevocationRevoked {
			worst = a.Status
			break
		}
		if a.Status != domainsec.RevocationGood {
			worst = domainsec.RevocationUnknown
		}
	}
	result := Status{Status: worst, Answers: answers}
	var details []string
	for _, a := range answers {
		if a.Status == worst && a.Detail != "" {
			details = append(details, a.Detail)
		}
		if !a.ThisUpdate.IsZero() && (result.ThisUpdate.IsZero() || a.ThisUpdate.Before(result.ThisUpdate)) {
			result.ThisUpdate = a.ThisUpdate
		}
		// An unknown beside a revoked certificate does not shorten the answer.
		if a.Status == domainsec.RevocationUnknown && worst == domainsec.RevocationRevoked {
			continue
		}
		if !a.ValidUntil.IsZero() && (result.ValidUntil.IsZero() || a.ValidUntil.Before(result.ValidUntil)) {
			result.ValidUntil = a.ValidUntil
		}
	}
	result.Detail = strings.Join(details, "; ")
	return result
}

// describe names a certificate in a detail.
func describe(certificate *x509.Certificate) string {
	return fmt.Sprintf("certificate %q (serial %X)", cut(certificate.Subject.String()), certificate.SerialNumber)
}

func when(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return "at " + stamp(at) + " "
}

func orDefault[T ~int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
