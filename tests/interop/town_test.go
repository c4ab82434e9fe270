//go:build interop

// Package interop lets the gateway meet real peers. Each file draws its own
// topology; what they share is the town, where every organisation has a
// loopback address of its own and all use one port:
//
//	Contoso (ours)     mailpact   127.20.0.1    contoso.com
//	Woodgrove Bank     a peer     127.20.0.2    woodgrovebank.com    a listed partner of Contoso
//	strangers          a peer     127.20.1.N    strangerN.example
//
// Behind them stand sinks, which keep what is handed to them. Contoso
// and Woodgrove trust each other's private CA, whose CRL is published on loopback.
package interop

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/dnsx/dnsserver"
	"mailpact/tests/testkit"
)

const (
	contosoHost   = "127.20.0.1"
	woodgroveHost = "127.20.0.2"
	strangers     = 7
	note          = "From: Alice <alice@%s>\r\nTo: Bob <bob@%s>\r\nSubject: rates\r\nMessage-ID: <1@%s>\r\n\r\nGood morning.\r\n.\r\n..dots\r\n"
)

// stranger returns the domain and the address of an organisation that nobody
// knows; n is from 1 to strangers.
func stranger(n int) (domain, host string) {
	return fmt.Sprintf("stranger%d.example", n), fmt.Sprintf("127.20.1.%d", n)
}

// town is the organisations and what they share.
type town struct {
	t                                     *testing.T
	port, inner, plain, users             int
	contosoCA, woodgroveCA                *testkit.PKI
	gateway                               *testkit.Gateway
	postfix                               *testkit.Postfix
	contosoBox, woodgroveBox, strangerBox *testkit.Sink
	zone                                  *dnsserver.Server
}

type townOptions struct {
	woodgroveNames []string          // names in Woodgrove's certificate
	revoke         bool              // revoke it before anything runs
	postfix        map[string]string // further settings; an empty one takes a setting away
	contosoNames   []string          // names in our certificate
	distrust       bool              // Woodgrove trusts its own root alone
}

// foundTown makes the town and starts Contoso's gateway, whose certificate has
// the given names, or those that are right.
func foundTown(t *testing.T, contosoNames ...string) *town {
	t.Helper()
	return foundTownWith(t, "", contosoNames...)
}

// foundTownWith is foundTown with a hand-off, "" for one to the sink.
func foundTownWith(t *testing.T, handOff string, contosoNames ...string) *town {
	t.Helper()
	w := &town{t: t, contosoCA: testkit.NewPKI(t, "Contoso Root"), woodgroveCA: testkit.NewPKI(t, "Woodgrove Root")}
	hosts := []string{contosoHost, woodgroveHost}
	for n := range strangers {
		_, host := stranger(n + 1)
		hosts = append(hosts, host)
	}
	w.port = testkit.FreePort(t, hosts...)
	w.inner, w.plain, w.users = testkit.FreePort(t, contosoHost), testkit.FreePort(t, contosoHost), testkit.FreePort(t, contosoHost)
	w.contosoBox, w.woodgroveBox, w.strangerBox = testkit.StartSink(t, "127.0.0.1"), testkit.StartSink(t, "127.0.0.1"), testkit.StartSink(t, "127.0.0.1")
	if contosoNames == nil {
		contosoNames = []string{"mail1.contoso.com", "contoso.com"}
	}
	if handOff == "" {
		handOff = "smtp://" + w.contosoBox.Addr
	}
	w.startZone()
	cert, key, _ := w.contosoCA.Leaf("gateway", contosoNames...)
	w.gateway = testkit.StartGateway(t, t.TempDir(), w.config(cert, key, handOff))
	return w
}

// newTown is the town with Postfix at Woodgrove.
func newTown(t *testing.T, o townOptions) *town {
	t.Helper()
	testkit.RequirePostfix(t)
	w := foundTown(t, o.contosoNames...)
	cert, key := w.woodgroveLeaf(o)
	trusts := w.peersTrust(o).RootFile()
	gateway := bracketed(w.contoso())
	settings := map[string]string{
		"smtpd_tls_security_level": "may", "smtpd_tls_ask_ccert": "yes",
		"smtpd_tls_CAfile": trusts, "smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key,
		"smtp_tls_security_level": "may", "smtp_tls_CAfile": trusts,
		"smtp_tls_cert_file": cert, "smtp_tls_key_file": key,
		// Nothing is looked up here: the next hop is an address, and the policy names what its certificate must say.
		"smtp_tls_policy_maps": fmt.Sprintf("inline:{ { %s = secure match=contoso.com:.contoso.com } }", gateway),
	}
	override(settings, o.postfix)
	w.postfix = testkit.StartPostfix(t, testkit.PostfixOptions{
		Host: woodgroveHost, Port: w.port, Hostname: "mail1.woodgrovebank.com", Settings: settings,
		NextHops: map[string]string{"contoso.com": gateway, "woodgrovebank.com": bracketed(w.woodgroveBox.Addr)},
	})
	return w
}

// override puts further settings over others; an empty one takes a setting away.
func override(settings, further map[string]string) {
	maps.Copy(settings, further)
	maps.DeleteFunc(settings, func(_, v string) bool { return v == "" })
}

