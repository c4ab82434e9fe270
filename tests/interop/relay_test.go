//go:build interop

package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailpact/tests/testkit"
)

// A second mail server between two gateways:
//
//	Fabrikam, a partner --.
//	                       \            smart host              transport
//	inner server of A  ----->  A: mailpact  --->  relay: Postfix,  --->  B: mailpact  --->  sink
//	                           127.20.0.1         or Exim, 127.20.0.9    127.20.0.2
//	                           contoso.com             ^                 woodgrovebank.com
//	                               |                   |
//	                             sink            whoever forges
//
// B lists contoso.com, and A lists fabrikam.com; the relay has a certificate of
// its own and no part in either.

const relayHost = "127.20.0.9"

// relayed is the two gateways and what stands around them.
type relayed struct {
	t                         *testing.T
	port, inner               int
	contosoCA, fabrikamCA     *testkit.PKI
	contosoBox, woodgroveBox  *testkit.Sink
	relay                     peer
	fabrikamCert, fabrikamKey string
}

// peer is a mail server of others.
type peer interface{ Log() string }

// relays are the kinds of relay.
var relays = []struct {
	name    string
	require func(testing.TB)
	start   func(r *relayed, cert, key string) peer
}{
	{"Postfix", testkit.RequirePostfix, func(r *relayed, cert, key string) peer {
		return testkit.StartPostfix(r.t, testkit.PostfixOptions{
			Host: relayHost, Port: r.port, Hostname: "relay.example",
			NextHops: map[string]string{"woodgrovebank.com": bracketed(testkit.HostPort(woodgroveHost, r.port))},
			Settings: map[string]string{
				"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key,
				"smtp_tls_security_level": "may", "smtp_tls_cert_file": cert, "smtp_tls_key_file": key,
				"message_drop_headers": "", // else Return-Path, Bcc and others go
			},
		})
	}},
	{"Exim", testkit.RequireExim, func(r *relayed, cert, key string) peer {
		return testkit.StartExim(r.t, testkit.EximOptions{
			Host: relayHost, Port: r.port, Hostname: "relay.example",
			NextHops: map[string]string{"woodgrovebank.com": testkit.HostPort(woodgroveHost, r.port)},
			Main: map[string]string{
				"tls_advertise_hosts": "*", "tls_certificate": cert, "tls_privatekey": key,
				"return_path_remove": "false", "envelope_to_remove": "false", "delivery_date_remove": "false",
			},
			Transport: map[string]string{"tls_certificate": cert, "tls_privatekey": key},
		})
	}},
}

func startRelayed(t *testing.T, start func(r *relayed, cert, key string) peer) *relayed {
	t.Helper()
	r := &relayed{t: t, contosoCA: testkit.NewPKI(t, "Contoso Root"), fabrikamCA: testkit.NewPKI(t, "Fabrikam Root")}
	r.port, r.inner = testkit.FreePort(t, contosoHost, woodgroveHost, relayHost), testkit.FreePort(t, contosoHost)
	r.contosoBox, r.woodgroveBox = testkit.StartSink(t, "127.0.0.1"), testkit.StartSink(t, "127.0.0.1")
	r.fabrikamCert, r.fabrikamKey, _ = r.fabrikamCA.Leaf("fabrikam", "mail1.fabrikam.com")
	relayCert, relayKey, _ := testkit.NewPKI(t, "A root that nobody trusts").Leaf("relay", "relay.example")
	r.relay = start(r, relayCert, relayKey)

	cert, key, _ := r.contosoCA.Leaf("gateway", "mail1.contoso.com")
	testkit.StartGateway(t, t.TempDir(), fmt.Sprintf(`
server: {fqdn: mail1.contoso.com, dataDirectory: data, http: ""}
transportConfig: {authservID: contoso.com}
certificates: [{certificateFile: %s, keyFile: %s, services: [SMTP]}]
trust: {systemRoots: false, anchors: [{file: %s, scope: [fabrikam.com], revocation: required}]}
revocation: {allowPrivateTargets: true}
partners: [{domain: fabrikam.com, mode: enforce, receive: true}]
acceptedDomains:
  - {name: contoso.com, type: Authoritative, handOff: "smtp://%s"}
  - {name: woodgrovebank.com, type: InternalRelay}
receiveConnectors:
  - {name: Inet, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [Tls], permissionGroups: [AnonymousUsers, Partners], domainSecureEnabled: true}
  - {name: Inner, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers], maxMessageSize: 50MB}
sendConnectors:
  - {name: Relay, addressSpaces: ["*;1"], dnsRoutingEnabled: false, smartHosts: ["[%s]"], port: %d, fqdn: mail1.contoso.com, sourceIPAddress: %s}
queue: {glitchRetryInterval: 1s}
`, cert, key, r.fabrikamCA.RootFile(), r.contosoBox.Addr, contosoHost, r.port, contosoHost, r.inner, relayHost, r.port, contosoHost))

	cert, key, _ = testkit.NewPKI(t, "Woodgrove Root").Leaf("gateway", "mail1.woodgrovebank.com")
	testkit.StartGateway(t, t.TempDir(), fmt.Sprintf(`
server: {fqdn: mail1.woodgrovebank.com, dataDirectory: data, http: ""}
transportConfig: {authservID: woodgrovebank.com}
certificates: [{certificateFile: %s, keyFile: %s, services: [SMTP]}]
trust: {systemRoots: false, anchors: [{file: %s, scope: [contoso.com], revocation: required}]}
revocation: {allowPrivateTargets: true}
partners: [{domain: contoso.com, mode: enforce, receive: true}]
acceptedDomains: [{name: woodgrovebank.com, type: Authoritative, handOff: "smtp://%s"}]
receiveConnectors:
  - {name: Inet, bindings: ["%s:%d"], fqdn: mail1.woodgrovebank.com, authMechanism: [Tls], permissionGroups: [AnonymousUsers, Partners], domainSecureEnabled: true, maxMessageSize: 50MB}
sendConnectors: []
`, cert, key, r.contosoCA.RootFile(), r.woodgroveBox.Addr, woodgroveHost, r.port))
	return r
}

