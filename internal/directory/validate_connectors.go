package directory

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

func (k *checker) receiveConnectors(c *Configuration) {
	seen := map[string]bool{}
	for i := range c.ReceiveConnectors {
		r := &c.ReceiveConnectors[i]
		path := fmt.Sprintf("receiveConnectors[%d]", i)
		k.uniqueName(seen, path, r.Name)
		if len(r.Bindings) == 0 {
			k.fault(path+".bindings", "the connector listens nowhere", `Write bindings: ["0.0.0.0:25"], or delete the connector`)
		}
		if r.DomainSecureEnabled && !r.HasTLS() {
			k.fault(path+".domainSecureEnabled", "domainSecureEnabled needs Tls", "Write authMechanism: [Tls], or domainSecureEnabled: false")
		}
		if r.RequireTLS && !r.HasTLS() {
			k.fault(path+".requireTLS", "requireTLS needs Tls", "Write authMechanism: [Tls], or requireTLS: false")
		}
		k.externallySecured(path, r)
		k.basicAuth(path, r, c.Server.AccountsFile)
		// Two unlimited times do not contradict each other.
		if r.ConnectionTimeout <= r.ConnectionInactivityTimeout && r.ConnectionTimeout != Unlimited {
			k.fault(path+".connectionTimeout", fmt.Sprintf("connectionTimeout (%s) must exceed connectionInactivityTimeout (%s)",
				FormatDuration(r.ConnectionTimeout), FormatDuration(r.ConnectionInactivityTimeout)), "Write a longer connectionTimeout, or a shorter connectionInactivityTimeout")
		}
		if r.MaxHeaderSize > r.MaxMessageSize && r.MaxHeaderSize != Unlimited {
			k.fault(path+".maxHeaderSize", fmt.Sprintf("a header (%s) may be larger than its message (%s)",
				FormatSize(r.MaxHeaderSize), FormatSize(r.MaxMessageSize)), "Write a smaller maxHeaderSize")
		}
	}
}

// externallySecured holds the rules of ExternalAuthoritative together. A
// connector with it relays for whoever it serves, so that either its clients or
// its bindings must be inside.
func (k *checker) externallySecured(path string, r *ReceiveConnector) {
	external, granted := r.authenticates(AuthExternalAuthoritative), r.Grants(GroupExchangeServers)
	switch {
	case external && !granted:
		k.fault(path+".permissionGroups", "ExternalAuthoritative needs ExchangeServers", "Write permissionGroups: [ExchangeServers], or take ExternalAuthoritative out of authMechanism")
	case granted && !external:
		k.fault(path+".permissionGroups", "ExchangeServers needs ExternalAuthoritative", "Write authMechanism: [ExternalAuthoritative], or take ExchangeServers out of permissionGroups")
	}
	if !external {
		return
	}
	if r.DomainSecureEnabled {
		k.fault(path+".domainSecureEnabled", "domainSecureEnabled contradicts ExternalAuthoritative", "Write domainSecureEnabled: false, or a connector of its own for inner servers")
	}
	if len(r.ProxyProtocolFrom) > 0 {
		k.fault(path+".proxyProtocolFrom", "proxyProtocolFrom contradicts ExternalAuthoritative: an inner server is known by the address it connects from, and a proxy can only claim one", "Delete proxyProtocolFrom, and let inner servers connect themselves")
	}
	if r.ServesInsideOnly() {
		return
	}
	for i, text := range r.Bindings {
		if !onlyInside(text) {
			k.fault(fmt.Sprintf("%s.bindings[%d]", path, i), quoted(text)+" would be an open relay: the connector takes every client for an inner server", "Write remoteIPRanges: with the inner servers' loopback or private addresses, or a loopback or private binding")
		}
	}
}

// basicAuth holds the rules of authentication by password together.
func (k *checker) basicAuth(path string, r *ReceiveConnector, accounts string) {
	basic, inTLS, granted := r.HasBasicAuth(), r.BasicAuthNeedsTLS(), r.Grants(GroupExchangeUsers)
	switch {
	case inTLS && !basic:
		k.fault(path+".authMechanism", "BasicAuthRequireTLS needs BasicAuth", "Write authMechanism: [Tls, BasicAuth, BasicAuthRequireTLS]")
	case inTLS && !r.HasTLS():
		k.fault(path+".authMechanism", "BasicAuthRequireTLS needs Tls", "Write authMechanism: [Tls, BasicAuth, BasicAuthRequireTLS]")
	case basic && !granted:
		k.fault(path+".permissionGroups", "BasicAuth needs ExchangeUsers, or who authenticates may do nothing", "Add ExchangeUsers to permissionGroups, or take BasicAuth out of authMechanism")
	case granted && !basic:
		k.fault(path+".permissionGroups", "ExchangeUsers needs BasicAuth, or nobody can become one", "Write authMechanism: [Tls, BasicAuth, BasicAuthRequireTLS], or take ExchangeUsers out of permissionGroups")
	case basic && r.authenticates(AuthExternalAuthoritative):
		k.fault(path+".authMechanism", "BasicAuth contradicts ExternalAuthoritative, which takes every client for authenticated", "Write a connector of its own for clients with accounts")
	case basic && accounts == "":
		k.fault(path+".authMechanism", "BasicAuth needs accounts", "Write accountsFile: PATH under server, and make its lines with mailpact account line NAME")
	}
}

// onlyInside reports whether a binding can be reached from our own network at most.
func onlyInside(text string) bool {
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		return false
	}
	a := ap.Addr().Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

