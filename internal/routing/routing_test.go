package routing_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/dnsx/dnsxtest"
	"mailpact/internal/domainsec"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
)

func config(edit func(*directory.Configuration)) *directory.Configuration {
	c := &directory.Configuration{
		AcceptedDomains: []directory.AcceptedDomain{
			{Name: "contoso.com", Type: directory.Authoritative, HandOff: "127.0.0.1:2601"},
			{Name: "waiting.example", Type: directory.Authoritative},
			{Name: "relay.example", Type: directory.InternalRelay},
		},
		Partners: []directory.Partner{
			{Domain: "woodgrovebank.com", Mode: directory.ModeEnforce, Send: true, Receive: true},
			{Domain: "test.example", Mode: directory.ModeTest, Send: true},
			{Domain: "onlyin.example", Mode: directory.ModeEnforce, Receive: true},
		},
		SendConnectors: []directory.SendConnector{{
			Name: "Internet", Enabled: true, DNSRoutingEnabled: true, Port: 25, DomainSecureEnabled: true,
			AddressSpaces: []directory.AddressSpace{{Any: true, Cost: 1}},
		}},
	}
	if edit != nil {
		edit(c)
	}
	return c
}

func newRouter(c *directory.Configuration, r dnsx.Resolver, self ...string) *routing.Router {
	return routing.New(routing.Options{
		Config:   func() *directory.Configuration { return c },
		Resolver: r,
		SelfAddresses: func() []netip.AddrPort {
			var out []netip.AddrPort
			for _, s := range self {
				out = append(out, netip.MustParseAddrPort(s))
			}
			return out
		},
		LocalAddresses: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.9")} },
	})
}

func connector(name string, enabled bool, cost int, spaces ...directory.AddressSpace) directory.SendConnector {
	for i := range spaces {
		spaces[i].Cost = cost
	}
	return directory.SendConnector{Name: name, Enabled: enabled, DNSRoutingEnabled: true, DomainSecureEnabled: true, Port: 25, AddressSpaces: spaces}
}

