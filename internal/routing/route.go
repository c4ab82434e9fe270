package routing

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/domainsec"
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
	// HandOff is host:port for a hand-off by TCP, Socket the path of a Unix
	// socket for one on this machine; LMTP says that it is by RFC 2033.
	HandOff string
	Socket  string
	LMTP    bool
	// Partner is the domain's partner, whichever its directions and mode; nil: none.
	Partner *directory.Partner
	// Requirement is what the next hop must prove.
	Requirement domainsec.Requirement
	// Hold, unless empty, says why the mail has to wait and which setting ends it.
	Hold string
}

// Route returns the way of mail for d now. The empty domain is that of
// <postmaster> (RFC 5321, section 4.5.1). It does no I/O and never fails: what
// has no way is Unreachable and held.
func (r *Router) Route(d smtp.Domain) Route {
	return r.route(d, false)
}

// RouteSecured is Route for mail that was queued as domain-secured for d. It
// demands that even when d is no longer listed, because a requirement falls
// only when the queue is resubmitted.
func (r *Router) RouteSecured(d smtp.Domain) Route {
	return r.route(d, true)
}

func (r *Router) route(d smtp.Domain, secured bool) Route {
	c := r.o.Config()
	if d == "" {
		d = postmasterDomain(c)
	}
	for i := range c.AcceptedDomains {
		a := &c.AcceptedDomains[i]
		if a.Name != d || a.Type != directory.Authoritative {
			continue
		}
		route := handOff(a)
		if secured {
			route.TLSDomain, route.Requirement.Level = d, domainsec.LevelDomainSecure
			route.Hold = fmt.Sprintf("the mail was queued as domain-secured for %s, which is handed off now: resubmit its queue", d)
		}
		return route
	}
	partner := c.Partner(d)
	if secured {
		partner = enforced(partner, d)
	}
	connector, disabled := selectConnector(c.SendConnectors, d)
	switch {
	case connector == nil && disabled == nil:
		route := Route{DeliveryType: Unreachable, Partner: partner, Requirement: domainsec.RequirementFor(d, partner, nil), Hold: fmt.Sprintf(
			"no send connector has an address space for %s: add one to sendConnectors", quoteDomain(d))}
		if partner != nil && partner.Send && partner.Mode != directory.ModeTest {
			route.TLSDomain = d
		}
		return route
	case connector == nil:
		route := connectorRoute(disabled, d, partner)
		route.Hold = fmt.Sprintf("send connector %q is disabled: set sendConnectors[%s].enabled to true", disabled.Name, disabled.Name)
		return route
	}
	return connectorRoute(connector, d, partner)
}

// enforced returns the rules that mail queued as domain-secured stays under:
// those of the partner, if it is still there, with sending enforced.
func enforced(p *directory.Partner, d smtp.Domain) *directory.Partner {
	rules := directory.Partner{Domain: d, NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer}
	if p != nil {
		rules = *p
	}
	rules.Send, rules.Mode = true, directory.ModeEnforce
	return &rules
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
	route := Route{
		DeliveryType: SMTPRelayToHandOff, NextHopDomain: a.HandOff, HandOff: a.HandOff,
		Requirement: domainsec.Requirement{Level: domainsec.LevelOpportunistic},
	}
	if path, ok := strings.CutPrefix(a.HandOff, directory.HandOffLMTPSocket); ok {
		route.HandOff, route.Socket, route.LMTP = "", path, true
		route.Requirement.Level = domainsec.LevelPlain // it never leaves the machine
	} else if host, ok := strings.CutPrefix(a.HandOff, directory.HandOffLMTP); ok {
		route.HandOff, route.LMTP = host, true
	}
	return route
}

func connectorRoute(s *directory.SendConnector, d smtp.Domain, p *directory.Partner) Route {
	route := Route{Connector: s.Name, SendConnector: s, Partner: p, Requirement: domainsec.RequirementFor(d, p, s)}
	if s.DNSRoutingEnabled {
		route.DeliveryType, route.NextHopDomain = DNSConnectorDelivery, string(d)
	} else {
		route.DeliveryType, route.NextHopDomain = SmartHostConnectorDelivery, strings.Join(s.SmartHosts, ",")
	}
	if route.Requirement.Level == domainsec.LevelDomainSecure {
		route.TLSDomain = d
	}
	route.Hold = route.Requirement.Hold
	return route
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
			specific := space.Specificity(d)
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
