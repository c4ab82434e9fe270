package scripts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"

	"mailpact/internal/smtp"
)

// caKey is where a script's CA lies.
type caKey struct{}

// testCA is a root and an issuing CA, made when they are first needed.
type testCA struct {
	root, issuer *x509.Certificate
	key          *ecdsa.PrivateKey
	issued       int64
}

func (a *testCA) open() error {
	if a.issuer != nil {
		return nil
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := func(serial int64, cn string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
		}
	}
	root := template(1, "Script Root")
	if a.root, err = signed(root, root, rootKey.Public(), rootKey); err != nil {
		return err
	}
	a.issuer, err = signed(template(2, "Script Issuing CA"), a.root, a.key.Public(), rootKey)
	return err
}

func signed(template, parent *x509.Certificate, public any, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// answer signs a request in PEM. Each certificate is a little newer than the one before.
func (a *testCA) answer(request []byte) (*x509.Certificate, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	b, _ := pem.Decode(request)
	if b == nil {
		return nil, errors.New("the request is not PEM")
	}
	r, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return nil, err
	}
	if err := r.CheckSignature(); err != nil {
		return nil, err
	}
	a.issued++
	return signed(&x509.Certificate{
		SerialNumber: big.NewInt(100 + a.issued), RawSubject: r.RawSubject, DNSNames: r.DNSNames,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour + time.Duration(a.issued)*time.Minute), NotAfter: time.Now().AddDate(1, 0, int(a.issued)),
		BasicConstraintsValid: true,
	}, a.issuer, r.PublicKey, a.key)
}

func answerRequest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: answer REQUEST OUT [pem|chain|der|p7b|pfx]")
	}
	a := ts.Value(caKey{}).(*testCA)
	x, err := a.answer([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	form := "pem"
	if len(args) == 3 {
		form = args[2]
	}
	block := func(x *x509.Certificate) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Raw})
	}
	var out []byte
	switch form {
	case "pem":
		out = block(x)
	case "chain": // in an order that some CAs use
		out = append(append(block(a.root), block(x)...), block(a.issuer)...)
	case "der":
		out = x.Raw
	case "p7b":
		out = bundle(a.issuer, x, a.root)
	case "pfx": // without a key
		out, err = pkcs12.LegacyDES.EncodeTrustStore([]*x509.Certificate{a.issuer, x}, "secret")
		ts.Check(err)
	default:
		ts.Fatalf("unknown form %s", form)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out, 0o600))
}

// bundle makes a PKCS #7 of certificates.
func bundle(all ...*x509.Certificate) []byte {
	explicit := cbasn1.Tag(0).ContextSpecific().Constructed()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2})
		b.AddASN1(explicit, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(cbasn1.SET, func(*cryptobyte.Builder) {})
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1})
				})
				b.AddASN1(explicit, func(b *cryptobyte.Builder) {
					for _, x := range all {
						b.AddBytes(x.Raw)
					}
				})
				b.AddASN1(cbasn1.SET, func(*cryptobyte.Builder) {})
			})
		})
	})
	return b.BytesOrPanic()
}

func keepThumbprint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: thumbprint NAME")
	}
	found := regexp.MustCompile(`\b[0-9A-F]{40}\b`).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("no thumbprint was printed")
	}
	ts.Setenv(args[0], found)
}

func showPresented(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: presented SOCKET")
	}
	s, err := status(ts.MkAbs(args[0]))
	ts.Check(err)
	chain, err := presentedBy(s.Listeners[0].Address)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%X %d\n", sha1.Sum(chain[0].Raw), len(chain))
}

// presentedBy returns the chain that a server shows after STARTTLS.
func presentedBy(address string) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example"})
	defer c.Close()
	if _, err := c.Greeting(ctx); err != nil {
		return nil, err
	}
	if _, err := c.Hello(ctx); err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	err = c.StartTLS(ctx, &tls.Config{
		InsecureSkipVerify: true, // what is shown is what is asked
		VerifyConnection: func(st tls.ConnectionState) error {
			chain = st.PeerCertificates
			return nil
		},
	})
	return chain, err
}
