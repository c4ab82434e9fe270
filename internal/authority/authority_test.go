package authority

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRoot(t *testing.T, c *clock) *CA {
	t.Helper()
	ca, err := NewRoot(RootOptions{
		CommonName: "Contoso Root", Organization: "Contoso", Now: c.Now,
		CRLURL: "http://crl.contoso.example/root.crl", IssuerURL: "http://crl.contoso.example/root.crt",
	})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestIssueVerifiesForBothPurposes(t *testing.T) {
	c := newClock()
	root := newRoot(t, c)
	sub, err := root.NewIntermediate(IntermediateOptions{CommonName: "Contoso Issuing", CRLURL: "http://crl.contoso.example/sub.crl"})
	if err != nil {
		t.Fatal(err)
	}
	chainPEM, keyPEM, leaf, err := sub.Issue(IssueOptions{DNSNames: []string{"mail.contoso.example", "contoso.example"}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chainPEM, keyPEM)
	if err != nil {
		t.Fatalf("certificate and key do not fit: %v", err)
	}
	if len(pair.Certificate) != 2 {
		t.Fatalf("the chain presents %d certificates, want leaf and intermediate", len(pair.Certificate))
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(root.CertificatePEM())
	between.AddCert(sub.Certificate())
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: c.Now(), DNSName: "mail.contoso.example",
			KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
	if diff := cmp.Diff([]string{"http://crl.contoso.example/sub.crl"}, leaf.CRLDistributionPoints); diff != "" {
		t.Errorf("distribution points of the leaf: %s", diff)
	}
	if diff := cmp.Diff(root.Certificate().CRLDistributionPoints, []string(nil)); diff != "" {
		t.Errorf("distribution points of the root: %s", diff)
	}
	if diff := cmp.Diff([]string{"http://crl.contoso.example/root.crl"}, sub.Certificate().CRLDistributionPoints); diff != "" {
		t.Errorf("distribution points of the intermediate: %s", diff)
	}
	if got := len(sub.Chain()); got != 1 {
		t.Errorf("Chain has %d certificates, want 1", got)
	}
	if leaf.Subject.CommonName != "mail.contoso.example" || leaf.IsCA {
		t.Errorf("leaf subject %q, CA %v", leaf.Subject, leaf.IsCA)
	}
}

func TestIssueOptions(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"mail.contoso.example"}
	long := strings.Repeat("a", 60) + ".contoso.example"
	tests := []struct {
		name    string
		options IssueOptions
		wantErr string
		check   func(*x509.Certificate, []byte) bool
	}{
		{name: "no names", options: IssueOptions{}, wantErr: "a DNS name is needed"},
		{name: "an empty name", options: IssueOptions{DNSNames: []string{"a.example", ""}}, wantErr: "a DNS name is needed"},
		{name: "common name too long", options: IssueOptions{DNSNames: names, CommonName: strings.Repeat("x", 65)}, wantErr: "longer than 64"},
		{name: "begins after the issuer's end", options: IssueOptions{DNSNames: names, NotBefore: start.Add(20 * DefaultRootValidity)}, wantErr: "it would begin"},
		{name: "a long name is not made a common name", options: IssueOptions{DNSNames: []string{long}}, check: func(c *x509.Certificate, _ []byte) bool {
			return c.Subject.CommonName == "" && c.DNSNames[0] == long
		}},
		{name: "one usage", options: IssueOptions{DNSNames: names, ExtKeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, check: func(c *x509.Certificate, _ []byte) bool {
			return cmp.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth})
		}},
		{name: "no longer than its issuer", options: IssueOptions{DNSNames: names, Validity: 2 * DefaultRootValidity}, check: func(c *x509.Certificate, _ []byte) bool {
			return c.NotAfter.Equal(start.Add(DefaultRootValidity))
		}},
		{name: "expired already", options: IssueOptions{DNSNames: names, NotBefore: start.Add(-4 * time.Minute), Validity: time.Minute}, check: func(c *x509.Certificate, _ []byte) bool {
			return c.NotAfter.Equal(start.Add(-3 * time.Minute))
		}},
		{name: "another CRL address", options: IssueOptions{DNSNames: names, CRLURL: "http://down.example/x.crl"}, check: func(c *x509.Certificate, _ []byte) bool {
			return cmp.Equal(c.CRLDistributionPoints, []string{"http://down.example/x.crl"})
		}},
		{name: "a public key given", options: IssueOptions{DNSNames: names, PublicKey: rsaKey.Public()}, check: func(c *x509.Certificate, keyPEM []byte) bool {
			return keyPEM == nil && rsaKey.PublicKey.Equal(c.PublicKey) && c.KeyUsage&x509.KeyUsageKeyEncipherment != 0
		}},
	}
	root := newRoot(t, newClock())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, keyPEM, leaf, err := root.Issue(tt.options)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(leaf, keyPEM) {
				t.Errorf("not as ordered: %+v", leaf)
			}
		})
	}
}

