package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/trust/rfc5280"
)

// Builder is the PathBuilder of RFC 5280. The zero value is ready.
//
// It first collects every chain of right signatures up to an anchor, whatever
// the dates and usages, and then judges each: package rfc5280 names, constraints,
// path lengths and policies, and this file dates, strength and critical extensions.
type Builder struct{}

var _ PathBuilder = Builder{}

// Build implements PathBuilder.
func (Builder) Build(ctx context.Context, r BuildRequest) ([]Path, []FailedPath) {
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
		f := c.faults
		if len(f.reasons) == 0 {
			good = append(good, p)
			continue
		}
		failed = append(failed, FailedPath{Path: p, Anchored: true, Reasons: domainsec.SortReasons(f.reasons), Detail: f.detail})
	}
	for _, d := range s.dead {
		f := pathFaults{detail: d.detail, reasons: []domainsec.Reason{domainsec.UntrustedRoot}}
		if d.tooLong {
			f.reasons = []domainsec.Reason{domainsec.InvalidChain}
		}
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
func chainFaults(c foundChain, r BuildRequest) pathFaults {
	var f pathFaults
	last := len(c.elements) - 1
	for i, e := range c.elements {
		f.element(e, r.Now, i < last)
	}
	o := rfc5280.Options{Policy: r.Policy, IsHostName: domainsec.IsHostName}
	if r.IgnoreCommonName {
		o.IsHostName = nil
	}
	err := rfc5280.Check(c.elements, o)
	var fault *rfc5280.Fault
	switch {
	case errors.As(err, &fault):
		f.add(domainsec.InvalidChain, "%s: %v", certificateLabel(c.elements[fault.Index]), fault.Err)
	case err != nil:
		f.add(domainsec.InvalidChain, "%v", err)
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
	for _, x := range c.UnhandledCriticalExtensions {
		if !rfc5280.Processes(x) {
			f.add(domainsec.InvalidChain, "%s: unknown critical extension %s", name, x)
			break
		}
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
