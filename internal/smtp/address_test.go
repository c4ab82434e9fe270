package smtp_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailpact/internal/smtp"
)

func TestParseDomain(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	longest := strings.Repeat(label63+".", 3) + strings.Repeat("a", 61)
	tests := []struct{ name, in, want string }{ // want "": refused
		{"plain", "example.com", "example.com"},
		{"one label", "localhost", "localhost"},
		{"upper case", "EXAMPLE.Com", "example.com"},
		{"trailing dot", "example.com.", "example.com"},
		{"digits and hyphens", "3-4.1and1.com", "3-4.1and1.com"},
		{"hyphens in third and fourth place", "r3---sn.example", "r3---sn.example"},
		{"U-label", "bücher.example", "xn--bcher-kva.example"},
		{"U-label in capitals", "BÜCHER.example", "xn--bcher-kva.example"},
		{"U-label, decomposed", "bu\u0308cher.example", "xn--bcher-kva.example"},
		{"sharp s is kept", "straße.example", "xn--strae-oqa.example"},
		{"A-label", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"A-label in capitals", "XN--BCHER-KVA.Example", "xn--bcher-kva.example"},
		{"ideographic full stop", "example。com", "example.com"},
		{"full width", "ｅｘａｍｐｌｅ.com", "example.com"},
		{"trailing ideographic full stop", "example.com。", "example.com"},
		{"comment behind", "example.com(the best)", "example.com"},
		{"comment before", " (nested (twice) \\) )example.com", "example.com"},
		{"comments around a dot", "example (a) . (b) com", "example.com"},
		{"folded", "example.\r\n com", "example.com"},
		{"longest label", label63 + ".com", label63 + ".com"},
		{"longest", longest, longest},

		{"empty", "", ""},
		{"root", ".", ""},
		{"two trailing dots", "example.com..", ""},
		{"leading dot", ".example.com", ""},
		{"empty label", "example..com", ""},
		{"label too long", label63 + "a.com", ""},
		{"too long", longest + "a", ""},
		{"far too long", strings.Repeat("é.", 600), ""},
		{"hyphen first", "-example.com", ""},
		{"hyphen last", "example-.com", ""},
		{"hyphen at the end", "example.com-", ""},
		{"underscore", "a_b.example", ""},
		{"wildcard", "*.example.com", ""},
		{"space inside", "exam ple.com", ""},
		{"comment inside a label", "exam(x)ple.com", ""},
		{"comment without end", "example.com(x", ""},
		{"stray end of comment", "example.com)", ""},
		{"only a comment", "(x)", ""},
		{"NUL", "example\x00.com", ""},
		{"address literal", "[192.0.2.1]", ""},
		{"address", "192.0.2.1", ""},
		{"numeric last label", "example.1", ""},
		{"full width numeric", "example.１", ""},
		{"not UTF-8", "b\xfccher.example", ""},
		{"disallowed character", "a\u2024b.example", ""},
		{"leading combining mark", "\u0301a.example", ""},
		{"A-label that is no conversion", "xn--bücher.example", ""},
		{"A-label of ASCII", "xn--abc-.example", ""},
		{"A-label of a capital", "xn--bcher-kVa9.example", ""},
		{"broken A-label", "xn--a.example", ""},
		{"direction mixed", "aא.example", ""},
		{"at sign", "a@example.com", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := smtp.ParseDomain(tt.in)
			if string(got) != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("ParseDomain(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
			if err != nil && len(tt.in) > 3 && strings.Contains(err.Error(), tt.in) {
				t.Errorf("the error repeats the input: %v", err)
			}
		})
	}
}

