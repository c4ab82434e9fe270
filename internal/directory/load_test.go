package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"mailpact/internal/smtp"
)

// comparable lets cmp look at addresses as values.
var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

// options are those of a machine called mail1.contoso.com.
func options() LoadOptions {
	return LoadOptions{File: "mailpact.yaml", Base: "/etc/mailpact", Hostname: "mail1.contoso.com", DefaultDataDirectory: "/data", SkipFiles: true}
}

func mustParse(t *testing.T, text string) *Configuration {
	t.Helper()
	c, faults := Parse([]byte(text), options())
	if len(faults) > 0 {
		t.Fatalf("parsing:\n%s\n%v", text, faults)
	}
	return c
}

func faultsOf(text string, change ...func(*LoadOptions)) string {
	o := options()
	for _, f := range change {
		f(&o)
	}
	_, faults := Parse([]byte(text), o)
	return faults.Error()
}

// contractFile is the example that other tools hold on to.
const contractFile = `
server:
  role: standalone
  fqdn: mail1.contoso.com
  dataDirectory: data
  adminSocket: ""
  http: 127.0.0.1:9925
  resolvers: [127.0.0.1:5300]
certificates:
  - {certificateFile: mail1.pem, keyFile: mail1.key, services: [SMTP]}
trust:
  systemRoots: true
  anchors: [{file: woodgrove-root.pem, scope: [woodgrovebank.com], revocation: required}]
  intermediates: [{file: cross.pem, scope: [any]}]
revocation: {perURL: 15s, perChain: 20s, maxBytes: 64MB, allowPrivateTargets: false}
transportConfig: {authservID: contoso.com, postmaster: postmaster@contoso.com}
partners:
  - {domain: woodgrovebank.com, mode: enforce, send: true, receive: true, nameRule: domain, names: [], anchors: [], usage: mailServer, fromAlignment: unmarked}
acceptedDomains:
  - {name: contoso.com, type: Authoritative, handOff: "smtp://127.0.0.1:2601"}
  - {name: b.example, type: InternalRelay}
receiveConnectors:
  - {name: Inet, bindings: ["0.0.0.0:25"], remoteIPRanges: ["0.0.0.0/0"], fqdn: mail.contoso.com, authMechanism: [Tls],
     permissionGroups: [AnonymousUsers, Partners], domainSecureEnabled: true, requireTLS: false, bareLineFeeds: reject, protocolLoggingLevel: Verbose}
sendConnectors:
  - {name: Internet, enabled: true, addressSpaces: ["*;1"], dnsRoutingEnabled: true, smartHosts: [], port: 25, fqdn: mail.contoso.com,
     domainSecureEnabled: true, requireTLS: false, ignoreSTARTTLS: false, sourceIPAddress: 0.0.0.0}
queue: {glitchRetryInterval: 1m, glitchRetryCount: 4, transientRetryInterval: 10m, transientRetryCount: 6, retryInterval: 30m, delayNotification: 4h, expiration: 48h}
`