// woodgroveLeaf issues Woodgrove's certificate.
func (w *town) woodgroveLeaf(o townOptions) (cert, key string) {
	w.t.Helper()
	if o.woodgroveNames == nil {
		o.woodgroveNames = []string{"mail1.woodgrovebank.com", "woodgrovebank.com"}
	}
	cert, key, leaf := w.woodgroveCA.Leaf("woodgrove", o.woodgroveNames...)
	if o.revoke {
		if err := w.woodgroveCA.Revoke(leaf.SerialNumber, 1); err != nil {
			w.t.Fatal(err)
		}
	}
	return cert, key
}

// peersTrust returns the CA that Woodgrove trusts.
func (w *town) peersTrust(o townOptions) *testkit.PKI {
	if o.distrust {
		return w.woodgroveCA
	}
	return w.contosoCA
}

func (w *town) config(cert, key, handOff string) string {
	return fmt.Sprintf(`
server: {fqdn: mail1.contoso.com, dataDirectory: data, http: "", resolvers: ["%s"], accountsFile: %s}
certificates: [{certificateFile: %s, keyFile: %s, services: [SMTP]}]
trust:
  systemRoots: false
  anchors:
    - {file: %s, scope: [woodgrovebank.com], revocation: required}
    - {file: %s, scope: [contoso.com], revocation: required}
revocation: {allowPrivateTargets: true}
partners: [{domain: woodgrovebank.com, mode: enforce, send: true, receive: true}]
acceptedDomains: [{name: contoso.com, type: Authoritative, handOff: "%s"}]
receiveConnectors:
  - {name: Inet, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [Tls], permissionGroups: [AnonymousUsers, Partners], domainSecureEnabled: true, tarpitInterval: 0s, protocolLoggingLevel: Verbose}
  - {name: Plain, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [Tls], permissionGroups: [AnonymousUsers], protocolLoggingLevel: Verbose}
  - {name: Users, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [Tls, BasicAuth, BasicAuthRequireTLS], permissionGroups: [ExchangeUsers], maxLogonFailures: 1, tarpitInterval: 0s, protocolLoggingLevel: Verbose}
  - {name: Inner, bindings: ["%s:%d"], fqdn: mail1.contoso.com, authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers]}
sendConnectors:
  - {name: Internet, addressSpaces: ["*;1"], dnsRoutingEnabled: true, port: %d, fqdn: mail1.contoso.com, domainSecureEnabled: true, sourceIPAddress: %s, protocolLoggingLevel: Verbose}
queue: {glitchRetryInterval: 1s}
`, w.zone.Addr(), w.accounts(), cert, key, w.woodgroveCA.RootFile(), w.contosoCA.RootFile(), handOff,
		contosoHost, w.port, contosoHost, w.plain, contosoHost, w.users, contosoHost, w.inner, w.port, contosoHost)
}

// accounts makes a file with the account alice and the password "horse battery".
func (w *town) accounts() string {
	w.t.Helper()
	code, line := testkit.Tool(w.t, "horse battery\n", testkit.Binary(w.t), "account", "line", "alice")
	file := filepath.Join(w.t.TempDir(), "accounts")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil || code != 0 {
		w.t.Fatalf("making an account: exit code %d, %v:\n%s", code, err, line)
	}
	return file
}

// receiveLog returns the protocol log of the receive connectors.
func (w *town) receiveLog() string {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.gateway.Data, "logs/protocol/receive/*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no protocol log: %v", err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

// contoso is where the Internet finds the gateway.
func (w *town) contoso() string { return testkit.HostPort(contosoHost, w.port) }

// fromWoodgrove gives Woodgrove's peer a message for Contoso.
func (w *town) fromWoodgrove() {
	w.t.Helper()
	w.from(woodgroveHost, "woodgrovebank.com", "contoso.com")
}

// fromContoso gives the gateway a message for Woodgrove.
func (w *town) fromContoso() { w.t.Helper(); w.from(contosoHost, "contoso.com", "woodgrovebank.com") }

// from gives the server at host, our own by its inner connector, a message.
func (w *town) from(host, sender, recipient string) {
	w.t.Helper()
	port := w.port
	if host == contosoHost {
		port = w.inner
	}
	testkit.Inject(w.t, testkit.HostPort(host, port), "alice@"+sender, "bob@"+recipient, []byte(fmt.Sprintf(note, sender, recipient, sender)))
}

// waitMessage waits until box has a message from or to the address, and returns it.
func (w *town) waitMessage(box *testkit.Sink, address string) string {
	w.t.Helper()
	var data string
	testkit.Eventually(w.t, 30*time.Second, "a message from or to "+address+" arrives", func() bool {
		for _, m := range box.Messages() {
			if m.From == address || slices.Contains(m.To, address) {
				data = string(m.Data)
				return true
			}
		}
		return false
	})
	return data
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

// startZone publishes everybody's MX records.
func (w *town) startZone() {
	w.t.Helper()
	hosts := map[string]string{"contoso.com": contosoHost, "woodgrovebank.com": woodgroveHost}
	for n := range strangers {
		domain, host := stranger(n + 1)
		hosts[domain] = host
	}
	zone := dnsserver.NewZone(60)
	for domain, host := range hosts {
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
