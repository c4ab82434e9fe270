package pkitest

import (
	"crypto/x509"
	"io"
	"net/http"
	"testing"
)

func TestHierarchyVerifies(t *testing.T) {
	root := NewRoot(t, CAOptions{})
	other := NewRoot(t, CAOptions{Name: "Other Root"})
	mid := root.Intermediate(t, CAOptions{})
	cross := other.CrossSign(t, mid, CAOptions{})
	leaf := mid.Issue(t, LeafOptions{Names: []string{"mail.example.com"}})
	if got := len(leaf.Chain); got != 2 {
		t.Fatalf("chain has %d certificates, want leaf and intermediate", got)
	}
	tests := []struct {
		name string
		root *CA
		mid  *CA
		good bool
	}{
		{"direct", root, mid, true},
		{"crossed", other, cross, true},
		{"wrong root", other, mid, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: "mail.example.com"}
			o.Roots.AddCert(tt.root.Certificate)
			o.Intermediates.AddCert(tt.mid.Certificate)
			_, err := leaf.Certificate.Verify(o)
			if (err == nil) != tt.good {
				t.Errorf("Verify: %v, want good %t", err, tt.good)
			}
			o.Intermediates = x509.NewCertPool()
			o.Intermediates.AddCert(Tampered(t, tt.mid.Certificate))
			if _, err := leaf.Certificate.Verify(o); err == nil {
				t.Error("a tampered intermediate verified")
			}
		})
	}
}

func TestCRL(t *testing.T) {
	ca := NewRoot(t, CAOptions{})
	leaf := ca.Issue(t, LeafOptions{})
	good, err := x509.ParseRevocationList(ca.CRL(t, CRLOptions{Revoked: []*x509.Certificate{leaf.Certificate}, Number: 7}))
	if err != nil {
		t.Fatal(err)
	}
	if err := good.CheckSignatureFrom(ca.Certificate); err != nil {
		t.Errorf("checking the CRL: %v", err)
	}
	if n := len(good.RevokedCertificateEntries); n != 1 || good.Number.Int64() != 7 {
		t.Errorf("CRL has %d entries and number %v, want 1 and 7", n, good.Number)
	}
	forged, err := x509.ParseRevocationList(ca.CRL(t, CRLOptions{Signer: NewKey(t, P256)}))
	if err != nil {
		t.Fatal(err)
	}
	if forged.CheckSignatureFrom(ca.Certificate) == nil {
		t.Error("a CRL signed by a stranger's key verified")
	}
}

func TestCRLServer(t *testing.T) {
	s := NewCRLServer(t)
	s.Set("/a.crl", []byte("list"))
	get := func(path string) (int, string) {
		t.Helper()
		r, err := http.Get(s.URL(path))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	if code, body := get("/a.crl"); code != 200 || body != "list" {
		t.Errorf("got %d %q", code, body)
	}
	if code, _ := get("/b.crl"); code != 404 {
		t.Errorf("unknown path: got %d, want 404", code)
	}
	s.SetDown(true)
	if code, _ := get("/a.crl"); code != 503 {
		t.Errorf("down: got %d, want 503", code)
	}
	if n := s.Requests("/a.crl"); n != 2 {
		t.Errorf("counted %d requests, want 2", n)
	}
}
