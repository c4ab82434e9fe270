package receive

import (
	"crypto/x509/pkix"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"
)

func subject(cn, organization string) *pkix.Name {
	n := &pkix.Name{CommonName: cn}
	if organization != "" {
		n.Organization = []string{organization}
	}
	return n
}

// TestInboundTable has the rows of design.md, section 5, Inbound, in its order,
// as a peer sees them on the wire.
func TestInboundTable(t *testing.T) {
	const (
		alice     = "alice@woodgrovebank.com"
		secured   = "250 2.1.0 alice@woodgrovebank.com Sender OK"
		certFault = "454 4.7.5 Certificate validation failure, Reason:"
	)
	good := func(t *testing.T) *pkitest.Leaf { return partnerCertificate(t, "", "mail.woodgrovebank.com") }
	spoiled := func(reason string) func(*testing.T) *pkitest.Leaf {
		return func(t *testing.T) *pkitest.Leaf { return partnerCertificate(t, reason, "mail.woodgrovebank.com") }
	}
	named := func(names ...string) func(*testing.T) *pkitest.Leaf {
		return func(t *testing.T) *pkitest.Leaf { return partnerCertificate(t, "", names...) }
	}
	insecure := connectorWith(func(c *directory.ReceiveConnector) { c.DomainSecureEnabled = false })
	tests := []struct {
		name    string
		change  func(*directory.Configuration, *Options)
		noOwn   bool
		tls     bool
		leaf    func(*testing.T) *pkitest.Leaf
		from    string
		want    string
		marked  smtp.Domain
		refused string
		would   string
	}{
		{name: "not listed, no TLS", from: "carol@stranger.example", want: "250 2.1.0 carol@stranger.example Sender OK"},
		{name: "not listed, TLS", tls: true, from: "carol@stranger.example", want: "250 2.1.0 carol@stranger.example Sender OK"},
		{name: "not listed, certificate of a listed domain", tls: true, leaf: good, from: "carol@stranger.example", want: "250 2.1.0 carol@stranger.example Sender OK"},
		{name: "subdomain of a listed domain is not listed", from: "a@sub.woodgrovebank.com", want: "250 2.1.0 a@sub.woodgrovebank.com Sender OK"},
		{name: "listed, connector not DomainSecureEnabled", change: insecure, from: alice, want: secured},
		{name: "listed, connector not DomainSecureEnabled, good certificate", change: insecure, tls: true, leaf: good, from: alice, want: secured},
		{
			name: "listed for sending only", from: alice, want: secured,
			change: func(c *directory.Configuration, _ *Options) { c.Partners[0].Receive = false },
		},
		{name: "listed, no TLS", from: alice, want: "451 4.7.3 STARTTLS required to send mail from this domain [id]", refused: "NoTLS"},
		{name: "listed in other letters, no TLS", from: "alice@WoodgroveBank.COM", want: "451 4.7.3 STARTTLS required to send mail from this domain [id]", refused: "NoTLS"},
		{
			name: "listed, no certificate of ours", noOwn: true, from: alice, refused: "NoOwnCertificate",
			want: "454 4.7.0 STARTTLS is required to send mail from this domain and is not available here at the moment [id]",
		},
		{name: "listed, no certificate", tls: true, from: alice, want: certFault + "EmptyCertificate [id]", refused: "EmptyCertificate"},
		{name: "listed, untrusted", tls: true, leaf: spoiled("UntrustedRoot"), from: alice, want: certFault + "UntrustedRoot [id]", refused: "UntrustedRoot"},
		{name: "listed, expired", tls: true, leaf: spoiled("CertificateExpired"), from: alice, want: certFault + "CertificateExpired [id]", refused: "CertificateExpired"},
		{name: "listed, not yet valid", tls: true, leaf: spoiled("CertificateNotYetValid"), from: alice, want: certFault + "CertificateNotYetValid [id]", refused: "CertificateNotYetValid"},
		{name: "listed, wrong usage", tls: true, leaf: spoiled("WrongUsage"), from: alice, want: certFault + "WrongUsage [id]", refused: "WrongUsage"},
		{name: "listed, no name matches", tls: true, leaf: named("mail.stranger.example"), from: alice, want: certFault + "SubjectMismatch [id]", refused: "SubjectMismatch"},
		{name: "listed, name two labels deep", tls: true, leaf: named("a.b.woodgrovebank.com"), from: alice, want: certFault + "SubjectMismatch [id]", refused: "SubjectMismatch"},
		{name: "listed, name of another listed domain", tls: true, leaf: named("mail.fabrikam.com"), from: alice, want: certFault + "SubjectMismatch [id]", refused: "SubjectMismatch"},
		{name: "listed, weak", tls: true, leaf: spoiled("WeakSignature"), from: alice, want: certFault + "WeakSignature [id]", refused: "WeakSignature"},
		{name: "listed, invalid chain", tls: true, leaf: spoiled("InvalidChain"), from: alice, want: certFault + "InvalidChain [id]", refused: "InvalidChain"},
		{name: "listed, revoked", tls: true, leaf: spoiled("Revoked"), from: alice, want: certFault + "Revoked [id]", refused: "Revoked"},
		{name: "listed, revocation unknown", tls: true, leaf: spoiled("RevocationOffline"), from: alice, want: certFault + "RevocationOffline [id]", refused: "RevocationOffline"},
		{name: "listed, all good", tls: true, leaf: good, from: alice, want: secured, marked: "woodgrovebank.com"},
		{name: "listed, all good, the domain itself", tls: true, leaf: named("woodgrovebank.com"), from: alice, want: secured, marked: "woodgrovebank.com"},
		{name: "null sender without TLS", from: "", want: "250 2.1.0 <> Sender OK"},
		{name: "null sender with a spoiled certificate", tls: true, leaf: spoiled("Revoked"), from: "", want: "250 2.1.0 <> Sender OK"},
		{name: "null sender with a good certificate", tls: true, leaf: good, from: "", want: "250 2.1.0 <> Sender OK", marked: "woodgrovebank.com"},
		{
			name: "null sender good for several", tls: true, leaf: named("mail.fabrikam.com", "mail.woodgrovebank.com"), from: "",
			want: "250 2.1.0 <> Sender OK", marked: "woodgrovebank.com",
		},
		{name: "test mode, no TLS", from: "t@trial.example", want: "250 2.1.0 t@trial.example Sender OK", would: "trial.example NoTLS"},
		{name: "test mode, no certificate", tls: true, from: "t@trial.example", want: "250 2.1.0 t@trial.example Sender OK", would: "trial.example EmptyCertificate"},
		{name: "test mode, all good", tls: true, leaf: named("mail.trial.example"), from: "t@trial.example", want: "250 2.1.0 t@trial.example Sender OK"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var changes []func(*directory.Configuration, *Options)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			w := newWorld(t, changes...)
			if tt.noOwn {
				w.own.set()
			}
			p := w.dial()
			if tt.tls {
				var leaf *pkitest.Leaf
				if tt.leaf != nil {
					leaf = tt.leaf(t)
				}
				p.startTLS(leaf)
			} else {
				p.hello()
			}
			p.want("MAIL FROM:<"+tt.from+">", tt.want)
			if strings.HasPrefix(tt.want, "250 ") {
				author := tt.from
				if author == "" {
					author = "mailer-daemon@woodgrovebank.com"
				}
				p.want("RCPT TO:<bob@contoso.com>", "250 2.1.5 bob@contoso.com Recipient OK")
				p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
				p.send(letter(author) + "\r\n.\r\n")
				if got, want := p.read(), "250 2.6.0 <1@client.example> Queued mail for delivery"; got != want {
					t.Fatalf("end of data: got %q, want %q", got, want)
				}
				m := w.queue.only(t)
				if m.SecuredDomain != tt.marked {
					t.Errorf("secured for %q, want %q", m.SecuredDomain, tt.marked)
				}
				if has := strings.HasPrefix(m.Content, "Mailpact-Domain-Secured: domain="+string(tt.marked)+";"); has != (tt.marked != "") {
					t.Errorf("marked: %v\n%s", has, m.Content)
				}
			} else if n := len(w.queue.taken()); n != 0 {
				t.Errorf("%d messages accepted", n)
			}
			securedCount, _, refused, would := w.recorder.counts()
			if want := map[bool]int{true: 1}[tt.marked != ""]; securedCount != want {
				t.Errorf("Domain-Secured Messages Received: %d, want %d", securedCount, want)
			}
			if tt.refused != "" {
				tt.refused = "Inet " + tt.refused
			}
			if refused != tt.refused || would != tt.would {
				t.Errorf("counted refusals %q and would-refusals %q, want %q and %q", refused, would, tt.refused, tt.would)
			}
			if tt.refused != "" && !strings.Contains(w.log.String(), "domain=woodgrovebank.com") {
				t.Errorf("the refusal is not in the log:\n%s", w.log)
			}
		})
	}
}

