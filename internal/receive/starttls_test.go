package receive

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/trust/pkitest"
)

func TestSTARTTLSIsOffered(t *testing.T) {
	soon := func(t *testing.T) *certstore.Certificate {
		return ownCertificate(t, pkitest.LeafOptions{NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(7 * 24 * time.Hour)})
	}
	expired := func(t *testing.T) *certstore.Certificate {
		return ownCertificate(t, pkitest.LeafOptions{NotBefore: noon.Add(-48 * time.Hour), NotAfter: noon.Add(-time.Hour)})
	}
	good := func(t *testing.T) *certstore.Certificate { return ownCertificate(t, pkitest.LeafOptions{}) }
	revoked := func(_ *directory.Configuration, o *Options) {
		o.OwnUsable = func(*certstore.Certificate) bool { return false }
	}
	noTLS := connectorWith(func(c *directory.ReceiveConnector) { c.AuthMechanism = nil })
	tests := []struct {
		name    string
		own     func(*testing.T) *certstore.Certificate
		change  func(*directory.Configuration, *Options)
		offered bool
		event   string // "" for none
		status  string
	}{
		{"good certificate", good, nil, true, "", "good"},
		{"connector without Tls", good, noTLS, false, "", ""},
		{"no certificate for the FQDN", nil, nil, false, "event=12014", "missing"},
		{"expired certificate", expired, nil, true, "event=12016", "expired"},
		{"certificate that expires soon", soon, nil, true, "event=12018", "expires soon"},
		{"revoked certificate", good, revoked, true, "event=12016", "revoked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var changes []func(*directory.Configuration, *Options)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			w := newWorld(t, changes...)
			if tt.own != nil {
				w.own.set(tt.own(t))
			} else {
				w.own.set()
			}
			p := w.dial()
			got := p.hello()
			if !strings.HasPrefix(got, "250-mail.contoso.com Hello [127.0.0.1]|250-SIZE 1048576|") || strings.Contains(got, "-STARTTLS|") != tt.offered {
				t.Errorf("EHLO: %q", got)
			}
			p.hello() // a second one tells nothing twice
			log := w.log.String()
			if n := strings.Count(log, "event="); n != map[bool]int{true: 1}[tt.event != ""] || !strings.Contains(log, tt.event) {
				t.Errorf("log has %d events, want %q:\n%s", n, tt.event, log)
			}
			if got := w.server.Status()[0].CertificateStatus; got != tt.status {
				t.Errorf("status %q, want %q", got, tt.status)
			}
			if tt.offered {
				p.startTLS(nil)
				if got := p.hello(); strings.Contains(got, "STARTTLS") {
					t.Errorf("STARTTLS is advertised under TLS: %q", got)
				}
			}
		})
	}
}

func TestOwnCertificateIsReplaced(t *testing.T) {
	w := newWorld(t)
	serial := func() string {
		p := w.dial()
		c := p.startTLS(nil)
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	if again := serial(); again != first {
		t.Errorf("another certificate without reason")
	}
	w.own.set(ownCertificate(t, pkitest.LeafOptions{}))
	if second := serial(); second == first {
		t.Error("the old certificate is still presented")
	}
	if n := len(w.server.connectors[0].configs); n != 1 {
		t.Errorf("%d TLS configurations are kept", n)
	}
}

func TestCertificateRequest(t *testing.T) {
	tests := []struct {
		name   string
		secure bool
	}{{"DomainSecureEnabled", true}, {"not DomainSecureEnabled", false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.DomainSecureEnabled = tt.secure }))
			var asked *tls.CertificateRequestInfo
			var cache sessionCache
			p := w.dial()
			p.hello()
			p.want("STARTTLS", "220 2.0.0 SMTP server ready")
			c := tls.Client(p.conn, &tls.Config{
				InsecureSkipVerify: true, //nolint:gosec // the server's certificate is not what is tested
				ServerName:         "mail.contoso.com",
				ClientSessionCache: &cache,
				GetClientCertificate: func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
					asked = i
					return &tls.Certificate{}, nil
				},
			})
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			p.conn = c
			p.r.Reset(c)
			p.hello() // reads, so that tickets would have come
			if (asked != nil) != tt.secure {
				t.Errorf("asked for a certificate: %v, want %v", asked != nil, tt.secure)
			}
			if asked != nil && len(asked.AcceptableCAs) > 0 {
				t.Errorf("acceptable authorities are named: %d", len(asked.AcceptableCAs))
			}
			if (cache.tickets > 0) == tt.secure {
				t.Errorf("%d session tickets", cache.tickets)
			}
		})
	}
}

