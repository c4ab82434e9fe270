package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// How long facts are believed at most, besides the dates of what they rest on.
const (
	maxFailureAge = time.Minute     // a refusal costs little to find again
	maxUnknownAge = 5 * time.Second // so that a CRL server that is back helps soon
)

// Options say how a Verifier works.
type Options struct {
	// Config is one version of the trust settings; its files are read once, by New.
	Config directory.Trust
	// Anchors and Intermediates are added to those of Config, good for every domain.
	Anchors       []Anchor
	Intermediates []*x509.Certificate
	// Revocation answers for paths; nil makes every status unknown.
	Revocation Revocation
	// Policy is what certificate policies are asked of every path.
	Policy PolicyInputs
	// Issuers fetches missing intermediates, if Config.FetchIntermediates says
	// so; nil fetches none.
	Issuers IssuerSource
	// Builder finds paths; nil is Builder.
	Builder PathBuilder
	// SystemRoots replaces the system's roots, which count only if
	// Config.SystemRoots says so; nil is the system's.
	SystemRoots *x509.CertPool
	// Now is the clock for requests without a time; nil is time.Now.
	Now func() time.Time
	// CacheEntries bounds the remembered judgements that secure; 0 is 4096.
	CacheEntries int
}

// Verifier judges peers' certificates under one version of the trust settings.
// It never changes and is safe for concurrent use.
type Verifier struct {
	store       *store
	anchors     []Anchor
	systemRoots *x509.CertPool
	builder     PathBuilder
	policy      PolicyInputs
	commonName  bool // a CN can be a name
	revocation  Revocation
	issuers     IssuerSource // nil: none are fetched
	now         func() time.Time
	cache       *cache
	own         ownAnswers
}

// New reads the files of the settings and makes a Verifier. Its error names
// every file that cannot be used, and how to mend it.
func New(o Options) (*Verifier, error) {
	s, err := load(o.Config)
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		store:      s,
		builder:    o.Builder,
		policy:     o.Policy,
		revocation: o.Revocation,
		commonName: o.Config.CommonName,
		now:        o.Now,
		cache:      newCache(o.CacheEntries),
	}
	if o.Config.FetchIntermediates {
		v.issuers = o.Issuers
	}
	if v.builder == nil {
		v.builder = Builder{}
	}
	if v.now == nil {
		v.now = time.Now
	}
	for _, a := range o.Anchors {
		added := s.anchor(a.Certificate, a.Issuer)
		added.issuer = added.issuer || a.Issuer
		added.listings = append(added.listings, directory.Anchor{Scope: directory.Scope{Any: true}})
	}
	s.intermediates = append(s.intermediates, o.Intermediates...)
	for _, a := range s.anchors {
		v.anchors = append(v.anchors, Anchor{Certificate: a.certificate, Issuer: a.issuer})
	}
	if o.Config.SystemRoots {
		v.systemRoots = o.SystemRoots
		if v.systemRoots == nil {
			if v.systemRoots, err = x509.SystemCertPool(); err != nil {
				return nil, fmt.Errorf("reading the system's roots: %w; install them (ca-certificates) or set trust.systemRoots: false", err)
			}
		}
	}
	return v, nil
}

// Request asks what a peer's certificate proves for a domain.
type Request struct {
	// Presented is the peer's chain as it came, leaf first; empty: none.
	Presented []*x509.Certificate
	// Chain is HashChain(Presented), taken once at the handshake so that a
	// remembered judgement is found without hashing. The zero value is filled in.
	Chain ChainID
	// Domain is the mail domain that names and scopes are held to. With
	// NamesByHost it is the host name or IP address; no scope is applied then,
	// nor with NamesUnchecked: such an answer secures no mail.
	Domain    smtp.Domain
	NameCheck domainsec.NameCheck
	Direction domainsec.Direction
	// Partner holds the domain's rules. A client without one is a stranger,
	// for whom no revocation is asked.
	Partner *directory.Partner
	Now     time.Time // zero: the Verifier's clock
}

