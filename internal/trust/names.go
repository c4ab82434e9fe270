package trust

import (
	"crypto/x509"
	"net"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// certificateNames returns the names of a leaf that count: its dNSName SANs,
// and the subject CN when it is an ASCII host name and either there is no
// dNSName or none of the paths has a CA with DNS name constraints, because
// those bind dNSNames only. The settings can leave the CN aside.
func (v *Verifier) certificateNames(leaf *x509.Certificate, paths ...[]*x509.Certificate) []string {
	names := leaf.DNSNames
	cn := leaf.Subject.CommonName
	if !v.commonName || !domainsec.IsHostName(cn) {
		return names
	}
	if len(names) > 0 {
		for _, path := range paths {
			for _, c := range path[min(1, len(path)):] {
				if hasDNSConstraints(c) {
					return names
				}
			}
		}
	}
	return append(names[:len(names):len(names)], cn)
}

func hasDNSConstraints(c *x509.Certificate) bool {
	return len(c.PermittedDNSDomains) > 0 || len(c.ExcludedDNSDomains) > 0
}

// matchedName returns the leaf's name that answers the request; paths are all
// those found.
func (v *Verifier) matchedName(leaf *x509.Certificate, paths [][]*x509.Certificate, r Request) string {
	switch r.NameCheck {
	case domainsec.NamesByDomain:
		return matchNames(v.certificateNames(leaf, paths...), r.Domain, r.Partner, r.Direction)
	case domainsec.NamesByHost:
		return matchHost(leaf, string(r.Domain))
	default:
		return ""
	}
}

// matchHost matches a host name or an IP address (RFC 9525, section 6): the
// subject's CN never counts, and an address never matches a DNS name.
func matchHost(leaf *x509.Certificate, host string) string {
	ip := net.ParseIP(host)
	if ip == nil {
		return domainsec.MatchHost(leaf.DNSNames, host)
	}
	for _, a := range leaf.IPAddresses {
		if a.Equal(ip) {
			return a.String()
		}
	}
	return ""
}

// matchNames returns the name that matches the domain in the given direction.
func matchNames(names []string, d smtp.Domain, p *directory.Partner, way domainsec.Direction) string {
	if way == domainsec.Outbound {
		return domainsec.MatchServerName(names, d, p)
	}
	return domainsec.MatchDomain(names, d, p)
}

// NameMatches returns the name of a presented certificate that matches a
// partner's domain as a sender, or "". It looks at names alone, without any
// path or network: it says whether it is worth judging early, never that the
// certificate is good.
func (v *Verifier) NameMatches(leaf *x509.Certificate, p *directory.Partner) string {
	if leaf == nil || p == nil {
		return ""
	}
	return domainsec.MatchDomain(v.certificateNames(leaf), p.Domain, p)
}
