package revocation

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/domainsec/dn"
)

// Question is all that an answer by CRLs depends on. Its fields are not changed
// and must not be while Evaluate runs.
type Question struct {
	// Path is a verified path, leaf first, the anchor last.
	Path []*x509.Certificate
	// Lists are the CRLs at hand, in any order, of any issuers and kinds.
	Lists []*List
	// Signers are further certificates that may have signed a CRL: of a CA that
	// signs its CRLs with another key, or of the issuer of indirect CRLs. They
	// need no order and are not trusted: one counts only when its name is that of
	// the CRL's issuer, its key usage is cRLSign, a certificate of Path above the
	// one in question issued it, and it is itself not revoked.
	Signers []*x509.Certificate
	// Now is when the answer must hold.
	Now time.Time
}

// Answer is what is known about the revocation of one certificate. The zero
// value is unknown.
type Answer struct {
	Certificate *x509.Certificate
	// Status is domainsec.RevocationGood, RevocationRevoked or RevocationUnknown.
	Status domainsec.RevocationStatus
	// Reason and RevokedAt tell about a revoked certificate; RevokedAt is zero
	// when the CRL states no sensible time.
	Reason    Reason
	RevokedAt time.Time
	// Detail says for eyes which certificate, and why it is revoked or unknown.
	// It is empty when good.
	Detail string
	// Sources are what was looked at for this certificate, newest first: those
	// that the answer rests on and those that could not be used.
	Sources []Source
	// ThisUpdate is that of the oldest source used; zero when none was.
	ThisUpdate time.Time
	// ValidUntil is when the answer ends: the earliest nextUpdate used. Zero when
	// none was. A Checker sets it when unknown to the time from which asking
	// again may help.
	ValidUntil time.Time
	// Took is how long a Checker needed, fetches included.
	Took time.Duration
}

// Source is one CRL or OCSP answer that was looked at for a certificate.
type Source struct {
	Kind string // "complete CRL", "delta CRL" or "OCSP"
	// Where is the file or the address.
	Where  string
	Issuer string // distinguished name
	Number string // CRL number, decimal; empty when there is none
	// ThisUpdate and NextUpdate bound its use; zero when it could not be had.
	ThisUpdate, NextUpdate time.Time
	Entries                int // on a CRL
	// Used says that the answer rests on it.
	Used bool
	// Fault says why it does not; empty when Used.
	Fault string
}

// Evaluate answers for every certificate of q.Path but the last, in the same
// order, by the rules of RFC 5280, section 6.3, from q alone: it reads no clock
// and fetches nothing. Complete, partitioned, indirect and delta CRLs count;
// delta CRLs wherever one of q.Lists fits the complete one. Only CRLs that
// together cover every reason make a certificate good; one that lists it makes
// it revoked. The caller has verified the path.
func Evaluate(q Question) []Answer {
	if len(q.Path) < 2 || slices.Contains(q.Path, nil) {
		return nil
	}
	e := newEvaluation(q)
	answers := make([]Answer, len(q.Path)-1)
	for i := range answers {
		answers[i] = e.certificate(q.Path[i], q.Path[i+1:], 0)
	}
	return answers
}

// Bounds of an evaluation.
const (
	// maxSignerDepth is how many CRL signers may vouch for one another.
	maxSignerDepth = 3
	// maxSigners bounds the certificates of one name that are tried on a CRL.
	maxSigners = 16
)

// evaluation is one run of Evaluate.
type evaluation struct {
	Question
	lists  []*List        // complete ones, newest first
	deltas []*List        // highest number first
	wanted map[*List]bool // those of the certificate's own addresses: say of each why it did not count
	// timeless leaves dates and revocation of signers aside.
	timeless bool
	signers  map[string]Answer
	asking   map[string]bool // signers whose revocation is being looked at
}

func newEvaluation(q Question) *evaluation {
	e := &evaluation{Question: q, signers: map[string]Answer{}, asking: map[string]bool{}}
	for _, l := range q.Lists {
		if l.base != nil {
			e.deltas = append(e.deltas, l)
			continue
		}
		e.lists = append(e.lists, l)
	}
	slices.SortStableFunc(e.lists, func(a, b *List) int { return b.thisUpdate.Compare(a.thisUpdate) })
	slices.SortStableFunc(e.deltas, func(a, b *List) int { return b.number.Cmp(a.number) })
	return e
}

// finding is what one complete CRL, with a delta or without, says of a certificate.
type finding struct {
	entry   revokedEntry
	revoked bool
	covered reasonMask // the reasons that the CRL speaks for
}

