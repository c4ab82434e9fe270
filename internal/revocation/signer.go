package revocation

import (
	"crypto/x509"
	"errors"
	"fmt"

	"mailpact/internal/domainsec"
	"mailpact/internal/domainsec/dn"
)

// signer finds the certificate whose key signed l (RFC 5280, section 6.3.3,
// steps f and g): the issuer itself, another certificate of the path above the
// one in question, or one of the further candidates.
func (e *evaluation) signer(l *List, m matter) (*x509.Certificate, error) {
	var why error
	tried := 0
	for i, c := range m.above {
		if dn.Key(c.RawSubject) != l.issuerName {
			continue
		}
		tried++
		err := l.verify(c)
		if err == nil {
			return c, nil
		}
		if why == nil || i == 0 {
			why = err
		}
	}
	for _, c := range e.Signers {
		if tried == maxSigners {
			break
		}
		if dn.Key(c.RawSubject) != l.issuerName {
			continue
		}
		tried++
		if err := l.verify(c); err != nil {
			if why == nil {
				why = err
			}
			continue
		}
		err := error(nil)
		if e.timeless {
			_, err = issuedWithin(c, m.above)
		} else {
			err = e.vouch(c, m)
		}
		if err == nil {
			return c, nil
		}
		why = err
	}
	if why == nil {
		why = fmt.Errorf("verifying CRL: it is of %q, of whom no certificate is at hand", cut(l.issuer))
	}
	return nil, why
}

// vouch returns nil when c, which is not on the path, may sign CRLs about the
// certificate in question.
func (e *evaluation) vouch(c *x509.Certificate, m matter) error {
	name := cut(c.Subject.String())
	switch {
	case e.Now.Before(c.NotBefore.Add(-clockTolerance)):
		return fmt.Errorf("verifying CRL: its signer's certificate %q is not valid before %s", name, stamp(c.NotBefore))
	case e.Now.After(c.NotAfter):
		return fmt.Errorf("verifying CRL: its signer's certificate %q expired at %s", name, stamp(c.NotAfter))
	}
	i, err := issuedWithin(c, m.above)
	if err != nil {
		return err
	}
	return e.unrevoked(c, m.above[i:], m.depth)
}

// issuedWithin returns which of above, the certificates above the one in
// question, issued the CRL signer c. RFC 5280 asks for a path to the same anchor
// only; but then any authority under the anchor could make itself a certificate
// with the name of another and revoke, or declare good, what is not its own.
func issuedWithin(c *x509.Certificate, above []*x509.Certificate) (int, error) {
	name := cut(c.Subject.String())
	isCA := c.BasicConstraintsValid && c.IsCA
	switch {
	case c.KeyUsage&x509.KeyUsageCRLSign == 0 && !isCA:
		return 0, fmt.Errorf("verifying CRL: its signer %q is no CA and has no key usage cRLSign", name)
	case c.SignatureAlgorithm == x509.SHA1WithRSA, c.SignatureAlgorithm == x509.ECDSAWithSHA1:
		return 0, fmt.Errorf("verifying CRL: its signer's certificate %q is signed by the weak algorithm %s", name, c.SignatureAlgorithm)
	case len(c.UnhandledCriticalExtensions) > 0:
		return 0, fmt.Errorf("verifying CRL: its signer's certificate %q has the unknown critical extension %s", name, c.UnhandledCriticalExtensions[0])
	}
	for i, parent := range above {
		if dn.Key(parent.RawSubject) != dn.Key(c.RawIssuer) || parent.KeyUsage != 0 && parent.KeyUsage&x509.KeyUsageCertSign == 0 {
			continue
		}
		if parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return i, nil
		}
	}
	return 0, fmt.Errorf("verifying CRL: its signer's certificate %q was not issued by a CA of the certificate's path", name)
}

// madeFor returns nil when l was signed by somebody who may sign CRLs about what
// above[0] issued, leaving aside what changes with time.
func madeFor(l *List, above, signers []*x509.Certificate) error {
	e := newEvaluation(Question{Signers: signers})
	e.timeless = true
	_, err := e.signer(l, matter{above: above})
	return err
}

// unrevoked returns nil when c, which signed a CRL, is good itself.
func (e *evaluation) unrevoked(c *x509.Certificate, above []*x509.Certificate, depth int) error {
	key := string(c.Raw)
	answer, known := e.signers[key]
	switch {
	case known:
	case e.asking[key]:
		return errors.New("verifying CRL: whether its signer's certificate is revoked depends on the CRL itself")
	case depth == maxSignerDepth:
		return fmt.Errorf("verifying CRL: more than %d signers depend on one another", maxSignerDepth)
	default:
		e.asking[key] = true
		answer = e.certificate(c, above, depth+1)
		delete(e.asking, key)
		if len(e.asking) == 0 {
			// What was answered while others were being asked about may have
			// failed for the circle alone.
			e.signers[key] = answer
		}
	}
	if answer.Status == domainsec.RevocationGood {
		return nil
	}
	return fmt.Errorf("verifying CRL: its signer is not known to be good: %s", answer.Detail)
}
