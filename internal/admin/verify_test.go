package admin

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust/pkitest"
)

func crlPEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

func file(name string, content []byte) File { return File{Name: name, Content: content} }

func pemFile(name string, certs ...*x509.Certificate) File { return file(name, pkitest.PEM(certs...)) }

// TestVerifyByFiles: with CRLs from files, nothing but a usable list of every
// issuer makes a chain valid.
func TestVerifyByFiles(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	issuing := root.Intermediate(t, pkitest.CAOptions{Name: "Issuing CA"})
	leaf := issuing.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}})
	revoked := issuing.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}})
	good := file("root.crl", root.CRL(t, pkitest.CRLOptions{}))
	list := file("issuing.crl", issuing.CRL(t, pkitest.CRLOptions{Revoked: []*x509.Certificate{revoked.Certificate}}))
	past := time.Now().Add(-2 * time.Hour)
	tests := []struct {
		name string
		leaf *pkitest.Leaf
		crls []File
		mode string
		want string
	}{
		{"all lists", leaf, []File{good, list}, "", "Valid"},
		{"the order does not matter", leaf, []File{list, good}, RevocationFiles, "Valid"},
		{"revoked", revoked, []File{good, list}, "", "Revoked"},
		{"revoked, and the issuer's list is missing", revoked, []File{list}, "", "Revoked"},
		{"the root's list is missing", leaf, []File{list}, "", "RevocationOffline"},
		{"no list", leaf, nil, RevocationFiles, "RevocationOffline"},
		{"stale", leaf, []File{good, file("old.crl", issuing.CRL(t, pkitest.CRLOptions{ThisUpdate: past.Add(-time.Hour), NextUpdate: past}))}, "", "RevocationOffline"},
		{"another's signature", leaf, []File{good, file("forged.crl", issuing.CRL(t, pkitest.CRLOptions{Signer: pkitest.NewKey(t, pkitest.P256)}))}, "", "RevocationOffline"},
		{"no CRL at all", leaf, []File{good, file("junk.crl", []byte("junk"))}, "", "RevocationOffline"},
		{"two in one PEM file", leaf, []File{file("both.pem", slices.Concat(crlPEM(good.Content), crlPEM(list.Content)))}, "", "Valid"},
		{"an empty file", leaf, []File{good, list, file("empty", []byte("\n"))}, "", "Valid"},
		{"only an empty file", leaf, []File{file("empty", nil)}, "", "RevocationOffline"},
		{"not asked", revoked, nil, RevocationNone, "Valid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := VerifyCertificate(t.Context(), VerifyEnvironment{}, CertificateVerifyRequest{
				Certificate: pemFile("chain.pem", tt.leaf.Chain...), Roots: []File{pemFile("root.pem", root.Certificate)},
				CRLs: tt.crls, Revocation: tt.mode, Domain: "woodgrovebank.com",
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != tt.want || r.Valid != (tt.want == "Valid") {
				t.Errorf("%s (valid: %v, %s), want %s", r.Status, r.Valid, r.Detail, tt.want)
			}
			if r.Temporary != (tt.want == "RevocationOffline") {
				t.Errorf("temporary: %v", r.Temporary)
			}
			if tt.mode != RevocationNone && len(r.Paths) > 0 {
				for _, c := range r.Paths[0].Certificates {
					if (c.Revocation == nil) != (c.Role == "anchor") {
						t.Errorf("%s: revocation %+v", c.Role, c.Revocation)
					}
				}
			}
		})
	}
}

