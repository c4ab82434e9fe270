package rfc5280

import (
	"crypto/x509"
	"errors"
	"strings"

	"mailpact/internal/domainsec/dn"
)

// Options are the inputs of Check besides the path.
type Options struct {
	Policy PolicyInputs
	// IsHostName tells whether the CN of the last certificate would count as a
	// name of a host; nil: no CN does.
	IsHostName func(string) bool
}

// Check judges a path, leaf first and anchor last, whose signatures are right
// (RFC 5280, sections 6.1.2 to 6.1.5). The error says what is wrong with which
// certificate, by its place in the path: Fault. A path of the anchor alone is right.
func Check(path []*x509.Certificate, o Options) error {
	w, err := newWalk(path, o)
	if err != nil {
		return err
	}
	for i := len(path) - 2; i >= 0; i-- {
		if err := w.certificate(i); err != nil {
			return &Fault{Index: i, Err: err}
		}
	}
	return nil
}

// Fault is what is wrong with one certificate of a path.
type Fault struct {
	Index int // 0 is the leaf
	Err   error
}

// Error says what is wrong; the caller names the certificate.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// walk is the state on the way from the anchor to the leaf.
type walk struct {
	path        []*x509.Certificate
	options     Options
	policies    *policyState
	constraints []*constraints
	pathLength  int // intermediates that may follow and are not self-issued
	comparisons budget
	issuer      dn.Name
}

func newWalk(path []*x509.Certificate, o Options) (*walk, error) {
	last := len(path) - 1
	anchor := path[last]
	w := &walk{path: path, options: o, policies: newPolicyState(o.Policy, last), pathLength: last, comparisons: budget{maxComparisons}}
	var err error
	if w.issuer, err = dn.Parse(anchor.RawSubject); err != nil {
		return nil, &Fault{Index: last, Err: err}
	}
	if last == 0 {
		return w, nil
	}
	if anchor.BasicConstraintsValid && !anchor.IsCA {
		return nil, &Fault{Index: last, Err: errNoCA}
	}
	if !maySign(anchor) {
		return nil, &Fault{Index: last, Err: errMayNotSign}
	}
	if err := w.confine(anchor); err != nil {
		return nil, &Fault{Index: last, Err: err}
	}
	return w, nil
}

var (
	errNoCA       = errors.New("it is no CA")
	errMayNotSign = errors.New("its key usage does not allow it to sign certificates")
)

// maySign reports whether the key usage allows signing certificates, which it
// does where there is no such extension.
func maySign(c *x509.Certificate) bool {
	return c.KeyUsage&x509.KeyUsageCertSign != 0 || extension(c, oidKeyUsage) == nil
}

// confine takes over a CA's name constraints and path length.
func (w *walk) confine(c *x509.Certificate) error {
	n, err := nameConstraints(c)
	if err != nil {
		return err
	}
	if n != nil {
		w.constraints = append(w.constraints, n)
	}
	if limit, set := limitOf(c.MaxPathLen, c.MaxPathLenZero); set && c.BasicConstraintsValid {
		w.pathLength = min(w.pathLength, limit)
	}
	return nil
}

func (w *walk) certificate(i int) error {
	c, last := w.path[i], i == 0
	issuer, err := dn.Parse(c.RawIssuer)
	if err != nil {
		return err
	}
	if issuer.Key() != w.issuer.Key() {
		return errors.New("its issuer is not the subject of the certificate above it")
	}
	if issuer.Empty() {
		return errors.New("its issuer has no name")
	}
	subject, err := dn.Parse(c.RawSubject)
	if err != nil {
		return err
	}
	selfIssued := subject.Key() == issuer.Key()
	if err := wellFormed(c); err != nil {
		return err
	}
	if last || !selfIssued {
		if err := w.names(c, last); err != nil {
			return err
		}
	}
	if err := w.policies.certificate(c, last, selfIssued); err != nil {
		return err
	}
	w.issuer = subject
	if last {
		return w.policies.end(c)
	}
	return w.below(c, selfIssued)
}

// wellFormed refuses what the profile forbids and what would otherwise be read
// as less than it says.
func wellFormed(c *x509.Certificate) error {
	ca := c.BasicConstraintsValid && c.IsCA
	if !ca && extension(c, oidNameConstraints) != nil {
		return errors.New("it has name constraints and is no CA (RFC 5280, section 4.2.1.10)")
	}
	if !ca && c.KeyUsage&x509.KeyUsageCertSign != 0 {
		return errors.New("its key usage is that of a CA, and it is none (RFC 5280, section 4.2.1.9)")
	}
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 && extension(c, oidExtendedKeyUsage) != nil {
		return errors.New("its extended key usage is empty (RFC 5280, section 4.2.1.12)")
	}
	return nil
}

// names applies the constraints of the CAs above (section 6.1.3, steps b and c).
func (w *walk) names(c *x509.Certificate, last bool) error {
	if len(w.constraints) == 0 {
		return nil
	}
	cn := ""
	if last && w.options.IsHostName != nil && w.options.IsHostName(c.Subject.CommonName) {
		cn = strings.ToLower(c.Subject.CommonName)
	}
	n, err := namesOf(c, cn)
	if err != nil {
		return err
	}
	for _, x := range w.constraints {
		if err := x.allow(n, &w.comparisons); err != nil {
			return err
		}
	}
	return nil
}

// below prepares for the certificate that c has issued (section 6.1.4).
func (w *walk) below(c *x509.Certificate, selfIssued bool) error {
	if err := w.policies.issuer(c, selfIssued); err != nil {
		return err
	}
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return errNoCA
	case !maySign(c):
		return errMayNotSign
	}
	if !selfIssued {
		if w.pathLength <= 0 {
			return errors.New("there are more CAs in the path than a path length constraint allows")
		}
		w.pathLength--
	}
	return w.confine(c)
}
