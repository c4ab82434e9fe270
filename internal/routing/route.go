package routing

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/smtp"
)

// The delivery types of queues (reference, section 4.6).
const (
	DNSConnectorDelivery       = "DnsConnectorDelivery"
	SmartHostConnectorDelivery = "SmartHostConnectorDelivery"
	SMTPRelayToHandOff         = "SmtpRelayToHandOff"
	Unreachable                = "Unreachable"
)

// Options are what a Router needs.
type Options struct {
	// Config returns the configuration as it is now. It is called at each use.
	Config   func() *directory.Configuration
	Resolver dnsx.Resolver
	// SelfAddresses returns where this server receives mail. An unspecified
	// address stands for every address of the machine. nil: nowhere.
	SelfAddresses func() []netip.AddrPort
	// LocalAddresses returns the machine's addresses, needed only for an
	// unspecified one among SelfAddresses; nil asks the system.
	LocalAddresses func() []netip.Addr
}

// Router routes mail. It is safe for concurrent use.
type Router struct{ o Options }

// New makes a Router.
func New(o Options) *Router {
	if o.SelfAddresses == nil {
		o.SelfAddresses = func() []netip.AddrPort { return nil }
	}
	if o.LocalAddresses == nil {
		o.LocalAddresses = interfaceAddresses
	}
	return &Router{o: o}
}

// Route is the way of mail for one domain, as the configuration has it.
type Route struct {
	// DeliveryType, NextHopDomain, TLSDomain and Connector are the key of the
	// queue that the mail waits in.
	DeliveryType  string
	NextHopDomain string // the domain, the smart hosts joined by commas, or the hand-off's address
	// TLSDomain is the domain when the next hop must be domain-secured for
	// it: a partner that is enforced for sending.
	TLSDomain smtp.Domain
	Connector string // the send connector's name; "" for a hand-off
	// SendConnector belongs to the configuration that was in force.
	SendConnector *directory.SendConnector
	HandOff       string // host:port, for a hand-off
	// Partner is the partner that lists the domain for sending, in whichever mode; nil: not listed.
	Partner *directory.Partner
	// Hold, unless empty, says why the mail has to wait and which setting ends it.
	Hold string
}

// Route returns the way of mail for d now. The empty domain is that of
// <postmaster> (RFC 5321, section 4.5.1). It does no I/O and never fails: what
// has no way is Unreachable and held.
func (r *Router) Route(d smtp.Domain) Route {
	c := r.o.Config()
	if d == "" {
		d = postmasterDomain(c)
	}
	for i := range c.AcceptedDomains {
		a := &c.AcceptedDomains[i]
		if a.Name == d && a.Type == directory.Authoritative {
			return handOff(a)
		}
	}
	connector, disabled := selectConnector(c.SendConnectors, d)
	switch {
	case connector == nil && disabled == nil:
		return Route{DeliveryType: Unreachable, Hold: fmt.Sprintf(
			"no send connector has an address space for %s: add one to sendConnectors", quoteDomain(d))}
	case connector == nil:
		route := connectorRoute(c, disabled, d)
		route.Hold = fmt.Sprintf("send connector %q is disabled: set sendConnectors[%s].enabled to true", disabled.Name, disabled.Name)
		return route
	}
	return connectorRoute(c, connector, d)
}

func quoteDomain(d smtp.Domain) string {
	if d == "" {
		return "an address without a domain"
	}
	return string(d)
}

func postmasterDomain(c *directory.Configuration) smtp.Domain {
	if d := c.TransportConfig.Postmaster.Domain; d != "" {
		return d
	}
	for i := range c.AcceptedDomains {
		if c.AcceptedDomains[i].Type == directory.Authoritative {
			return c.AcceptedDomains[i].Name
		}
	}
	return ""
}

