package receive

import (
	"strings"
	"testing"

	"mailpact/internal/directory"
)

// TestWhoMayRelay fences the right to relay: it takes mechanism and group
// together, and no certificate and no sender's domain gives it.
func TestWhoMayRelay(t *testing.T) {
	const no, yes = "550 5.7.1 Unable to relay [id]", "250 2.1.5 x@third.example Recipient OK"
	external := []directory.AuthMechanism{directory.AuthExternalAuthoritative}
	externalTLS := []directory.AuthMechanism{directory.AuthTLS, directory.AuthExternalAuthoritative}
	onlyTLS := []directory.AuthMechanism{directory.AuthTLS}
	inner := []directory.PermissionGroup{directory.GroupExchangeServers}
	anyone := []directory.PermissionGroup{directory.GroupAnonymousUsers, directory.GroupPartners}
	everything := append([]directory.PermissionGroup{directory.GroupExchangeServers}, anyone...)
	tests := []struct {
		name      string
		mechanism []directory.AuthMechanism
		groups    []directory.PermissionGroup
		secure    bool // DomainSecureEnabled, and a good certificate is presented
		from      string
		want      string
	}{
		{"inner server", external, inner, false, "bob@contoso.com", yes},
		{"inner server, listed sender", external, inner, false, "alice@woodgrovebank.com", yes},
		{"inner server, null sender", external, inner, false, "", yes},
		{"mechanism without the group", external, anyone, false, "bob@contoso.com", no},
		{"group without the mechanism", onlyTLS, everything, false, "bob@contoso.com", no},
		{"Internet, own domain as sender", onlyTLS, anyone, false, "bob@contoso.com", no},
		{"Internet, secured partner", onlyTLS, anyone, true, "alice@woodgrovebank.com", no},
		{"Internet, secured partner's null sender", onlyTLS, anyone, true, "", no},
		{"group without the mechanism, secured partner", onlyTLS, everything, true, "alice@woodgrovebank.com", no},
		{"inner server over TLS", externalTLS, inner, false, "bob@contoso.com", yes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
				c.AuthMechanism, c.PermissionGroups, c.DomainSecureEnabled = tt.mechanism, tt.groups, tt.secure
			}))
			p := w.dial()
			if tt.secure {
				p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
			} else {
				p.hello()
			}
			if got := p.do("MAIL FROM:<" + tt.from + ">"); !strings.HasPrefix(got, "250 ") {
				t.Fatalf("MAIL: %q", got)
			}
			p.want("RCPT TO:<x@third.example>", tt.want)
		})
	}
}

// TestInnerServersAreNotMarked: what an inner server sends is ordinary mail,
// and a mark that it brings along is as forged as any other's.
func TestInnerServersAreNotMarked(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
		c.AuthMechanism = []directory.AuthMechanism{directory.AuthExternalAuthoritative}
		c.PermissionGroups = []directory.PermissionGroup{directory.GroupExchangeServers}
		c.DomainSecureEnabled = false
	}))
	p := w.dial()
	p.hello()
	content := "Mailpact-Domain-Secured: domain=woodgrovebank.com\r\n" + letter("alice@woodgrovebank.com")
	if got := p.message("alice@woodgrovebank.com", "x@third.example", content); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	m := w.queue.only(t)
	if m.SecuredDomain != "" || strings.Contains(m.Content, "Mailpact-") {
		t.Errorf("secured for %q:\n%s", m.SecuredDomain, m.Content)
	}
	if got := w.judge.domains(); got != nil {
		t.Errorf("judged %v", got)
	}
}
