package server_test

import (
	"net"
	"strings"
	"testing"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/smtp/smtptest"
)

// changed returns a copy of c with change applied, as a file read again would give.
func changed(c *directory.Configuration, change ...func(*directory.Configuration)) *directory.Configuration {
	next := *c
	next.ReceiveConnectors = append([]directory.ReceiveConnector(nil), c.ReceiveConnectors...)
	next.AcceptedDomains = append([]directory.AcceptedDomain(nil), c.AcceptedDomains...)
	for _, f := range change {
		f(&next)
	}
	return &next
}

// withoutTarpit spares the tests the wait before a refusal.
func withoutTarpit(c *directory.Configuration) { c.ReceiveConnectors[0].TarpitInterval = 0 }

func TestReloadKeepsSessionsAndDecidesAnew(t *testing.T) {
	c := configuration(t, t.TempDir(), withoutTarpit)
	g := start(t, c)
	session := g.dial()
	session.Expect("MAIL FROM:<a@client.example>", "250")
	session.Expect("RCPT TO:<b@contoso.com>", "550 5.7.1")
	session.Expect("RSET", "250")

	if err := g.Reload(t.Context(), changed(c, handsOff("contoso.com", "127.0.0.1:1"))); err != nil {
		t.Fatal(err)
	}
	session.Expect("MAIL FROM:<a@client.example>", "250")
	session.Expect("RCPT TO:<b@contoso.com>", "250")
	session.Expect("QUIT", "221")
}

func TestReloadOpensAndClosesListeners(t *testing.T) {
	c := configuration(t, t.TempDir(), withoutTarpit)
	g := start(t, c)
	old := g.addr
	session := g.dial() // on the listener that goes away

	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fresh := l.Addr().String()
	l.Close()
	if err := g.Reload(t.Context(), changed(c, func(c *directory.Configuration) {
		c.ReceiveConnectors[0].Bindings = []string{fresh}
	})); err != nil {
		t.Fatal(err)
	}
	if _, greeting := smtptest.Dial(t, fresh); !strings.HasPrefix(greeting, "220 ") {
		t.Errorf("the new listener says %q", greeting)
	}
	if conn, err := net.Dial("tcp", old); err == nil {
		conn.Close()
		t.Error("the old listener still takes connections")
	}
	session.Expect("NOOP", "250")
	status := call[admin.Status](g, "status.show", nil)
	if len(status.Listeners) != 1 || status.Listeners[0].Address != fresh {
		t.Errorf("status shows %v, want %s alone", status.Listeners, fresh)
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		name, want string
		change     func(*directory.Configuration)
	}{
		{"occupied binding", "binding", func(c *directory.Configuration) {
			c.ReceiveConnectors[0].Bindings = append([]string{taken.Addr().String()}, c.ReceiveConnectors[0].Bindings...)
		}},
		{"missing anchor file", "nowhere.pem", func(c *directory.Configuration) {
			c.Trust.Anchors = []directory.Anchor{{File: "/nowhere.pem", Scope: directory.Scope{Any: true}}}
		}},
		{"missing certificate", "nowhere.pem", func(c *directory.Configuration) {
			c.Certificates = []directory.CertificateFile{{CertificateFile: "/nowhere.pem", KeyFile: "/nowhere.key"}}
		}},
		{"data directory", "server.dataDirectory cannot change", func(c *directory.Configuration) { c.Server.DataDirectory = "/elsewhere" }},
		{"CRL limits", "revocation.maxBytes cannot change", func(c *directory.Configuration) { c.Revocation.MaxBytes++ }},
	}
	c := configuration(t, t.TempDir(), withoutTarpit)
	g := start(t, c)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := g.Reload(t.Context(), changed(c, handsOff("contoso.com", "127.0.0.1:1"), tt.change))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want it to name %q", err, tt.want)
			}
			session := g.dial()
			session.Expect("MAIL FROM:<a@client.example>", "250")
			session.Expect("RCPT TO:<b@contoso.com>", "550 5.7.1")
			session.Expect("QUIT", "221")
			if s := call[admin.Status](g, "status.show", nil); s.Healthy {
				t.Error("the server calls itself healthy although its last reload failed")
			}
		})
	}
	if err := g.Reload(t.Context(), changed(c)); err != nil {
		t.Fatal(err)
	}
	for _, f := range call[admin.Status](g, "status.show", nil).Findings {
		if f.Object == "configuration" {
			t.Errorf("the finding outlives a good reload: %s", f.Text)
		}
	}
}
