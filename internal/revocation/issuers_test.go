package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/trust/pkitest"
)

// noNames resolves nothing: the tests' addresses are literal.
type noNames struct{}

func (noNames) Addresses(context.Context, string) ([]netip.Addr, error) {
	return nil, errors.New("no names here")
}

func issuersOf(t *testing.T, allowPrivate bool) *Issuers {
	t.Helper()
	c, err := Open(Options{Directory: t.TempDir(), Settings: directory.Revocation{AllowPrivateTargets: allowPrivate}, Resolver: noNames{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c.Issuers()
}

func TestIssuers(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	other := root.Intermediate(t, pkitest.CAOptions{})
	s := pkitest.NewCRLServer(t)
	s.Set("/root.crt", root.Certificate.Raw)
	s.Set("/both.pem", pkitest.PEM(root.Certificate, other.Certificate))
	s.Set("/junk", []byte("junk"))
	s.Set("/empty", nil)
	s.Set("/broken.pem", []byte("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"))
	s.Set("/many.pem", pkitest.PEM(make25(root.Certificate)...))
	s.Set("/large", make([]byte, maxIssuerBytes+1))
	s.Handle("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://ca.example/x", http.StatusFound)
	})
	i := issuersOf(t, true)
	for _, tt := range []struct {
		path  string
		count int
		words string
	}{
		{"/root.crt", 1, ""},
		{"/both.pem", 2, ""},
		{"/many.pem", maxIssuerCertificates, ""},
		{"/junk", 0, "no certificate in DER or PEM"},
		{"/empty", 0, "no certificate"},
		{"/broken.pem", 0, "certificate 1"},
		{"/large", 0, "larger than"},
		{"/none", 0, "status 404"},
		{"/away", 0, "redirected"},
	} {
		for range 2 { // the second answer is remembered
			got, err := i.Fetch(t.Context(), s.URL(tt.path))
			if len(got) != tt.count || (err == nil) != (tt.words == "") || err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%s: %d certificates, %v; want %d, %q", tt.path, len(got), err, tt.count, tt.words)
			}
		}
		if n := s.Requests(tt.path); n != 1 {
			t.Errorf("%s was asked for %d times", tt.path, n)
		}
	}
	if _, err := issuersOf(t, false).Fetch(t.Context(), s.URL("/root.crt")); err == nil {
		t.Error("a loopback address was fetched from")
	}
	for _, address := range []string{"file:///etc/passwd", "https://ca.example/x.crt", "", "http://"} {
		if _, err := i.Fetch(t.Context(), address); err == nil {
			t.Errorf("%q was fetched", address)
		}
	}
}

func make25(c *x509.Certificate) []*x509.Certificate {
	out := make([]*x509.Certificate, 25)
	for i := range out {
		out[i] = c
	}
	return out
}

// TestIssuersAreFetchedOnce: who waits for an answer asks for none of his own,
// and the one who leaves does not spoil it for the others.
func TestIssuersAreFetchedOnce(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	s := pkitest.NewCRLServer(t)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	s.Handle("/root.crt", func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = w.Write(root.Certificate.Raw)
	})
	i := issuersOf(t, true)
	first, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := i.Fetch(first, s.URL("/root.crt")); !errors.Is(err, context.Canceled) {
			t.Errorf("the one who left: %v", err)
		}
	})
	<-entered
	for range 5 {
		wg.Go(func() {
			if got, err := i.Fetch(t.Context(), s.URL("/root.crt")); len(got) != 1 {
				t.Errorf("who stayed: %v", err)
			}
		})
	}
	leave()
	<-entered
	close(release)
	wg.Wait()
	if n := s.Requests("/root.crt"); n != 2 {
		t.Errorf("asked for %d times, want 2", n)
	}
}
