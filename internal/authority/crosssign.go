package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// CrossOptions say how another organisation's authority is certified.
type CrossOptions struct {
	// Certificate is that authority's own; its name and key are certified.
	Certificate *x509.Certificate
	// Domains are the only ones for which it may vouch, with all names below
	// them; at least one is needed.
	Domains []string
	// PathLength is how many authorities may stand below it; 0: none.
	PathLength int
	// Validity is how long it lasts at most; 0 means a year. It never outlives
	// the issuer, nor the certificate of the other authority.
	Validity time.Duration
}

// DefaultCrossValidity is how long a cross-certificate lasts unless said otherwise.
const DefaultCrossValidity = 365 * 24 * time.Hour

// maxPathLength bounds CrossOptions.PathLength.
const maxPathLength = 4

// CrossSign certifies another organisation's authority for its domains alone:
// name constraints permit names in the domains and exclude every IP address (RFC
// 5280, section 4.2.1.10; a kind of name that no subtree mentions is not
// constrained, so each kind has one).
func (ca *CA) CrossSign(o CrossOptions) (*x509.Certificate, error) {
	other := o.Certificate
	switch {
	case other == nil || !other.BasicConstraintsValid || !other.IsCA || other.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("cross-signing: the certificate is none of an authority that may sign certificates")
	case len(o.Domains) == 0:
		return nil, errors.New("cross-signing: a domain is needed; without one the other authority could vouch for anybody")
	case o.PathLength < 0 || o.PathLength > maxPathLength:
		return nil, fmt.Errorf("cross-signing: the path length is %d; 0 to %d can be written", o.PathLength, maxPathLength)
	case slices.ContainsFunc(o.Domains, func(d string) bool { return !validName(d) || d[0] == '*' }):
		return nil, fmt.Errorf("cross-signing: %q is not a list of domains in lower case", o.Domains)
	case slices.Equal(other.RawSubject, ca.certificate.RawSubject):
		return nil, errors.New("cross-signing: the other authority has our own name")
	case ca.certificate.MaxPathLenZero || ca.certificate.MaxPathLen > 0 && ca.certificate.MaxPathLen <= o.PathLength:
		return nil, fmt.Errorf("cross-signing: %q may not have %d authorities below it", ca.certificate.Subject, o.PathLength+1)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		RawSubject:            other.RawSubject,
		Subject:               other.Subject,
		SubjectKeyId:          other.SubjectKeyId,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true,
		MaxPathLen: o.PathLength, MaxPathLenZero: o.PathLength == 0,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         slices.Clone(o.Domains),
		PermittedEmailAddresses:     slices.Clone(o.Domains),
		PermittedURIDomains:         slices.Clone(o.Domains),
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	end := ca.now().Add(orDefault(o.Validity, DefaultCrossValidity))
	if end.After(other.NotAfter) {
		end = other.NotAfter
	}
	ca.complete(template, end, ca.crlURL)
	if !template.NotBefore.Before(template.NotAfter) {
		return nil, fmt.Errorf("cross-signing %q: it ended on %s", other.Subject, other.NotAfter.UTC().Format(time.RFC3339))
	}
	certificate, err := sign(template, ca.certificate, other.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("cross-signing %q: %w", other.Subject, err)
	}
	ca.remember(certificate)
	return certificate, nil
}
