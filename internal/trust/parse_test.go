package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"testing"

	"mailpact/internal/trust/pkitest"
)

// relativePoint is a distribution point named CN=CRL1 below its CRL issuer.
func relativePoint(t *testing.T) []byte {
	t.Helper()
	der, err := hex.DecodeString("30133011a00fa10d300b060355040313044352" + "4c31")
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestParseCertificateWithRelativePoint(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	points := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: relativePoint(t)}
	for _, critical := range []bool{false, true} {
		points.Critical = critical
		der := issueRaw(t, root, points)
		if _, err := x509.ParseCertificate(der); err == nil {
			t.Fatal("crypto/x509 parses it by now: this function can go")
		}
		original := bytes.Clone(der)
		c, err := ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(der, original) || !bytes.Equal(c.Raw, original) {
			t.Error("the octets are not the original's")
		}
		if err := c.CheckSignatureFrom(root.Certificate); err != nil {
			t.Errorf("the signature: %v", err)
		}
		found := false
		for _, e := range c.Extensions {
			found = found || e.Id.Equal(points.Id) && bytes.Equal(e.Value, points.Value) && e.Critical == critical
		}
		if !found || len(c.UnhandledCriticalExtensions) > 0 {
			t.Errorf("extensions %v, unhandled %v", c.Extensions, c.UnhandledCriticalExtensions)
		}
	}
}

func TestParseCertificateRefusesWhatIsBroken(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	der := issueRaw(t, root, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: relativePoint(t)})
	for name, broken := range map[string][]byte{
		"empty": nil, "truncated": der[:len(der)-1], "with a tail": append(bytes.Clone(der), 0), "not DER": []byte("certificate"),
	} {
		if _, err := ParseCertificate(broken); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}

// issueRaw issues a leaf with an extension that crypto/x509 may refuse to read back.
func issueRaw(t *testing.T, ca *pkitest.CA, extension pkix.Extension) []byte {
	t.Helper()
	leaf := ca.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}})
	template := *leaf.Certificate
	template.ExtraExtensions = []pkix.Extension{extension}
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Certificate, leaf.Key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
