package pkitest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// CAOptions describe a CA certificate. The zero value is an unconstrained CA
// with an ECDSA P-256 key, valid from an hour ago for ten years.
type CAOptions struct {
	Name    string // the subject's CN; empty: "Test Root" or "Test Intermediate"
	Subject *pkix.Name
	Key     crypto.Signer // nil: a new one of KeyType
	KeyType KeyType

	NotBefore, NotAfter time.Time
	// PathLength is the path length constraint; nil is none.
	PathLength *int
	// Usages are the extended key usages; none leaves the extension away.
	Usages []x509.ExtKeyUsage
	// KeyUsage replaces certSign and cRLSign.
	KeyUsage x509.KeyUsage
	// NotCA makes a certificate whose basic constraints say CA:FALSE.
	NotCA bool

	PermittedDNS, ExcludedDNS []string

	CRLs      []string // distribution point URLs of this certificate
	IssuerURL []string // AIA caIssuers URLs of this certificate
	Algorithm x509.SignatureAlgorithm
	Serial    *big.Int
	// Extra are further extensions, an unknown critical one for instance.
	Extra []pkix.Extension
}

// CA is a certificate with the key to issue more.
type CA struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	// Chain leads from Certificate to the root, both included.
	Chain []*x509.Certificate
}

// NewRoot makes a self-signed CA.
func NewRoot(t testing.TB, o CAOptions) *CA {
	t.Helper()
	if o.Name == "" {
		o.Name = "Test Root"
	}
	key := o.key(t)
	tmpl := o.template(t)
	c := sign(t, signature{template: tmpl, parent: tmpl, public: key.Public(), signer: key})
	return &CA{Certificate: c, Key: key, Chain: []*x509.Certificate{c}}
}

// Intermediate issues a CA certificate below ca.
func (ca *CA) Intermediate(t testing.TB, o CAOptions) *CA {
	t.Helper()
	if o.Name == "" {
		o.Name = "Test Intermediate"
	}
	key := o.key(t)
	c := sign(t, signature{template: o.template(t), parent: ca.Certificate, public: key.Public(), signer: ca.Key})
	return &CA{Certificate: c, Key: key, Chain: append([]*x509.Certificate{c}, ca.Chain...)}
}

// CrossSign issues a certificate below ca for the name and key of other. Only
// dates, constraints, usages and URLs are taken from o.
func (ca *CA) CrossSign(t testing.TB, other *CA, o CAOptions) *CA {
	t.Helper()
	o.Subject = nil
	tmpl := o.template(t)
	tmpl.RawSubject = other.Certificate.RawSubject
	tmpl.SubjectKeyId = other.Certificate.SubjectKeyId
	c := sign(t, signature{template: tmpl, parent: ca.Certificate, public: other.Key.Public(), signer: ca.Key})
	return &CA{Certificate: c, Key: other.Key, Chain: append([]*x509.Certificate{c}, ca.Chain...)}
}

func (o *CAOptions) key(t testing.TB) crypto.Signer {
	t.Helper()
	if o.Key != nil {
		return o.Key
	}
	return NewKey(t, o.KeyType)
}

func (o *CAOptions) template(t testing.TB) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber:                serialOr(t, o.Serial),
		Subject:                     pkix.Name{CommonName: o.Name},
		NotBefore:                   timeOr(o.NotBefore, time.Now().Add(-time.Hour)),
		NotAfter:                    timeOr(o.NotAfter, time.Now().AddDate(10, 0, 0)),
		BasicConstraintsValid:       true,
		IsCA:                        !o.NotCA,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:                 o.Usages,
		PermittedDNSDomains:         o.PermittedDNS,
		PermittedDNSDomainsCritical: len(o.PermittedDNS)+len(o.ExcludedDNS) > 0,
		ExcludedDNSDomains:          o.ExcludedDNS,
		CRLDistributionPoints:       o.CRLs,
		IssuingCertificateURL:       o.IssuerURL,
		SignatureAlgorithm:          o.Algorithm,
		ExtraExtensions:             o.Extra,
	}
	if o.Subject != nil {
		tmpl.Subject = *o.Subject
	}
	if o.KeyUsage != 0 {
		tmpl.KeyUsage = o.KeyUsage
	}
	if o.PathLength != nil {
		tmpl.MaxPathLen = *o.PathLength
		tmpl.MaxPathLenZero = *o.PathLength == 0
	}
	return tmpl
}

type signature struct {
	template, parent *x509.Certificate
	public           crypto.PublicKey
	signer           crypto.Signer
}

func sign(t testing.TB, s signature) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, s.template, s.parent, s.public, s.signer)
	if err != nil {
		t.Fatalf("pkitest: creating certificate %s: %v", s.template.Subject, err)
	}
	return Parse(t, der)
}

// Parse parses one DER certificate.
func Parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("pkitest: parsing certificate: %v", err)
	}
	return c
}

func serialOr(t testing.TB, n *big.Int) *big.Int {
	t.Helper()
	if n != nil {
		return n
	}
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatalf("pkitest: choosing a serial number: %v", err)
	}
	return n.Add(n, big.NewInt(1))
}

func timeOr(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}