func TestRoute(t *testing.T) {
	star := directory.AddressSpace{Any: true}
	exact := directory.AddressSpace{Domain: "a.example"}
	below := directory.AddressSpace{Domain: "a.example", Subdomains: true}
	wide := directory.AddressSpace{Domain: "example", Subdomains: true}
	use := func(cs ...directory.SendConnector) func(*directory.Configuration) {
		return func(c *directory.Configuration) { c.SendConnectors = cs }
	}
	tests := []struct {
		name   string
		edit   func(*directory.Configuration)
		domain smtp.Domain
		want   routing.Route // Hold is compared as a part; pointers are not compared
	}{
		{"hand-off", nil, "contoso.com", routing.Route{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: "127.0.0.1:2601", HandOff: "127.0.0.1:2601"}},
		{
			"hand-off by LMTP", func(c *directory.Configuration) { c.AcceptedDomains[0].HandOff = "lmtp://127.0.0.1:24" }, "contoso.com",
			routing.Route{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: "lmtp://127.0.0.1:24", HandOff: "127.0.0.1:24", LMTP: true},
		},
		{
			"hand-off by LMTP over a socket", func(c *directory.Configuration) { c.AcceptedDomains[0].HandOff = "lmtp+unix:///run/lmtp" }, "contoso.com",
			routing.Route{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: "lmtp+unix:///run/lmtp", Socket: "/run/lmtp", LMTP: true},
		},
		{"postmaster without domain", nil, "", routing.Route{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: "127.0.0.1:2601", HandOff: "127.0.0.1:2601"}},
		{"nowhere to hand off", nil, "waiting.example", routing.Route{DeliveryType: "Unreachable", NextHopDomain: "waiting.example", Hold: "acceptedDomains[waiting.example].handOff"}},
		{"subdomain of an accepted domain is not accepted", nil, "sub.contoso.com", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "sub.contoso.com", Connector: "Internet"}},
		{"internal relay goes by connector", nil, "relay.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "relay.example", Connector: "Internet"}},
		{"unlisted", nil, "other.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "other.example", Connector: "Internet"}},
		{"listed", nil, "woodgrovebank.com", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "woodgrovebank.com", Connector: "Internet", TLSDomain: "woodgrovebank.com"}},
		{"subdomain of a listed domain is not listed", nil, "sub.woodgrovebank.com", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "sub.woodgrovebank.com", Connector: "Internet"}},
		{"test partner demands nothing", nil, "test.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "test.example", Connector: "Internet"}},
		{"listed for receiving only", nil, "onlyin.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "onlyin.example", Connector: "Internet"}},
		{"unknown mode is enforced", func(c *directory.Configuration) { c.Partners[1].Mode = "" }, "test.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "test.example", Connector: "Internet", TLSDomain: "test.example"}},
		{
			"listed, connector not domain secure", func(c *directory.Configuration) { c.SendConnectors[0].DomainSecureEnabled = false }, "woodgrovebank.com",
			routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "woodgrovebank.com", Connector: "Internet", TLSDomain: "woodgrovebank.com", Hold: "domainSecureEnabled: false"},
		},
		{
			"listed, smart host", func(c *directory.Configuration) {
				c.SendConnectors[0].DNSRoutingEnabled = false
				c.SendConnectors[0].SmartHosts = []string{"s1.example", "s2.example:26"}
			}, "woodgrovebank.com",
			routing.Route{DeliveryType: "SmartHostConnectorDelivery", NextHopDomain: "s1.example,s2.example:26", Connector: "Internet", TLSDomain: "woodgrovebank.com", Hold: "dnsRoutingEnabled: true"},
		},
		{
			"listed, STARTTLS ignored", func(c *directory.Configuration) { c.SendConnectors[0].IgnoreSTARTTLS = true }, "woodgrovebank.com",
			routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "woodgrovebank.com", Connector: "Internet", TLSDomain: "woodgrovebank.com", Hold: "ignoreSTARTTLS"},
		},
		{
			"listed, HELO forced", func(c *directory.Configuration) { c.SendConnectors[0].ForceHELO = true }, "woodgrovebank.com",
			routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "woodgrovebank.com", Connector: "Internet", TLSDomain: "woodgrovebank.com", Hold: "forceHELO"},
		},
		{"no connector", use(), "other.example", routing.Route{DeliveryType: "Unreachable", Hold: "no send connector has an address space for other.example"}},
		{"no match", use(connector("x", true, 1, exact)), "b.example", routing.Route{DeliveryType: "Unreachable", Hold: "sendConnectors"}},
		{"exact beats subdomains", use(connector("sub", true, 1, below), connector("exact", true, 9, exact)), "a.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "a.example", Connector: "exact"}},
		{"subdomains hold the domain itself", use(connector("star", true, 1, star), connector("sub", true, 9, below)), "a.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "a.example", Connector: "sub"}},
		{"longer subdomain space wins", use(connector("wide", true, 1, wide), connector("sub", true, 9, below)), "x.a.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "x.a.example", Connector: "sub"}},
		{"not a label boundary", use(connector("sub", true, 1, below), connector("star", true, 1, star)), "xa.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "xa.example", Connector: "star"}},
		{"lower cost", use(connector("a", true, 2, star), connector("b", true, 1, star)), "other.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "other.example", Connector: "b"}},
		{"lower name", use(connector("b", true, 1, star), connector("a", true, 1, star)), "other.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "other.example", Connector: "a"}},
		{"disabled holds", use(connector("a", false, 1, star)), "other.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "other.example", Connector: "a", Hold: "sendConnectors[a].enabled"}},
		{"disabled, another of the same space", use(connector("a", false, 1, star), connector("b", true, 5, star)), "other.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "other.example", Connector: "b"}},
		{"disabled is not passed by a wider space", use(connector("a", false, 1, exact), connector("b", true, 1, star)), "a.example", routing.Route{DeliveryType: "DnsConnectorDelivery", NextHopDomain: "a.example", Connector: "a", Hold: "sendConnectors[a].enabled"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := newRouter(config(tt.edit), nil).Route(tt.domain)
			if (got.Hold != "") != (tt.want.Hold != "") || !strings.Contains(got.Hold, tt.want.Hold) {
				t.Errorf("hold %q, want %q in it", got.Hold, tt.want.Hold)
			}
			if got.SendConnector != nil && got.SendConnector.Name != got.Connector {
				t.Errorf("connector %q is named %q", got.SendConnector.Name, got.Connector)
			}
			got.Hold, tt.want.Hold, got.SendConnector, got.Partner, got.Requirement = "", "", nil, nil, domainsec.Requirement{}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRouteRequirement(t *testing.T) {
	tests := []struct {
		name    string
		edit    func(*directory.Configuration)
		domain  smtp.Domain
		secured bool // queued as domain-secured
		want    domainsec.Level
		try     bool
		tls     smtp.Domain
		hold    bool
	}{
		{name: "unlisted", domain: "other.example", want: domainsec.LevelOpportunistic},
		{name: "listed", domain: "woodgrovebank.com", want: domainsec.LevelDomainSecure, tls: "woodgrovebank.com"},
		{name: "test", domain: "test.example", want: domainsec.LevelOpportunistic, try: true},
		{name: "hand-off", domain: "contoso.com", want: domainsec.LevelOpportunistic},
		{name: "queued secured, not listed now", domain: "other.example", secured: true, want: domainsec.LevelDomainSecure, tls: "other.example"},
		{name: "queued secured, in test mode now", domain: "test.example", secured: true, want: domainsec.LevelDomainSecure, tls: "test.example"},
		{name: "queued secured, receiving only now", domain: "onlyin.example", secured: true, want: domainsec.LevelDomainSecure, tls: "onlyin.example"},
		{name: "queued secured, handed off now", domain: "contoso.com", secured: true, want: domainsec.LevelDomainSecure, tls: "contoso.com", hold: true},
		{
			name: "queued secured, connector cannot", edit: func(c *directory.Configuration) { c.SendConnectors[0].DomainSecureEnabled = false },
			domain: "other.example", secured: true, want: domainsec.LevelDomainSecure, tls: "other.example", hold: true,
		},
		{name: "plain", edit: func(c *directory.Configuration) { c.SendConnectors[0].IgnoreSTARTTLS = true }, domain: "other.example", want: domainsec.LevelPlain},
		{name: "TLS required", edit: func(c *directory.Configuration) { c.SendConnectors[0].RequireTLS = true }, domain: "other.example", want: domainsec.LevelTLSRequired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(config(tt.edit), nil)
			got := r.Route(tt.domain)
			if tt.secured {
				got = r.RouteSecured(tt.domain)
			}
			if got.Requirement.Level != tt.want || got.Requirement.TrySecured != tt.try || got.TLSDomain != tt.tls || (got.Hold != "") != tt.hold {
				t.Errorf("got %+v, TLS domain %q, hold %q", got.Requirement, got.TLSDomain, got.Hold)
			}
			if tt.tls != "" && got.Partner != nil && (got.Partner.Domain != tt.tls || !got.Partner.Send || got.Partner.Mode != directory.ModeEnforce) {
				t.Errorf("rules %+v do not enforce", got.Partner)
			}
		})
	}
}

func world() *dnsxtest.Resolver {
	r := new(dnsxtest.Resolver)
	r.SetMX("two.example", dnsx.MX{Host: "b.two.example", Preference: 20}, dnsx.MX{Host: "a.two.example", Preference: 10})
	r.SetAddresses("a.two.example", "192.0.2.1", "2001:db8::1")
	r.SetAddresses("b.two.example", "192.0.2.2")
	r.SetAddresses("implicit.example", "192.0.2.3")
	r.SetMX("null.example", dnsx.MX{})
	r.SetMX("nomail.example")
	r.SetMX("dead.example", dnsx.MX{Host: "gone.example", Preference: 1})
	r.SetMX("halfdead.example", dnsx.MX{Host: "gone.example", Preference: 1}, dnsx.MX{Host: "b.two.example", Preference: 2})
	r.SetMX("slow.example", dnsx.MX{Host: "slowhost.example", Preference: 1}, dnsx.MX{Host: "gone.example", Preference: 2})
	r.Fail("slowhost.example", errors.New("timeout"))
	r.Fail("broken.example", errors.New("SERVFAIL"))
	r.SetMX("zero.example", dnsx.MX{Host: "zerohost.example"})
	r.SetAddresses("zerohost.example", "0.0.0.0", "224.0.0.1")
	r.SetMX("loop.example", dnsx.MX{Host: "a.two.example", Preference: 5}, dnsx.MX{Host: "self.example", Preference: 10},
		dnsx.MX{Host: "b.two.example", Preference: 10}, dnsx.MX{Host: "c.example", Preference: 20})
	r.SetMX("selfonly.example", dnsx.MX{Host: "self.example", Preference: 10}, dnsx.MX{Host: "b.two.example", Preference: 20})
	r.SetAddresses("self.example", "198.51.100.1")
	r.SetAddresses("c.example", "192.0.2.5")
	r.SetMX("local.example", dnsx.MX{Host: "localhost.example"})
	r.SetAddresses("localhost.example", "203.0.113.9")
	r.SetAddresses("smart.example", "192.0.2.7")
	return r
}

func flat(hosts []routing.Host) []string {
	var out []string
	for _, h := range hosts {
		if h.Socket != "" {
			out = append(out, h.Name+" "+h.Socket)
		}
		for _, a := range h.Addrs {
			out = append(out, h.Name+" "+a.String())
		}
	}
	return out
}

func TestHosts(t *testing.T) {
	smart := func(hosts ...string) func(*directory.Configuration) {
		return func(c *directory.Configuration) {
			c.SendConnectors[0].DNSRoutingEnabled = false
			c.SendConnectors[0].SmartHosts = hosts
		}
	}
	tests := []struct {
		name   string
		edit   func(*directory.Configuration)
		domain smtp.Domain
		self   []string
		want   []string
		fault  string // beginning of the reply
	}{
		{name: "by preference", domain: "two.example", want: []string{"a.two.example 192.0.2.1:25", "a.two.example [2001:db8::1]:25", "b.two.example 192.0.2.2:25"}},
		{name: "port of the connector", domain: "implicit.example", edit: func(c *directory.Configuration) { c.SendConnectors[0].Port = 2525 }, want: []string{"implicit.example 192.0.2.3:2525"}},
		{name: "implicit MX", domain: "implicit.example", want: []string{"implicit.example 192.0.2.3:25"}},
		{name: "null MX", domain: "null.example", fault: "556 5.1.10 "},
		{name: "no such domain", domain: "nobody.invalid", fault: "550 5.1.2 "},
		{name: "neither MX nor address", domain: "nomail.example", fault: "550 5.4.4 "},
		{name: "MX without address", domain: "dead.example", fault: "550 5.4.4 "},
		{name: "one MX without address", domain: "halfdead.example", want: []string{"b.two.example 192.0.2.2:25"}},
		{name: "MX look-up fails", domain: "broken.example", fault: "451 4.4.3 "},
		{name: "address look-up fails", domain: "slow.example", fault: "451 4.4.3 "},
		{name: "unusable addresses", domain: "zero.example", fault: "550 5.4.4 "},
		{name: "self and no better", domain: "loop.example", self: []string{"198.51.100.1:25"}, want: []string{"a.two.example 192.0.2.1:25", "a.two.example [2001:db8::1]:25"}},
		{name: "self is best", domain: "selfonly.example", self: []string{"198.51.100.1:25"}, fault: "554 5.4.6 "},
		{name: "own address, other port", domain: "selfonly.example", self: []string{"198.51.100.1:26"}, want: []string{"self.example 198.51.100.1:25", "b.two.example 192.0.2.2:25"}},
		{name: "unspecified binding, address of the machine", domain: "local.example", self: []string{"0.0.0.0:25"}, fault: "554 5.4.6 "},
		{name: "unspecified binding, other port", domain: "local.example", self: []string{"[::]:26"}, want: []string{"localhost.example 203.0.113.9:25"}},
		{
			name: "smart hosts in order", edit: smart("smart.example", "192.0.2.8:26", "[2001:db8::8]", "[2001:db8::9]:27", "2001:db8::a", "smart.example:28"), domain: "x.example",
			want: []string{"smart.example 192.0.2.7:25", "192.0.2.8 192.0.2.8:26", "2001:db8::8 [2001:db8::8]:25", "2001:db8::9 [2001:db8::9]:27", "2001:db8::a [2001:db8::a]:25", "smart.example 192.0.2.7:28"},
		},
		{name: "smart host unknown", edit: smart("gone.example"), domain: "x.example", fault: "451 4.4.3 "},
		{name: "smart host unreadable", edit: smart("smart.example:0", "a b"), domain: "x.example", fault: "451 4.4.3 "},
		{name: "smart host is ourselves", edit: smart("self.example"), self: []string{"198.51.100.1:25"}, domain: "x.example", fault: "451 4.4.6 "},
		{name: "no smart host", edit: smart(), domain: "x.example", fault: "451 4.4.4 "},
		{name: "hand-off", domain: "contoso.com", want: []string{"127.0.0.1 127.0.0.1:2601"}},
		{name: "hand-off by LMTP", edit: func(c *directory.Configuration) { c.AcceptedDomains[0].HandOff = "lmtp://127.0.0.1:24" }, domain: "contoso.com", want: []string{"127.0.0.1 127.0.0.1:24"}},
		{name: "hand-off by a socket", edit: func(c *directory.Configuration) { c.AcceptedDomains[0].HandOff = "lmtp+unix:///run/lmtp" }, domain: "contoso.com", want: []string{"localhost /run/lmtp"}},
		{name: "unreachable", edit: func(c *directory.Configuration) { c.SendConnectors = nil }, domain: "x.example", fault: "451 4.4.4 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(config(tt.edit), world(), tt.self...)
			hosts, err := r.Hosts(t.Context(), r.Route(tt.domain))
			if diff := cmp.Diff(tt.want, flat(hosts)); diff != "" {
				t.Errorf("hosts (-want +got):\n%s", diff)
			}
			var fault *routing.Error
			switch {
			case (err != nil) != errors.As(err, &fault), (err != nil) != (tt.fault != ""):
				t.Errorf("error %v, want %q", err, tt.fault)
			case err != nil && !strings.HasPrefix(fault.Reply.String(), tt.fault):
				t.Errorf("reply %q, want %q", fault.Reply, tt.fault)
			}
		})
	}
}

func TestHostsShufflesEquals(t *testing.T) {
	res := new(dnsxtest.Resolver)
	res.SetMX("x.example", dnsx.MX{Host: "a.example", Preference: 5}, dnsx.MX{Host: "b.example", Preference: 5})
	res.SetAddresses("a.example", "192.0.2.1")
	res.SetAddresses("b.example", "192.0.2.2")
	r := newRouter(config(nil), res)
	first := map[string]bool{}
	for range 200 {
		hosts, err := r.Hosts(t.Context(), r.Route("x.example"))
		if err != nil || len(hosts) != 2 {
			t.Fatalf("%v, %v", hosts, err)
		}
		first[hosts[0].Name] = true
	}
	if len(first) != 2 {
		t.Errorf("200 times the same host was first: %v", first)
	}
}
