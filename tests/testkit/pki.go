package testkit

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"mailpact/internal/authority"
)

// PKI is a private CA whose CRL is published over HTTP on loopback.
type PKI struct {
	*authority.CA
	t    testing.TB
	dir  string
	http *httptest.Server
}

// NewPKI makes a CA with files below dir.
func NewPKI(t testing.TB, name string) *PKI {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.NewRoot(authority.RootOptions{CommonName: name, CRLURL: fmt.Sprintf("http://%s/root.crl", l.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(ca.Handler())
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return &PKI{CA: ca, t: t, dir: peerDirectory(t, "pki"), http: srv}
}

// StopCRL takes the CRL server down.
func (p *PKI) StopCRL() { p.http.Close() }

// RootFile writes the root's certificate and returns the file.
func (p *PKI) RootFile() string { return p.write("root.pem", p.CertificatePEM()) }

// Leaf issues a certificate and returns its files and itself.
func (p *PKI) Leaf(file string, names ...string) (certFile, keyFile string, leaf *x509.Certificate) {
	p.t.Helper()
	chain, key, leaf, err := p.Issue(authority.IssueOptions{DNSNames: names})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.write(file+".pem", chain), p.write(file+".key", key), leaf
}

// CRLFile writes the current CRL in PEM for peers that read it from disk.
func (p *PKI) CRLFile() string {
	p.t.Helper()
	der, err := p.CRL(time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return p.write("root.crl.pem", authority.EncodeCRL(der))
}

func (p *PKI) write(name string, data []byte) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	// Peers read these as their own user: readable by all is right for test keys.
	writeAll(p.t, path, string(data))
	return path
}
