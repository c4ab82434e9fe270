package domainsec

import (
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"

	"pgregory.net/rapid"
)

// TestMatchDomain holds every row of the table of name matching that Domain
// Security is documented with, and the edges we add.
func TestMatchDomain(t *testing.T) {
	const d = woodgrove
	long := strings.Repeat("a", 63)
	tests := []struct {
		name   string
		domain smtp.Domain // "": woodgrovebank.com
		want   string      // rules in which it matches: d(omain), e(xact)
	}{
		{"woodgrovebank.com", "", "de"},
		{"*.woodgrovebank.com", "", "d"},
		{"mail1.woodgrovebank.com", "", "d"},
		{"mail1.us.woodgrovebank.com", "", ""},
		{"*.us.woodgrovebank.com", "", ""},
		{"*.com", "", ""},
		{"*", "", ""},
		{"m*.woodgrovebank.com", "", ""},
		{"*l.woodgrovebank.com", "", ""},
		{"*.*.x", "", ""},
		{"*.*.woodgrovebank.com", "", ""},
		{"notwoodgrovebank.com", "", ""},
		{"woodgrovebank.com.evil.net", "", ""},
		{"*.contoso.com", "sub.contoso.com", "de"},
		{"contoso.com", "sub.contoso.com", ""},
		{"*.contoso.com", "a.b.contoso.com", ""},

		{"WoodgroveBank.COM", "", "de"},
		{"MAIL1.WOODGROVEBANK.COM", "", "d"},
		{long + ".woodgrovebank.com", "", "d"},
		{long + "a.woodgrovebank.com", "", ""},
		{"", "", ""},
		{".", "", ""},
		{".woodgrovebank.com", "", ""},
		{"woodgrovebank.com.", "", ""},
		{"mail1.woodgrovebank.com.", "", ""},
		{"-a.woodgrovebank.com", "", ""},
		{"a-.woodgrovebank.com", "", ""},
		{"_dmarc.woodgrovebank.com", "", ""},
		{"a b.woodgrovebank.com", "", ""},
		{"a\x00.woodgrovebank.com", "", ""},
		{"woodgrovebank.com\x00.evil.net", "", ""},
		{"mäil.woodgrovebank.com", "", ""},
		{"mail.woodgroveban\u212a.com", "", ""}, // Kelvin sign
		{"xn--mil-ula.woodgrovebank.com", "", "d"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "de"},
		{"bücher.example", "xn--bcher-kva.example", ""},
		{"192.0.2.1", "", ""},
		{"user@woodgrovebank.com", "", ""},

		// Public suffixes: no wildcard directly below one, and as a domain itself exactly.
		{"*.co.uk", "contoso.co.uk", ""},
		{"*.contoso.co.uk", "contoso.co.uk", "d"},
		{"mail.contoso.co.uk", "contoso.co.uk", "d"},
		{"co.uk", "co.uk", "de"},
		{"*.co.uk", "co.uk", ""},
		{"contoso.co.uk", "co.uk", ""},
		{"*.github.io", "partner.github.io", ""},
		{"mail.partner.github.io", "partner.github.io", "d"},
		{"*.com", "com", ""},
		{"contoso.com", "com", ""},
		{"example", "example", "de"},
		{"mail.example", "example", ""},
		{"*.example", "mail.example", ""},
		{"mail.partner.example", "partner.example", "d"},

		// What is no domain in its internal form matches nothing.
		{"woodgrovebank.com", "WoodgroveBank.com", ""},
		{"woodgrovebank.com.", "woodgrovebank.com.", ""},
		{"bücher.example", "bücher.example", ""},
		{"*.woodgrovebank.com", "*.woodgrovebank.com", ""},
	}
	for _, tt := range tests {
		domain := tt.domain
		if domain == "" {
			domain = d
		}
		for _, rule := range []directory.NameRule{directory.NameRuleDomain, directory.NameRuleExact} {
			t.Run(tt.name+" "+string(domain)+" "+string(rule), func(t *testing.T) {
				p := &directory.Partner{Domain: domain, NameRule: rule}
				want := ""
				if strings.Contains(tt.want, string(rule)[:1]) {
					want = lowerASCII(tt.name)
				}
				if got := MatchDomain([]string{tt.name}, domain, p); got != want {
					t.Errorf("MatchDomain: got %q, want %q", got, want)
				}
				if got := MatchServerName([]string{tt.name}, domain, p); got != want {
					t.Errorf("MatchServerName: got %q, want %q", got, want)
				}
				if rule == directory.NameRuleDomain {
					if got := MatchDomain([]string{tt.name}, domain, nil); got != want {
						t.Errorf("without a partner: got %q, want %q", got, want)
					}
				}
			})
		}
	}
	if got := MatchDomain([]string{"other.example", "Mail.WoodgroveBank.com", "woodgrovebank.com"}, d, nil); got != "mail.woodgrovebank.com" {
		t.Errorf("of several names: got %q", got)
	}
	if got := MatchDomain([]string{""}, "", nil); got != "" {
		t.Errorf("the empty domain matched %q", got)
	}
	if got := MatchDomain([]string{"woodgrovebank.com"}, d, &directory.Partner{NameRule: "later"}); got != "" {
		t.Errorf("an unknown rule matched %q", got)
	}
}

func TestMatchListedNames(t *testing.T) {
	tests := []struct {
		name     string // in the certificate
		listed   []string
		inbound  bool
		outbound bool
	}{
		{"mx.provider.example", []string{"mx.provider.example"}, false, true},
		{"MX.provider.example", []string{"mx.Provider.example"}, false, true},
		{"*.provider.example", []string{"mx.provider.example"}, false, true},
		{"*.provider.example", []string{"mx.eu.provider.example"}, false, false},
		{"provider.example", []string{"mx.provider.example"}, false, false},
		{"mx.provider.example", []string{"*.provider.example"}, false, true},
		{"*.provider.example", []string{"*.provider.example"}, false, true},
		{"a.b.provider.example", []string{"*.provider.example"}, false, false},
		{"provider.example", []string{"*.provider.example"}, false, false},
		{"anything.example", []string{"*.example"}, false, false},
		{"*.example", []string{"mx.example"}, false, false},
		{"woodgrovebank.com", []string{"mx.provider.example"}, false, false},
		{"mail.woodgrovebank.com", []string{"mx.provider.example"}, false, false},
		{"woodgrovebank.com", []string{"woodgrovebank.com"}, true, true},
		{"mail.woodgrovebank.com", []string{"woodgrovebank.com"}, false, false},
		{"mail.woodgrovebank.com", []string{"mail.woodgrovebank.com"}, true, true},
		{"*.woodgrovebank.com", []string{"mail.woodgrovebank.com"}, true, true},
		{"mx1.eu.woodgrovebank.com", []string{"mx1.eu.woodgrovebank.com"}, true, true},
		{"mx1.eu.woodgrovebank.com", []string{"*.eu.woodgrovebank.com"}, true, true},
		{"notwoodgrovebank.com", []string{"notwoodgrovebank.com"}, false, true},
		{"woodgrovebank.com", nil, false, false},
		{"", []string{""}, false, false},
		{"*", []string{"*"}, false, false},
		{"*.com", []string{"*.com"}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+strings.Join(tt.listed, " "), func(t *testing.T) {
			p := &directory.Partner{Domain: woodgrove, NameRule: directory.NameRuleListed, Names: tt.listed}
			if got := MatchDomain([]string{tt.name}, woodgrove, p) != ""; got != tt.inbound {
				t.Errorf("inbound: match %t, want %t", got, tt.inbound)
			}
			if got := MatchServerName([]string{tt.name}, woodgrove, p) != ""; got != tt.outbound {
				t.Errorf("outbound: match %t, want %t", got, tt.outbound)
			}
		})
	}
}

func drawName(t *rapid.T) string {
	label := rapid.StringMatching(`[a-c]{1,2}|\*|a\*|-a|xn--a|é|`)
	return strings.Join(rapid.SliceOfN(label, 0, 5).Draw(t, "labels"), ".")
}

// TestMatchDomainProperties: whatever matches lies at the domain or one label
// around it, is a plain name or one leading wildcard, and no rule accepts what
// a wider one refuses.
func TestMatchDomainProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, domain := drawName(t), smtp.Domain(drawName(t))
		if rapid.Bool().Draw(t, "related") {
			name = rapid.SampledFrom([]string{"", "a.", "*.", "a.b.", "x"}).Draw(t, "before") + string(domain)
		}
		got := MatchDomain([]string{name}, domain, nil)
		exact := MatchDomain([]string{name}, domain, &directory.Partner{NameRule: directory.NameRuleExact})
		if exact != "" && got == "" {
			t.Fatalf("%q matches %q exactly but not by the wider rule", name, domain)
		}
		checkMatch(t, name, string(domain), got)
	})
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func checkMatch(t fataler, name, domain, got string) {
	if got == "" {
		return
	}
	if got != lowerASCII(name) {
		t.Fatalf("%q is reported as %q", name, got)
	}
	bare := strings.TrimPrefix(got, "*.")
	if !isHostName(bare) || !isHostName(domain) {
		t.Fatalf("%q, no host name, matches %q", name, domain)
	}
	_, parent, _ := strings.Cut(domain, ".")
	_, above, _ := strings.Cut(got, ".")
	if got != domain && above != domain && (got == bare || above != parent) {
		t.Fatalf("%q matches %q", name, domain)
	}
	if got != bare && isPublicSuffix(bare) {
		t.Fatalf("the wildcard %q under a public suffix matches %q", name, domain)
	}
	if isPublicSuffix(domain) && got != domain {
		t.Fatalf("%q matches the public suffix %q", name, domain)
	}
}

func FuzzMatchDomain(f *testing.F) {
	for _, s := range [][2]string{
		{"woodgrovebank.com", "woodgrovebank.com"},
		{"*.woodgrovebank.com", "woodgrovebank.com"},
		{"mail1.us.woodgrovebank.com", "woodgrovebank.com"},
		{"*.contoso.com", "sub.contoso.com"},
		{"*.co.uk", "contoso.co.uk"},
		{"a\x00.b", "b.c"},
		{"\u212a.example.com", "k.example.com"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, name, domain string) {
		checkMatch(t, name, domain, MatchDomain([]string{name}, smtp.Domain(domain), nil))
		p := &directory.Partner{NameRule: directory.NameRuleListed, Names: []string{domain}}
		if got := MatchServerName([]string{name}, "woodgrovebank.com", p); got != "" && !isHostName(strings.TrimPrefix(got, "*.")) {
			t.Fatalf("%q, no host name, matches the listed name %q", name, domain)
		}
	})
}
