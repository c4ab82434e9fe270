// Package zlint holds everything that our authority issues against an independent
// linter, github.com/zmap/zlint: its rules of RFC 5280 and its neighbours, and
// those of the community. The rules of the public web's root programmes are left
// out, because a private authority is bound by none of them.
package zlint

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"mailpact/internal/authority"
)

func registry(t *testing.T) lint.Registry {
	t.Helper()
	r, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{
		lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC8813, lint.Community,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Names()); n < 100 {
		t.Fatalf("there are %d lints", n)
	}
	return r
}

// clean fails the test for every lint that is not passed, notices included.
func clean(t *testing.T, what string, results *zlint.ResultSet) {
	t.Helper()
	passed := 0
	for name, r := range results.Results {
		switch r.Status {
		case lint.Pass:
			passed++
		case lint.NA, lint.NE:
		default:
			t.Errorf("%s: %s: %s %s", what, name, r.Status, r.Details)
		}
	}
	if passed == 0 {
		t.Errorf("%s: no lint applies", what)
	}
	t.Logf("%s: %d lints passed", what, passed)
}

// TestIssued lints a root, an issuing authority below it, certificates for servers
// of both, a cross-certificate, and CRLs with and without entries.
func TestIssued(t *testing.T) {
	r := registry(t)
	certificate := func(what string, der []byte) {
		t.Helper()
		c, err := zx509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		clean(t, what, zlint.LintCertificateEx(c, r))
	}
	list := func(what string, der []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		l, err := zx509.ParseRevocationList(der)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		clean(t, what, zlint.LintRevocationListEx(l, r))
	}

	root := authority.NewRegistry(filepath.Join(t.TempDir(), "root"), nil)
	rootCertificate, err := root.Init(authority.RootOptions{
		CommonName: "Contoso Mail Root", Organization: "Contoso",
		CRLURL: "http://pki.contoso.com/root.crl", IssuerURL: "http://pki.contoso.com/root.crt",
	})
	if err != nil {
		t.Fatal(err)
	}
	certificate("root", rootCertificate.Raw)
	der, err := root.CRL()
	list("empty CRL", der, err)

	issuing := authority.NewRegistry(filepath.Join(t.TempDir(), "issuing"), nil)
	csr, err := issuing.InitRequest(authority.IntermediateOptions{
		CommonName: "Contoso Mail CA", Organization: "Contoso",
		CRLURL: "http://pki.contoso.com/issuing.crl", IssuerURL: "http://pki.contoso.com/issuing.crt",
	})
	if err != nil {
		t.Fatal(err)
	}
	request, err := authority.ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	answer, _, err := root.IssueRequest(request, authority.RequestOptions{Authority: true})
	if err != nil {
		t.Fatal(err)
	}
	below, err := issuing.Complete(answer)
	if err != nil {
		t.Fatal(err)
	}
	certificate("issuing authority", below.Raw)

	for _, x := range []struct {
		what  string
		from  *authority.Registry
		names []string
	}{
		{"server, from the root", root, []string{"mail1.contoso.com", "contoso.com"}},
		{"server, from the issuing authority", issuing, []string{"mail2.contoso.com", "*.contoso.com"}},
	} {
		serverCSR, _, err := authority.NewRequest("", "Contoso", x.names)
		if err != nil {
			t.Fatal(err)
		}
		request, err := authority.ParseRequest(serverCSR)
		if err != nil {
			t.Fatal(err)
		}
		_, record, err := x.from.IssueRequest(request, authority.RequestOptions{Validity: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		_, c, err := x.from.Find(record.Serial)
		if err != nil {
			t.Fatal(err)
		}
		certificate(x.what, c.Raw)
		if _, err := x.from.Revoke(record.Serial, authority.KeyCompromise); err != nil {
			t.Fatal(err)
		}
		der, err := x.from.CRL()
		list("CRL with an entry, "+x.what, der, err)
	}

	partner, err := authority.NewRoot(authority.RootOptions{CommonName: "Fabrikam Root"})
	if err != nil {
		t.Fatal(err)
	}
	cross, _, err := root.CrossSign(authority.CrossOptions{Certificate: partner.Certificate(), Domains: []string{"fabrikam.com"}})
	if err != nil {
		t.Fatal(err)
	}
	certificate("cross-certificate", cross.Raw)
	selfSigned, _, leaf, err := authority.IssueSelfSigned(authority.SelfSignedOptions{DNSNames: []string{"mail.fabrikam.com"}})
	if err != nil || len(selfSigned) == 0 {
		t.Fatal(err)
	}
	certificate("self-signed certificate", leaf.Raw)
}

// TestLinterSeesFaults shows that a certificate outside the rules would be found.
func TestLinterSeesFaults(t *testing.T) {
	_, _, leaf, err := authority.IssueSelfSigned(authority.SelfSignedOptions{DNSNames: []string{"mail.fabrikam.com"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := zx509.ParseCertificate(leaf.Raw)
	if err != nil {
		t.Fatal(err)
	}
	c.Version = 2
	results := zlint.LintCertificateEx(c, registry(t))
	if !slices.Contains([]bool{results.ErrorsPresent, results.FatalsPresent}, true) {
		t.Error("a certificate of version 2 with extensions passed")
	}
}