func TestRelayBetweenGateways(t *testing.T) {
	for _, kind := range relays {
		t.Run(kind.name, func(t *testing.T) {
			kind.require(t)
			r := startRelayed(t, kind.start)
			t.Run("what one writes the other reads", r.subtest((*relayed).corpus))
			t.Run("our own mark does not leave", r.subtest((*relayed).ownMark))
			t.Run("a forged mark does not arrive", r.subtest((*relayed).forgedMark))
			t.Run("a listed domain does not come by a relay", r.subtest((*relayed).listedSender))
		})
	}
}

// subtest makes a subtest of a test on what is running.
func (r *relayed) subtest(f func(*relayed)) func(*testing.T) {
	return func(t *testing.T) {
		sub := *r
		sub.t = t
		f(&sub)
	}
}

// notRelayed are the messages of the corpus that cannot come through unchanged.
var notRelayed = map[string]string{
	"testdata__encode__part-message-rfc822.golden.eml":  "it holds a bare CR, which A refuses",
	"error_emails__header_fields_with_empty_values.eml": "it holds fields of the organisation, which A removes",
	"error_emails__bad_subject.eml":                     "Exim rewrites its folded line of nothing but a space",
}

// corpus sends messages all the way. What arrives must end in what was sent;
// what stands above it are the Received fields of three servers.
func (r *relayed) corpus() {
	files, err := filepath.Glob("../../testdata/corpus/*/*.eml")
	if err != nil || len(files) < 150 {
		r.t.Fatalf("the corpus has %d messages: %v", len(files), err)
	}
	d, _ := testkit.Dial(r.t, testkit.HostPort(contosoHost, r.inner), "")
	d.Say("EHLO inner.contoso.com")
	type message struct {
		file string
		data []byte
	}
	sent := map[string]message{}
	for i, file := range files {
		if notRelayed[filepath.Base(file)] != "" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		data = withCRLF(data)
		from := fmt.Sprintf("n%d@corpus.example", i)
		if reply := d.Send(from, "box@woodgrovebank.com", data); !strings.HasPrefix(reply, "250") {
			r.t.Errorf("%s: %s", file, reply)
			continue
		}
		sent[from] = message{file: file, data: data}
	}
	testkit.Eventually(r.t, 60*time.Second, "every message arrives", func() bool { return len(r.woodgroveBox.Messages()) >= len(sent) })
	for _, m := range r.woodgroveBox.Messages() {
		want, ok := sent[m.From]
		delete(sent, m.From)
		switch {
		case !ok:
			r.t.Errorf("a message from %s came that nobody sent, or came twice", m.From)
		case !bytes.HasSuffix(m.Data, want.data):
			r.t.Errorf("%s was changed: %s", want.file, firstChange(string(want.data), string(m.Data)))
		default:
			above := string(m.Data[:len(m.Data)-len(want.data)])
			if n := strings.Count("\r\n"+above, "\r\nReceived: "); n != 3 || strings.Contains(above, "\r\n\r\n") {
				r.t.Errorf("%s: %d Received fields stand above the message, want 3 and nothing else:\n%s", want.file, n, above)
			}
		}
	}
}