// TestVerifyAnchors: a root that is given counts as name and key, whatever else it is.
func TestVerifyAnchors(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	issuing := root.Intermediate(t, pkitest.CAOptions{Name: "Issuing CA"})
	leaf := issuing.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}})
	other := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Other Root"})
	tests := []struct {
		name  string
		roots []File
		want  string
	}{
		{"root", []File{pemFile("root.pem", root.Certificate)}, "Valid"},
		{"root in DER", []File{file("root.der", root.Certificate.Raw)}, "Valid"},
		{"several in a file", []File{pemFile("roots.pem", other.Certificate, root.Certificate)}, "Valid"},
		{"several files", []File{pemFile("a.pem", other.Certificate), pemFile("b.pem", root.Certificate)}, "Valid"},
		{"an intermediate", []File{pemFile("issuing.pem", issuing.Certificate)}, "Valid"},
		{"the leaf itself", []File{pemFile("leaf.pem", leaf.Certificate)}, "Valid"},
		{"an empty file besides", []File{pemFile("root.pem", root.Certificate), file("empty", nil)}, "Valid"},
		{"an empty file alone", []File{file("empty", nil)}, "UntrustedRoot"},
		{"another root", []File{pemFile("other.pem", other.Certificate)}, "UntrustedRoot"},
		{"a broken root", []File{file("broken.pem", []byte("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"))}, "UntrustedRoot"},
	}
	for _, tt := range tests {
		r, err := VerifyCertificate(t.Context(), VerifyEnvironment{}, CertificateVerifyRequest{
			Certificate: pemFile("chain.pem", leaf.Chain...), Roots: tt.roots, Revocation: RevocationNone,
		})
		if err != nil || r.Status != tt.want {
			t.Errorf("%s: %s (%s), %v; want %s", tt.name, r.Status, r.Detail, err, tt.want)
		}
	}
}