// Judge returns what the presented certificate proves for the request's
// domain, or nil when there is no certificate. The result is shared and must
// not be changed.
//
// Judgements are remembered until the earliest date on which they rest, and
// forgotten when the partner's rules or any CRL change. Several requests for
// the same judgement wait for one. If ctx ends meanwhile, what has not been
// found out is unknown.
func (v *Verifier) Judge(ctx context.Context, r Request) *domainsec.PeerFacts {
	if len(r.Presented) == 0 || slices.Contains(r.Presented, nil) {
		return nil
	}
	if r.Now.IsZero() {
		r.Now = v.now()
	}
	if r.Chain == (ChainID{}) {
		r.Chain = HashChain(r.Presented)
	}
	key := cacheKey{chain: r.Chain, domain: r.Domain, names: r.NameCheck, way: r.Direction, policy: v.cache.policyHash(r.Partner)}
	if v.revocation != nil {
		// Read before the CRLs are: an answer may be older than its key, never newer.
		key.generation = v.revocation.Generation()
	}
	if facts := v.cache.get(key, r.Now); facts != nil {
		return facts
	}
	return v.cache.fill(ctx, key, r.Now, func() (*domainsec.PeerFacts, belief) { return v.judge(ctx, r) })
}

// judge gathers the facts and says until when they may be believed.
func (v *Verifier) judge(ctx context.Context, r Request) (*domainsec.PeerFacts, belief) {
	leaf := r.Presented[0]
	facts := &domainsec.PeerFacts{
		Domain:      r.Domain,
		Direction:   r.Direction,
		NameCheck:   r.NameCheck,
		Certificate: DescribeCertificate(leaf),
	}
	good, failed, fetched := v.findPaths(ctx, r)
	facts.Fetched = fetched.done
	all := make([][]*x509.Certificate, 0, len(good)+len(failed))
	for _, p := range good {
		all = append(all, p.Elements)
	}
	for _, p := range failed {
		all = append(all, p.Elements)
	}
	facts.MatchedName = v.matchedName(leaf, all, r)
	named := facts.MatchedName != "" || r.NameCheck == domainsec.NamesUnchecked

	described := map[*x509.Certificate]domainsec.CertificateFacts{leaf: facts.Certificate}
	facts.Paths = make([]domainsec.PathFacts, 0, len(all))
	var ask []asked
	for _, p := range good {
		path, listing := v.applyRules(FailedPath{Path: p, Anchored: true}, r, described)
		facts.Paths = append(facts.Paths, path)
		if len(path.Reasons) == 0 && named && v.mayAsk(r) {
			required := listing == nil || listing.Revocation != directory.RevocationNone
			ask = append(ask, asked{path: p, facts: len(facts.Paths) - 1, required: required})
		}
	}
	for _, p := range failed {
		path, _ := v.applyRules(p, r, described)
		fetched.note(&path, &p)
		facts.Paths = append(facts.Paths, path)
	}
	if len(facts.Paths) == 0 {
		facts.NoPath = "no path to a trust anchor"
	}
	v.askRevocation(ctx, facts, ask)
	if ctx.Err() != nil {
		return facts, belief{}
	}
	return facts, believe(facts, r)
}

func (v *Verifier) buildRequest(presented []*x509.Certificate, now time.Time) BuildRequest {
	return BuildRequest{
		Presented:     presented,
		Anchors:       v.anchors,
		Intermediates: v.store.intermediates,
		SystemRoots:   v.systemRoots,
		Now:           now,
		Policy:        v.policy,
	}
}

// mayAsk reports whether revocation may be asked about at all: for listed
// clients, and for servers to which we send of our own will.
func (v *Verifier) mayAsk(r Request) bool {
	return r.Partner != nil || r.Direction == domainsec.Outbound
}

// asked is a path whose revocation status is asked for.
type asked struct {
	path     Path
	facts    int // index in PeerFacts.Paths
	required bool
}

// askRevocation asks about all paths at once and waits for every answer: one
// that says revoked counts for all paths.
func (v *Verifier) askRevocation(ctx context.Context, facts *domainsec.PeerFacts, ask []asked) {
	var wg sync.WaitGroup
	for _, a := range ask {
		path := &facts.Paths[a.facts]
		answer := func() {
			s := v.pathStatus(ctx, a.path, a.required)
			path.Revocation, path.RevocationDetail, path.RevocationTime = s.Status, s.Detail, s.ThisUpdate
			path.Checks = s.Checks
			path.ValidUntil = earliest(path.ValidUntil, s.ValidUntil)
		}
		if len(ask) == 1 {
			answer()
			return
		}
		wg.Go(answer)
	}
	wg.Wait()
}

// Progress of a path: which judge it got past. Below progressAnchored it is
// the number of certificates found.
const (
	progressAnchored = 100 + 10*iota // reached an anchor
	progressInScope                  // that may vouch for the domain
	progressSound                    // by CAs that were allowed to
	progressStrong                   // with strong keys and signatures
	progressPurpose                  // for the purpose
	progressInTime                   // all of it valid now
)