func handOff(a *directory.AcceptedDomain) Route {
	if a.HandOff == "" {
		return Route{DeliveryType: Unreachable, NextHopDomain: string(a.Name), Hold: fmt.Sprintf(
			"nowhere to hand mail for %s to: set acceptedDomains[%s].handOff", a.Name, a.Name)}
	}
	return Route{DeliveryType: SMTPRelayToHandOff, NextHopDomain: a.HandOff, HandOff: a.HandOff}
}

func connectorRoute(c *directory.Configuration, s *directory.SendConnector, d smtp.Domain) Route {
	route := Route{Connector: s.Name, SendConnector: s}
	if s.DNSRoutingEnabled {
		route.DeliveryType, route.NextHopDomain = DNSConnectorDelivery, string(d)
	} else {
		route.DeliveryType, route.NextHopDomain = SmartHostConnectorDelivery, strings.Join(s.SmartHosts, ",")
	}
	p := c.Partner(d)
	if p == nil || !p.Send {
		return route
	}
	route.Partner = p
	if p.Mode == directory.ModeTest {
		return route
	}
	route.TLSDomain = d
	if fault := CannotSecure(s); fault != "" {
		route.Hold = fmt.Sprintf("%s must be domain-secured: %s", d, fault)
	}
	return route
}

// CannotSecure says which setting keeps s from carrying domain-secured mail and
// how to mend it, or "" when nothing does. A smart host stands between us and
// the partner, so only a connector that routes by DNS can prove who is there.
func CannotSecure(s *directory.SendConnector) string {
	set := func(key string, value bool) string {
		return fmt.Sprintf("set sendConnectors[%s].%s to %v", s.Name, key, value)
	}
	switch {
	case !s.DomainSecureEnabled:
		return set("domainSecureEnabled", true)
	case !s.DNSRoutingEnabled:
		return set("dnsRoutingEnabled", true)
	case s.IgnoreSTARTTLS:
		return set("ignoreSTARTTLS", false)
	case s.ForceHELO:
		return set("forceHELO", false)
	}
	return ""
}

// selectConnector returns the connector for d. The most specific address space
// that any connector has for d decides who is asked; when all of those are
// disabled, the best of them is returned as disabled and no wider space takes
// its mail, so that switching a connector off holds its mail.
func selectConnector(connectors []directory.SendConnector, d smtp.Domain) (enabled, disabled *directory.SendConnector) {
	var best, bestOff *candidate
	for i := range connectors {
		s := &connectors[i]
		for _, space := range s.AddressSpaces {
			specific := specificity(space, d)
			if specific == 0 {
				continue
			}
			c := &candidate{connector: s, specific: specific, cost: space.Cost}
			if s.Enabled && c.before(best) {
				best = c
			}
			if !s.Enabled && c.before(bestOff) {
				bestOff = c
			}
		}
	}
	switch {
	case best == nil && bestOff == nil:
		return nil, nil
	case best == nil, bestOff != nil && bestOff.specific > best.specific:
		return nil, bestOff.connector
	}
	return best.connector, nil
}

type candidate struct {
	connector *directory.SendConnector
	specific  int
	cost      int
}

func (c *candidate) before(other *candidate) bool {
	if other == nil {
		return true
	}
	return cmp.Or(
		cmp.Compare(other.specific, c.specific),
		cmp.Compare(c.cost, other.cost),
		strings.Compare(c.connector.Name, other.connector.Name),
	) < 0
}

// specificity is 0 when the space does not hold d, else the greater the fewer
// domains it holds: "*" is 1, "*.x.y" grows with its length, "x.y" is the most.
// "*.x.y" holds x.y too.
func specificity(space directory.AddressSpace, d smtp.Domain) int {
	const exact = 1 << 20 // more than any domain is long
	switch {
	case space.Any:
		return 1
	case space.Domain == "" || d == "":
		return 0
	case !space.Subdomains:
		if space.Domain == d {
			return exact
		}
	case space.Domain == d, strings.HasSuffix(string(d), "."+string(space.Domain)):
		return 1 + len(space.Domain)
	}
	return 0
}
