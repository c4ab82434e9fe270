package send_test

import (
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"
)

// TestNamedCertificate: a connector's tlsCertificateName counts instead of its
// fqdn, a partner's clientCertificate before both, and a name that means nothing
// lets mail wait, whether or not anybody would have asked.
func TestNamedCertificate(t *testing.T) {
	const missing = "The certificate specified in TlsCertificateName of the SendConnector could not be found"
	tests := []struct {
		name      string
		connector directory.CertificateName
		partner   directory.CertificateName
		to        smtp.Domain
		want      string // name in the certificate shown, or
		waits     string // why it waits
	}{
		{"nothing", "", "", partnerA, "mail.contoso.com", ""},
		{"connector, host name", "special.contoso.com", "", partnerA, "special.contoso.com", ""},
		{"connector, issuer and subject", "<I>CN=Contoso Root<S>CN=special", "", partnerA, "special.contoso.com", ""},
		{"partner", "", "special.contoso.com", partnerA, "special.contoso.com", ""},
		{"partner before connector", "special.contoso.com", "mail.contoso.com", partnerA, "mail.contoso.com", ""},
		{"another partner", "", "special.contoso.com", partnerB, "mail.contoso.com", ""},
		{"connector, a stranger", "special.contoso.com", "", stranger, "special.contoso.com", ""},
		{"connector, nothing found", "<I>CN=Contoso Root<S>CN=gone", "", partnerA, "", missing},
		{"connector, nothing found, a stranger", "<I>CN=Contoso Root<S>CN=gone", "", stranger, "", missing},
		{"partner, nothing found", "", "gone.contoso.com", partnerA, "", "Reason:NoOwnCertificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{
				also: &pkitest.LeafOptions{CommonName: "special", Names: []string{"special.contoso.com"}},
				edit: func(c *directory.Configuration) {
					c.SendConnectors[0].TLSCertificateName = tt.connector
					c.Partners[0].ClientCertificate = tt.partner
				},
			})
			p := newPeer(t, manner{tls: w.serverTLS(named("mail." + string(tt.to)))})
			w.at(tt.to, p.host("mail."+string(tt.to), 10))
			got := w.deliver("x@" + string(tt.to))
			if tt.waits != "" {
				if got[0].Disposition != queue.Deferred || !strings.HasPrefix(got[0].LastError, "454 4.7.5") || !strings.Contains(got[0].LastError, tt.waits) || p.sessionCount() != 0 {
					t.Errorf("outcome %s, %d sessions", show(got), p.sessionCount())
				}
				return
			}
			mails := p.received()
			if len(mails) != 1 || mails[0].client == nil || mails[0].client.DNSNames[0] != tt.want {
				t.Errorf("outcome %s, received %+v", show(got), mails)
			}
		})
	}
}