func TestIssueSelfSigned(t *testing.T) {
	certPEM, keyPEM, leaf, err := IssueSelfSigned(SelfSignedOptions{DNSNames: []string{"mail.fabrikam.example"}, Now: newClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	if leaf.IsCA || !bytes.Equal(leaf.RawIssuer, leaf.RawSubject) || len(leaf.ExtKeyUsage) != 2 {
		t.Errorf("not a self-signed leaf for both purposes: %+v", leaf)
	}
	if err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
		t.Errorf("signature: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	c := newClock()
	root := newRoot(t, c)
	sub, err := root.NewIntermediate(IntermediateOptions{CommonName: "Sub"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, leaf, err := root.Issue(IssueOptions{DNSNames: []string{"a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		serial *big.Int
		reason Reason
		want   error
	}{
		{"a stranger's serial number", big.NewInt(7), Unspecified, ErrNotIssued},
		{"a reason of delta CRLs", leaf.SerialNumber, RemoveFromCRL, ErrReason},
		{"the unused number", leaf.SerialNumber, 7, ErrReason},
		{"a reason for authorities", leaf.SerialNumber, CACompromise, ErrReason},
		{"a leaf", leaf.SerialNumber, KeyCompromise, nil},
		{"a leaf again", leaf.SerialNumber, Superseded, nil},
		{"an authority", sub.Certificate().SerialNumber, CACompromise, nil},
	} {
		if err := root.Revoke(tt.serial, tt.reason); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	list := parse(t, must(root.CRL(c.Now())))
	got := map[string]int{}
	for _, entry := range list.RevokedCertificateEntries {
		got[entry.SerialNumber.String()] = entry.ReasonCode
	}
	want := map[string]int{leaf.SerialNumber.String(): int(KeyCompromise), sub.Certificate().SerialNumber.String(): int(CACompromise)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got): %s", diff)
	}
	if err := list.CheckSignatureFrom(root.Certificate()); err != nil {
		t.Error(err)
	}
}

func TestCRLNumbersOnlyGrow(t *testing.T) {
	c := newClock()
	root := newRoot(t, c)
	var last *x509.RevocationList
	for _, step := range []time.Duration{0, 0, time.Second, -time.Hour, 0, 2 * time.Hour} {
		c.add(step)
		list := parse(t, must(root.CRL(c.Now())))
		if last != nil && (list.Number.Cmp(last.Number) <= 0 || list.ThisUpdate.Before(last.ThisUpdate)) {
			t.Fatalf("after %s: number %s at %s follows %s at %s", step, list.Number, list.ThisUpdate, last.Number, last.ThisUpdate)
		}
		if got := list.NextUpdate.Sub(list.ThisUpdate); got != DefaultCRLValidity {
			t.Errorf("validity %s", got)
		}
		last = list
	}
}

func TestHandler(t *testing.T) {
	c := newClock()
	root := newRoot(t, c)
	_, _, leaf, err := root.Issue(IssueOptions{DNSNames: []string{"a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(root.Handler())
	defer server.Close()
	get := func(path, etag string) (*http.Response, []byte) {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if etag != "" {
			request.Header.Set("If-None-Match", etag)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, body
	}
	response, body := get(CRLPath, "")
	first := parse(t, body)
	for name, want := range map[string]string{
		"Content-Type": "application/pkix-crl", "Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT", "Cache-Control": "public, max-age=300",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	etag := response.Header.Get("ETag")
	if response, _ := get(CRLPath, etag); response.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: %s", response.Status)
	}
	if err := root.Revoke(leaf.SerialNumber, Unspecified); err != nil {
		t.Fatal(err)
	}
	response, body = get(CRLPath, etag)
	second := parse(t, body)
	if response.StatusCode != http.StatusOK || len(second.RevokedCertificateEntries) != 1 || second.Number.Cmp(first.Number) <= 0 {
		t.Errorf("after a revocation: %s, %d entries", response.Status, len(second.RevokedCertificateEntries))
	}
	c.add(DefaultCRLValidity/2 + time.Second)
	if _, body = get(CRLPath, ""); parse(t, body).Number.Cmp(second.Number) <= 0 {
		t.Error("the CRL was not renewed at half of its life")
	}
	response, body = get(CertificatePath, "")
	if response.Header.Get("Content-Type") != "application/pkix-cert" || !bytes.Equal(body, root.Certificate().Raw) {
		t.Errorf("certificate: %s", response.Header.Get("Content-Type"))
	}
	if response, _ := get("/", ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %s", response.Status)
	}
}

func TestRecheckRefuses(t *testing.T) {
	c := newClock()
	root, other := newRoot(t, c), newRoot(t, c)
	_, _, leaf, err := root.Issue(IssueOptions{DNSNames: []string{"a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recheckCertificate(leaf.Raw, leaf, other.certificate, leaf.PublicKey); err == nil {
		t.Error("a certificate signed by another key passed")
	}
	if _, err := recheckCertificate(leaf.Raw, leaf, root.certificate, root.key.Public()); err == nil {
		t.Error("a certificate for another key passed")
	}
	for name, spoil := range map[string]func(*x509.Certificate){
		"DNS names": func(c *x509.Certificate) { c.DNSNames = []string{"b.example"} },
		"extended":  func(c *x509.Certificate) { c.ExtKeyUsage = nil },
		"CRL dist":  func(c *x509.Certificate) { c.CRLDistributionPoints = nil },
		"dates":     func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) },
		"basic":     func(c *x509.Certificate) { c.IsCA = true },
	} {
		template := *leaf
		spoil(&template)
		if _, err := recheckCertificate(leaf.Raw, &template, root.certificate, leaf.PublicKey); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := root.Revoke(leaf.SerialNumber, Superseded); err != nil {
		t.Fatal(err)
	}
	der := must(root.CRL(c.Now()))
	good := parse(t, der)
	if err := recheckCRL(der, good, root.certificate); err != nil {
		t.Errorf("a good CRL: %v", err)
	}
	if err := recheckCRL(der, good, other.certificate); err == nil {
		t.Error("a CRL of another signer passed")
	}
	for name, spoil := range map[string]func(*x509.RevocationList){
		"number":            func(l *x509.RevocationList) { l.Number = big.NewInt(1) },
		"dates":             func(l *x509.RevocationList) { l.NextUpdate = l.NextUpdate.Add(time.Hour) },
		"number of entries": func(l *x509.RevocationList) { l.RevokedCertificateEntries = nil },
		"entry 0": func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(9), RevocationTime: c.Now()}}
		},
	} {
		template := *good
		spoil(&template)
		if err := recheckCRL(der, &template, root.certificate); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("CRL, %s: %v", name, err)
		}
	}
	block, _ := pem.Decode(EncodeCRL(der))
	if block == nil || block.Type != "X509 CRL" || !bytes.Equal(block.Bytes, der) {
		t.Error("the CRL does not survive PEM")
	}
}

func TestNewRootOptions(t *testing.T) {
	if _, err := NewRoot(RootOptions{}); err == nil {
		t.Error("a root without a name was made")
	}
	root, err := NewRoot(RootOptions{CommonName: "R"}) // the system's clock
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.NewIntermediate(IntermediateOptions{}); err == nil {
		t.Error("an intermediate without a name was made")
	}
	sub, err := root.NewIntermediate(IntermediateOptions{CommonName: "S", Validity: 2 * DefaultRootValidity})
	if err != nil {
		t.Fatal(err)
	}
	if !sub.Certificate().NotAfter.Equal(root.Certificate().NotAfter) || !sub.Certificate().MaxPathLenZero {
		t.Errorf("the intermediate ends %s, path length zero %v", sub.Certificate().NotAfter, sub.Certificate().MaxPathLenZero)
	}
	if _, err := sub.NewIntermediate(IntermediateOptions{CommonName: "T"}); err == nil {
		t.Error("an authority of path length 0 made another")
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newClock()
	root := newRoot(t, c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _, leaf, err := root.Issue(IssueOptions{DNSNames: []string{"a.example"}})
			if err == nil {
				err = root.Revoke(leaf.SerialNumber, Superseded)
			}
			if err == nil {
				_, err = root.CRL(c.Now())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(parse(t, must(root.CRL(c.Now()))).RevokedCertificateEntries); got != 8 {
		t.Errorf("%d entries, want 8", got)
	}
}

func parse(t *testing.T, der []byte) *x509.RevocationList {
	t.Helper()
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