// applyRules applies what the builder does not know, scopes, the partner's
// anchors and the purpose, and describes the path. Descriptions are shared
// between paths.
func (v *Verifier) applyRules(p FailedPath, r Request, described map[*x509.Certificate]domainsec.CertificateFacts) (domainsec.PathFacts, *directory.Anchor) {
	f := domainsec.PathFacts{
		Elements: make([]domainsec.CertificateFacts, len(p.Elements)),
		Usage:    p.Usage,
		Reasons:  p.Reasons,
		Detail:   p.Detail,
	}
	for i, c := range p.Elements {
		d, known := described[c]
		if !known {
			d = DescribeCertificate(c)
			described[c] = d
		}
		f.Elements[i] = d
		f.ValidUntil = earliest(f.ValidUntil, c.NotAfter)
	}
	if !p.Anchored {
		f.Progress = min(len(p.Elements), progressAnchored-1)
		return f, nil
	}
	f.Anchor = f.Elements[len(f.Elements)-1].SHA256
	add := func(reason domainsec.Reason, detail string) {
		f.Reasons = append(slices.Clone(f.Reasons), reason)
		if f.Detail != "" {
			detail = f.Detail + "; " + detail
		}
		f.Detail = detail
	}
	fault, listing := v.store.forDomain(p.Path, r)
	inScope := true
	switch {
	case fault != "":
		add(domainsec.UntrustedRoot, fault)
		inScope = false
	case !domainsec.AnchorAllowed(f.Anchor, r.Partner):
		add(domainsec.UntrustedRoot, fmt.Sprintf("anchor %s is none of those that %s is tied to", certificateLabel(p.Elements[len(p.Elements)-1]), r.Domain))
		inScope = false
	}
	if !domainsec.UsageSuffices(p.Usage, r.Direction, r.Partner) {
		add(domainsec.WrongUsage, usageDetail(p.Usage, r))
	}
	f.Reasons = domainsec.SortReasons(f.Reasons)
	f.Progress = progress(f.Reasons, inScope)
	return f, listing
}

func usageDetail(usage string, r Request) string {
	want := "serverAuth"
	if r.Direction == domainsec.Inbound {
		want = "serverAuth or clientAuth"
		if r.Partner != nil && r.Partner.Usage == directory.UsageStrict {
			want = "clientAuth"
		}
	}
	if usage == "" {
		usage = "none"
	}
	return fmt.Sprintf("the purposes that every certificate of the chain allows: %s; wanted: %s", usage, want)
}

// progress says which judge an anchored path failed before, in their order.
func progress(reasons []domainsec.Reason, inScope bool) int {
	if !inScope {
		return progressAnchored
	}
	has := func(r domainsec.Reason) bool { return slices.Contains(reasons, r) }
	switch {
	case has(domainsec.InvalidChain):
		return progressInScope
	case has(domainsec.WeakSignature):
		return progressSound
	case has(domainsec.WrongUsage):
		return progressStrong
	case len(reasons) > 0:
		return progressPurpose
	default:
		return progressInTime
	}
}

// believe says until when the facts hold: until the earliest date on which they
// rest, and not for long if they secure nothing.
func believe(facts *domainsec.PeerFacts, r Request) belief {
	var b belief
	unknown, revoked, elements := false, false, 0
	for i := range facts.Paths {
		p := &facts.Paths[i]
		elements += len(p.Elements)
		if len(p.Reasons) > 0 {
			continue
		}
		b.until = earliest(b.until, p.ValidUntil)
		b.secured = b.secured || p.Revocation == domainsec.RevocationGood || p.Revocation == domainsec.RevocationNotRequired
		unknown = unknown || p.Revocation == domainsec.RevocationUnknown
		revoked = revoked || p.Revocation == domainsec.RevocationRevoked
	}
	b.secured = b.secured && !revoked && facts.MatchedName != ""
	if !b.secured {
		b.until = earliest(b.until, r.Now.Add(maxFailureAge))
		if elements > maxRefusedElements || presentedOctets(r.Presented) > maxRefusedOctets {
			return belief{}
		}
	}
	if unknown && facts.MatchedName != "" {
		b.until = earliest(b.until, r.Now.Add(maxUnknownAge))
	}
	return b
}

func presentedOctets(chain []*x509.Certificate) int {
	n := 0
	for _, c := range chain {
		n += len(c.Raw)
	}
	return n
}
