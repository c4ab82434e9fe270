package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/domainsec/dn"
)

// check answers for one certificate, whose issuer is above[0]: its addresses are
// asked in turn until what they gave is enough.
func (c *Checker) check(ctx context.Context, certificate *x509.Certificate, above []*x509.Certificate) Answer {
	g := &gathering{checker: c, signers: c.signers(), wanted: map[*List]bool{}}
	a := g.answer(ctx, certificate, above)
	if a.Status != domainsec.RevocationUnknown {
		return a
	}
	if o, asked := c.askResponders(ctx, certificate, above[0]); asked {
		o.Sources = append(a.Sources, o.Sources...)
		if o.Status != domainsec.RevocationUnknown {
			return o
		}
		a.Sources = o.Sources
		a.Detail = detailOf(certificate, a, false)
	}
	if a.ValidUntil = g.retry; a.ValidUntil.IsZero() {
		a.ValidUntil = c.now().Add(retryLater)
	}
	return a
}

// gathering collects CRLs for one certificate. It is used by one goroutine.
type gathering struct {
	checker *Checker
	signers []*x509.Certificate
	lists   []*List
	wanted  map[*List]bool
	missing []Source  // what could not be had
	retry   time.Time // when asking again may help
	depth   int
}

// answer fetches for certificate until its status is known or nothing is left to ask.
func (g *gathering) answer(ctx context.Context, certificate *x509.Certificate, above []*x509.Certificate) Answer {
	points, err := distributionPoints(certificate)
	if err != nil {
		return Answer{Certificate: certificate, Detail: fmt.Sprintf("%s: %v", describe(certificate), err)}
	}
	// The entry may have been verified by another certificate of the same name
	// and key; this one's key usage counts for this path.
	wants, refused := wantsOf(points, above, false)
	g.missing = append(g.missing, refused...)
	for _, w := range g.checker.order(wants) {
		l, err := g.consult(ctx, w)
		if err != nil {
			continue
		}
		g.wanted[l] = true
		g.freshen(ctx, certificate, l, above)
		g.vouch(ctx, l, above)
		if a := g.evaluate(certificate, above); a.Status != domainsec.RevocationUnknown {
			return a
		}
	}
	a := g.evaluate(certificate, above)
	if a.Status == domainsec.RevocationUnknown {
		a.Sources = append(a.Sources, g.missing...)
		a.Detail = detailOf(certificate, a, len(points) == 0)
	}
	return a
}

// evaluate asks the engine with what was gathered.
func (g *gathering) evaluate(certificate *x509.Certificate, above []*x509.Certificate) Answer {
	e := newEvaluation(Question{Lists: g.lists, Signers: g.signers, Now: g.checker.now()})
	e.wanted = g.wanted
	return e.certificate(certificate, above, 0)
}

// consult gets one CRL and notes why it could not be had.
func (g *gathering) consult(ctx context.Context, w want) (*List, error) {
	l, err := g.checker.consult(ctx, w)
	if err == nil {
		if !slices.Contains(g.lists, l) {
			g.lists = append(g.lists, l)
		}
		return l, nil
	}
	g.missing = append(g.missing, Source{Kind: "CRL", Where: w.url, Fault: err.Error()})
	var u *unavailableError
	if errors.As(err, &u) && (g.retry.IsZero() || u.retry.Before(g.retry)) {
		g.retry = u.retry
	}
	return nil, err
}

// freshen looks for the delta CRL of l (RFC 5280, sections 4.2.1.15 and 5.2.6).
// The answer does not depend on it: the complete CRL counts until it ends.
func (g *gathering) freshen(ctx context.Context, certificate *x509.Certificate, l *List, above []*x509.Certificate) {
	points := slices.Clone(l.freshest)
	if own, err := pointsOf(certificate, oidFreshestCRL); err == nil {
		points = append(points, own...)
	}
	wants, _ := wantsOf(points, above, true)
	for _, w := range g.checker.order(wants) {
		if _, err := g.consult(ctx, w); err == nil {
			return
		}
	}
}

// vouch gathers for the certificate that signed l when it is not on the path.
func (g *gathering) vouch(ctx context.Context, l *List, above []*x509.Certificate) {
	if g.depth == maxSignerDepth {
		return
	}
	for _, c := range above {
		if dn.Key(c.RawSubject) == l.issuerName && l.verify(c) == nil {
			return
		}
	}
	for _, c := range g.signers {
		if dn.Key(c.RawSubject) != l.issuerName || l.verify(c) != nil {
			continue
		}
		i, err := issuedWithin(c, above)
		if err != nil {
			continue
		}
		g.depth++
		g.answer(ctx, c, above[i:])
		g.depth--
		return
	}
}

// wantsOf lists the addresses of points that can be fetched from, and says of
// the others why not. A distribution point without any address is not among
// them: its CRL can only be at hand already.
func wantsOf(points []point, above []*x509.Certificate, delta bool) (wants []want, refused []Source) {
	for _, p := range points {
		for _, address := range p.addresses {
			if _, err := checkAddress(address); err != nil {
				refused = append(refused, Source{Kind: "CRL", Where: cut(address), Fault: err.Error()})
				continue
			}
			wants = append(wants, want{url: address, above: above, names: slices.Concat(p.names, p.issuers), delta: delta})
		}
		if len(p.addresses) == 0 {
			refused = append(refused, Source{Kind: "CRL", Fault: "a distribution point has no address"})
		}
	}
	return wants, refused
}

// detailOf says why a certificate is unknown.
func detailOf(certificate *x509.Certificate, a Answer, pointless bool) string {
	if pointless {
		return describe(certificate) + ": the certificate names no CRL distribution point"
	}
	var why []string
	for _, s := range a.Sources {
		switch {
		case s.Used:
		case s.Where == "":
			why = append(why, s.Fault)
		default:
			kind := "CRL"
			if s.Kind == "OCSP" {
				kind = s.Kind
			}
			why = append(why, fmt.Sprintf("%s %s: %s", kind, s.Where, s.Fault))
		}
	}
	if len(why) == 0 {
		return a.Detail
	}
	return describe(certificate) + ": " + strings.Join(why, "; ")
}
