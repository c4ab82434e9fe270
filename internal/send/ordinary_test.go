package send_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"
)

func TestUnlistedDomain(t *testing.T) {
	connector := func(edit func(*directory.SendConnector)) func(*directory.Configuration) {
		return func(c *directory.Configuration) { edit(&c.SendConnectors[0]) }
	}
	requireTLS := connector(func(c *directory.SendConnector) { c.RequireTLS = true })
	strangersTLS := func(t *testing.T) *tls.Config {
		return serverConfig(pkitest.NewRoot(t, pkitest.CAOptions{Name: "Stranger"}).Issue(t, named("whatever.example")))
	}
	tests := []struct {
		name     string
		edit     func(*directory.Configuration)
		manner   func(t *testing.T, w *world) manner
		want     queue.Disposition
		tls      bool // the message came over TLS
		client   bool // with our certificate
		sessions int
		said     string // by us, "" is not compared
		last     string // part of LastError
	}{
		{name: "plain text where nothing forbids it", manner: func(*testing.T, *world) manner { return manner{} }, want: queue.Delivered, sessions: 1, said: "EHLO MAIL RCPT DATA"},
		{name: "any certificate", manner: func(t *testing.T, _ *world) manner {
			m := manner{tls: strangersTLS(t)}
			m.tls.ClientAuth = tls.NoClientCert
			return m
		}, want: queue.Delivered, tls: true, sessions: 1, said: "EHLO STARTTLS EHLO MAIL RCPT DATA"},
		{
			name: "our certificate when asked for", manner: func(t *testing.T, _ *world) manner { return manner{tls: strangersTLS(t)} },
			want: queue.Delivered, tls: true, client: true, sessions: 1,
		},
		{name: "without our certificate when it is refused in TLS 1.3", manner: func(t *testing.T, w *world) manner {
			m := manner{tls: strangersTLS(t)}
			m.tls.ClientAuth, m.tls.ClientCAs = tls.VerifyClientCertIfGiven, nil
			return m
		}, want: queue.Delivered, tls: true, sessions: 2},
		{name: "without our certificate when it is refused in TLS 1.2", manner: func(t *testing.T, w *world) manner {
			m := manner{tls: strangersTLS(t)}
			m.tls.ClientAuth, m.tls.MaxVersion = tls.VerifyClientCertIfGiven, tls.VersionTLS12
			return m
		}, want: queue.Delivered, tls: true, sessions: 2},
		{name: "plain text after both were refused", manner: func(t *testing.T, w *world) manner {
			m := manner{tls: strangersTLS(t)}
			m.tls.ClientAuth = tls.RequireAndVerifyClientCert
			return m
		}, want: queue.Delivered, sessions: 3},
		{
			name: "plain text on a new connection after a broken handshake", manner: func(t *testing.T, w *world) manner { return manner{tls: strangersTLS(t), brokenTLS: true} },
			want: queue.Delivered, sessions: 2, said: "EHLO STARTTLS EHLO MAIL RCPT DATA",
		},
		{
			name: "plain text on a new connection after STARTTLS was refused", manner: func(*testing.T, *world) manner { return manner{starttls: "454 4.7.0 not now"} },
			want: queue.Delivered, sessions: 2, said: "EHLO STARTTLS QUIT EHLO MAIL RCPT DATA",
		},
		{name: "TLS 1.0", manner: func(t *testing.T, _ *world) manner {
			m := manner{tls: strangersTLS(t)}
			m.tls.MinVersion, m.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
			return m
		}, want: queue.Delivered, tls: true, client: true, sessions: 1},
		{name: "HELO where EHLO is not known", manner: func(*testing.T, *world) manner { return manner{ehlo: "502 5.5.1 What?"} }, want: queue.Delivered, sessions: 1, said: "EHLO HELO MAIL RCPT DATA"},
		{name: "RequireTLS, any certificate", edit: requireTLS, manner: func(t *testing.T, _ *world) manner { return manner{tls: strangersTLS(t)} }, want: queue.Delivered, tls: true, client: true, sessions: 1},
		{name: "RequireTLS, not offered", edit: requireTLS, manner: func(*testing.T, *world) manner { return manner{} }, sessions: 1, said: "EHLO QUIT", last: "Reason:NoTLS"},
		{name: "RequireTLS, EHLO not known", edit: requireTLS, manner: func(*testing.T, *world) manner { return manner{ehlo: "502 5.5.1 What?"} }, sessions: 1, said: "EHLO QUIT", last: `"502 5.5.1 What?"`},
		{name: "RequireTLS, refused", edit: requireTLS, manner: func(*testing.T, *world) manner { return manner{starttls: "454 4.7.0 not now"} }, sessions: 1, said: "EHLO STARTTLS QUIT", last: "Reason:HandshakeFailed"},
		{name: "RequireTLS, broken", edit: requireTLS, manner: func(t *testing.T, w *world) manner { return manner{tls: strangersTLS(t), brokenTLS: true} }, sessions: 1, said: "EHLO STARTTLS", last: "Reason:HandshakeFailed"},
		{name: "RequireTLS, our certificate refused", edit: requireTLS, manner: func(t *testing.T, w *world) manner {
			m := manner{tls: strangersTLS(t)}
			m.tls.ClientAuth = tls.RequireAndVerifyClientCert
			return m
		}, sessions: 2, last: "Reason:HandshakeFailed"},
		{
			name: "IgnoreSTARTTLS", edit: connector(func(c *directory.SendConnector) { c.IgnoreSTARTTLS = true }),
			manner: func(t *testing.T, _ *world) manner { return manner{tls: strangersTLS(t)} }, want: queue.Delivered, sessions: 1, said: "EHLO MAIL RCPT DATA",
		},
		{
			name: "ForceHELO", edit: connector(func(c *directory.SendConnector) { c.ForceHELO = true }),
			manner: func(t *testing.T, _ *world) manner { return manner{tls: strangersTLS(t)} }, want: queue.Delivered, sessions: 1, said: "HELO MAIL RCPT DATA",
		},
		{
			name: "RequireTLS and IgnoreSTARTTLS", edit: connector(func(c *directory.SendConnector) { c.RequireTLS, c.IgnoreSTARTTLS = true, true }),
			manner: func(*testing.T, *world) manner { return manner{} }, sessions: 0, last: "requireTLS",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{edit: tt.edit})
			p := newPeer(t, tt.manner(t, w))
			w.at(stranger, p.host("mail.unlisted.example", 10))
			got := w.deliver("x@unlisted.example")
			if got[0].Disposition != tt.want || got[0].Secured || !strings.Contains(got[0].LastError, tt.last) {
				t.Errorf("outcome %s", show(got))
			}
			if n := p.sessionCount(); n != tt.sessions {
				t.Errorf("%d sessions, want %d; we said %q", n, tt.sessions, p.said())
			}
			if tt.said != "" && p.said() != tt.said {
				t.Errorf("we said %q, want %q", p.said(), tt.said)
			}
			mails := p.received()
			if (len(mails) == 1) != (tt.want == queue.Delivered) {
				t.Fatalf("%d messages", len(mails))
			}
			if len(mails) == 1 && (mails[0].tls != tt.tls || (mails[0].client != nil) != tt.client) {
				t.Errorf("TLS %v, our certificate %v", mails[0].tls, mails[0].client != nil)
			}
			if n := w.counters.Snapshot().DomainSecuredOutboundSessionFailures; n != 0 {
				t.Errorf("%d domain-secured failures for an unlisted domain", n)
			}
		})
	}
}

