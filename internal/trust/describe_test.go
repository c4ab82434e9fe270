package trust

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"mailpact/internal/trust/pkitest"

	"github.com/google/go-cmp/cmp"
)

func TestDescribeCertificate(t *testing.T) {
	ca := pkitest.NewRoot(t, pkitest.CAOptions{Subject: &pkix.Name{CommonName: "Contoso Issuing CA", Locality: []string{"Contoso, Ltd."}, Country: []string{"US"}}})
	leaf := ca.Issue(t, pkitest.LeafOptions{
		Subject: &pkix.Name{CommonName: "edgea36", OrganizationalUnit: []string{"Contoso"}},
		Names:   []string{"edgea36.contoso.com"}, Serial: big.NewInt(0xA0B),
	}).Certificate
	got := DescribeCertificate(leaf)
	if got.Subject != "CN=edgea36, OU=Contoso" || got.Issuer != `CN=Contoso Issuing CA, L=Contoso\, Ltd., C=US` || got.SerialNumber != "0A0B" {
		t.Errorf("got %q, %q, %q", got.Subject, got.Issuer, got.SerialNumber)
	}
	if want := fmt.Sprintf("%X", sha1.Sum(leaf.Raw)); got.SHA1 != want {
		t.Errorf("SHA-1 %s, want %s", got.SHA1, want)
	}
	if want := fmt.Sprintf("%X", sha256.Sum256(leaf.Raw)); got.SHA256 != want {
		t.Errorf("SHA-256 %s, want %s", got.SHA256, want)
	}
	if diff := cmp.Diff([]string{"edgea36.contoso.com"}, got.Names); diff != "" || !got.NotAfter.Equal(leaf.NotAfter) || !got.NotBefore.Equal(leaf.NotBefore) {
		t.Errorf("names %s, %v, %v", diff, got.NotBefore, got.NotAfter)
	}
	byCN := DescribeCertificate(ca.Issue(t, pkitest.LeafOptions{CommonName: "mail.contoso.com"}).Certificate)
	if diff := cmp.Diff([]string{"mail.contoso.com"}, byCN.Names); diff != "" {
		t.Errorf("names by CN: %s", diff)
	}
	if got := DescribeCertificate(ca.Issue(t, pkitest.LeafOptions{CommonName: "Contoso"}).Certificate).Names; len(got) > 0 {
		t.Errorf("a CN that is no host name is listed: %v", got)
	}
}

func TestDistinguishedName(t *testing.T) {
	oid := func(n ...int) asn1.ObjectIdentifier { return n }
	dc, cn := oid(0, 9, 2342, 19200300, 100, 1, 25), oid(2, 5, 4, 3)
	one := func(id asn1.ObjectIdentifier, v any) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: id, Value: v}}
	}
	tests := []struct {
		name string
		rdns pkix.RDNSequence
		want string
	}{
		{"empty", pkix.RDNSequence{}, ""},
		{"domain components", pkix.RDNSequence{one(dc, "com"), one(dc, "contoso"), one(cn, "mail1.contoso.com")}, "CN=mail1.contoso.com, DC=contoso, DC=com"},
		{"several values", pkix.RDNSequence{{{Type: cn, Value: "a"}, {Type: oid(2, 5, 4, 5), Value: "7"}}}, "CN=a + SERIALNUMBER=7"},
		{"escaped", pkix.RDNSequence{one(cn, ` #a,b+c"d\e<f>g;h `)}, `CN=\ #a\,b\+c\"d\\e\<f\>g\;h\ `},
		{"leading hash", pkix.RDNSequence{one(cn, "#a")}, `CN=\#a`},
		{"line end and other controls", pkix.RDNSequence{one(cn, "a\r\nb\x00\u0085")}, `CN=a\0D\0Ab\00\C2\85`},
		{"beyond ASCII", pkix.RDNSequence{one(cn, "Bücher")}, "CN=Bücher"},
		{"unknown attribute", pkix.RDNSequence{one(oid(1, 2, 3, 4), "x")}, "1.2.3.4=x"},
		{"a value that is no string", pkix.RDNSequence{one(cn, 5)}, "CN=#020105"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der, err := asn1.Marshal(tt.rdns)
			if err != nil {
				t.Fatal(err)
			}
			if got := distinguishedName(der); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := distinguishedName([]byte("nonsense")); got != "" {
		t.Errorf("nonsense: %q", got)
	}
	if got := certificateLabel(&x509.Certificate{RawSubject: []byte{0x30, 0}, DNSNames: []string{"a.example"}}); got != "a.example" {
		t.Errorf("empty subject: %q", got)
	}
	if got := certificateLabel(&x509.Certificate{RawSubject: []byte{0x30, 0}, SerialNumber: big.NewInt(-5)}); got != "serial number -05" {
		t.Errorf("nothing but a number: %q", got)
	}
}

func FuzzDistinguishedName(f *testing.F) {
	der, err := asn1.Marshal(pkix.Name{CommonName: "a,b\r\n", Locality: []string{"c"}}.ToRDNSequence())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		s := distinguishedName(der)
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
			t.Fatalf("%q", s)
		}
	})
}
