package trust

import (
	"fmt"
	"slices"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// Findings returns what is unwise about the trust in partners: one whom no
// anchor can vouch for, one tied to an anchor that is not there, and one whose
// private root may vouch for more than its mail servers.
func (v *Verifier) Findings(partners []directory.Partner) []directory.Finding {
	var out []directory.Finding
	for i := range partners {
		p := &partners[i]
		if f := v.partnerFinding(p); f.Text != "" {
			f.Object = fmt.Sprintf("partners[%s]", p.Domain)
			out = append(out, f)
		}
	}
	return out
}

func (v *Verifier) partnerFinding(p *directory.Partner) directory.Finding {
	counts := func(a *storedAnchor) bool {
		return covers(a, p.Domain) && (len(p.Anchors) == 0 || slices.ContainsFunc(p.Anchors, func(pin string) bool { return strings.EqualFold(pin, a.sha256) }))
	}
	for _, pin := range p.Anchors {
		if !slices.ContainsFunc(v.store.anchors, func(a *storedAnchor) bool { return strings.EqualFold(pin, a.sha256) }) && v.systemRoots == nil {
			return directory.Finding{
				Level: directory.LevelError, Text: "its anchors name " + pin + ", which is the thumbprint of no anchor under trust",
				Fix: "Add the anchor to trust.anchors, or correct the thumbprint (openssl x509 -noout -fingerprint -sha256 -in FILE)",
			}
		}
	}
	own := slices.ContainsFunc(v.store.anchors, counts)
	if !own && v.systemRoots == nil {
		return directory.Finding{
			Level: directory.LevelError, Text: "no anchor has the domain in its scope, so nothing can be proven for it",
			Fix: fmt.Sprintf("Name %s in the scope of the anchor under trust.anchors that vouches for it, or write systemRoots: true", p.Domain),
		}
	}
	issuing := func(a *storedAnchor) bool { return a.issuer && counts(a) && !forEveryDomain(a) }
	if p.NameRule == directory.NameRuleDomain && slices.ContainsFunc(v.store.anchors, issuing) {
		return directory.Finding{
			Level: directory.LevelWarning, Text: "a private root may vouch for the domain, where one label below it may be somebody's workstation",
			Fix: fmt.Sprintf("If its certificate names mail hosts, write nameRule: listed and names: [mail1.%s]; if it names the domain itself, write nameRule: exact", p.Domain),
		}
	}
	return directory.Finding{}
}

func covers(a *storedAnchor, d smtp.Domain) bool {
	return slices.ContainsFunc(a.listings, func(l directory.Anchor) bool { return l.Scope.Covers(d) })
}

// forEveryDomain reports an anchor that is listed for every domain: it may be our own root.
func forEveryDomain(a *storedAnchor) bool {
	return slices.ContainsFunc(a.listings, func(l directory.Anchor) bool { return l.Scope.Any })
}