func TestStrangersAreNotJudged(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.stranger.example"))
	p.message("carol@stranger.example", "bob@contoso.com", letter("carol@stranger.example"))
	p.message("", "bob@contoso.com", letter("carol@stranger.example"))
	if got := w.judge.domains(); got != nil {
		t.Errorf("judged %v", got)
	}
}

func TestRightsAreComputedAtEachMail(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	for _, m := range []struct{ from, want string }{
		{"alice@woodgrovebank.com", "250 "},
		{"carol@stranger.example", "250 "},
		{"dave@fabrikam.com", "454 4.7.5 Certificate validation failure, Reason:SubjectMismatch [id]"},
		{"alice@woodgrovebank.com", "250 "},
	} {
		if got := p.message(m.from, "bob@contoso.com", letter(m.from)); !strings.HasPrefix(got, m.want) {
			t.Fatalf("%s: got %q, want %q", m.from, got, m.want)
		}
	}
	p.do("QUIT")
	var domains []smtp.Domain
	for _, m := range w.queue.taken() {
		domains = append(domains, m.SecuredDomain)
	}
	if diff := cmp.Diff([]smtp.Domain{"woodgrovebank.com", "", "woodgrovebank.com"}, domains); diff != "" {
		t.Errorf("secured domains (-want +got):\n%s", diff)
	}
	var rights []string
	for _, row := range w.recorder.session(t) {
		if r, ok := strings.CutSuffix(row, ",Set Session Permissions"); ok {
			rights = append(rights, r)
		}
	}
	const all = "*SMTPSubmit SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders"
	const partner = "*SMTPSubmit AcceptRoutingHeaders"
	if diff := cmp.Diff([]string{all, partner, all, partner}, rights); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}

