//go:build interop

// Package interop lets the gateway meet real peers.
//
//	              mutual TLS, both certificates verified
//	Contoso  <------------------------------------------->  Woodgrove Bank
//	mailpact 127.20.0.1                                     Postfix 127.20.0.2
//	   |  hand-off                                             |  relay
//	   v                                                       v
//	 sink 127.0.0.1                                          sink 127.0.0.1
//
// Each side trusts the other's private CA, whose CRL is published on loopback.
package interop

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mailpact/internal/dnsx/dnsserver"
	"mailpact/tests/testkit"
)

const (
	contosoHost   = "127.20.0.1"
	woodgroveHost = "127.20.0.2"
	note          = "From: Alice <alice@%s>\r\nTo: Bob <bob@%s>\r\nSubject: rates\r\nMessage-ID: <1@%s>\r\n\r\nGood morning.\r\n.\r\n..dots\r\n"
)

// town is both organisations and what they share.
type town struct {
	t                        *testing.T
	port, inner              int
	contosoCA, woodgroveCA   *testkit.PKI
	gateway                  *testkit.Gateway
	postfix                  *testkit.Postfix
	contosoBox, woodgroveBox *testkit.Sink
	zone                     *dnsserver.Server
}

type townOptions struct {
	woodgroveNames []string          // names in Postfix's certificate
	revoke         bool              // revoke it before anything runs
	postfix        map[string]string // further settings
	contosoNames   []string          // names in our certificate
	distrust       bool              // Postfix trusts its own root alone
}

func newTown(t *testing.T, o townOptions) *town {
	t.Helper()
	testkit.RequirePostfix(t)
	w := &town{t: t, contosoCA: testkit.NewPKI(t, "Contoso Root"), woodgroveCA: testkit.NewPKI(t, "Woodgrove Root")}
	w.port = testkit.FreePort(t, contosoHost, woodgroveHost)
	w.inner = testkit.FreePort(t, contosoHost)
	w.contosoBox, w.woodgroveBox = testkit.StartSink(t, "127.0.0.1"), testkit.StartSink(t, "127.0.0.1")
	if o.woodgroveNames == nil {
		o.woodgroveNames = []string{"mail1.woodgrovebank.com", "woodgrovebank.com"}
	}
	if o.contosoNames == nil {
		o.contosoNames = []string{"mail1.contoso.com", "contoso.com"}
	}
	cert, key, leaf := w.woodgroveCA.Leaf("postfix", o.woodgroveNames...)
	if o.revoke {
		if err := w.woodgroveCA.Revoke(leaf.SerialNumber, 1); err != nil {
			t.Fatal(err)
		}
	}
	w.startZone()
	gateway := fmt.Sprintf("[%s]:%d", contosoHost, w.port)
	postfixTrusts := w.contosoCA
	if o.distrust {
		postfixTrusts = w.woodgroveCA
	}
	settings := map[string]string{
		"smtpd_tls_security_level": "may", "smtpd_tls_ask_ccert": "yes",
		"smtpd_tls_CAfile": postfixTrusts.RootFile(), "smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key,
		"smtp_tls_security_level": "may", "smtp_tls_CAfile": postfixTrusts.RootFile(),
		"smtp_tls_cert_file": cert, "smtp_tls_key_file": key,
		// Nothing is looked up here: the next hop is an address, and the policy names what its certificate must say.
		"smtp_tls_policy_maps": fmt.Sprintf("inline:{ { %s = secure match=contoso.com:.contoso.com } }", gateway),
	}
	for k, v := range o.postfix {
		settings[k] = v
	}
	for k, v := range settings {
		if v == "" {
			delete(settings, k)
		}
	}
	w.postfix = testkit.StartPostfix(t, testkit.PostfixOptions{
		Host: woodgroveHost, Port: w.port, Hostname: "mail1.woodgrovebank.com", Settings: settings,
		NextHops: map[string]string{"contoso.com": gateway, "woodgrovebank.com": bracketed(w.woodgroveBox.Addr)},
	})
	ourCert, ourKey, _ := w.contosoCA.Leaf("gateway", o.contosoNames...)
	w.gateway = testkit.StartGateway(t, t.TempDir(), w.config(ourCert, ourKey))
	return w
}