// certificate answers for c, whose issuer is above[0] on a path that ends with
// the last of above.
func (e *evaluation) certificate(c *x509.Certificate, above []*x509.Certificate, depth int) Answer {
	a := Answer{Certificate: c}
	points, err := distributionPoints(c)
	if err == nil && dn.Key(c.RawIssuer) != dn.Key(above[0].RawSubject) {
		err = fmt.Errorf("%q is not its issuer", cut(above[0].Subject.String()))
	}
	if err != nil {
		a.Detail = fmt.Sprintf("%s: %v", describe(c), err)
		return a
	}
	stated := len(points) > 0
	// The CRLs of the issuer that no distribution point names (RFC 5280, end of section 6.3.3).
	points = append(points, point{
		names: []generalName{{tag: tagDirectoryName, value: dn.Key(c.RawIssuer)}}, reasons: allReasons,
	})
	var covered reasonMask
	for _, l := range e.lists {
		if covered == allReasons {
			break
		}
		f, err := e.consult(&a, l, matter{certificate: c, above: above, points: points, covered: covered, depth: depth})
		if err != nil {
			if e.wanted[l] || l.concerns(c, points) {
				a.note(l, false, err.Error())
			}
			continue
		}
		if f.covered&^covered == 0 {
			continue
		}
		covered |= f.covered
		if f.revoked {
			a.revoke(l, f.entry)
			return a
		}
	}
	if covered == allReasons {
		a.Status = domainsec.RevocationGood
		return a
	}
	for _, d := range e.deltas {
		whole := slices.ContainsFunc(e.lists, func(l *List) bool { return l.issuerName == d.issuerName })
		if e.wanted[d] || !whole && d.concerns(c, points) {
			a.note(d, false, "it is a delta CRL, which cannot answer without the complete one")
		}
	}
	a.Detail = fmt.Sprintf("%s: %s", describe(c), e.why(a.Sources, covered, stated))
	return a
}

// why says why a certificate is unknown.
func (e *evaluation) why(sources []Source, covered reasonMask, stated bool) string {
	var why []string
	for _, s := range sources {
		if !s.Used {
			why = append(why, fmt.Sprintf("CRL %s: %s", s.Where, s.Fault))
		}
	}
	switch {
	case covered != 0:
		why = append(why, fmt.Sprintf("the CRLs cover only some reasons, not %s", allReasons&^covered))
	case len(why) == 0 && len(e.Lists) == 0 && !stated:
		why = append(why, "the certificate names no CRL distribution point, and no CRL is at hand")
	case len(why) == 0:
		why = append(why, fmt.Sprintf("none of the %d CRLs at hand is of its issuer", len(e.Lists)))
	}
	return strings.Join(why, "; ")
}

// matter is the certificate in question and what surrounds it.
type matter struct {
	certificate *x509.Certificate
	above       []*x509.Certificate // its issuer first
	points      []point
	covered     reasonMask // by other CRLs
	depth       int
}

// consult asks one complete CRL (RFC 5280, section 6.3.3, steps b to l).
func (e *evaluation) consult(a *Answer, l *List, m matter) (finding, error) {
	f := finding{}
	var err error
	if f.covered, err = l.speaksFor(m.certificate, m.points); err != nil || f.covered&^m.covered == 0 {
		return f, err
	}
	signer, err := e.signer(l, m)
	if err != nil {
		return f, err
	}
	delta := e.delta(a, l, signer)
	if err := l.usable(e.Now); err != nil && (delta == nil || l.thisUpdate.After(e.Now.Add(clockTolerance))) {
		return f, err
	}
	issuer := dn.Key(m.certificate.RawIssuer)
	if delta != nil {
		entry, found, err := delta.revoked.lookup(issuer, m.certificate.SerialNumber)
		if err != nil {
			return finding{}, err
		}
		if found {
			a.use(delta)
			// removeFromCRL undoes what the complete CRL says (step k).
			f.entry, f.revoked = entry, entry.reason != RemoveFromCRL
			if !f.revoked {
				a.use(l)
			}
			return f, nil
		}
	}
	entry, found, err := l.revoked.lookup(issuer, m.certificate.SerialNumber)
	if err != nil {
		return finding{}, err
	}
	if found && entry.reason == RemoveFromCRL {
		// RFC 5280, section 5.3.1: the code exists on delta CRLs only. What the
		// authority meant cannot be known.
		return finding{}, errors.New("it is listed with the reason removeFromCRL on a complete CRL")
	}
	f.entry, f.revoked = entry, found
	a.use(l)
	if delta != nil {
		a.use(delta)
	}
	return f, nil
}

