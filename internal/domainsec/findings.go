package domainsec

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// Findings returns the gaps that a valid configuration leaves in Domain
// Security: each listed domain must meet a connector that can secure it, and
// nobody may come in by a door where nothing is asked. A finding never refuses
// a configuration, because lists and connectors are changed one after the
// other. Partners in test mode are in no list and have no findings.
func Findings(c *directory.Configuration) []directory.Finding {
	var found []directory.Finding
	for i := range c.ReceiveConnectors {
		found = append(found, receiveFindings(c, &c.ReceiveConnectors[i])...)
	}
	for i := range c.Partners {
		p := &c.Partners[i]
		if !p.OverrideUntil.IsZero() {
			found = append(found, directory.Finding{
				Level: directory.LevelWarning, Object: fmt.Sprintf("partners[%s]", p.Domain),
				Text: fmt.Sprintf("until %s mail passes, unmarked, although nobody can say whether the peer's certificate is revoked", p.OverrideUntil.UTC().Format(time.RFC3339)),
				Fix:  "See that the CRL can be reached (mailpact crl list), then delete overrideUntil",
			})
		}
		if p.Mode == directory.ModeTest {
			continue
		}
		if p.Receive {
			found = append(found, namesFindings(p)...)
		}
		if p.Send {
			found = append(found, sendFindings(c, p)...)
		}
	}
	return found
}

// receiveFindings looks for the other door: a connector on which a stranger may
// say that he is a listed domain.
func receiveFindings(c *directory.Configuration, r *directory.ReceiveConnector) []directory.Finding {
	listed := c.TLSReceiveDomainSecureList()
	if len(listed) == 0 || r.DomainSecureEnabled || !r.Grants(directory.GroupAnonymousUsers) || r.ExternallySecured() {
		return nil
	}
	f := directory.Finding{
		Level:  directory.LevelError,
		Object: fmt.Sprintf("receiveConnectors[%s]", r.Name),
		Text: fmt.Sprintf("it admits AnonymousUsers and lacks domainSecureEnabled, so that anybody may send as %s here, without TLS",
			listDomains(listed)),
		Fix: "Write domainSecureEnabled: true (with authMechanism: [Tls]), or take AnonymousUsers from permissionGroups",
	}
	switch {
	case r.ServesInsideOnly():
		f.Level = directory.LevelWarning
		f.Text = fmt.Sprintf("it lacks domainSecureEnabled, so that any of the inside clients in its remoteIPRanges may send as %s", listDomains(listed))
	case onLoopbackOnly(r):
		f.Level = directory.LevelWarning
		f.Text = fmt.Sprintf("it lacks domainSecureEnabled, so that whatever reaches it on this machine may send as %s", listDomains(listed))
	}
	return []directory.Finding{f}
}

// onLoopbackOnly reports whether clients are on this machine. Through a proxy on
// this machine they come from anywhere.
func onLoopbackOnly(r *directory.ReceiveConnector) bool {
	if len(r.ProxyProtocolFrom) > 0 {
		return false
	}
	for _, b := range r.Bindings {
		ap, err := netip.ParseAddrPort(b)
		if err != nil || !ap.Addr().IsLoopback() {
			return false
		}
	}
	return len(r.Bindings) > 0
}

// namesFindings looks for listed names that cannot count for mail that comes in.
func namesFindings(p *directory.Partner) []directory.Finding {
	if p.NameRule != directory.NameRuleListed {
		return nil
	}
	var outside []string
	for _, n := range p.Names {
		n = lowerASCII(n)
		if base := strings.TrimPrefix(n, "*."); base != string(p.Domain) && !strings.HasSuffix(base, "."+string(p.Domain)) {
			outside = append(outside, n)
		}
	}
	if len(outside) == 0 {
		return nil
	}
	f := directory.Finding{
		Level:  directory.LevelWarning,
		Object: fmt.Sprintf("partners[%s].names", p.Domain),
		Text:   fmt.Sprintf("%s are outside the domain and prove nothing about mail that comes in", strings.Join(outside, ", ")),
		Fix:    "Ask the partner for a certificate with a name of the domain, or write receive: false",
	}
	if len(outside) == len(p.Names) {
		f.Level = directory.LevelError
		f.Text = "no listed name lies in the domain, so that all its mail is refused"
	}
	return []directory.Finding{f}
}

// sendFindings looks at every enabled send connector that may route p's domain.
// Which of them does is routing's to say: one that cannot secure the domain is
// a warning, and an error when there is no other.
func sendFindings(c *directory.Configuration, p *directory.Partner) []directory.Finding {
	object := fmt.Sprintf("partners[%s]", p.Domain)
	var holding []directory.Finding
	routes := 0
	for i := range c.SendConnectors {
		s := &c.SendConnectors[i]
		if !s.Enabled || !spaceCovers(s, p.Domain) {
			continue
		}
		routes++
		if conflicts := secureConflicts(s); len(conflicts) > 0 {
			holding = append(holding, directory.Finding{
				Level:  directory.LevelWarning,
				Object: fmt.Sprintf("sendConnectors[%s]", s.Name),
				Text:   fmt.Sprintf("mail for %s, which is in TLSSendDomainSecureList, waits when this connector routes it: it %s", p.Domain, strings.Join(conflicts, ", and ")),
				Fix:    "Change the connector, or give the domain one of its own",
			})
		}
	}
	if routes == 0 {
		return []directory.Finding{{
			Level: directory.LevelError, Object: object,
			Text: "no enabled send connector has an address space for the domain, so that its mail waits",
			Fix:  "Write a send connector with addressSpaces: [\"*;1\"] and domainSecureEnabled: true",
		}}
	}
	if len(holding) == routes {
		for i := range holding {
			holding[i].Level = directory.LevelError
		}
	}
	return holding
}

func spaceCovers(s *directory.SendConnector, d smtp.Domain) bool {
	for _, a := range s.AddressSpaces {
		if a.Specificity(d) > 0 {
			return true
		}
	}
	return false
}

// listDomains names the first domains of a list that may be long.
func listDomains(domains []smtp.Domain) string {
	const shown = 3
	var b strings.Builder
	for i, d := range domains[:min(len(domains), shown)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(d))
	}
	if len(domains) > shown {
		fmt.Fprintf(&b, " and %d more", len(domains)-shown)
	}
	return b.String()
}