func (w *town) config(cert, key string) string {
	return fmt.Sprintf(`
server: {fqdn: mail1.contoso.com, dataDirectory: data, http: "", resolvers: ["%s"]}
certificates: [{certificateFile: %s, keyFile: %s, services: [SMTP]}]
trust:
  systemRoots: false
  anchors:
    - {file: %s, scope: [woodgrovebank.com], revocation: required}
    - {file: %s, scope: [contoso.com], revocation: required}
revocation: {allowPrivateTargets: true}
partners: [{domain: woodgrovebank.com, mode: enforce, send: true, receive: true}]
acceptedDomains: [{name: contoso.com, type: Authoritative, handOff: "smtp://%s"}]
receiveConnectors:
  - {name: Inet, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [Tls], permissionGroups: [AnonymousUsers, Partners], domainSecureEnabled: true, protocolLoggingLevel: Verbose}
  - {name: Inner, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers]}
sendConnectors:
  - {name: Internet, addressSpaces: ["*;1"], dnsRoutingEnabled: true, port: %d, fqdn: mail1.contoso.com, domainSecureEnabled: true, sourceIPAddress: %s, protocolLoggingLevel: Verbose}
queue: {glitchRetryInterval: 1s}
`, w.zone.Addr(), cert, key, w.woodgroveCA.RootFile(), w.contosoCA.RootFile(), w.contosoBox.Addr,
		contosoHost, w.port, contosoHost, w.inner, w.port, contosoHost)
}

// fromWoodgrove gives Postfix a message for Contoso.
func (w *town) fromWoodgrove() {
	w.t.Helper()
	testkit.Inject(w.t, net.JoinHostPort(woodgroveHost, fmt.Sprint(w.port)), "alice@woodgrovebank.com", "bob@contoso.com",
		[]byte(fmt.Sprintf(note, "woodgrovebank.com", "contoso.com", "woodgrovebank.com")))
}

// fromContoso gives the gateway a message for Woodgrove.
func (w *town) fromContoso() {
	w.t.Helper()
	testkit.Inject(w.t, net.JoinHostPort(contosoHost, fmt.Sprint(w.inner)), "alice@contoso.com", "bob@woodgrovebank.com",
		[]byte(fmt.Sprintf(note, "contoso.com", "woodgrovebank.com", "contoso.com")))
}

type counters struct {
	DomainSecuredMessagesReceived        int
	DomainSecuredMessagesSent            int
	DomainSecuredOutboundSessionFailures int
	Refusals                             map[string]int
}

func (w *town) counters() (c counters) {
	w.t.Helper()
	if code := w.gateway.Run(&c, "counters"); code != 0 {
		w.t.Fatalf("mailpact counters: exit code %d", code)
	}
	return c
}

func bracketed(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "[" + host + "]:" + port
}

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

func (w *town) waitLastError(want string) {
	w.t.Helper()
	var last string
	testkit.Eventually(w.t, 30*time.Second, "a queue's last error names "+want, func() bool {
		var r struct {
			Queues []struct{ LastError, TLSDomain string }
		}
		w.gateway.Run(&r, "queue", "list")
		for _, q := range r.Queues {
			last = q.LastError
			if strings.Contains(q.LastError, want) && q.TLSDomain == "woodgrovebank.com" {
				return true
			}
		}
		return false
	})
	w.t.Logf("last error: %s", last)
}

// startZone publishes both organisations' MX records.
func (w *town) startZone() {
	w.t.Helper()
	zone := dnsserver.NewZone(60)
	for domain, host := range map[string]string{"contoso.com": contosoHost, "woodgrovebank.com": woodgroveHost} {
		name := "mail1." + domain
		for owner, record := range map[string]dnsserver.Record{domain: dnsserver.MX(10, name), name: dnsserver.Address(netip.MustParseAddr(host))} {
			if err := zone.Set(owner, record); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	server, err := dnsserver.Listen("127.0.0.1:0", zone)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { server.Close() })
	w.zone = server
}
