package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

// Default validities, used where an option is zero.
const (
	DefaultRootValidity         = 10 * 365 * 24 * time.Hour
	DefaultIntermediateValidity = 5 * 365 * 24 * time.Hour
	DefaultLeafValidity         = 90 * 24 * time.Hour
	DefaultCRLValidity          = 7 * 24 * time.Hour
)

// backdate is how far before now a certificate begins to be valid, so that a
// relying party whose clock is a little behind accepts it at once.
const backdate = 5 * time.Minute

// RootOptions say what a root is to be.
type RootOptions struct {
	// CommonName is the subject's CN and must not be empty. Organization may be.
	CommonName   string
	Organization string
	// Validity is how long the root's certificate lasts; 0 means DefaultRootValidity.
	Validity time.Duration
	// CRLURL is where the CRL of this authority will be published. It is
	// written into every certificate that the authority issues; empty: none is.
	CRLURL string
	// IssuerURL is where the authority's certificate will be published
	// (caIssuers); it is written likewise. Empty: none is.
	IssuerURL string
	// CRLValidity is the time from thisUpdate to nextUpdate; 0 means DefaultCRLValidity.
	CRLValidity time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// IntermediateOptions say what an authority below another is to be. The fields
// mean what those of RootOptions mean; CRLURL and IssuerURL are those of the
// new authority, written into what it issues. The clock is its issuer's.
type IntermediateOptions struct {
	CommonName   string
	Organization string
	Validity     time.Duration // 0 means DefaultIntermediateValidity
	CRLURL       string
	IssuerURL    string
	CRLValidity  time.Duration // 0 means DefaultCRLValidity
}

// CA is one certification authority with its key. It is made by NewRoot or
// NewIntermediate and safe for concurrent use.
type CA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	chain       []*x509.Certificate // what a leaf presents after itself: this one up to, without, the root
	crlURL      string
	issuerURL   string
	crlValidity time.Duration
	now         func() time.Time

	mu         sync.Mutex
	issued     map[string]bool // serial numbers (decimal) of what this authority issued; true for an authority
	revoked    []x509.RevocationListEntry
	number     *big.Int  // of the last CRL; nil before the first
	thisUpdate time.Time // of the last CRL
	published  []byte    // the CRL that Handler serves; nil when a revocation made it stale
	refreshAt  time.Time // when published is to be renewed
}

// NewRoot makes a self-signed root with a new ECDSA P-256 key.
func NewRoot(o RootOptions) (*CA, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := checkAddresses(o.CRLURL, o.IssuerURL); err != nil {
		return nil, fmt.Errorf("making root %q: %w", o.CommonName, err)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := authorityTemplate(o.CommonName, o.Organization)
	if err != nil {
		return nil, err
	}
	now := o.Now()
	template.NotBefore = now.Add(-backdate)
	template.NotAfter = now.Add(orDefault(o.Validity, DefaultRootValidity))
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making root %q: %w", o.CommonName, err)
	}
	return &CA{
		certificate: certificate, key: key, crlURL: o.CRLURL, issuerURL: o.IssuerURL,
		crlValidity: orDefault(o.CRLValidity, DefaultCRLValidity), now: o.Now,
		issued: make(map[string]bool),
	}, nil
}