func TestOrdinarySessionsAreResumed(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].SMTPMaxMessagesPerConnection = 1 }})
	config := w.serverTLS(named("mail.unlisted.example"))
	resumed := 0
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if s.DidResume {
			resumed++
		}
		return nil
	}
	p := newPeer(t, manner{tls: config})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	for range 3 {
		w.deliver("x@unlisted.example")
	}
	if resumed != 2 {
		t.Errorf("%d of 3 sessions were resumed, want 2", resumed)
	}
	// The domain-secured way never resumes, not even with the same host.
	before := resumed
	w.deliver("x@woodgrovebank.com")
	w.deliver("x@woodgrovebank.com")
	if resumed != before {
		t.Error("a session for a listed domain was resumed")
	}
}

func TestHandOffKeepsOurFields(t *testing.T) {
	p := newPeer(t, manner{})
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) {
		c.AcceptedDomains[0].HandOff = p.listener.Addr().String()
	}})
	w.at(smtp.Domain(p.listener.Addr().String()), p.host("127.0.0.1", 0))
	got := w.deliver("b@contoso.com")
	if got[0].Disposition != queue.Delivered || got[0].Secured {
		t.Fatalf("outcome %s", show(got))
	}
	if m := p.received(); len(m) != 1 || m[0].data != body {
		t.Errorf("received %+v", m)
	}
}

func TestSourceAddress(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) {
		c.SendConnectors[0].SourceIPAddress = mustAddr(t, "127.0.0.7")
	}})
	p := newPeer(t, manner{})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	if got := w.deliver("x@unlisted.example"); got[0].Disposition != queue.Delivered {
		t.Fatalf("outcome %s", show(got))
	}
	if from := p.clients(); len(from) != 1 || from[0] != "127.0.0.7" {
		t.Errorf("dialled from %v", from)
	}
	w.config.SendConnectors[0].SourceIPAddress = mustAddr(t, "::1")
	w.config.SendConnectors[0].Name = "other" // another connector, another pool
	if got := w.deliver("x@unlisted.example"); got[0].Disposition != queue.Deferred || !strings.Contains(got[0].LastError, "sourceIPAddress") {
		t.Errorf("outcome %s", show(got))
	}
}
