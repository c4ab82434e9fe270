package pkitest

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Both usages, in the order in which CAs list them.
func bothUsages() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

// LeafOptions describe an end-entity certificate. The zero value has an ECDSA
// P-256 key, both TLS usages and 90 days from an hour ago; it has no name.
type LeafOptions struct {
	CommonName string
	Subject    *pkix.Name // replaces CommonName
	Names      []string   // dNSName SANs
	IPs        []net.IP   // iPAddress SANs
	Key        crypto.Signer
	KeyType    KeyType
	// PublicKey is certified instead of the key's, for certificates that nobody can use.
	PublicKey crypto.PublicKey

	NotBefore, NotAfter time.Time
	// Usages are the extended key usages; nil is serverAuth and clientAuth.
	Usages []x509.ExtKeyUsage
	// AnyUsage leaves the extended key usage extension away.
	AnyUsage bool
	// IsCA makes the leaf a CA without a key usage extension, as `openssl req -x509` does.
	IsCA bool

	CRLs      []string
	OCSP      []string
	IssuerURL []string
	Algorithm x509.SignatureAlgorithm
	Serial    *big.Int
	Extra     []pkix.Extension
}

// Leaf is an end-entity certificate with its key.
type Leaf struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	// Chain is what a correct peer presents: the leaf and all intermediates, without the root.
	Chain []*x509.Certificate
}

// Issue issues an end-entity certificate below ca.
func (ca *CA) Issue(t testing.TB, o LeafOptions) *Leaf {
	t.Helper()
	key := o.key(t)
	c := sign(t, signature{template: o.template(t), parent: ca.Certificate, public: o.public(key), signer: ca.Key})
	chain := []*x509.Certificate{c}
	for _, x := range ca.Chain {
		if x.CheckSignatureFrom(x) != nil {
			chain = append(chain, x)
		}
	}
	return &Leaf{Certificate: c, Key: key, Chain: chain}
}

// SelfSigned makes a self-signed end-entity certificate.
func SelfSigned(t testing.TB, o LeafOptions) *Leaf {
	t.Helper()
	key := o.key(t)
	tmpl := o.template(t)
	c := sign(t, signature{template: tmpl, parent: tmpl, public: o.public(key), signer: key})
	return &Leaf{Certificate: c, Key: key, Chain: []*x509.Certificate{c}}
}

// AsCA lets the leaf sign certificates, which no verifier may accept unless it is a CA.
func (l *Leaf) AsCA() *CA {
	return &CA{Certificate: l.Certificate, Key: l.Key, Chain: l.Chain}
}

// TLS returns the leaf with its Chain for crypto/tls.
func (l *Leaf) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: l.Key, Leaf: l.Certificate}
	for _, x := range l.Chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c
}

func (o *LeafOptions) key(t testing.TB) crypto.Signer {
	t.Helper()
	if o.Key != nil {
		return o.Key
	}
	return NewKey(t, o.KeyType)
}

func (o *LeafOptions) public(key crypto.Signer) crypto.PublicKey {
	if o.PublicKey != nil {
		return o.PublicKey
	}
	return key.Public()
}

func (o *LeafOptions) template(t testing.TB) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber:          serialOr(t, o.Serial),
		Subject:               pkix.Name{CommonName: o.CommonName},
		DNSNames:              o.Names,
		IPAddresses:           o.IPs,
		NotBefore:             timeOr(o.NotBefore, time.Now().Add(-time.Hour)),
		NotAfter:              timeOr(o.NotAfter, time.Now().AddDate(0, 0, 90)),
		BasicConstraintsValid: true,
		IsCA:                  o.IsCA,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           o.Usages,
		CRLDistributionPoints: o.CRLs,
		OCSPServer:            o.OCSP,
		IssuingCertificateURL: o.IssuerURL,
		SignatureAlgorithm:    o.Algorithm,
		ExtraExtensions:       o.Extra,
	}
	if o.Subject != nil {
		tmpl.Subject = *o.Subject
	}
	if o.Usages == nil {
		tmpl.ExtKeyUsage = bothUsages()
	}
	if o.AnyUsage {
		tmpl.ExtKeyUsage = nil
	}
	if o.IsCA {
		tmpl.KeyUsage = 0
	}
	return tmpl
}

// Tampered returns c with one bit of its signature turned over.
func Tampered(t testing.TB, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	der := append([]byte(nil), c.Raw...)
	der[len(der)-5] ^= 1
	return Parse(t, der)
}

// PEM encodes certificates in the order given.
func PEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// KeyPEM encodes a private key as PKCS#8.
func KeyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("pkitest: encoding key: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// WriteFile writes content into a file of the test's own directory and returns its path.
func WriteFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatalf("pkitest: writing %s: %v", name, err)
	}
	return path
}
