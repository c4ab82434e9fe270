package revocation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/directory"
)

// start is when every test begins.
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

// hosts is a Resolver of a fixed table.
type hosts map[string][]netip.Addr

func (h hosts) Addresses(_ context.Context, host string) ([]netip.Addr, error) {
	if a, ok := h[host]; ok {
		return a, nil
	}
	return nil, errors.New("no such host")
}

// ca is an authority for tests.
type ca struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string, spoil ...func(*x509.Certificate)) *ca {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: start.Add(-time.Hour), NotAfter: start.Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	for _, f := range spoil {
		f(template)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &ca{t: t, certificate: must(x509.ParseCertificate(der)), key: key}
}

// issue makes a leaf with the given CRL addresses.
func (a *ca) issue(serial int64, urls ...string) *x509.Certificate {
	a.t.Helper()
	return a.issueWith(&x509.Certificate{SerialNumber: big.NewInt(serial), CRLDistributionPoints: urls}, nil)
}

func (a *ca) issueWith(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	if public == nil {
		public = a.key.Public()
	}
	if template.Subject.CommonName == "" {
		template.Subject = pkix.Name{CommonName: "mail.contoso.example"}
	}
	template.NotBefore, template.NotAfter = start.Add(-time.Hour), start.Add(1000*time.Hour)
	template.BasicConstraintsValid = true
	der := must(x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key))
	return must(x509.ParseCertificate(der))
}

// crl makes a CRL, number 1, of start for a day, unless changed.
func (a *ca) crl(change ...func(*x509.RevocationList)) []byte {
	a.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: start.Add(24 * time.Hour)}
	for _, f := range change {
		f(template)
	}
	signer := *a.certificate
	signer.KeyUsage |= x509.KeyUsageCRLSign // CreateRevocationList insists
	signer.SubjectKeyId = []byte{1}
	return must(x509.CreateRevocationList(rand.Reader, template, &signer, a.key))
}

func revoking(serials ...int64) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		for _, s := range serials {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: big.NewInt(s), RevocationTime: start.Add(-time.Minute), ReasonCode: 1,
			})
		}
	}
}

func numbered(n int64, at time.Time) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(n), at, at.Add(24*time.Hour)
	}
}

func extended(critical bool, id asn1.ObjectIdentifier, value []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: value})
	}
}

// crlServer serves one CRL, or whatever a test puts in its place, and counts.
type crlServer struct {
	*httptest.Server
	requests atomic.Int64
	mu       sync.Mutex
	serve    http.HandlerFunc
}

func newServer(t *testing.T, body []byte) *crlServer {
	t.Helper()
	s := &crlServer{}
	s.put(body)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		serve := s.serve
		s.mu.Unlock()
		serve(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *crlServer) put(body []byte) {
	s.handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func (s *crlServer) handle(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve = f
}

// address is a CRL address on the server, by a name that only our resolver knows.
func (s *crlServer) address() string {
	return "http://" + strings.Replace(s.Listener.Addr().String(), "127.0.0.1", "crl.example", 1) + "/root.crl"
}

// open makes a Checker for tests: loopback is allowed, times are short.
func open(t *testing.T, c *clock, change ...func(*Options)) *Checker {
	t.Helper()
	o := Options{
		Directory: t.TempDir(), Now: c.Now,
		Resolver: hosts{"crl.example": {netip.MustParseAddr("127.0.0.1")}},
		Settings: directory.Revocation{AllowPrivateTargets: true, PerURL: 5 * time.Second, PerChain: 6 * time.Second},
	}
	for _, f := range change {
		f(&o)
	}
	checker, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(checker.Stop)
	return checker
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// CheckCertificate asks for one certificate and its issuer.
func (c *Checker) CheckCertificate(ctx context.Context, certificate, issuer *x509.Certificate) Status {
	ctx, cancel := context.WithTimeout(ctx, c.perChain)
	defer cancel()
	return combine([]Answer{c.check(ctx, certificate, []*x509.Certificate{issuer})})
}

// parseList reads a CRL of tests.
func parseList(der []byte) (*List, error) {
	return readList("test.crl", bytes.NewReader(der), &memoryRoom{crl: der})
}