// firstChange describes the first line, from the end, that differs.
func firstChange(sent, got string) string {
	s, g := strings.SplitAfter(sent, "\r\n"), strings.SplitAfter(got, "\r\n")
	for i := range min(len(s), len(g)) {
		if a, b := s[len(s)-1-i], g[len(g)-1-i]; a != b {
			return fmt.Sprintf("%d lines before the end %.200q has become %.200q", i, a, b)
		}
	}
	return fmt.Sprintf("%d lines have become %d", len(s), len(g))
}

// withCRLF makes every line end CRLF, and gives the last line one.
func withCRLF(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	if !bytes.HasSuffix(data, []byte("\r\n")) {
		data = append(data, "\r\n"...)
	}
	return data
}

// ownMark has A mark a message, and looks for the mark where A hands it off
// and, in vain, where it goes on to.
func (r *relayed) ownMark() {
	d, _ := testkit.Dial(r.t, testkit.HostPort(contosoHost, r.port), "")
	d.Say("EHLO mail1.fabrikam.com")
	cert, err := tls.LoadX509KeyPair(r.fabrikamCert, r.fabrikamKey)
	if err != nil {
		r.t.Fatal(err)
	}
	d.StartTLS(&tls.Config{Certificates: []tls.Certificate{cert}})
	for _, to := range []string{"bob@contoso.com", "bob@woodgrovebank.com"} {
		if reply := d.Send("alice@fabrikam.com", to, []byte(fmt.Sprintf(note, "fabrikam.com", "b.example", "fabrikam.com"))); !strings.HasPrefix(reply, "250") {
			r.t.Fatalf("to %s: %s", to, reply)
		}
	}
	w := &town{t: r.t}
	if m := w.waitMessage(r.contosoBox, "bob@contoso.com"); !strings.Contains(m, "Mailpact-Domain-Secured: domain=fabrikam.com;") {
		r.t.Errorf("A has not marked the message:\n%s", m)
	}
	m := w.waitMessage(r.woodgroveBox, "bob@woodgrovebank.com")
	for _, field := range []string{"mailpact-", "authentication-results", "x-domain-secured"} {
		if strings.Contains(strings.ToLower(m), field) {
			r.t.Errorf("%s has left the organisation:\n%s", field, m)
		}
	}
}

// forgedMark gives the relay a message that claims to be secured for B.
func (r *relayed) forgedMark() {
	const forged = "Mailpact-Domain-Secured: domain=contoso.com; name=mail1.contoso.com; revocation=good; by=mail1.woodgrovebank.com\r\n" +
		"MAILPACT-domain-secured : domain=contoso.com\r\n" +
		"Authentication-Results: woodgrovebank.com; x-domain-secured=pass policy.domain=contoso.com\r\n" +
		"authentication-results:\r\n woodgrovebank.com;\r\n x-domain-secured=pass policy.domain=contoso.com\r\n" +
		"X-MS-Exchange-Organization-AuthAs: Internal\r\n" +
		"Authentication-Results: list.example; dkim=pass header.d=b.example\r\n"
	text := forged + fmt.Sprintf(note, "b.example", "woodgrovebank.com", "b.example")
	testkit.Inject(r.t, testkit.HostPort(relayHost, r.port), "mallory@b.example", "carol@woodgrovebank.com", []byte(text))
	w := &town{t: r.t}
	m := w.waitMessage(r.woodgroveBox, "mallory@b.example")
	for _, field := range []string{"mailpact-", "x-domain-secured", "x-ms-exchange"} {
		if strings.Contains(strings.ToLower(m), field) {
			r.t.Errorf("a forged %s arrived:\n%s", field, m)
		}
	}
	if !strings.Contains(m, "Authentication-Results: list.example; dkim=pass header.d=b.example\r\nFrom: ") {
		r.t.Errorf("somebody else's Authentication-Results was lost:\n%s", m)
	}
}

// listedSender has A send mail of the domain that B lists. The relay cannot
// prove that it is A.
func (r *relayed) listedSender() {
	testkit.Inject(r.t, testkit.HostPort(contosoHost, r.inner), "alice@contoso.com", "dave@woodgrovebank.com",
		[]byte(fmt.Sprintf(note, "contoso.com", "woodgrovebank.com", "contoso.com")))
	testkit.Eventually(r.t, 30*time.Second, "the relay learns that it is not trusted", func() bool {
		return strings.Contains(r.relay.Log(), "454 4.7.5 Certificate validation failure, Reason:UntrustedRoot")
	})
	for _, m := range r.woodgroveBox.Messages() {
		if m.From == "alice@contoso.com" {
			r.t.Errorf("it arrived all the same:\n%s", m.Data)
		}
	}
}