// TestVerifyRefusesQuestions holds what is no question: the caller made a
// mistake, and there is no verdict.
func TestVerifyRefusesQuestions(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	leaf := root.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}})
	crl := []File{file("root.crl", root.CRL(t, pkitest.CRLOptions{}))}
	tests := []struct {
		name   string
		change func(*CertificateVerifyRequest)
		object string
	}{
		{"empty file", func(r *CertificateVerifyRequest) { r.Certificate.Content = nil }, "leaf.pem"},
		{"text", func(r *CertificateVerifyRequest) { r.Certificate.Content = []byte("hello") }, "leaf.pem"},
		{"key", func(r *CertificateVerifyRequest) { r.Certificate.Content = pkitest.KeyPEM(t, leaf.Key) }, "leaf.pem"},
		{"root is text", func(r *CertificateVerifyRequest) { r.Roots = []File{file("root.txt", []byte("root"))} }, "root.txt"},
		{"fetch and files", func(r *CertificateVerifyRequest) { r.CRLs, r.Revocation = crl, RevocationFetch }, "revocation"},
		{"none and files", func(r *CertificateVerifyRequest) { r.CRLs, r.Revocation = crl, RevocationNone }, "revocation"},
		{"unknown mode", func(r *CertificateVerifyRequest) { r.Revocation = "ocsp" }, "revocation"},
		{"unknown purpose", func(r *CertificateVerifyRequest) { r.Purpose = "web" }, "purpose"},
		{"no domain", func(r *CertificateVerifyRequest) { r.Domain = "a b" }, "domain"},
		{"two names", func(r *CertificateVerifyRequest) { r.Domain, r.Host = "a.example", "b.example" }, "host"},
	}
	for _, tt := range tests {
		r := CertificateVerifyRequest{
			Certificate: pemFile("leaf.pem", leaf.Certificate), Roots: []File{pemFile("root.pem", root.Certificate)}, Revocation: RevocationNone,
		}
		tt.change(&r)
		_, err := VerifyCertificate(t.Context(), VerifyEnvironment{}, r)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindInvalid || e.Object != tt.object {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestVerifyHost: RFC 9525 looks at SANs alone, and an address is no name.
func TestVerifyHost(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	leaf := root.Issue(t, pkitest.LeafOptions{CommonName: "cn.woodgrovebank.com", Names: []string{"mail1.woodgrovebank.com", "127.0.0.1"}})
	for host, want := range map[string]bool{
		"mail1.woodgrovebank.com": true, "MAIL1.WoodgroveBank.com.": true, "cn.woodgrovebank.com": false,
		"woodgrovebank.com": false, "127.0.0.1": false, "[::1]": false, "not a host": false, "a_b.example": false,
	} {
		r, err := VerifyCertificate(t.Context(), VerifyEnvironment{}, CertificateVerifyRequest{
			Certificate: pemFile("leaf.pem", leaf.Certificate), Roots: []File{pemFile("root.pem", root.Certificate)},
			Revocation: RevocationNone, Host: host, Purpose: PurposeServer,
		})
		if err != nil || r.Valid != want {
			t.Errorf("%s: %s (%s), %v", host, r.Status, r.Detail, err)
		}
		if !want && !slices.Equal(r.Reasons, []domainsec.Reason{domainsec.SubjectMismatch}) {
			t.Errorf("%s: %v", host, r.Reasons)
		}
	}
}

// TestVerifyFetches: the list is fetched, and the answer says from where.
func TestVerifyFetches(t *testing.T) {
	crls := pkitest.NewCRLServer(t)
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	crls.Set("/root.crl", root.CRL(t, pkitest.CRLOptions{}))
	leaf := root.Issue(t, pkitest.LeafOptions{CRLs: []string{crls.URL("/root.crl")}})
	request := CertificateVerifyRequest{Certificate: pemFile("leaf.pem", leaf.Certificate), Roots: []File{pemFile("root.pem", root.Certificate)}}
	r, err := VerifyCertificate(t.Context(), VerifyEnvironment{}, request)
	if err != nil || r.Status != "RevocationOffline" || !r.Temporary || !strings.Contains(r.Detail, "loopback") && !strings.Contains(r.Detail, "127.0.0.1") {
		t.Errorf("a loopback address was not refused: %+v, %v", r, err)
	}
	cfg := emptyConfiguration()
	cfg.Revocation.AllowPrivateTargets = true
	r, err = VerifyCertificate(t.Context(), VerifyEnvironment{Configuration: cfg}, request)
	if err != nil || !r.Valid {
		t.Fatalf("%+v, %v", r, err)
	}
	c := r.Paths[0].Certificates[0].Revocation
	if c == nil || c.Status != "good" || len(c.Sources) != 1 || c.Sources[0].Address != crls.URL("/root.crl") || !c.Sources[0].Used {
		t.Errorf("revocation of the leaf: %+v", c)
	}
}

// emptyConfiguration trusts nobody.
func emptyConfiguration() *directory.Configuration { return &directory.Configuration{} }

// TestVerifyHostIgnoresTheCN: constraints bind the CN where it is a name, which it
// is for a domain and not for a host.
func TestVerifyHostIgnoresTheCN(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	confined := root.Intermediate(t, pkitest.CAOptions{PermittedDNS: []string{"woodgrovebank.com"}})
	leaf := confined.Issue(t, pkitest.LeafOptions{CommonName: "mail1.contoso.com", IPs: []net.IP{net.IPv4(192, 0, 2, 1)}})
	for _, tt := range []struct{ domain, host, want string }{
		{"", "192.0.2.1", "Valid"}, {"", "mail1.contoso.com", "SubjectMismatch"}, {"contoso.com", "", "InvalidChain"},
	} {
		r, err := VerifyCertificate(t.Context(), VerifyEnvironment{}, CertificateVerifyRequest{
			Certificate: pemFile("chain.pem", leaf.Chain...), Roots: []File{pemFile("root.pem", root.Certificate)},
			Revocation: RevocationNone, Domain: tt.domain, Host: tt.host,
		})
		if err != nil || r.Status != tt.want {
			t.Errorf("domain %q, host %q: %s (%s), %v; want %s", tt.domain, tt.host, r.Status, r.Detail, err, tt.want)
		}
	}
}
