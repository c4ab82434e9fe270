package revocation

import (
	"bytes"
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
	parsing    chan struct{} // one per CRL being parsed, which takes the CRL's size in memory
	running    sync.WaitGroup
	generation atomic.Uint64

	mu      sync.Mutex
	entries map[string]*entry
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
		parsing:  make(chan struct{}, maxParsing),
		entries:  make(map[string]*entry),
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.fetcher = newFetcher(o.Directory, newDialer(o.Resolver, o.Settings.AllowPrivateTargets), c.maxBytes)
	return c, nil
}

// CheckPath asks for every certificate of a path, leaf first, but the last,
// which is the anchor. One revoked certificate makes the path revoked;
// otherwise one unknown makes it unknown. It takes no longer than the time per
// chain allows. The caller has verified the path.
func (c *Checker) CheckPath(ctx context.Context, path []*x509.Certificate) Status {
	switch {
	case len(path) == 0 || len(path) > maxPathLength || slices.Contains(path, nil):
		return c.unknown(fmt.Errorf("a path of %d certificates cannot be checked", len(path)))
	case len(path) == 1:
		return Status{Status: domainsec.RevocationNotRequired, Detail: "the certificate is itself the anchor"}
	}
	ctx, cancel := context.WithTimeout(ctx, c.perChain)
	defer cancel()
	answers := make([]Status, len(path)-1)
	var wg sync.WaitGroup
	for i := range answers[1:] {
		wg.Go(func() { answers[i+1] = c.check(ctx, path[i+1], path[i+2]) })
	}
	answers[0] = c.check(ctx, path[0], path[1])
	wg.Wait()
	return combine(answers)
}

// CheckCertificate asks for one certificate and its issuer. A certificate
// without distribution points is unknown. The caller has verified that issuer
// signed it, on a path to an anchor.
func (c *Checker) CheckCertificate(ctx context.Context, certificate, issuer *x509.Certificate) Status {
	if certificate == nil || issuer == nil {
		return c.unknown(errors.New("there is no certificate, or no issuer, to check"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.perChain)
	defer cancel()
	return c.check(ctx, certificate, issuer)
}

// Generation changes whenever a CRL in the cache does. A verdict that is kept
// must be kept under the generation read before CheckPath was called.
func (c *Checker) Generation() uint64 { return c.generation.Load() }

// combine makes one answer of those for a path's certificates.
func combine(answers []Status) Status {
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
	result := Status{Status: worst}
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

// check answers for one certificate: the first of its addresses that gives a
// usable CRL decides.
func (c *Checker) check(ctx context.Context, certificate, issuer *x509.Certificate) Status {
	if !bytes.Equal(certificate.RawIssuer, issuer.RawSubject) {
		return c.unknown(fmt.Errorf("%s: %q is not its issuer", describe(certificate), cut(issuer.Subject.String())))
	}
	points, err := distributionPoints(certificate)
	if err != nil {
		return c.unknown(fmt.Errorf("%s: %w", describe(certificate), err))
	}
	// The entry may have been verified by another certificate of the same name
	// and key; this one's key usage counts for this path.
	if err := maySign(issuer); err != nil {
		return c.unknown(fmt.Errorf("%s: %w", describe(certificate), err))
	}
	var why []string
	var retry time.Time
	for _, w := range c.order(points, issuer) {
		l, err := c.consult(ctx, w)
		if err == nil {
			err = l.scope.matches(w.names)
		}
		if err == nil {
			err = l.scope.covers(certificate)
		}
		if err == nil {
			return answer(certificate, w.url, l)
		}
		why = append(why, fmt.Sprintf("CRL %s: %v", w.url, err))
		var u *unavailableError
		if errors.As(err, &u) && (retry.IsZero() || u.retry.Before(retry)) {
			retry = u.retry
		}
	}
	s := c.unknown(fmt.Errorf("%s: %s", describe(certificate), strings.Join(why, "; ")))
	if !retry.IsZero() {
		s.ValidUntil = retry
	}
	return s
}

// answer reads the answer for certificate off a usable CRL that covers it.
func answer(certificate *x509.Certificate, address string, l *list) Status {
	s := Status{Status: domainsec.RevocationGood, ThisUpdate: l.thisUpdate, ValidUntil: l.nextUpdate}
	e, found := l.revoked.lookup(certificate.SerialNumber)
	switch {
	case !found:
	case e.reason == reasonRemoveFromCRL:
		// RFC 5280, section 5.3.1: the code exists on delta CRLs only. What the
		// authority meant cannot be known.
		s.Status = domainsec.RevocationUnknown
		s.Detail = fmt.Sprintf("%s: CRL %s: it is listed with the reason removeFromCRL on a complete CRL", describe(certificate), address)
	default:
		s.Status = domainsec.RevocationRevoked
		s.Detail = fmt.Sprintf("%s: revoked %s(%s) by the CRL %s", describe(certificate), when(e.at), reasonText(e.reason), address)
	}
	return s
}

// unknown is the answer when nothing can be said. It may be asked again after a while.
func (c *Checker) unknown(why error) Status {
	return Status{Status: domainsec.RevocationUnknown, Detail: why.Error(), ValidUntil: c.now().Add(retryLater)}
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

// reasonText names a reason code (RFC 5280, section 5.3.1).
func reasonText(code uint8) string {
	names := []string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "reason 7", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
	}
	if int(code) < len(names) {
		return names[code]
	}
	return fmt.Sprintf("reason %d", code)
}

func orDefault[T ~int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