func TestPermissionGroups(t *testing.T) {
	groups := func(g ...directory.PermissionGroup) func(*directory.Configuration, *Options) {
		return connectorWith(func(c *directory.ReceiveConnector) { c.PermissionGroups = g })
	}
	const denied = "530 5.7.1 Client was not authenticated [id]"
	tests := []struct {
		name   string
		change func(*directory.Configuration, *Options)
		from   string
		want   string
	}{
		{"partners only, secured", groups(directory.GroupPartners), "alice@woodgrovebank.com", "250 2.1.0 alice@woodgrovebank.com Sender OK"},
		{"partners only, stranger", groups(directory.GroupPartners), "carol@stranger.example", denied},
		{"partners only, null sender", groups(directory.GroupPartners), "", "250 2.1.0 <> Sender OK"},
		{"anonymous only, secured", groups(directory.GroupAnonymousUsers), "alice@woodgrovebank.com", denied},
		{"anonymous only, stranger", groups(directory.GroupAnonymousUsers), "carol@stranger.example", "250 2.1.0 carol@stranger.example Sender OK"},
		{"anonymous only, null sender", groups(directory.GroupAnonymousUsers), "", "250 2.1.0 <> Sender OK"},
		{"none", groups(), "carol@stranger.example", denied},
		{"own authoritative domain as a partner's", func(c *directory.Configuration, _ *Options) {
			c.AcceptedDomains = append(c.AcceptedDomains, directory.AcceptedDomain{Name: "woodgrovebank.com", Type: directory.Authoritative})
		}, "alice@woodgrovebank.com", "550 5.7.1 Client does not have permissions to send as this sender [id]"},
		{"relayed domain as a partner's", func(c *directory.Configuration, _ *Options) {
			c.AcceptedDomains = append(c.AcceptedDomains, directory.AcceptedDomain{Name: "woodgrovebank.com", Type: directory.InternalRelay})
		}, "alice@woodgrovebank.com", "250 2.1.0 alice@woodgrovebank.com Sender OK"},
		{"own authoritative domain from a stranger", nil, "bob@contoso.com", "250 2.1.0 bob@contoso.com Sender OK"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var changes []func(*directory.Configuration, *Options)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			w := newWorld(t, changes...)
			p := w.dial()
			p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
			p.want("MAIL FROM:<"+tt.from+">", tt.want)
		})
	}
}

func TestConfigurationIsReadAtEachMail(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	p.want("MAIL FROM:<a@late.example>", "250 2.1.0 a@late.example Sender OK")
	p.do("RSET")
	c := testConfiguration()
	c.Partners = append(c.Partners, directory.Partner{Domain: "late.example", Mode: directory.ModeEnforce, Receive: true})
	w.config.Store(c)
	p.want("MAIL FROM:<a@late.example>", "451 4.7.3 STARTTLS required to send mail from this domain [id]")
}

func TestRequireTLS(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.RequireTLS = true }))
	p := w.dial()
	p.hello()
	p.want("MAIL FROM:<carol@stranger.example>", "451 4.7.3 STARTTLS is required to send mail [id]")
	p.want("MAIL FROM:<>", "451 4.7.3 STARTTLS is required to send mail [id]")
	p.want("MAIL FROM:<t@trial.example>", "451 4.7.3 STARTTLS is required to send mail [id]")
	p.want("MAIL FROM:<alice@woodgrovebank.com>", "451 4.7.3 STARTTLS required to send mail from this domain [id]")
	p.startTLS(nil)
	p.want("MAIL FROM:<carol@stranger.example>", "250 2.1.0 carol@stranger.example Sender OK")
	if _, _, refused, would := w.recorder.counts(); refused != "Inet NoTLS,Inet NoTLS,Inet NoTLS,Inet NoTLS" || would != "" {
		t.Errorf("counted refusals %q and would-refusals %q", refused, would)
	}
}

func TestRequireEHLODomain(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.RequireEHLODomain = true }))
	p := w.dial()
	p.want("EHLO [192.0.2.1]", "501 5.5.4 EHLO requires a domain name [id]")
	p.want("MAIL FROM:<carol@stranger.example>", "503 5.5.1 Send EHLO or HELO first")
	if got := p.hello(); !strings.HasPrefix(got, "250-mail.contoso.com Hello [127.0.0.1]|") {
		t.Errorf("EHLO with a domain: %q", got)
	}
}
