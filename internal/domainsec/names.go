package domainsec

import (
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"

	"golang.org/x/net/publicsuffix"
)

// Limits of a host name (RFC 1035, section 2.3.4), in octets without a trailing dot.
const (
	maxNameOctets  = 253
	maxLabelOctets = 63
)

// MatchDomain returns the first of a certificate's DNS names that belongs to
// domain d under partner p's name rule, in lower case, or "" when none does. A
// nil partner has the rule "domain".
//
// Rule "domain" (Domain Security's own): a name matches when it is d, "*." + d,
// or one label below d; and, as an ordinary wildcard of exactly one label (RFC
// 9525, section 6.3), when it is "*." + the parent of d. Rule "exact" leaves
// only d and that wildcard. Rule "listed" replaces both by the partner's host
// names, of which only d itself and names below it count here: whoever speaks
// for d under another's name needs MatchServerName, for servers, or the partner's
// "shared".
//
// No wildcard directly under a public suffix ever matches, and d, when it is
// itself a public suffix, is matched by itself alone. A name that is not an
// ASCII host name matches nothing: no U-label, empty label, inner or partial
// wildcard, trailing dot or underscore. Names are compared without case.
func MatchDomain(names []string, d smtp.Domain, p *directory.Partner) (matched string) {
	return matchName(names, d, p, Inbound)
}

// MatchServerName is MatchDomain for the certificate of a server to which mail
// for d is sent. It differs in the rule "listed" only: every listed host name
// counts, inside d or not, because the listing says who hosts d's mail.
func MatchServerName(names []string, d smtp.Domain, p *directory.Partner) (matched string) {
	return matchName(names, d, p, Outbound)
}

func matchName(names []string, d smtp.Domain, p *directory.Partner, way Direction) string {
	domain := string(d)
	if !isHostName(domain) || domain != lowerASCII(domain) {
		return ""
	}
	rule := directory.NameRuleDomain
	var listed []string
	if p != nil {
		listed = p.Names
		if p.NameRule != "" {
			rule = p.NameRule
		}
	}
	for _, n := range names {
		if len(n) > maxNameOctets {
			continue
		}
		n = lowerASCII(n)
		var ok bool
		switch rule {
		case directory.NameRuleDomain:
			ok = covers(n, domain) || belongs(n, domain)
		case directory.NameRuleExact:
			ok = covers(n, domain)
		case directory.NameRuleListed:
			ok = coversListed(n, domain, listed, way == Outbound || p.Shared)
		}
		if ok {
			return n
		}
	}
	return ""
}

// MatchHost returns the first of a certificate's DNS names that stands for host
// (RFC 9525, section 6.3), in lower case, or "" when none does. Host is a host
// name in lower case, without a trailing dot.
func MatchHost(names []string, host string) string {
	if !isHostName(host) || host != lowerASCII(host) {
		return ""
	}
	for _, n := range names {
		if n = lowerASCII(n); len(n) <= maxNameOctets && covers(n, host) {
			return n
		}
	}
	return ""
}

// covers reports whether name stands for host under RFC 9525: it is host, or a
// wildcard for exactly its first label, not directly under a public suffix.
func covers(name, host string) bool {
	if name == host {
		return true
	}
	base, wild := strings.CutPrefix(name, "*.")
	if !wild {
		return false
	}
	_, parent, ok := strings.Cut(host, ".")
	return ok && parent == base && !isPublicSuffix(base)
}

// belongs reports whether name is "*." + domain or one label below domain.
func belongs(name, domain string) bool {
	label, ok := strings.CutSuffix(name, "."+domain)
	return ok && (label == "*" || isLabel(label)) && !isPublicSuffix(domain)
}

// coversListed applies the rule "listed". A listed name may be a wildcard
// itself; it then stands for the same wildcard and for hosts one label below.
func coversListed(name, domain string, listed []string, anywhere bool) bool {
	for _, l := range listed {
		l = lowerASCII(l)
		base, wild := strings.CutPrefix(l, "*.")
		if !isHostName(base) {
			continue
		}
		if !anywhere && !insideDomain(base, domain) {
			continue
		}
		if wild && belongs(name, base) || !wild && covers(name, l) {
			return true
		}
	}
	return false
}

// insideDomain reports whether name, a host name or wildcard, is domain or lies
// below it.
func insideDomain(name, domain string) bool {
	name = strings.TrimPrefix(name, "*.")
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// isPublicSuffix reports whether registrations happen directly below name. An
// unknown top-level domain counts as one, and so does every single label.
func isPublicSuffix(name string) bool {
	suffix, _ := publicsuffix.PublicSuffix(name)
	return suffix == name
}

// isHostName reports whether s is a host name of one or more labels of ASCII
// letters, digits and hyphens (RFC 1123, section 2.1), without a trailing dot.
func isHostName(s string) bool {
	if s == "" || len(s) > maxNameOctets {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	if s == "" || len(s) > maxLabelOctets || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// IsHostName reports whether s can be a host name in a certificate's subject
// CN: ASCII letters, digits and hyphens, at least two labels, the last not all
// digits, because that is an IP address, and a first label that may be the
// wildcard "*".
func IsHostName(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	dot := strings.LastIndexByte(s, '.')
	return isHostName(s) && dot >= 0 && strings.Trim(s[dot:], ".0123456789") != ""
}

// lowerASCII lowers A to Z and nothing else: strings.ToLower would turn the
// Kelvin sign into a k.
func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
