package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// IssueOptions say what a certificate for an end entity is to be.
type IssueOptions struct {
	// DNSNames become the subject alternative names; at least one is needed.
	DNSNames []string
	// CommonName is the subject's CN; empty means the first DNS name, when it fits.
	CommonName   string
	Organization string
	// ExtKeyUsages are the purposes; nil means serverAuth and clientAuth.
	ExtKeyUsages []x509.ExtKeyUsage
	// NotBefore is where validity begins; zero means a few minutes ago.
	NotBefore time.Time
	// Validity counts from NotBefore, or from now when that is zero; 0 means
	// DefaultLeafValidity. The result never outlives the issuer.
	Validity time.Duration
	// CRLURL replaces the authority's own CRL address in this certificate; empty: it does not.
	CRLURL string
	// PublicKey is certified instead of a new key; nil: a new ECDSA P-256 key is made.
	PublicKey crypto.PublicKey
}

// SelfSignedOptions say what a self-signed end-entity certificate is to be, for
// a partner who is trusted by that certificate alone.
type SelfSignedOptions struct {
	DNSNames     []string           // at least one
	CommonName   string             // empty means the first DNS name, when it fits
	Organization string             // may be empty
	ExtKeyUsages []x509.ExtKeyUsage // nil means serverAuth and clientAuth
	NotBefore    time.Time          // zero means a few minutes ago
	Validity     time.Duration      // counted as in IssueOptions; 0 means DefaultLeafValidity
	Now          func() time.Time   // nil means time.Now
}

// maxCommonName is the upper bound of a common name (RFC 5280, appendix A.1, ub-common-name).
const maxCommonName = 64

// Issue makes a certificate. chainPEM holds the leaf and then the authorities
// up to, and without, the root; keyPEM is the new key (PKCS #8), nil when
// o.PublicKey was given.
func (ca *CA) Issue(o IssueOptions) (chainPEM, keyPEM []byte, leaf *x509.Certificate, err error) {
	template, err := leafTemplate(o.DNSNames, o.CommonName, o.Organization, o.ExtKeyUsages)
	if err != nil {
		return nil, nil, nil, err
	}
	public := o.PublicKey
	var key *ecdsa.PrivateKey
	if public == nil {
		if key, err = newKey(); err != nil {
			return nil, nil, nil, err
		}
		public = key.Public()
	}
	if _, isRSA := public.(*rsa.PublicKey); isRSA {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	template.NotBefore = o.NotBefore
	crlURL := o.CRLURL
	if crlURL == "" {
		crlURL = ca.crlURL
	}
	ca.complete(template, endOf(o.NotBefore, o.Validity, ca.now()), crlURL)
	if !template.NotBefore.Before(template.NotAfter) {
		return nil, nil, nil, fmt.Errorf("issuing certificate for %q: it would begin at %s and end at %s",
			o.DNSNames[0], template.NotBefore.UTC().Format(time.RFC3339), template.NotAfter.UTC().Format(time.RFC3339))
	}
	leaf, err = sign(template, ca.certificate, public, ca.key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("issuing certificate for %q: %w", o.DNSNames[0], err)
	}
	if key != nil {
		if keyPEM, err = EncodeKey(key); err != nil {
			return nil, nil, nil, err
		}
	}
	ca.remember(leaf)
	return EncodeCertificates(append([]*x509.Certificate{leaf}, ca.chain...)...), keyPEM, leaf, nil
}

// IssueSelfSigned makes an end-entity certificate signed by its own new ECDSA
// P-256 key. It is no authority and has no CRL.
func IssueSelfSigned(o SelfSignedOptions) (certificatePEM, keyPEM []byte, leaf *x509.Certificate, err error) {
	template, err := leafTemplate(o.DNSNames, o.CommonName, o.Organization, o.ExtKeyUsages)
	if err != nil {
		return nil, nil, nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	key, err := newKey()
	if err != nil {
		return nil, nil, nil, err
	}
	now := o.Now()
	template.NotBefore = o.NotBefore
	if template.NotBefore.IsZero() {
		template.NotBefore = now.Add(-backdate)
	}
	template.NotAfter = endOf(o.NotBefore, o.Validity, now)
	leaf, err = sign(template, template, key.Public(), key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("making self-signed certificate for %q: %w", o.DNSNames[0], err)
	}
	if keyPEM, err = EncodeKey(key); err != nil {
		return nil, nil, nil, err
	}
	return EncodeCertificates(leaf), keyPEM, leaf, nil
}

func endOf(notBefore time.Time, validity time.Duration, now time.Time) time.Time {
	if notBefore.IsZero() {
		notBefore = now
	}
	return notBefore.Add(orDefault(validity, DefaultLeafValidity))
}

// leafTemplate is what all end-entity certificates share.
func leafTemplate(names []string, commonName, organization string, usages []x509.ExtKeyUsage) (*x509.Certificate, error) {
	if len(names) == 0 || slices.Contains(names, "") {
		return nil, errors.New("issuing certificate: a DNS name is needed, and none may be empty")
	}
	if commonName == "" && len(names[0]) <= maxCommonName {
		commonName = names[0]
	}
	if len(commonName) > maxCommonName {
		return nil, fmt.Errorf("issuing certificate: the common name is longer than %d octets", maxCommonName)
	}
	if usages == nil {
		usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject(commonName, organization),
		DNSNames:              slices.Clone(names),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           slices.Clone(usages),
		BasicConstraintsValid: true,
	}, nil
}
