package pkitest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// CRLOptions describe a CRL. The zero value is an empty list, number 1, from an
// hour ago until tomorrow, signed by the CA itself.
type CRLOptions struct {
	Revoked                []*x509.Certificate
	Entries                []x509.RevocationListEntry // further entries
	Number                 int64                      // 0: 1
	ThisUpdate, NextUpdate time.Time
	// Signer signs instead of the CA's key; the issuer's name stays, so that the signature is wrong.
	Signer crypto.Signer
	// Extra are further extensions, an issuing distribution point for instance.
	Extra []pkix.Extension
}

// CRL makes a CRL in DER.
func (ca *CA) CRL(t testing.TB, o CRLOptions) []byte {
	t.Helper()
	tmpl := &x509.RevocationList{
		Number:                    big.NewInt(max(o.Number, 1)),
		ThisUpdate:                timeOr(o.ThisUpdate, time.Now().Add(-time.Hour)),
		NextUpdate:                timeOr(o.NextUpdate, time.Now().Add(24*time.Hour)),
		RevokedCertificateEntries: o.Entries,
		ExtraExtensions:           o.Extra,
	}
	for _, c := range o.Revoked {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: tmpl.ThisUpdate})
	}
	signer := ca.Key
	issuer := ca.Certificate
	if o.Signer != nil {
		signer = o.Signer
		// CreateRevocationList wants the issuer's key to fit its signer.
		cp := *issuer
		cp.PublicKey = signer.Public()
		issuer = &cp
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, issuer, signer)
	if err != nil {
		t.Fatalf("pkitest: creating CRL: %v", err)
	}
	return der
}

// CRLServer publishes CRLs over HTTP. It may be used from several goroutines
// and ends with the test.
type CRLServer struct {
	server *httptest.Server

	mu       sync.Mutex
	content  map[string][]byte
	handlers map[string]http.HandlerFunc
	requests map[string]int
	down     bool
}

// NewCRLServer starts a server on a free loopback port.
func NewCRLServer(t testing.TB) *CRLServer {
	t.Helper()
	s := &CRLServer{
		content:  map[string][]byte{},
		handlers: map[string]http.HandlerFunc{},
		requests: map[string]int{},
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	return s
}

// URL returns the address of a path that starts with a slash.
func (s *CRLServer) URL(path string) string { return s.server.URL + path }

// Set publishes der under path, in place of what was there.
func (s *CRLServer) Set(path string, der []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content[path] = der
}

// Handle answers path with h, for servers that misbehave.
func (s *CRLServer) Handle(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[path] = h
}

// SetDown makes the server answer 503 to everything, or serve again.
func (s *CRLServer) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Requests returns how often path was asked for.
func (s *CRLServer) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[path]
}

func (s *CRLServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests[r.URL.Path]++
	der, known := s.content[r.URL.Path]
	handler, down := s.handlers[r.URL.Path], s.down
	s.mu.Unlock()
	switch {
	case down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case handler != nil:
		handler(w, r)
	case known:
		w.Header().Set("Content-Type", "application/pkix-crl")
		_, _ = w.Write(der) // a client that went away is the client's affair
	default:
		http.NotFound(w, r)
	}
}