func TestDomainUnicode(t *testing.T) {
	for in, want := range map[smtp.Domain]string{
		"example.com":               "example.com",
		"xn--bcher-kva.example":     "bücher.example",
		"www.xn--bcher-kva.example": "www.bücher.example",
		"xn--a.example":             "xn--a.example",
	} {
		if got := in.Unicode(); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestParseMailbox(t *testing.T) {
	local64 := strings.Repeat("a", 64)
	tests := []struct {
		name, in string
		want     smtp.Mailbox
		fault    smtp.AddressFault
	}{
		{"plain", "A.b+c@Example.COM", smtp.Mailbox{LocalPart: "A.b+c", Domain: "example.com"}, 0},
		{"every atext", "!#$%&'*+-/=?^_`{|}~09azAZ@a.b", smtp.Mailbox{LocalPart: "!#$%&'*+-/=?^_`{|}~09azAZ", Domain: "a.b"}, 0},
		{"quoted", `"a b"@a.b`, smtp.Mailbox{LocalPart: "a b", Domain: "a.b"}, 0},
		{"quoted at, bracket and quote", `"a@>\"\\b"@a.b`, smtp.Mailbox{LocalPart: `a@>"\b`, Domain: "a.b"}, 0},
		{"needlessly quoted", `"a.b"@a.b`, smtp.Mailbox{LocalPart: "a.b", Domain: "a.b"}, 0},
		{"empty quoted", `""@a.b`, smtp.Mailbox{LocalPart: "", Domain: "a.b"}, 0},
		{"IPv4 literal", "a@[192.0.2.1]", smtp.Mailbox{LocalPart: "a", Literal: "[192.0.2.1]"}, 0},
		{"IPv6 literal", "a@[IPv6:2001:DB8::1]", smtp.Mailbox{LocalPart: "a", Literal: "[ipv6:2001:db8::1]"}, 0},
		{"longest local part", local64 + "@a.b", smtp.Mailbox{LocalPart: local64, Domain: "a.b"}, 0},
		{"U-label domain", "a@bücher.example", smtp.Mailbox{LocalPart: "a", Domain: "xn--bcher-kva.example"}, 0},

		{"empty", "", smtp.Mailbox{}, smtp.AddressSyntax},
		{"no domain", "a", smtp.Mailbox{}, smtp.AddressSyntax},
		{"postmaster alone", "postmaster", smtp.Mailbox{}, smtp.AddressSyntax},
		{"no local part", "@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"empty domain", "a@", smtp.Mailbox{}, smtp.AddressDomainUnusable},
		{"two at signs", "a@b@c.d", smtp.Mailbox{}, smtp.AddressDomainUnusable},
		{"brackets", "<a@a.b>", smtp.Mailbox{}, smtp.AddressSyntax},
		{"closing bracket", "a@a.b>", smtp.Mailbox{}, smtp.AddressSyntax},
		{"dot first", ".a@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"dot last", "a.@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"two dots", "a..b@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"space", "a b@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"control", "a\r\nb@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"quoted control", "\"a\r\nb\"@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"quoted pair of a control", "\"a\\\nb\"@a.b", smtp.Mailbox{}, smtp.AddressSyntax},
		{"quote without end", `"a@a.b`, smtp.Mailbox{}, smtp.AddressSyntax},
		{"quote ends in a backslash", `"a\`, smtp.Mailbox{}, smtp.AddressSyntax},
		{"text behind a quote", `"a"b@a.b`, smtp.Mailbox{}, smtp.AddressSyntax},
		{"local part too long", local64 + "a@a.b", smtp.Mailbox{}, smtp.AddressTooLong},
		{"quoted local part too long", `"` + local64 + `"@a.b`, smtp.Mailbox{}, smtp.AddressTooLong},
		{"local part not ASCII", "ä@a.b", smtp.Mailbox{}, smtp.AddressNotASCII},
		{"quoted local part not ASCII", `"ä"@a.b`, smtp.Mailbox{}, smtp.AddressNotASCII},
		{"domain not usable", "a@b_c.d", smtp.Mailbox{}, smtp.AddressDomainUnusable},
		{"literal without end", "a@[192.0.2.1", smtp.Mailbox{}, smtp.AddressSyntax},
		{"literal of nothing", "a@[]", smtp.Mailbox{}, smtp.AddressSyntax},
		{"IPv6 without its tag", "a@[2001:db8::1]", smtp.Mailbox{}, smtp.AddressSyntax},
		{"IPv4 with IPv6's tag", "a@[IPv6:192.0.2.1]", smtp.Mailbox{}, smtp.AddressSyntax},
		{"IPv6 with a zone", "a@[IPv6:fe80::1%eth0]", smtp.Mailbox{}, smtp.AddressSyntax},
		{"general literal", "a@[x400:foo]", smtp.Mailbox{}, smtp.AddressSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := smtp.ParseMailbox(tt.in)
			var ae *smtp.AddressError
			if tt.fault != 0 {
				if !errors.As(err, &ae) || ae.Fault != tt.fault || got != (smtp.Mailbox{}) {
					t.Fatalf("got %+v, %v (%+v)", got, err, ae)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
			if again, err := smtp.ParseMailbox(got.String()); err != nil || again != got {
				t.Errorf("String gives %q, which parses as %+v, %v", got.String(), again, err)
			}
		})
	}
}

func TestParsePaths(t *testing.T) {
	tests := []struct{ in, reverse, forward string }{ // "" refused
		{"<a@b.c>", "a@b.c", "a@b.c"},
		{"<>", "<>", ""},
		{"<postmaster>", "", "postmaster"},
		{"<PostMaster>", "", "PostMaster"},
		{"<abuse>", "", ""},
		{"<@relay.example:a@b.c>", "a@b.c", "a@b.c"},
		{"<@one.example,@two.example:a@b.c>", "a@b.c", "a@b.c"},
		{"<@one.example,two.example:a@b.c>", "", ""},
		{"<@one.example>", "", ""},
		{"<@:a@b.c>", "", ""},
		{"<@one.example:>", "", ""},
		{`<"x>y"@b.c>`, `"x>y"@b.c`, `"x>y"@b.c`},
		{"<a@b.c", "", ""},
		{"a@b.c", "", ""},
		{"<a@b.c>>", "", ""},
		{"<<a@b.c>>", "", ""},
		{"< a@b.c>", "", ""},
		{"<a@b.c >", "a@b.c", "a@b.c"}, // ParseDomain drops the space
		{"", "", ""},
		{"<", "", ""},
		{">", "", ""},
		{"<" + strings.Repeat("@a.example,", 30) + "@a.example:a@b.c>", "", ""}, // over 256 octets
	}
	for _, tt := range tests {
		r, err := smtp.ParseReversePath(tt.in)
		if (err == nil) != (tt.reverse != "") || err == nil && r.String() != tt.reverse {
			t.Errorf("reverse-path %q: %q, %v; want %q", tt.in, r, err, tt.reverse)
		}
		if r.Null() != (tt.in == "<>" || tt.reverse == "") {
			t.Errorf("reverse-path %q: null %v", tt.in, r.Null())
		}
		f, err := smtp.ParseForwardPath(tt.in)
		if (err == nil) != (tt.forward != "") || err == nil && f.String() != tt.forward {
			t.Errorf("forward-path %q: %q, %v; want %q", tt.in, f, err, tt.forward)
		}
	}
}

func TestMailboxStringRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[ -~]{0,31}`).Draw(t, "local part")
		m := smtp.Mailbox{LocalPart: local, Domain: "example.com"}
		again, err := smtp.ParseMailbox(m.String())
		if err != nil || again != m {
			t.Fatalf("%+v is written %q, which parses as %+v, %v", m, m.String(), again, err)
		}
	})
}

// Whatever ParseMailbox accepts is what it would write, and cannot break a command.
func FuzzParseMailbox(f *testing.F) {
	for _, s := range []string{"a@b.c", `"a b"@[1.2.3.4]`, "a@[IPv6:::1]", "a@bücher.example", "a@b (c) .d", "é@b.c", `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := smtp.ParseMailbox(s)
		if err != nil {
			if m != (smtp.Mailbox{}) {
				t.Fatalf("%q: %+v with error %v", s, m, err)
			}
			return
		}
		out := m.String()
		for _, c := range []byte(out) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q is written %q", s, out)
			}
		}
		if again, err := smtp.ParseMailbox(out); err != nil || again != m {
			t.Fatalf("%q is written %q, which parses as %+v, %v", s, out, again, err)
		}
		if p, err := smtp.ParseForwardPath("<" + out + ">"); err == nil && p.Mailbox != m {
			t.Fatalf("%q as a path: %+v", out, p)
		}
	})
}

// ParseDomain gives one form: what it returns, it returns again.
func FuzzParseDomain(f *testing.F) {
	for _, s := range []string{"example.com", "BÜCHER.example.", "xn--bcher-kva.example", "a(b)", "a。b", "1.2.3.4", "ß.de", "xn--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := smtp.ParseDomain(s)
		if err != nil {
			if d != "" {
				t.Fatalf("%q: %q with error %v", s, d, err)
			}
			return
		}
		if again, err := smtp.ParseDomain(string(d)); err != nil || again != d {
			t.Fatalf("%q gives %q, which gives %q, %v", s, d, again, err)
		}
		if strings.ToLower(string(d)) != string(d) || len(d) > smtp.MaxDomainBytes || strings.ContainsAny(string(d), " <>@()[]_*\"\\\r\n") {
			t.Fatalf("%q gives %q", s, d)
		}
		if u, err := smtp.ParseDomain(d.Unicode()); err != nil || u != d {
			t.Fatalf("%q shows as %q, which gives %q, %v", d, d.Unicode(), u, err)
		}
	})
}
