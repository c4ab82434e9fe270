package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailpact/internal/domainsec"
)

// StandardBuilder is the PathBuilder that lets crypto/x509 verify. The zero
// value is ready.
//
// It first collects every chain of right signatures up to an anchor, whatever
// the dates and usages, and then judges each: crypto/x509 alone would stop at
// the first fault and forget the paths that have one. A chain is good only if
// crypto/x509 accepts exactly that chain, and our own checks of dates,
// strength, usage and critical extensions find nothing.
type StandardBuilder struct{}

var _ PathBuilder = StandardBuilder{}

// Build implements PathBuilder.
func (StandardBuilder) Build(ctx context.Context, r BuildRequest) ([]Path, []FailedPath) {
	leaf := r.Presented[0]
	overrun := func(format string, args ...any) ([]Path, []FailedPath) {
		return nil, []FailedPath{{
			Path:    Path{Elements: []*x509.Certificate{leaf}, Usage: commonUsage(r.Presented[:1])},
			Reasons: []domainsec.Reason{domainsec.InvalidChain},
			Detail:  fmt.Sprintf(format, args...),
		}}
	}
	if n := len(r.Presented); n > maxPresented {
		return overrun("the peer presented %d certificates, more than %d", n, maxPresented)
	}
	s := newSearch(ctx, r)
	s.findRooted(leaf)
	s.visit([]*x509.Certificate{leaf})
	if s.overrun != "" {
		return overrun("%s", s.overrun)
	}
	var good []Path
	var failed []FailedPath
	for _, c := range s.found {
		p := Path{Elements: c.elements, Usage: commonUsage(c.elements), Public: c.public}
		f := chainFaults(c, r.Now)
		if len(f.reasons) == 0 {
			good = append(good, p)
			continue
		}
		failed = append(failed, FailedPath{Path: p, Anchored: true, Reasons: domainsec.SortReasons(f.reasons), Detail: f.detail})
	}
	for _, d := range s.dead {
		f := pathFaults{detail: d.detail, reasons: []domainsec.Reason{domainsec.UntrustedRoot}}
		for i, c := range d.elements {
			f.element(c, r.Now, i < len(d.elements)-1 || !selfIssued(c))
		}
		failed = append(failed, FailedPath{
			Path:    Path{Elements: d.elements, Usage: commonUsage(d.elements)},
			Reasons: domainsec.SortReasons(f.reasons), Detail: d.detail,
		})
	}
	return good, failed
}

// pathFaults collects what is wrong with a path.
type pathFaults struct {
	reasons []domainsec.Reason
	detail  string // of the first
}

func (f *pathFaults) add(r domainsec.Reason, format string, args ...any) {
	f.reasons = append(f.reasons, r)
	if f.detail == "" {
		f.detail = fmt.Sprintf(format, args...)
	}
}

// chainFaults judges a chain of right signatures.
func chainFaults(c foundChain, now time.Time) pathFaults {
	var f pathFaults
	last := len(c.elements) - 1
	for i, e := range c.elements {
		f.element(e, now, i < last)
	}
	if err := commonNameConstraints(c.elements); err != nil {
		f.add(domainsec.InvalidChain, "%v", err)
	}
	// crypto/x509 knows no weak signatures: it would call the chain broken.
	if !slices.Contains(f.reasons, domainsec.WeakSignature) {
		if err := standardVerify(c.elements, now); err != nil {
			f.add(domainsec.InvalidChain, "%v", err)
		}
	}
	return f
}

// element judges what can be seen on one certificate alone; signed says
// whether its signature counts, which an anchor's does not.
func (f *pathFaults) element(c *x509.Certificate, now time.Time, signed bool) {
	name := certificateLabel(c)
	if d := keyFault(c); d != "" {
		f.add(domainsec.WeakSignature, "%s: %s", name, d)
	}
	if signed && weakAlgorithm(c.SignatureAlgorithm) {
		f.add(domainsec.WeakSignature, "%s: signed with %s", name, c.SignatureAlgorithm)
	}
	if len(c.UnhandledCriticalExtensions) > 0 {
		f.add(domainsec.InvalidChain, "%s: unknown critical extension %s", name, c.UnhandledCriticalExtensions[0])
	}
	if d := unsupportedConstraints(c); d != "" {
		f.add(domainsec.InvalidChain, "%s: %s, which is not supported", name, d)
	}
	f.dates(c, now)
}

// dates judges the validity period. The tolerance is for clocks that differ,
// and on notBefore only: what has ended has ended.
func (f *pathFaults) dates(c *x509.Certificate, now time.Time) {
	if now.After(c.NotAfter) {
		f.add(domainsec.CertificateExpired, "%s: expired on %s", certificateLabel(c), c.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Add(notBeforeTolerance).Before(c.NotBefore) {
		f.add(domainsec.CertificateNotYetValid, "%s: not valid before %s", certificateLabel(c), c.NotBefore.UTC().Format(time.RFC3339))
	}
}

// standardVerify asks crypto/x509 about one chain: basic constraints, path
// lengths, name constraints and policies. Dates, critical extensions and usages
// are judged elsewhere and made harmless in copies, so that each fault is
// reported under its own name.
func standardVerify(chain []*x509.Certificate, now time.Time) error {
	o := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	last := len(chain) - 1
	o.Roots.AddCert(timeless(chain[last]))
	for i := 1; i < last; i++ {
		o.Intermediates.AddCert(timeless(chain[i]))
	}
	verified, err := timeless(chain[0]).Verify(o)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(verified, func(v []*x509.Certificate) bool { return sameChain(v, chain) }) {
		return errors.New("crypto/x509 does not accept this order of certificates")
	}
	return nil
}

// timeless returns a copy of c that is valid at any time and has no unknown
// critical extensions.
func timeless(c *x509.Certificate) *x509.Certificate {
	cp := *c
	cp.NotBefore = time.Time{}
	cp.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	cp.UnhandledCriticalExtensions = nil
	return &cp
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }
