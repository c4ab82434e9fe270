package suites

import "strings"

// choice is why cases of a suite are answered otherwise than they expect, on
// purpose. docs/decisions/0062 explains each.
type choice struct {
	why   string
	cases []string // names, without what stands in brackets after them
}

// choices lists every case that is answered otherwise on purpose.
func choices() []choice {
	return []choice{
		{"no key identifiers are required", []string{
			"rfc5280::aki::leaf-missing-aki", "rfc5280::aki::intermediate-missing-aki", "rfc5280::aki::cross-signed-root-missing-aki",
			"rfc5280::ski::root-missing-ski", "rfc5280::ski::intermediate-missing-ski",
			"webpki::aki::root-with-aki-missing-keyidentifier", "webpki::aki::root-with-aki-authoritycertissuer",
			"webpki::aki::root-with-aki-authoritycertserialnumber", "webpki::aki::root-with-aki-all-fields", "webpki::aki::root-with-aki-ski-mismatch",
		}},
		{"an extension that should be critical counts also where it is not, and the reverse", []string{
			"rfc5280::nc::permitted-dns-match-noncritical", "rfc5280::pc::ica-noncritical-pc", "rfc5280::san::noncritical-with-empty-subject",
			"rfc5280::root-non-critical-basic-constraints", "webpki::san::san-critical-with-nonempty-subject", "webpki::eku::ee-critical-eku",
		}},
		{"a leading dot in a DNS constraint asks for one label more", []string{"rfc5280::nc::invalid-dnsname-leading-period"}},
		{"serial numbers identify, and nothing else", []string{"rfc5280::serial::too-long", "rfc5280::serial::zero", "rfc5280::serial::negative"}},
		{"clocks differ by up to five minutes", []string{
			"rfc5280::validity::notbefore-fractional", "rfc5280::validity::not-yet-valid-1-second", "rfc5280::validity::not-yet-valid-5-seconds",
		}},
		{"the CN is not looked at for a host, so it need not repeat a name", []string{
			"webpki::cn::ipv4-hex-mismatch", "webpki::cn::ipv4-leading-zeros-mismatch", "webpki::cn::ipv6-uppercase-mismatch",
			"webpki::cn::ipv6-uncompressed-mismatch", "webpki::cn::ipv6-non-rfc5952-mismatch", "webpki::cn::punycode-not-in-san",
			"webpki::cn::utf8-vs-punycode-mismatch", "webpki::cn::not-in-san", "webpki::cn::case-mismatch",
		}},
		{"no usage, or any usage, counts as every usage", []string{
			"webpki::eku::ee-anyeku", "webpki::eku::ee-without-eku", "webpki::eku::root-has-eku",
		}},
		{"RSA keys of any length from 2048 to 8192 bits count", []string{
			"webpki::forbidden-rsa-not-divisible-by-8-in-root", "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf",
		}},
		{"a CA's certificate can be a mail server's", []string{"webpki::ee-basicconstraints-ca", "webpki::ca-as-leaf"}},
		{"the depth of a path cannot be chosen", []string{"pathlen::max-chain-depth-0-exhausted", "pathlen::max-chain-depth-1-exhausted"}},
		{"DSA is refused", []string{"4.1.4 Valid DSA Signatures Test4", "4.1.5 Valid DSA Parameter Inheritance Test5"}},
		{"a CRL does not vouch for its own signer", []string{"4.14.30 Valid cRLIssuer Test30"}},
	}
}

// chosen reports whether a case is answered otherwise on purpose.
func chosen(name string) bool {
	name, _, _ = strings.Cut(name, " (")
	for _, c := range choices() {
		for _, n := range c.cases {
			if n == name {
				return true
			}
		}
	}
	return false
}