func TestParseContractFile(t *testing.T) {
	receive, send := defaultReceiveConnector(), defaultSendConnector()
	receive.Name, receive.Bindings, receive.FQDN = "Inet", []string{"0.0.0.0:25"}, "mail.contoso.com"
	receive.DomainSecureEnabled, receive.ProtocolLoggingLevel = true, LoggingVerbose
	receive.RemoteIPRanges = receive.RemoteIPRanges[:1] // of IPv4
	receive.deriveSourceLimits()
	send.Name, send.FQDN, send.DomainSecureEnabled = "Internet", "mail.contoso.com", true
	send.AddressSpaces = []AddressSpace{{Any: true, Cost: 1}}
	want := &Configuration{
		Server: Server{
			Role: RoleStandalone, FQDN: "mail1.contoso.com", DataDirectory: "/etc/mailpact/data",
			AdminSocket: "/etc/mailpact/data/admin.sock", HTTP: "127.0.0.1:9925",
			Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5300")},
		},
		Certificates: []CertificateFile{{CertificateFile: "/etc/mailpact/mail1.pem", KeyFile: "/etc/mailpact/mail1.key", Services: []Service{ServiceSMTP}}},
		Trust: Trust{
			SystemRoots:        true,
			Anchors:            []Anchor{{File: "/etc/mailpact/woodgrove-root.pem", Scope: Scope{Domains: []smtp.Domain{"woodgrovebank.com"}}, Revocation: RevocationRequired}},
			Intermediates:      []Intermediate{{File: "/etc/mailpact/cross.pem", Scope: Scope{Any: true}}},
			FetchIntermediates: true, CommonName: true,
		},
		Authority:       Authority{Directory: "/etc/mailpact/data/ca"},
		Revocation:      Revocation{PerURL: 15 * time.Second, PerChain: 20 * time.Second, MaxBytes: 64 << 20},
		TransportConfig: TransportConfig{AuthservID: "contoso.com", Postmaster: smtp.Mailbox{LocalPart: "postmaster", Domain: "contoso.com"}},
		Partners: []Partner{{
			Domain: "woodgrovebank.com", Mode: ModeEnforce, Send: true, Receive: true,
			NameRule: NameRuleDomain, Usage: UsageMailServer, FromAlignment: FromUnmarked,
		}},
		AcceptedDomains:   []AcceptedDomain{{Name: "contoso.com", Type: Authoritative, HandOff: "127.0.0.1:2601"}, {Name: "b.example", Type: InternalRelay}},
		ReceiveConnectors: []ReceiveConnector{receive},
		SendConnectors:    []SendConnector{send},
		Queue: Queue{
			GlitchRetryInterval: time.Minute, GlitchRetryCount: 4, TransientRetryInterval: 10 * time.Minute, TransientRetryCount: 6,
			RetryInterval: 30 * time.Minute, DelayNotification: 4 * time.Hour, Expiration: 48 * time.Hour,
			MaxConnectionsPerDestination: 64,
		},
	}
	if diff := cmp.Diff(want, mustParse(t, contractFile), comparable); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseValues(t *testing.T) {
	receive := func(c *Configuration) ReceiveConnector { return c.ReceiveConnectors[0] }
	send := func(c *Configuration) SendConnector { return c.SendConnectors[0] }
	const (
		r = "receiveConnectors:\n  - {name: R, %s}"
		s = "sendConnectors:\n  - {name: S, addressSpaces: [\"*\"], %s}"
	)
	tests := []struct {
		name, format, text string
		got                func(*Configuration) any
		want               any
	}{
		{"size unlimited", r, "maxMessageSize: unlimited", func(c *Configuration) any { return receive(c).MaxMessageSize }, int64(Unlimited)},
		{"size with a space", r, `maxMessageSize: "35 mb"`, func(c *Configuration) any { return receive(c).MaxMessageSize }, int64(35 << 20)},
		{"count unlimited", r, "maxInboundConnection: unlimited", func(c *Configuration) any { return receive(c).MaxInboundConnection }, int64(Unlimited)},
		{"timeouts unlimited", r, "connectionTimeout: unlimited, connectionInactivityTimeout: unlimited", func(c *Configuration) any { return receive(c).ConnectionTimeout }, time.Duration(Unlimited)},
		{"backoff off", r, "certificateRequestBackoff: 0", func(c *Configuration) any { return receive(c).CertificateRequestBackoff }, time.Duration(0)},
		{"banner", r, `banner: "220 mail.contoso.com at your service"`, func(c *Configuration) any { return receive(c).Banner }, "mail.contoso.com at your service"},
		{"bare line feeds", r, "bareLineFeeds: normalize", func(c *Configuration) any { return receive(c).BareLineFeeds }, smtp.BareLinesNormalize},
		{"no mechanism", r, "authMechanism: [None]", func(c *Configuration) any { return len(receive(c).AuthMechanism) }, 0},
		{"every address", r, `bindings: [":2525"]`, func(c *Configuration) any { return receive(c).Bindings }, []string{":2525"}},
		{"IPv6 binding", r, `bindings: ["[::1]:25", "[2001:DB8:0::1]:25"]`, func(c *Configuration) any { return receive(c).Bindings }, []string{"[::1]:25", "[2001:db8::1]:25"}},
		{"free ports twice", r, `bindings: ["127.0.0.1:0", "127.0.0.1:0"]`, func(c *Configuration) any { return len(receive(c).Bindings) }, 2},
		{"IPv4 and IPv6 of one port", r, `bindings: ["0.0.0.0:25", "[::]:25"]`, func(c *Configuration) any { return len(receive(c).Bindings) }, 2},
		{"inner connector", r, `bindings: ["127.0.0.1:2526"], authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers]`, func(c *Configuration) any { return c.ReceiveConnectors[0].ExternallySecured() }, true},
		{"inner connector on any binding", r, `remoteIPRanges: [10.0.0.0/8, "fd00::/8", 127.0.0.1], authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers]`, func(c *Configuration) any { return c.ReceiveConnectors[0].ServesInsideOnly() }, true},
		{"limits of an inner connector", r, `bindings: ["127.0.0.1:25"], authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers]`, sourceLimits, [3]int64{Unlimited, Unlimited, Unlimited}},
		{"limits written for an inner connector", r, `bindings: ["127.0.0.1:25"], authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers], maxInboundConnectionPerSource: 3, messageRateLimit: 9`, sourceLimits, [3]int64{3, Unlimited, 9}},
		{"limits of a stranger", r, "requireTLS: false", sourceLimits, [3]int64{20, 2, 600}},
		{"limits unlimited", r, "maxInboundConnectionPerSource: unlimited, maxInboundConnectionPercentagePerSource: unlimited, messageRateLimit: unlimited", sourceLimits, [3]int64{Unlimited, Unlimited, Unlimited}},
		{"percentage with its sign", r, "maxInboundConnectionPercentagePerSource: 50%", sourceLimits, [3]int64{20, 50, 600}},
		{"no tarpit", r, "tarpitInterval: 0", func(c *Configuration) any { return receive(c).TarpitInterval }, time.Duration(0)},
		{"ranges", r, `remoteIPRanges: [192.0.2.1, 192.0.2.8/29, 10.0.0.1 - 10.0.0.5, "2001:db8::/32", "::ffff:10.0.0.9"]`, func(c *Configuration) any { return fmt.Sprint(receive(c).RemoteIPRanges) }, "[192.0.2.1 192.0.2.8/29 10.0.0.1-10.0.0.5 2001:db8::/32 10.0.0.9]"},
		{"upstreams", r, "proxyProtocolFrom: [10.0.0.1, 10.0.1.0/28]", func(c *Configuration) any { return fmt.Sprint(receive(c).ProxyProtocolFrom) }, "[10.0.0.1 10.0.1.0/28]"},
		{"connectors share a binding", "%s", `receiveConnectors: [{name: Inet}, {name: Inner, bindings: [":025"], remoteIPRanges: [10.0.0.0/8]}, {name: One, remoteIPRanges: [10.0.0.7]}]`, func(c *Configuration) any { return len(c.ReceiveConnectors) }, 3},
		{"connectors on free ports", "%s", `receiveConnectors: [{name: A, bindings: [":0"]}, {name: B, bindings: [":0"]}]`, func(c *Configuration) any { return len(c.ReceiveConnectors) }, 2},
		{"fqdn of the server", r, "requireTLS: false", func(c *Configuration) any { return receive(c).FQDN }, smtp.Domain("mail1.contoso.com")},
		{"source address", s, "sourceIPAddress: 127.0.0.2", func(c *Configuration) any { return send(c).SourceIPAddress }, netip.MustParseAddr("127.0.0.2")},
		{"any source address", s, `sourceIPAddress: "::"`, func(c *Configuration) any { return send(c).SourceIPAddress }, netip.Addr{}},
		{"smart hosts", s, `dnsRoutingEnabled: false, smartHosts: [Relay.Example, "relay.example:2525", "[192.0.2.1]", "[2001:db8::1]:26"]`, func(c *Configuration) any { return send(c).SmartHosts }, []string{"relay.example", "relay.example:2525", "192.0.2.1", "[2001:db8::1]:26"}},
		{"no authentication", s, "smartHostAuthMechanism: None", func(c *Configuration) any { return send(c).Name }, "S"},
		{"messages unlimited", s, "smtpMaxMessagesPerConnection: unlimited", func(c *Configuration) any { return send(c).SMTPMaxMessagesPerConnection }, int64(Unlimited)},
		{"address spaces", "%s", `sendConnectors: [{name: S, addressSpaces: ["*.x.y;5", X.Y, "SMTP:*;100"]}]`, func(c *Configuration) any { return send(c).AddressSpaces }, []AddressSpace{{Domain: "x.y", Subdomains: true, Cost: 5}, {Domain: "x.y", Cost: 1}, {Any: true, Cost: 100}}},
		{"no connectors", "%s", "receiveConnectors: []\nsendConnectors: []", func(c *Configuration) any { return len(c.ReceiveConnectors) + len(c.SendConnectors) }, 0},
		{"test mode", "%s", "partners: [{domain: a.example, mode: test}]", func(c *Configuration) any { return c.Partners[0].Mode }, ModeTest},
		{"a partner is enforced", "%s", "partners: [{domain: a.example}]", func(c *Configuration) any { return c.Partners[0].Mode }, ModeEnforce},
		{"public suffix, exactly", "%s", "partners: [{domain: co.uk, nameRule: exact}]", func(c *Configuration) any { return c.Partners[0].Domain }, smtp.Domain("co.uk")},
		{"domain as A-label", "%s", "partners: [{domain: bücher.example}]", func(c *Configuration) any { return c.Partners[0].Domain }, smtp.Domain("xn--bcher-kva.example")},
		{"thumbprint with colons", "%s", "partners: [{domain: a.example, anchors: [\"" + strings.TrimSuffix(strings.Repeat("AB:", 32), ":") + "\"]}]", func(c *Configuration) any { return c.Partners[0].Anchors }, []string{strings.Repeat("ab", 32)}},
		{"hand-off without a port", "%s", `acceptedDomains: [{name: a.example, handOff: "smtp://inner.example"}]`, func(c *Configuration) any { return c.AcceptedDomains[0].HandOff }, "inner.example:25"},
		{"hand-off to IPv6", "%s", `acceptedDomains: [{name: a.example, handOff: "smtp://[::1]:2601"}]`, func(c *Configuration) any { return c.AcceptedDomains[0].HandOff }, "[::1]:2601"},
		{"postmaster at the first accepted domain", "%s", `acceptedDomains: [{name: a.example}]`, func(c *Configuration) any { return c.TransportConfig.Postmaster.Domain }, smtp.Domain("a.example")},
		{"resolver without a port", "%s", `server: {resolvers: [192.0.2.53, "2001:db8::53"]}`, func(c *Configuration) any { return fmt.Sprint(c.Server.Resolvers) }, "[192.0.2.53:53 [2001:db8::53]:53]"},
		{"tries unlimited", "%s", "queue: {glitchRetryCount: unlimited}", func(c *Configuration) any { return c.Queue.GlitchRetryCount }, int(Unlimited)},
		{"no delay notification", "%s", "queue: {delayNotification: unlimited}", func(c *Configuration) any { return c.Queue.DelayNotification }, time.Duration(Unlimited)},
		{"an alias", "%s", "partners:\n  - {domain: a.example, names: &n [m.example], nameRule: listed}\n  - {domain: b.example, names: *n, nameRule: listed}", func(c *Configuration) any { return c.Partners[1].Names }, []string{"m.example"}},
		{"an empty file", "%s", "# nothing\n", func(c *Configuration) any { return receive(c).Bindings }, []string{":25"}},
		{"an empty section", "%s", "queue:\npartners:\n", func(c *Configuration) any { return c.Queue.Expiration }, 48 * time.Hour},
		{"key beside certificate", "%s", "certificates: [{certificateFile: both.pem}]", func(c *Configuration) any { return c.Certificates[0].KeyFile }, "/etc/mailpact/both.pem"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, fmt.Sprintf(tt.format, tt.text))
			if diff := cmp.Diff(tt.want, tt.got(c), comparable); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// sourceLimits are the limits per client of the first receive connector.
func sourceLimits(c *Configuration) any {
	r := c.ReceiveConnectors[0]
	return [3]int64{r.MaxInboundConnectionPerSource, r.MaxInboundConnectionPercentagePerSource, r.MessageRateLimit}
}

func TestParseLimits(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'h'; i++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	tests := []struct{ name, text, want string }{
		{"size", "# " + strings.Repeat("x", MaxFileBytes), "1048576 is the limit"},
		{"depth", "queue: " + strings.Repeat("[", 20) + strings.Repeat("]", 20), "more than 16 deep"},
		{"depth of the parser", strings.Repeat("[", 100_000), "not YAML"},
		{"aliases", bomb, "more than 100 aliases"},
		{"values", "partners: [" + strings.Repeat("1,", maxValues) + "]", "more than 200000 values"},
		{"long value", "server: {fqdn: " + strings.Repeat("a", 2000) + "}", "1024 is the limit"},
		{"not UTF-8", "server: {fqdn: \xff}", "not YAML"},
		{"control characters in a key", "\"a\\eb\": 1", `\x1b`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := faultsOf(tt.text); !strings.Contains(got, tt.want) {
				t.Errorf("got %.300q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestLoadOverrides(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text string
		with       func(*LoadOptions)
		got        func(*Configuration) any
		want       any
		fault      string
	}{
		{name: "data", text: "server: {dataDirectory: a}", with: func(o *LoadOptions) { o.DataDirectory = "/b" }, got: func(c *Configuration) any { return c.Server.AdminSocket }, want: "/b/admin.sock"},
		{name: "relative data", with: func(o *LoadOptions) { o.DataDirectory = "b" }, got: func(c *Configuration) any { return c.Server.DataDirectory }, want: filepath.Join(here, "b")},
		{name: "listen", with: func(o *LoadOptions) { o.Listen = "127.0.0.1:2525" }, got: func(c *Configuration) any { return c.ReceiveConnectors[0].Bindings }, want: []string{"127.0.0.1:2525"}},
		{name: "listen with two connectors", text: "receiveConnectors:\n- {name: A, bindings: [\":1\"]}\n- {name: B, bindings: [\":2\"]}", with: func(o *LoadOptions) { o.Listen = ":2525" }, fault: "the file has 2"},
		{name: "listen that is none", with: func(o *LoadOptions) { o.Listen = "2525" }, fault: "--listen"},
		{name: "no data directory", with: func(o *LoadOptions) { o.DefaultDataDirectory = "" }, fault: "--data"},
		{name: "no hostname", with: func(o *LoadOptions) { o.Hostname = "" }, fault: "server.fqdn"},
		{name: "hostname that is no domain", with: func(o *LoadOptions) { o.Hostname = "my machine" }, fault: "server.fqdn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			tt.with(&o)
			c, faults := Parse([]byte(tt.text), o)
			if tt.fault != "" {
				if !strings.Contains(faults.Error(), tt.fault) {
					t.Errorf("faults %q, want %q in them", faults.Error(), tt.fault)
				}
				return
			}
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			if diff := cmp.Diff(tt.want, tt.got(c)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mailpact.yaml")
	writePair(t, dir)
	text := "certificates: [{certificateFile: mail1.pem, keyFile: mail1.key}]"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, faults := Load(path, LoadOptions{Hostname: "mail1.contoso.com", DefaultDataDirectory: "/data"})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if got, want := c.Certificates[0].CertificateFile, filepath.Join(dir, "mail1.pem"); got != want {
		t.Errorf("certificate file %s, want %s", got, want)
	}
	for _, bad := range []string{filepath.Join(dir, "none.yaml"), dir} {
		if c, faults := Load(bad, LoadOptions{}); c != nil || len(faults) != 1 || faults[0].File != bad {
			t.Errorf("%s: %v, %v", bad, c, faults)
		}
	}
}

// writePair writes mail1.pem and mail1.key, and the CA files of the sample.
func writePair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mail1.contoso.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mail1.pem", "woodgrove-root.pem", "cross.pem"} {
		writePEM(t, filepath.Join(dir, name), "CERTIFICATE", der)
	}
	writePEM(t, filepath.Join(dir, "mail1.key"), "PRIVATE KEY", pkcs8)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSample holds the documented sample against the loader: it is valid, and
// every default that it states is the one that counts.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir)
	o := options()
	o.Base, o.SkipFiles = dir, false
	if _, faults := Parse(Sample(), o); len(faults) > 0 {
		t.Fatalf("the sample is not valid:\n%v", faults)
	}
	o.SkipFiles = true
	stated := 0
	var walk func(prefix []string, entries []entry)
	walk = func(prefix []string, entries []entry) {
		for _, e := range entries {
			path := append(append([]string{}, prefix...), e.key)
			if e.children != nil {
				walk(path, e.children)
				continue
			}
			if e.def == "" {
				continue
			}
			stated++
			written := parseEdited(t, o, path, e.def)
			left := parseEdited(t, o, path, "")
			if diff := cmp.Diff(left, written, comparable, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: the stated default %s is not the default (-default +stated):\n%s", strings.Join(path, "."), e.def, diff)
			}
		}
	}
	walk(nil, describe(fileObject().fields))
	if stated < 40 {
		t.Errorf("%d defaults are stated; more are known", stated)
	}
}

// parseEdited parses the sample with one key set to text, or taken away.
func parseEdited(t *testing.T, o LoadOptions, path []string, text string) *Configuration {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(Sample(), &doc); err != nil {
		t.Fatal(err)
	}
	n := doc.Content[0]
	for depth, key := range path {
		if n.Kind == yaml.SequenceNode {
			n = n.Content[0]
		}
		at := -1
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				at = i
			}
		}
		if at < 0 {
			t.Fatalf("the sample has no %v", path)
		}
		if depth < len(path)-1 {
			n = n.Content[at+1]
			continue
		}
		if text == "" {
			n.Content = append(n.Content[:at], n.Content[at+2:]...)
			break
		}
		var v yaml.Node
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		n.Content[at+1] = v.Content[0]
	}
	out, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	c, faults := Parse(out, o)
	if len(faults) > 0 {
		t.Fatalf("%v %q: %v", path, text, faults)
	}
	return c
}

// TestKeysOfTheSchema holds the tables together: every key is documented, and
// none is both built and refused.
func TestKeysOfTheSchema(t *testing.T) {
	check := func(kind string, entries []entry, refused map[string]string) {
		for k := range refused {
			if k != strings.ToLower(k) {
				t.Errorf("%s: %s is not in lower case", kind, k)
			}
		}
		for _, e := range entries {
			if e.doc == "" || (e.value == "" && e.children == nil) {
				t.Errorf("%s: %s has no documentation or sample", kind, e.key)
			}
			if _, both := refused[strings.ToLower(e.key)]; both {
				t.Errorf("%s: %s is both built and refused", kind, e.key)
			}
		}
	}
	check("file", describe(fileObject().fields), fileObject().unavailable)
	check("server", describe(serverObject().fields), serverObject().unavailable)
	check("certificate", describe(certificateObject().fields), certificateObject().unavailable)
	check("trust", describe(trustObject().fields), trustObject().unavailable)
	check("anchor", describe(anchorObject().fields), anchorObject().unavailable)
	check("revocation", describe(revocationObject().fields), revocationObject().unavailable)
	check("transportConfig", describe(transportConfigObject().fields), transportConfigObject().unavailable)
	check("partner", describe(partnerObject().fields), partnerObject().unavailable)
	check("accepted domain", describe(acceptedDomainObject().fields), acceptedDomainObject().unavailable)
	check("receive connector", describe(receiveConnectorObject().fields), receiveConnectorObject().unavailable)
	check("send connector", describe(sendConnectorObject().fields), sendConnectorObject().unavailable)
	check("queue", describe(queueObject().fields), queueObject().unavailable)
}
