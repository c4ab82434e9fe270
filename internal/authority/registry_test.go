package authority

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newRegistry(t *testing.T, c *clock) (*Registry, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	r := NewRegistry(dir, c.Now)
	if _, err := r.Init(RootOptions{
		CommonName: "Contoso Mail Root", Organization: "Contoso",
		CRLURL: "http://pki.contoso.example/contoso.crl", IssuerURL: "http://pki.contoso.example/contoso.crt",
	}); err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func request(t *testing.T, names ...string) *x509.CertificateRequest {
	t.Helper()
	pem, _, err := NewRequest("", "Contoso", names)
	if err != nil {
		t.Fatal(err)
	}
	return must(ParseRequest(pem))
}

func TestRegistryIssuesRevokesAndPublishes(t *testing.T) {
	c := newClock()
	r, dir := newRegistry(t, c)
	_, record, err := r.IssueRequest(request(t, "mail1.contoso.example"), RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := r.IssueRequest(request(t, "mail2.contoso.example"), RequestOptions{})
	if err != nil || len(other) == 0 {
		t.Fatal(err)
	}
	first := parse(t, must(r.CRL()))
	c.add(time.Second)

	web := t.TempDir()
	files, err := r.Publish(web)
	if err != nil || len(files) != 2 || filepath.Base(files[0]) != "contoso.crl" {
		t.Fatalf("published %v, %v", files, err)
	}
	// Another process, so to say.
	again := NewRegistry(dir, c.Now)
	revoked, err := again.Revoke(record.Serial[:10], KeyCompromise)
	if err != nil || revoked.Reason != "keyCompromise" {
		t.Fatalf("revoked %+v, %v", revoked, err)
	}
	list := parse(t, must(r.CRL()))
	if list.Number.Cmp(first.Number) <= 0 || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].ReasonCode != 1 {
		t.Errorf("CRL %v after %v has the entries %v", list.Number, first.Number, list.RevokedCertificateEntries)
	}
	onDisk := parse(t, must(os.ReadFile(filepath.Join(web, "contoso.crl"))))
	if onDisk.Number.Cmp(list.Number) != 0 {
		t.Errorf("published is %v, current %v", onDisk.Number, list.Number)
	}
	// A second revocation keeps the first reason.
	if revoked, err = again.Revoke(record.Serial, Superseded); err != nil || revoked.Reason != "keyCompromise" {
		t.Errorf("revoked again: %+v, %v", revoked, err)
	}
	if _, err := again.Revoke("abc", Unspecified); !errors.Is(err, ErrNotIssued) {
		t.Errorf("revoking what was never issued: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if st := must(d.Info()); err == nil && !d.IsDir() && st.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegistryRotatesAheadOfNextUpdate(t *testing.T) {
	c := newClock()
	r, _ := newRegistry(t, c)
	numbers := []*big.Int{parse(t, must(r.CRL())).Number}
	for _, step := range []struct {
		wait time.Duration
		want bool
	}{{time.Hour, false}, {DefaultCRLValidity/2 - time.Hour, true}, {0, false}, {-2 * DefaultCRLValidity, false}, {5 * DefaultCRLValidity, true}} {
		c.add(step.wait)
		if got, err := r.Rotate(); err != nil || got != step.want {
			t.Errorf("after %v more: rotated %v, %v", step.wait, got, err)
		}
		list := parse(t, must(r.CRL()))
		if last := numbers[len(numbers)-1]; list.Number.Cmp(last) < 0 || (list.Number.Cmp(last) > 0) != step.want {
			t.Errorf("CRL number %v follows %v", list.Number, last)
		}
		numbers = append(numbers, list.Number)
	}
}

func TestRegistryBelowAnOutsideRoot(t *testing.T) {
	c := newClock()
	outside, _ := newRegistry(t, c)
	dir := filepath.Join(t.TempDir(), "issuing")
	r := NewRegistry(dir, c.Now)
	csr, err := r.InitRequest(IntermediateOptions{CommonName: "Contoso Issuing CA", CRLURL: "http://pki.contoso.example/issuing.crl"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.IssueRequest(request(t, "a.example"), RequestOptions{}); !errors.Is(err, ErrNoAuthority) {
		t.Errorf("issuing before the answer: %v", err)
	}
	foreign, _, err := outside.IssueRequest(request(t, "b.example"), RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Complete(foreign); err == nil || !strings.Contains(err.Error(), "none of its certificates is for the key") {
		t.Errorf("a foreign answer: %v", err)
	}
	asServer, _, err := outside.IssueRequest(must(ParseRequest(csr)), RequestOptions{Names: []string{"ca.contoso.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Complete(asServer); err == nil || !strings.Contains(err.Error(), "none of an authority") {
		t.Errorf("an answer for a server: %v", err)
	}
	answer, _, err := outside.IssueRequest(must(ParseRequest(csr)), RequestOptions{Authority: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Complete(answer); err != nil {
		t.Fatal(err)
	}
	chain, _, err := r.IssueRequest(request(t, "mail.contoso.example"), RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	certificates := must(parseCertificates(chain))
	if len(certificates) != 2 {
		t.Fatalf("the chain has %d certificates", len(certificates))
	}
	roots, below := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(must(outside.Info()).Certificate)
	below.AddCert(certificates[1])
	if _, err := certificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: below, CurrentTime: c.Now()}); err != nil {
		t.Error(err)
	}
	if _, _, err := r.IssueRequest(must(ParseRequest(csr)), RequestOptions{Authority: true}); err == nil {
		t.Error("an issuing authority certified another")
	}
	if _, err := r.Init(RootOptions{CommonName: "Another"}); !errors.Is(err, ErrIsThere) {
		t.Errorf("a second authority: %v", err)
	}
}

func TestCrossSignHoldsTheOtherToItsDomains(t *testing.T) {
	c := newClock()
	ours, _ := newRegistry(t, c)
	theirs := newRoot(t, c)
	cross, record, err := ours.CrossSign(CrossOptions{Certificate: theirs.Certificate(), Domains: []string{"fabrikam.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if record.Kind != KindCross || record.Names[0] != "fabrikam.example" {
		t.Errorf("record %+v", record)
	}
	roots, below := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(must(ours.Info()).Certificate)
	below.AddCert(cross)
	for name, want := range map[string]bool{"mail.fabrikam.example": true, "fabrikam.example": true, "mail.contoso.example": false, "xfabrikam.example": false} {
		_, _, leaf, err := theirs.Issue(IssueOptions{DNSNames: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: below, CurrentTime: c.Now()})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]CrossOptions{
		"no domain":   {Certificate: theirs.Certificate()},
		"no domains":  {Certificate: theirs.Certificate(), Domains: []string{"*.example"}},
		"ourselves":   {Certificate: must(ours.Info()).Certificate, Domains: []string{"a.example"}},
		"path length": {Certificate: theirs.Certificate(), Domains: []string{"a.example"}, PathLength: 9},
		"nothing":     {Domains: []string{"a.example"}},
	} {
		if _, _, err := ours.CrossSign(o); err == nil {
			t.Errorf("%s: it was signed", name)
		}
	}
}

func TestRegistryHandler(t *testing.T) {
	c := newClock()
	r, _ := newRegistry(t, c)
	h := r.Handler()
	get := func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Result()
	}
	for _, tt := range []struct {
		method, path, mediaType string
		status                  int
	}{
		{"GET", "/contoso.crl", "application/pkix-crl", 200},
		{"HEAD", "/contoso.crt", "application/pkix-cert", 200},
		{"GET", "/ca.key", "", 404},
		{"GET", "/", "", 404},
		{"POST", "/contoso.crl", "", 405},
	} {
		a := get(tt.method, tt.path)
		if a.StatusCode != tt.status || tt.mediaType != "" && a.Header.Get("Content-Type") != tt.mediaType {
			t.Errorf("%s %s: %s, %v", tt.method, tt.path, a.Status, a.Header)
		}
		if tt.status == 200 {
			if at, err := http.ParseTime(a.Header.Get("Expires")); err != nil || !at.After(c.Now()) {
				t.Errorf("%s expires %q: %v", tt.path, a.Header.Get("Expires"), err)
			}
		}
	}
	if a := httptest.NewRecorder(); true {
		NewRegistry(t.TempDir(), nil).Handler().ServeHTTP(a, httptest.NewRequest("GET", "/contoso.crl", nil))
		if a.Code != http.StatusNotFound {
			t.Errorf("without an authority: %d", a.Code)
		}
	}
}

// Every rule must be able to refuse. The certificate is good but for one thing.
func TestLintRefuses(t *testing.T) {
	root := newRoot(t, newClock())
	good := func() *x509.Certificate {
		x := must(leafTemplate([]string{"mail.contoso.example"}, "", "", nil))
		x.SubjectKeyId = []byte{1}
		root.complete(x, root.now().Add(time.Hour), "http://pki.contoso.example/a.crl")
		return x
	}
	key := must(newKey())
	if _, err := draftCertificate(good(), root.certificate, key.Public()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*x509.Certificate){
		"4.1.2.2":        func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 160) },
		"4.2.1.2":        func(c *x509.Certificate) { c.SubjectKeyId = nil },
		"4.1.2.5":        func(c *x509.Certificate) { c.NotAfter = c.NotBefore },
		"appendix A.1":   func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 65) },
		"4.2.1.3":        func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign },
		"4.2.1.6":        func(c *x509.Certificate) { c.DNSNames = []string{"mail_1.contoso.example"} },
		"4.2.1.12":       func(c *x509.Certificate) { c.ExtKeyUsage = nil },
		"4.2.1.13":       func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"https://pki.contoso.example/a.crl"} },
		"4.2.2.1":        func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"ldap://pki.contoso.example/a"} },
		"section 6.1":    func(c *x509.Certificate) { c.NotAfter = root.certificate.NotAfter.Add(time.Second) },
		"4.2.1.10":       func(c *x509.Certificate) { c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"a"}, true },
		"4.2.1.9: basic": func(c *x509.Certificate) { c.BasicConstraintsValid = false },
	} {
		x := good()
		spoil(x)
		_, err := draftCertificate(x, root.certificate, key.Public())
		var lint *LintError
		if !errors.As(err, &lint) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	list := func() *x509.RevocationList {
		return &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: root.now(), NextUpdate: root.now().Add(time.Hour)}
	}
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(7), RevocationTime: root.now()}
	for want, spoil := range map[string]func(*x509.RevocationList){
		"5.1.2.6": func(l *x509.RevocationList) { l.RevokedCertificateEntries = []x509.RevocationListEntry{entry, entry} },
		"5.3.1": func(l *x509.RevocationList) {
			e := entry
			e.ReasonCode = 8
			l.RevokedCertificateEntries = []x509.RevocationListEntry{e}
		},
		"20 octets": func(l *x509.RevocationList) { l.Number = new(big.Int).Lsh(big.NewInt(1), 160) },
	} {
		x := list()
		spoil(x)
		if err := draftCRL(x, root.certificate); err == nil || !strings.Contains(err.Error(), want) && want != "20 octets" {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := draftCRL(list(), root.certificate); err != nil {
		t.Error(err)
	}
}