// NewIntermediate makes an authority below ca, with a new ECDSA P-256 key. It
// may issue for end entities only (path length 0), and lasts no longer than ca.
func (ca *CA) NewIntermediate(o IntermediateOptions) (*CA, error) {
	if ca.certificate.MaxPathLenZero {
		return nil, fmt.Errorf("making intermediate %q: %q may issue for end entities only", o.CommonName, ca.certificate.Subject)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := authorityTemplate(o.CommonName, o.Organization)
	if err != nil {
		return nil, err
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	ca.complete(template, ca.now().Add(orDefault(o.Validity, DefaultIntermediateValidity)), ca.crlURL)
	certificate, err := sign(template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("making intermediate %q: %w", o.CommonName, err)
	}
	ca.remember(certificate)
	return &CA{
		certificate: certificate, key: key, crlURL: o.CRLURL, issuerURL: o.IssuerURL,
		chain:       append([]*x509.Certificate{certificate}, ca.chain...),
		crlValidity: orDefault(o.CRLValidity, DefaultCRLValidity), now: ca.now,
		issued: make(map[string]bool),
	}, nil
}

// Certificate returns the authority's own certificate. It is shared: do not change it.
func (ca *CA) Certificate() *x509.Certificate { return ca.certificate }

// CertificatePEM returns the authority's own certificate as PEM.
func (ca *CA) CertificatePEM() []byte { return EncodeCertificates(ca.certificate) }

// Chain returns what a leaf of this authority presents after itself: the
// authorities up to, and without, the root. It is empty for a root.
func (ca *CA) Chain() []*x509.Certificate { return slices.Clone(ca.chain) }

// authorityTemplate is what the certificates of all authorities share (RFC
// 5280, section 4.2.1.9: basicConstraints critical; 4.2.1.3: keyCertSign, cRLSign).
func authorityTemplate(commonName, organization string) (*x509.Certificate, error) {
	if commonName == "" {
		return nil, errors.New("making an authority: the common name is empty")
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject(commonName, organization),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            -1,
	}, nil
}

// complete fills in what an issuer adds: dates within its own, and where its
// CRL and certificate are.
func (ca *CA) complete(template *x509.Certificate, notAfter time.Time, crlURL string) {
	if template.NotBefore.IsZero() {
		template.NotBefore = ca.now().Add(-backdate)
	}
	if template.NotBefore.Before(ca.certificate.NotBefore) {
		template.NotBefore = ca.certificate.NotBefore
	}
	template.NotAfter = notAfter
	if template.NotAfter.After(ca.certificate.NotAfter) {
		template.NotAfter = ca.certificate.NotAfter
	}
	if crlURL != "" {
		template.CRLDistributionPoints = []string{crlURL}
	}
	if ca.issuerURL != "" {
		template.IssuingCertificateURL = []string{ca.issuerURL}
	}
}

func (ca *CA) remember(certificate *x509.Certificate) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.issued[certificate.SerialNumber.String()] = certificate.IsCA
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating key: %w", err)
	}
	return key, nil
}

// newSerial returns a positive serial number of at most 16 octets with at
// least 120 random bits (RFC 5280, section 4.1.2.2 allows 20 octets).
func newSerial() (*big.Int, error) {
	var octets [16]byte
	if _, err := rand.Read(octets[:]); err != nil {
		return nil, fmt.Errorf("generating serial number: %w", err)
	}
	octets[0] = octets[0]&0x7f | 0x40 // positive, and always of the same length
	return new(big.Int).SetBytes(octets[:]), nil
}

func subject(commonName, organization string) pkix.Name {
	name := pkix.Name{CommonName: commonName}
	if organization != "" {
		name.Organization = []string{organization}
	}
	return name
}

// sign makes the certificate: first with a throw-away key, so that what breaks a
// rule never bears our signature, then with the real one. What that has signed
// is checked before anybody sees it. issuer equal to template means self-signed.
func sign(template, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	if len(template.SubjectKeyId) == 0 {
		identifier, err := keyIdentifier(public)
		if err != nil {
			return nil, err
		}
		template.SubjectKeyId = identifier
		if issuer == template && !template.IsCA {
			template.AuthorityKeyId = identifier // RFC 5280, section 4.2.1.1: only an authority may leave it out
		}
	}
	draft, err := draftCertificate(template, issuer, public)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, key)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	certificate, err := recheckCertificate(der, template, issuer, public)
	if err != nil {
		return nil, fmt.Errorf("checking the certificate just signed: %w", err)
	}
	if !bytes.Equal(certificate.RawTBSCertificate, draft.RawTBSCertificate) {
		return nil, errDraft
	}
	return certificate, nil
}

// keyIdentifier returns the leftmost 160 bits of the SHA-256 of the public key's
// bit string (RFC 7093, section 2, method 1; RFC 5280, section 4.2.1.2).
func keyIdentifier(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encoding the public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("encoding the public key: %w", err)
	}
	sum := sha256.Sum256(info.PublicKey.RightAlign())
	return sum[:20], nil
}

// draftCertificate returns the certificate as a throw-away key signs it, checked
// against the rules.
func draftCertificate(template, issuer *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	throwAway, err := newKey()
	if err != nil {
		return nil, err
	}
	parent := template
	if issuer != template {
		standIn := *issuer
		standIn.PublicKey = throwAway.Public()
		parent = &standIn
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, throwAway)
	if err != nil {
		return nil, lintFault("the certificate", err)
	}
	draft, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, lintFault("the certificate", err)
	}
	if issuer == template {
		issuer = draft
	}
	if err := lintCertificate(draft, issuer); err != nil {
		return nil, lintFault("the certificate", err)
	}
	return draft, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
