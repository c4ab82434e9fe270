package directory

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/net/publicsuffix"

	"mailpact/internal/smtp"
)

// checker collects faults of values. Their paths are those of the file, so
// that the loader can say where they stand.
type checker struct{ faults Faults }

func (k *checker) fault(path, problem, mend string) {
	k.faults = append(k.faults, Fault{Path: path, Problem: problem, Mend: mend})
}

// Validate returns what makes c invalid: values that cannot stand together.
// It reads no file. What is merely unwise is among Findings.
func (c *Configuration) Validate() Faults {
	k := &checker{}
	k.server(c)
	k.partners(c)
	k.acceptedDomains(c)
	k.receiveConnectors(c)
	k.bindings(c)
	k.remoteIPRanges(c)
	k.sendConnectors(c)
	k.revocation(c)
	k.queue(c)
	return k.faults
}

func (k *checker) server(c *Configuration) {
	s := &c.Server
	if s.Role != RoleStandalone {
		k.fault("server.role", fmt.Sprintf("the role %s is not available in this version", quoted(string(s.Role))), "Write standalone")
	}
	if s.FQDN == "" {
		k.fault("server.fqdn", "the server has no name, and the machine's name is not a domain", "Write fqdn: mail1.example.com with the server's own name")
	}
	if !filepath.IsAbs(s.DataDirectory) {
		k.fault("server.dataDirectory", "there is no data directory", "Write dataDirectory: PATH, or start with --data PATH")
	}
	// A Unix socket's path has 107 octets (unix(7)).
	if len(s.AdminSocket) > 107 {
		k.fault("server.adminSocket", fmt.Sprintf("the path has %d octets; 107 is the limit of a Unix socket", len(s.AdminSocket)), "Write adminSocket: with a shorter path")
	}
	seen := map[netip.AddrPort]bool{}
	for i, r := range s.Resolvers {
		if seen[r] {
			k.fault(fmt.Sprintf("server.resolvers[%d]", i), fmt.Sprintf("%s is listed twice", r), "Delete one of the two")
		}
		seen[r] = true
	}
}

func (k *checker) partners(c *Configuration) {
	seen := map[smtp.Domain]bool{}
	for i := range c.Partners {
		p := &c.Partners[i]
		path := fmt.Sprintf("partners[%d]", i)
		if seen[p.Domain] && p.Domain != "" {
			k.fault(path+".domain", fmt.Sprintf("%s is listed twice", quoted(string(p.Domain))), "Delete one of the two")
		}
		seen[p.Domain] = true
		if p.NameRule == NameRuleListed && len(p.Names) == 0 {
			k.fault(path+".names", "nameRule listed needs names", "Write names: [HOST, ...] with the names in the partner's certificates")
		}
		if p.NameRule != NameRuleListed && len(p.Names) > 0 {
			k.fault(path+".names", fmt.Sprintf("names count with nameRule listed only, and nameRule is %s", p.NameRule), "Write nameRule: listed, or delete names")
		}
		if p.Shared && p.NameRule != NameRuleListed {
			k.fault(path+".shared", fmt.Sprintf("shared counts with nameRule listed only, and nameRule is %s", p.NameRule), "Write nameRule: listed and names: [HOST, ...], or delete shared")
		}
		if p.NameRule != NameRuleExact && isPublicSuffix(p.Domain) {
			k.fault(path+".nameRule", fmt.Sprintf("%s is a public suffix: anybody can have a name below it", quoted(string(p.Domain))), "Write nameRule: exact")
		}
		if p.FromAlignment == FromDMARC {
			k.fault(path+".fromAlignment", `"dmarc" is not available in this version`, "Write unmarked or refuse")
		}
		k.twice(path+".names", p.Names)
		k.twice(path+".anchors", p.Anchors)
	}
}

// twice records elements that stand in a list more than once.
func (k *checker) twice(path string, list []string) {
	seen := map[string]bool{}
	for i, s := range list {
		if seen[s] {
			k.fault(fmt.Sprintf("%s[%d]", path, i), quoted(s)+" is listed twice", "Delete one of the two")
		}
		seen[s] = true
	}
}

// isPublicSuffix reports whether names directly below d belong to strangers. A
// single label that no list knows counts as one.
func isPublicSuffix(d smtp.Domain) bool {
	if d == "" {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(string(d))
	return suffix == string(d)
}

func (k *checker) acceptedDomains(c *Configuration) {
	seen := map[smtp.Domain]bool{}
	for i := range c.AcceptedDomains {
		a := &c.AcceptedDomains[i]
		path := fmt.Sprintf("acceptedDomains[%d]", i)
		if seen[a.Name] && a.Name != "" {
			k.fault(path+".name", fmt.Sprintf("%s is listed twice", quoted(string(a.Name))), "Delete one of the two")
		}
		seen[a.Name] = true
		if a.Type == InternalRelay && a.HandOff != "" {
			k.fault(path+".handOff", "an InternalRelay domain is routed by send connectors and has no hand-off", "Write type: Authoritative, or delete handOff")
		}
	}
}

func (k *checker) revocation(c *Configuration) {
	if c.Revocation.PerChain < c.Revocation.PerURL {
		k.fault("revocation.perChain", fmt.Sprintf("the time for a chain (%s) is shorter than that for one CRL (%s)",
			FormatDuration(c.Revocation.PerChain), FormatDuration(c.Revocation.PerURL)), "Write perChain: as long as perURL or longer")
	}
}

func (k *checker) queue(c *Configuration) {
	q := &c.Queue
	if q.DelayNotification != Unlimited && q.Expiration < q.DelayNotification {
		k.fault("queue.delayNotification", fmt.Sprintf("messages expire (%s) before their senders are told of the delay (%s)",
			FormatDuration(q.Expiration), FormatDuration(q.DelayNotification)), "Write a shorter delayNotification, or unlimited for none")
	}
}