func (k *checker) uniqueName(seen map[string]bool, path, name string) {
	folded := strings.ToLower(name)
	if seen[folded] && name != "" {
		k.fault(path+".name", quoted(name)+" is the name of another connector", "Write another name")
	}
	seen[folded] = true
}

// binding is where a listener stands; an invalid address means every one.
type binding struct {
	owner     string // who listens there, for messages
	connector string // the connector's name; empty: not a connector
	text      string
	addr      netip.Addr
	port      string
}

// shares reports whether two receive connectors stand behind one listener.
func (b binding) shares(x binding) bool {
	return b.connector != "" && x.connector != "" && b.connector != x.connector && b.text == x.text
}

// overlaps reports whether the system would refuse the second of two listeners.
func (b binding) overlaps(x binding) bool {
	if b.port != x.port || b.port == "0" {
		return false // port 0 is a free port, another one each time
	}
	if !b.addr.IsValid() || !x.addr.IsValid() {
		return true
	}
	if b.addr.Is4() != x.addr.Is4() {
		return false
	}
	return b.addr == x.addr || b.addr.IsUnspecified() || x.addr.IsUnspecified()
}

// bindings holds the listeners of all connectors, and of HTTP, against each other.
func (k *checker) bindings(c *Configuration) {
	var taken []binding
	check := func(b binding, path string) {
		text := b.text
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			k.fault(path, quoted(text)+" is not an address with a port", "Write an address with a port, 0.0.0.0:25 say")
			return
		}
		b.port = port
		if host != "" {
			if b.addr, err = netip.ParseAddr(host); err != nil {
				k.fault(path, quoted(text)+" names a host where an address is wanted", "Write an address with a port, 0.0.0.0:25 say")
				return
			}
			b.addr = b.addr.Unmap()
		}
		for _, x := range taken {
			if b.shares(x) || !b.overlaps(x) {
				continue
			}
			mend := "Write another address or port"
			if b.connector != "" && x.connector != "" && b.connector != x.connector {
				mend += ", or " + quoted(x.text) + " to share it by remoteIPRanges"
			}
			k.fault(path, fmt.Sprintf("%s is taken by %s (%s)", quoted(text), x.owner, x.text), mend)
			break
		}
		taken = append(taken, b)
	}
	for i := range c.ReceiveConnectors {
		r := &c.ReceiveConnectors[i]
		for j, text := range r.Bindings {
			check(binding{owner: "the receive connector " + quoted(r.Name), connector: r.Name, text: text}, fmt.Sprintf("receiveConnectors[%d].bindings[%d]", i, j))
		}
	}
	if c.Server.HTTP != "" {
		check(binding{owner: "server.http", text: c.Server.HTTP}, "server.http")
	}
}

func (k *checker) sendConnectors(c *Configuration) {
	seen := map[string]bool{}
	for i := range c.SendConnectors {
		s := &c.SendConnectors[i]
		path := fmt.Sprintf("sendConnectors[%d]", i)
		k.uniqueName(seen, path, s.Name)
		k.addressSpaces(path+".addressSpaces", s)
		if !s.DNSRoutingEnabled && len(s.SmartHosts) == 0 {
			k.fault(path+".smartHosts", "dnsRoutingEnabled: false needs smart hosts", "Write smartHosts: [HOST], or dnsRoutingEnabled: true")
		}
		if s.DNSRoutingEnabled && len(s.SmartHosts) > 0 {
			k.fault(path+".smartHosts", "smart hosts need dnsRoutingEnabled: false", "Write dnsRoutingEnabled: false, or delete smartHosts")
		}
		if s.DomainSecureEnabled && !s.DNSRoutingEnabled {
			k.fault(path+".domainSecureEnabled", "domainSecureEnabled needs dnsRoutingEnabled: a smart host cannot prove the recipient's domain", "Write domainSecureEnabled: false, or dnsRoutingEnabled: true")
		}
		k.noTLS(path+".ignoreSTARTTLS", "ignoreSTARTTLS", s.IgnoreSTARTTLS, s)
		k.noTLS(path+".forceHELO", "forceHELO", s.ForceHELO, s)
		k.twice(path+".smartHosts", s.SmartHosts)
	}
}

// noTLS records a switch that rules TLS out on a connector that needs it.
func (k *checker) noTLS(path, key string, on bool, s *SendConnector) {
	if on && s.RequireTLS {
		k.fault(path, key+" contradicts requireTLS", fmt.Sprintf("Write %s: false, or requireTLS: false", key))
	}
	if on && s.DomainSecureEnabled {
		k.fault(path, key+" contradicts domainSecureEnabled", fmt.Sprintf("Write %s: false, or domainSecureEnabled: false", key))
	}
}

func (k *checker) addressSpaces(path string, s *SendConnector) {
	if len(s.AddressSpaces) == 0 {
		k.fault(path, "no mail goes this way", `Write addressSpaces: ["*"], or delete the connector`)
	}
	seen := map[string]bool{}
	for i, a := range s.AddressSpaces {
		if seen[a.space()] {
			k.fault(fmt.Sprintf("%s[%d]", path, i), quoted(a.space())+" is listed twice", "Delete one of the two")
		}
		seen[a.space()] = true
	}
}

// space returns the address space without its cost.
func (a AddressSpace) space() string {
	switch {
	case a.Any:
		return "*"
	case a.Subdomains:
		return "*." + string(a.Domain)
	default:
		return string(a.Domain)
	}
}