// sessionCache counts the tickets that come.
type sessionCache struct{ tickets int }

func (s *sessionCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (s *sessionCache) Put(string, *tls.ClientSessionState)        { s.tickets++ }

func TestOldTLSIsRefused(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	p.want("STARTTLS", "220 2.0.0 SMTP server ready")
	c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) //nolint:gosec // on purpose
	if err := c.Handshake(); err == nil {
		t.Fatal("TLS 1.1 was accepted")
	}
}

// badCertificate is a client certificate that crypto/tls cannot parse.
func badCertificate(t *testing.T) *tls.Certificate {
	t.Helper()
	leaf := partnerCertificate(t, "", "mail.woodgrovebank.com").TLS()
	der := slices.Clone(leaf.Certificate[0])
	// The version of the certificate becomes 9, which no parser takes.
	i := slices.Index(der, 0xa0)
	der[i+4] = 8
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatal("the spoiled certificate parses")
	}
	leaf.Certificate = [][]byte{der}
	leaf.Leaf = nil
	return &leaf
}

func (p *peer) badHandshake(cert *tls.Certificate) error {
	p.t.Helper()
	p.hello()
	p.want("STARTTLS", "220 2.0.0 SMTP server ready")
	asked := false
	c := tls.Client(p.conn, &tls.Config{
		InsecureSkipVerify:   true, //nolint:gosec // the server's certificate is not what is tested
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { asked = true; return cert, nil },
	})
	if err := c.Handshake(); err != nil {
		return err
	}
	// In TLS 1.3 the client is done before the server has judged: reading tells.
	if _, err := c.Write([]byte("EHLO client.example\r\n")); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return err
	}
	if !asked {
		return errNotAsked
	}
	return nil
}

var errNotAsked = errors.New("not asked for a certificate")

func TestCertificateRequestBackoff(t *testing.T) {
	w := newWorld(t)
	bad := badCertificate(t)
	if err := w.dial().badHandshake(bad); err == nil || errors.Is(err, errNotAsked) {
		t.Fatalf("first handshake: %v", err)
	}
	w.recorder.session(t)
	if !strings.Contains(w.log.String(), "not asked for one for a while") {
		t.Errorf("the backoff is not in the log:\n%s", w.log)
	}
	if err := w.dial().badHandshake(bad); !errors.Is(err, errNotAsked) {
		t.Fatalf("second handshake: %v", err)
	}
	// Mail of the listed domain is refused meanwhile, ordinary mail is not.
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.want("MAIL FROM:<alice@woodgrovebank.com>", "454 4.7.5 Certificate validation failure, Reason:EmptyCertificate [id]")
	p.want("MAIL FROM:<carol@stranger.example>", "250 2.1.0 carol@stranger.example Sender OK")
	w.clock.Add(int64(time.Hour))
	if err := w.dial().badHandshake(bad); err == nil || errors.Is(err, errNotAsked) {
		t.Fatalf("after the backoff: %v", err)
	}
}

func TestCertificateRequestBackoffSparesPartners(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	bad := badCertificate(t)
	for range 2 {
		if err := w.dial().badHandshake(bad); err == nil || errors.Is(err, errNotAsked) {
			t.Fatalf("handshake: %v", err)
		}
	}
}