// concerns reports whether l looks as if it were meant for c: what is said of
// other CRLs would only confuse.
func (l *List) concerns(c *x509.Certificate, points []point) bool {
	if l.issuerName == dn.Key(c.RawIssuer) {
		return true
	}
	for _, p := range points {
		for _, n := range p.issuers {
			if n.value == l.issuerName {
				return true
			}
		}
	}
	return false
}

// speaksFor returns the reasons for which l is a CRL of c by one of its
// distribution points (RFC 5280, section 6.3.3, steps b and d).
func (l *List) speaksFor(c *x509.Certificate, points []point) (reasonMask, error) {
	if err := l.scope.covers(c); err != nil {
		return 0, err
	}
	own := dn.Key(c.RawIssuer)
	var mask reasonMask
	var why error
	for _, p := range points {
		err := l.isIssuedFor(p, own)
		if err == nil {
			err = l.scope.matches(p)
		}
		if err == nil {
			mask |= l.scope.mask() & p.reasons
		} else if why == nil {
			why = err
		}
	}
	if mask != 0 {
		return mask, nil
	}
	if why == nil {
		why = errors.New("the CRL covers none of the reasons of its distribution point")
	}
	return 0, why
}

// isIssuedFor returns nil when the CRL's issuer is that of a distribution point
// in a certificate of the issuer own (RFC 5280, section 6.3.3, step b 1). A
// cRLIssuer that is the certificate's issuer itself should have been left out,
// but some authorities write it.
func (l *List) isIssuedFor(p point, own string) error {
	if len(p.issuers) == 0 || slices.Contains(p.issuers, generalName{tag: tagDirectoryName, value: own}) && l.issuerName == own {
		if l.issuerName != own {
			return fmt.Errorf("it is of %q, not of the certificate's issuer", cut(l.issuer))
		}
		return nil
	}
	if !slices.Contains(p.issuers, generalName{tag: tagDirectoryName, value: l.issuerName}) {
		return fmt.Errorf("it is of %q, not of the CRL issuer that the certificate names", cut(l.issuer))
	}
	if !l.scope.indirect {
		return errors.New("it is not an indirect CRL, which one of another issuer must be")
	}
	return nil
}

// delta returns the newest delta CRL that completes l; nil when there is none
// (RFC 5280, sections 5.2.4 and 6.3.3, step c).
func (e *evaluation) delta(a *Answer, l *List, signer *x509.Certificate) *List {
	if l.number == nil {
		return nil
	}
	for _, d := range e.deltas {
		if d.issuerName != l.issuerName || !bytes.Equal(d.scope.raw, l.scope.raw) {
			continue
		}
		var err error
		switch {
		case d.base.Cmp(l.number) > 0:
			err = fmt.Errorf("it completes the CRL with number %s, and the one at hand has %s", d.base, l.number)
		case d.number.Cmp(l.number) <= 0:
			continue // everything in it is in the complete one
		default:
			if err = d.usable(e.Now); err == nil {
				// Both by the same key (step h).
				err = d.verify(signer)
			}
		}
		if err == nil {
			return d
		}
		a.note(d, false, err.Error())
	}
	return nil
}

// sourceOf describes the list.
func (l *List) sourceOf() Source {
	kind := "complete CRL"
	if l.base != nil {
		kind = "delta CRL"
	}
	return Source{
		Kind: kind, Where: l.source, Issuer: l.issuer, Number: l.Number(), ThisUpdate: l.thisUpdate,
		NextUpdate: l.nextUpdate, Entries: l.revoked.count,
	}
}

// note adds l to the sources.
func (a *Answer) note(l *List, used bool, fault string) {
	s := l.sourceOf()
	s.Used, s.Fault = used, fault
	if !slices.Contains(a.Sources, s) {
		a.Sources = append(a.Sources, s)
	}
}

// use notes that the answer rests on l.
func (a *Answer) use(l *List) {
	a.note(l, true, "")
	if a.ThisUpdate.IsZero() || l.thisUpdate.Before(a.ThisUpdate) {
		a.ThisUpdate = l.thisUpdate
	}
	if a.ValidUntil.IsZero() || l.nextUpdate.Before(a.ValidUntil) {
		a.ValidUntil = l.nextUpdate
	}
}

// revoke makes a that of a revoked certificate.
func (a *Answer) revoke(l *List, entry revokedEntry) {
	a.Status, a.Reason, a.RevokedAt = domainsec.RevocationRevoked, entry.reason, entry.at
	where := l.source
	for _, s := range a.Sources {
		if s.Used {
			where = s.Where
		}
	}
	a.Detail = fmt.Sprintf("%s: revoked %s(%s) by the CRL %s", describe(a.Certificate), when(entry.at), entry.reason, where)
}
