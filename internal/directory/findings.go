package directory

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"mailpact/internal/smtp"
)

// Level says how much a finding matters.
type Level string

// The levels. A finding of LevelError fails the server's health.
const (
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// Finding is something unwise in a valid configuration. It never refuses it.
type Finding struct {
	Level  Level  `json:"level"`
	Object string `json:"object"` // "receiveConnectors[Inet]"
	Text   string `json:"text"`   // a sentence without its full stop
	Fix    string `json:"fix,omitempty"`
}

// String returns "LEVEL: OBJECT: TEXT. FIX.".
func (f Finding) String() string {
	s := string(f.Level) + ": " + f.Object + ": " + f.Text + "."
	if f.Fix != "" {
		s += " " + f.Fix + "."
	}
	return s
}

// findings collects them.
type findings []Finding

func (fs *findings) warn(object, text, fix string) {
	*fs = append(*fs, Finding{Level: LevelWarning, Object: object, Text: text, Fix: fix})
}

func (fs *findings) fail(object, text, fix string) {
	*fs = append(*fs, Finding{Level: LevelError, Object: object, Text: text, Fix: fix})
}

// Findings returns what is unwise in c by its values alone. Whether Domain
// Security has a gap is for domainsec to say, and what is wrong with our own
// certificates for certstore.
func (c *Configuration) Findings() []Finding {
	var fs findings
	fs.server(c)
	fs.partners(c)
	fs.trust(c)
	fs.acceptedDomains(c)
	fs.receiveConnectors(c)
	fs.sendConnectors(c)
	return fs
}

func (fs *findings) server(c *Configuration) {
	if !strings.Contains(string(c.Server.FQDN), ".") {
		fs.warn("server.fqdn", fmt.Sprintf("%s is not a fully qualified name; many servers refuse mail from one that calls itself so", quoted(string(c.Server.FQDN))),
			"Write fqdn: with the name that the server's address resolves to")
	}
	if ap, err := netip.ParseAddrPort(c.Server.HTTP); c.Server.HTTP != "" && (err != nil || ap.Addr().IsUnspecified()) {
		fs.warn("server.http", "health and metrics can be read from everywhere", "Write http: 127.0.0.1:PORT")
	}
}

func (fs *findings) partners(c *Configuration) {
	accepted := map[smtp.Domain]bool{}
	for _, a := range c.AcceptedDomains {
		accepted[a.Name] = true
	}
	for i := range c.Partners {
		p := &c.Partners[i]
		object := fmt.Sprintf("partners[%s]", p.Domain)
		if !p.Send && !p.Receive {
			fs.warn(object, "the partner is neither sent to nor received from, so that its entry does nothing", "Write send: true or receive: true, or delete the partner")
		}
		if accepted[p.Domain] {
			fs.warn(object, "the partner's domain is an accepted domain of ours", "Delete it from partners or from acceptedDomains")
		}
	}
}

func (fs *findings) trust(c *Configuration) {
	known := map[smtp.Domain]bool{}
	for _, p := range c.Partners {
		known[p.Domain] = true
	}
	// Our own domains belong to the scope of our own root.
	for _, a := range c.AcceptedDomains {
		known[a.Name] = true
	}
	stray := func(object string, s Scope) {
		for _, d := range s.Domains {
			if !known[d] && !ownName(c, d) {
				fs.warn(object, fmt.Sprintf("its scope names %s, which is neither a partner nor a domain of ours", quoted(string(d))), "Check the spelling, or delete it from the scope")
			}
		}
	}
	for _, a := range c.Trust.Anchors {
		stray(fmt.Sprintf("trust.anchors[%s]", printable(a.File)), a.Scope)
	}
	for _, a := range c.Trust.Intermediates {
		stray(fmt.Sprintf("trust.intermediates[%s]", printable(a.File)), a.Scope)
	}
	if len(c.Partners) > 0 && !c.Trust.SystemRoots && len(c.Trust.Anchors) == 0 {
		fs.fail("trust", "there are partners and no trust anchor, so that no certificate can be verified", "Write systemRoots: true, or anchors")
	}
}

// ownName reports whether d is one of our host names or a parent of one.
func ownName(c *Configuration, d smtp.Domain) bool {
	names := []smtp.Domain{c.Server.FQDN}
	for _, r := range c.ReceiveConnectors {
		names = append(names, r.FQDN)
	}
	for _, s := range c.SendConnectors {
		names = append(names, s.FQDN)
	}
	for _, n := range names {
		if n == d || strings.HasSuffix(string(n), "."+string(d)) {
			return true
		}
	}
	return false
}

func (fs *findings) acceptedDomains(c *Configuration) {
	if len(c.AcceptedDomains) == 0 {
		fs.warn("acceptedDomains", "there is no accepted domain, so that mail from the Internet is accepted for nobody", "Write acceptedDomains: [{name: DOMAIN, handOff: \"smtp://HOST:PORT\"}]")
	}
	for _, a := range c.AcceptedDomains {
		if a.Type == Authoritative && a.HandOff == "" {
			fs.warn(fmt.Sprintf("acceptedDomains[%s]", a.Name), "there is nowhere to hand its mail to, so that it waits and expires", "Write handOff: \"smtp://HOST:PORT\"")
		}
	}
}

func (fs *findings) receiveConnectors(c *Configuration) {
	receives := len(c.TLSReceiveDomainSecureList()) > 0
	for i := range c.ReceiveConnectors {
		r := &c.ReceiveConnectors[i]
		object := fmt.Sprintf("receiveConnectors[%s]", printable(r.Name))
		if len(r.PermissionGroups) == 0 {
			fs.warn(object, "nobody may submit mail here", "Write permissionGroups: [AnonymousUsers, Partners]")
		}
		if receives && r.DomainSecureEnabled && !r.Grants(GroupPartners) {
			fs.fail(object, "a partner's secured session has no right to submit", "Add Partners to permissionGroups")
		}
		if r.RequireTLS && r.Grants(GroupAnonymousUsers) {
			fs.warn(object, "senders without TLS are refused, on a connector for everybody (RFC 3207, section 4, forbids that for a public server)", "Write requireTLS: false; partners are held to TLS by their entry in partners")
		}
		if r.BareLineFeeds == smtp.BareLinesNormalize && r.Grants(GroupAnonymousUsers) {
			fs.warn(object, "bare line ends from everybody are normalised, which lets a sender smuggle messages past other servers", "Write bareLineFeeds: reject")
		}
		if r.HasBasicAuth() && !r.BasicAuthNeedsTLS() {
			fs.warn(object, "passwords may be sent in the clear", "Add BasicAuthRequireTLS to authMechanism")
		}
		if r.ExternallySecured() {
			fs.externallySecured(object, r)
		}
		fs.unservedFamilies(c, object, r)
	}
}

// unservedFamilies warns of a binding whose clients of one address family no
// connector serves.
func (fs *findings) unservedFamilies(c *Configuration, object string, r *ReceiveConnector) {
	for _, text := range r.Bindings {
		host, _, err := net.SplitHostPort(text)
		if err != nil {
			continue
		}
		a, err := netip.ParseAddr(host)
		all := err != nil // every address of either family
		for _, family := range []struct {
			name, everybody string
			listens         bool
		}{
			{"IPv4", "0.0.0.0/0", all || a.Is4()},
			{"IPv6", "::/0", all || !a.Is4()},
		} {
			if family.listens && !c.servesFamily(text, family.name == "IPv4") {
				fs.warn(object, fmt.Sprintf("it listens on %s, where no connector's remoteIPRanges hold an %s client", text, family.name),
					fmt.Sprintf("Add %q to remoteIPRanges, or write bindings of the other family only", family.everybody))
			}
		}
	}
}

// servesFamily reports whether any connector on the binding serves a client of
// the family.
func (c *Configuration) servesFamily(binding string, four bool) bool {
	for i := range c.ReceiveConnectors {
		r := &c.ReceiveConnectors[i]
		if !slices.Contains(r.Bindings, binding) {
			continue
		}
		for _, x := range r.RemoteIPRanges {
			if x.First.Is4() == four {
				return true
			}
		}
	}
	return false
}

// externallySecured warns of inner connectors that more than this machine reaches.
func (fs *findings) externallySecured(object string, r *ReceiveConnector) {
	if r.ServesInsideOnly() {
		return
	}
	for _, text := range r.Bindings {
		if ap, err := netip.ParseAddrPort(text); err != nil || !ap.Addr().IsLoopback() {
			fs.warn(object, fmt.Sprintf("whoever reaches %s may send to any domain", text), "Write remoteIPRanges: with the addresses of your own servers")
		}
	}
}

func (fs *findings) sendConnectors(c *Configuration) {
	for i := range c.SendConnectors {
		s := &c.SendConnectors[i]
		object := fmt.Sprintf("sendConnectors[%s]", printable(s.Name))
		if s.RequireTLS && s.Enabled && s.carriesEverything() {
			fs.warn(object, "requireTLS with the address space * holds mail for every domain whose servers offer no TLS", "Write requireTLS: false here, and a connector with requireTLS for the domains that you mean")
		}
		if s.IgnoreSTARTTLS && s.Enabled && s.DNSRoutingEnabled {
			fs.warn(object, "mail leaves in the clear even where the next hop offers TLS", "Write ignoreSTARTTLS: false")
		}
	}
}

func (s *SendConnector) carriesEverything() bool {
	for _, a := range s.AddressSpaces {
		if a.Any {
			return true
		}
	}
	return false
}