func TestCertificateRequestBackoffOff(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.CertificateRequestBackoff = 0 }))
	bad := badCertificate(t)
	for range 2 {
		if err := w.dial().badHandshake(bad); err == nil || errors.Is(err, errNotAsked) {
			t.Fatalf("handshake: %v", err)
		}
	}
}

// TestHandshakeFault holds crypto/tls to the texts by which faults are told apart.
func TestHandshakeFault(t *testing.T) {
	bad := badCertificate(t)
	stolen := partnerCertificate(t, "", "mail.woodgrovebank.com").TLS()
	stolen.PrivateKey = partnerCertificate(t, "", "mail.stranger.example").Key // not the certificate's
	good := partnerCertificate(t, "", "mail.woodgrovebank.com").TLS()
	tests := []struct {
		name string
		cert *tls.Certificate
		max  uint16
		talk func(net.Conn)
		word string
		over bool
	}{
		{"unparsable certificate, TLS 1.3", bad, tls.VersionTLS13, nil, "CertUnknown", true},
		{"unparsable certificate, TLS 1.2", bad, tls.VersionTLS12, nil, "CertUnknown", true},
		{"key of another, TLS 1.3", &stolen, tls.VersionTLS13, nil, "CertUnknown", true},
		{"key of another, TLS 1.2", &stolen, tls.VersionTLS12, nil, "CertUnknown", true},
		{"good certificate", &good, tls.VersionTLS13, nil, "", false},
		{"hangs up", nil, 0, func(c net.Conn) { _ = c.Close() }, "SocketError", false},
		{"speaks plainly", nil, 0, func(c net.Conn) { _, _ = c.Write([]byte("EHLO client.example\r\n")) }, "InvalidToken", false},
		{"refuses ours", nil, 0, func(c net.Conn) { _ = tls.Client(c, &tls.Config{ServerName: "x"}).Handshake() }, "PeerRefused", false},
	}
	own := ownCertificate(t, pkitest.LeafOptions{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					return
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				if tt.talk != nil {
					tt.talk(c)
				} else {
					client := tls.Client(c, &tls.Config{
						InsecureSkipVerify:   true, //nolint:gosec // the server's certificate is not what is tested
						MaxVersion:           tt.max,
						GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.cert, nil },
					})
					if client.Handshake() != nil {
						return
					}
				}
				_, _ = c.Read(make([]byte, 1)) // until the server has ended
			}()
			c, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn := newConnector(&directory.ReceiveConnector{})
			err = tls.Server(c, conn.tlsConfig(configKey{certificate: own.TLS, request: true}, true)).Handshake()
			_ = c.Close()
			<-done
			if tt.word == "" {
				if err != nil {
					t.Fatalf("handshake: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("the handshake succeeded")
			}
			word, over := handshakeFault(err)
			if word != tt.word || over != tt.over {
				t.Errorf("%v: %s, %v; want %s, %v", err, word, over, tt.word, tt.over)
			}
		})
	}
}

func TestAddressTable(t *testing.T) {
	a := newAddressTable()
	addr := func(i int) (x [4]byte) { return [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)} }
	for i := range addressTableSize + 10 {
		a.put(netip.AddrFrom4(addr(i)), noon, noon.Add(time.Duration(i+1)*time.Second))
	}
	if n := len(a.until); n != addressTableSize {
		t.Errorf("%d addresses are kept", n)
	}
	got := map[string]bool{
		"first":   a.has(netip.AddrFrom4(addr(0)), noon),
		"tenth":   a.has(netip.AddrFrom4(addr(10)), noon),
		"last":    a.has(netip.AddrFrom4(addr(addressTableSize+9)), noon),
		"at end":  a.has(netip.AddrFrom4(addr(20)), noon.Add(21*time.Second)),
		"forgot?": func() bool { a.forget(netip.AddrFrom4(addr(30))); return a.has(netip.AddrFrom4(addr(30)), noon) }(),
	}
	want := map[string]bool{"first": false, "tenth": true, "last": true, "at end": false, "forgot?": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
