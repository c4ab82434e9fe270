//go:build interop

package interop

import (
	"strings"
	"testing"
	"time"

	"mailpact/tests/testkit"
)

// Postfix as a listed partner:
//
//	              mutual TLS, both certificates verified
//	Contoso  <------------------------------------------->  Woodgrove Bank
//	mailpact 127.20.0.1                                     Postfix 127.20.0.2
//	   |  hand-off                                             |  relay
//	   v                                                       v
//	 sink 127.0.0.1                                          sink 127.0.0.1

func TestPostfixSendsDomainSecured(t *testing.T) {
	w := newTown(t, townOptions{})
	w.fromWoodgrove()
	testkit.Eventually(t, 30*time.Second, "the message reaches Contoso", func() bool { return len(w.contosoBox.Messages()) == 1 })
	m := w.contosoBox.Messages()[0]
	for _, want := range []string{"Mailpact-Domain-Secured: domain=woodgrovebank.com;", "x-domain-secured=pass", "Good morning.\r\n.\r\n..dots\r\n"} {
		if !strings.Contains(string(m.Data), want) {
			t.Errorf("the message lacks %q:\n%s", want, m.Data)
		}
	}
	if c := w.counters(); c.DomainSecuredMessagesReceived != 1 {
		t.Errorf("counters = %+v, want 1 received", c)
	}
	w.postfix.WaitLog("Verified TLS connection established to ", time.Second)
}

func TestPostfixIsRefused(t *testing.T) {
	tests := []struct {
		name string
		o    townOptions
		want string
	}{
		{"no certificate", townOptions{postfix: map[string]string{"smtp_tls_cert_file": "", "smtp_tls_key_file": ""}}, "Reason:EmptyCertificate"},
		{"no TLS", townOptions{postfix: map[string]string{"smtp_tls_policy_maps": "", "smtp_tls_security_level": "none"}}, "451 4.7.3"},
		{"wrong name", townOptions{woodgroveNames: []string{"mail.fabrikam.com"}}, "Reason:SubjectMismatch"},
		{"name two nodes deep", townOptions{woodgroveNames: []string{"mail1.us.woodgrovebank.com"}}, "Reason:SubjectMismatch"},
		{"revoked", townOptions{revoke: true}, "Reason:Revoked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newTown(t, tt.o)
			w.fromWoodgrove()
			w.postfix.WaitLog(tt.want, 30*time.Second)
			if !strings.Contains(w.postfix.Log(), "status=deferred") {
				t.Error("Postfix did not defer")
			}
			if n := len(w.contosoBox.Messages()); n != 0 {
				t.Errorf("%d messages got through", n)
			}
		})
	}
}

// Postfix checks our server certificate as strictly as we check its own.
func TestPostfixRefusesOurCertificate(t *testing.T) {
	tests := []struct {
		name string
		o    townOptions
		want string
	}{
		{"wrong name", townOptions{postfix: map[string]string{
			"smtp_tls_policy_maps": "", "smtp_tls_security_level": "secure", "smtp_tls_secure_cert_match": "mail.litware.com",
		}}, "Server certificate not verified"},
		{"stranger's CA", townOptions{distrust: true}, "Server certificate not verified"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newTown(t, tt.o)
			w.fromWoodgrove()
			w.postfix.WaitLog(tt.want, 30*time.Second)
			if n := len(w.contosoBox.Messages()); n != 0 {
				t.Errorf("%d messages got through", n)
			}
		})
	}
}

func TestPostfixReceivesDomainSecured(t *testing.T) {
	w := newTown(t, townOptions{postfix: map[string]string{"smtpd_tls_security_level": "encrypt", "smtpd_tls_req_ccert": "yes"}})
	w.fromContoso()
	testkit.Eventually(t, 30*time.Second, "the message reaches Woodgrove", func() bool { return len(w.woodgroveBox.Messages()) == 1 })
	w.postfix.WaitLog("Trusted TLS connection established from", time.Second)
	if strings.Contains(string(w.woodgroveBox.Messages()[0].Data), "Mailpact-") {
		t.Errorf("our own header fields left the organisation:\n%s", w.woodgroveBox.Messages()[0].Data)
	}
	testkit.Eventually(t, 5*time.Second, "one message counted as sent", func() bool { return w.counters().DomainSecuredMessagesSent == 1 })
}

func TestGatewayRefusesPostfix(t *testing.T) {
	tests := []struct {
		name string
		o    townOptions
		want string
	}{
		{"no STARTTLS", townOptions{postfix: map[string]string{"smtpd_tls_security_level": "none", "smtpd_tls_ask_ccert": ""}}, "NoTLS"},
		{"does not ask for our certificate", townOptions{postfix: map[string]string{"smtpd_tls_ask_ccert": ""}}, "NotMutual"},
		{"wrong name", townOptions{woodgroveNames: []string{"mail.fabrikam.com"}}, "SubjectMismatch"},
		{"revoked", townOptions{revoke: true}, "Revoked"},
		{"does not trust our certificate", townOptions{distrust: true, postfix: map[string]string{
			"smtpd_tls_security_level": "encrypt", "smtpd_tls_req_ccert": "yes",
		}}, "OwnCertificateRefused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newTown(t, tt.o)
			w.fromContoso()
			w.waitLastError(tt.want)
			if n := len(w.woodgroveBox.Messages()); n != 0 {
				t.Errorf("%d messages got through", n)
			}
			if c := w.counters(); c.DomainSecuredOutboundSessionFailures == 0 || c.DomainSecuredMessagesSent != 0 {
				t.Errorf("counters = %+v, want failures and nothing sent", c)
			}
		})
	}
}
