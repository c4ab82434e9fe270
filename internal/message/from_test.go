package message

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

func TestFrom(t *testing.T) {
	const bank = smtp.Domain("bank.example")
	alike := func(domains ...smtp.Domain) domainsec.FromFacts {
		return domainsec.FromFacts{Fields: 1, Strict: domains, StrictOK: true, Union: domains}
	}
	tests := []struct {
		name, in string
		want     domainsec.FromFacts
	}{
		// What ordinary programs write is read alike by everyone.
		{"bare address", "From: a@bank.example\r\n", alike(bank)},
		{"no space", "From:a@bank.example\r\n", alike(bank)},
		{"any capitals", "FROM: A@Bank.Example\r\n", alike(bank)},
		{"space before the colon", "From : a@bank.example\r\n", alike(bank)},
		{"in brackets", "From: <a@bank.example>\r\n", alike(bank)},
		{"with a name", "From: Alice Example <a@bank.example>\r\n", alike(bank)},
		{"with dots in the name", "From: Alice B. Example, Ph.D. <a@bank.example>\r\n", domainsec.FromFacts{Fields: 1, Union: []smtp.Domain{bank}}},
		{"with a dot in the name", "From: Alice B. Example <a@bank.example>\r\n", alike(bank)},
		{"with a quoted name", "From: \"Example, Alice\" <a@bank.example>\r\n", alike(bank)},
		{"with an encoded name", "From: =?utf-8?B?w4VzYQ==?= =?utf-8?Q?Example?= <a@bank.example>\r\n", alike(bank)},
		{"with an encoded name that mentions nothing", "From: =?utf-8?Q?Sales_=40_Bank?= <a@bank.example>\r\n", alike(bank)},
		{"with an at sign in the name", "From: \"Sales @ Bank\" <a@bank.example>\r\n", alike(bank)},
		{"its own address as name", "From: \"a@bank.example\" <a@bank.example>\r\n", alike(bank)},
		{"with a comment", "From: a@bank.example (Alice)\r\n", alike(bank)},
		{"quoted local part", "From: <\"a b\"@bank.example>\r\n", alike(bank)},
		{"folded", "From: Alice\r\n <a@bank.example>\r\n", alike(bank)},
		{"folded before the value", "From:\r\n a@bank.example\r\n", alike(bank)},
		{"two of one domain", "From: a@bank.example, Bob <b@bank.example>\r\n", alike(bank)},
		{"two of one domain, folded", "From: a@bank.example,\r\n\tBob <b@BANK.example>\r\n", alike(bank)},
		{"two domains", "From: a@bank.example, b@other.example\r\n", alike(bank, "other.example")},
		{"group", "From: Team: a@bank.example, <b@bank.example>;\r\n", alike(bank)},
		{"group in a list", "From: Team: a@bank.example;, b@other.example\r\n", alike(bank, "other.example")},
		{"internationalised domain", "From: a@b\u00fccher.example\r\n", alike("xn--bcher-kva.example")},
		{"its A-label", "From: a@xn--bcher-kva.example\r\n", alike("xn--bcher-kva.example")},
		{"name in UTF-8", "From: \u00c5sa <a@bank.example>\r\n", alike(bank)},
		{"host without dot", "From: root@localhost\r\n", alike("localhost")},

		// What says nothing about a domain, or not in the grammar.
		{"no From", "To: a@bank.example\r\nFrom-x: a@bank.example\r\nX-From: a@bank.example\r\n", domainsec.FromFacts{}},
		{"empty", "From:\r\n", domainsec.FromFacts{Fields: 1}},
		{"no address", "From: Alice\r\n", domainsec.FromFacts{Fields: 1}},
		{"empty group", "From: Undisclosed:;\r\n", domainsec.FromFacts{Fields: 1}},
		{"address literal", "From: a@[192.0.2.1]\r\n", domainsec.FromFacts{Fields: 1}},
		{"address literal beside a domain", "From: a@bank.example, a@[192.0.2.1]\r\n", domainsec.FromFacts{Fields: 1, Strict: []smtp.Domain{bank}, Union: []smtp.Domain{bank}}},
		{"two fields", "From: a@bank.example\r\nfrom: b@bank.example\r\n", domainsec.FromFacts{Fields: 2, Strict: []smtp.Domain{bank}, StrictOK: true, Union: []smtp.Domain{bank}}},
		{"a separate From behind the header", "A: 1\r\n\r\nFrom: a@bank.example\r\n", domainsec.FromFacts{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readHeaderString("Subject: x\r\n"+tt.in+"To: b@contoso.com\r\n\r\n").From()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// evasions are From fields by which somebody might show listed.example to a
// reader without its being noticed. The sender's own domain is other.example.
var evasions = []struct{ name, in string }{
	{"in the name, quoted", "From: \"ceo@listed.example\" <x@other.example>\r\n"},
	{"in the name, bare", "From: ceo@listed.example <x@other.example>\r\n"},
	{"in a comment", "From: x@other.example (ceo@listed.example)\r\n"},
	{"in a comment before", "From: (ceo@listed.example) x@other.example\r\n"},
	{"in a nested comment", "From: x@other.example (a (ceo@listed.example) b)\r\n"},
	{"second address", "From: x@other.example, ceo@listed.example\r\n"},
	{"second address behind a semicolon", "From: x@other.example; ceo@listed.example\r\n"},
	{"second address behind a space", "From: x@other.example ceo@listed.example\r\n"},
	{"two brackets", "From: <ceo@listed.example> <x@other.example>\r\n"},
	{"two brackets, other order", "From: <x@other.example> <ceo@listed.example>\r\n"},
	{"brackets in brackets", "From: <<ceo@listed.example>x@other.example>\r\n"},
	{"bracket without end", "From: Ceo <ceo@listed.example\r\n"},
	{"bracket without beginning", "From: ceo@listed.example>\r\n"},
	{"two at signs", "From: <ceo@listed.example@other.example>\r\n"},
	{"two at signs, other order", "From: <x@other.example@listed.example>\r\n"},
	{"source route", "From: <@listed.example:x@other.example>\r\n"},
	{"source route, other order", "From: <@other.example:ceo@listed.example>\r\n"},
	{"quoted local part", "From: \"ceo@listed.example\"@other.example\r\n"},
	{"quoted local part and a space", "From: \"ceo@listed.example \"@other.example\r\n"},
	{"quote without end", "From: \"ceo <ceo@listed.example>\r\n"},
	{"quote without end in the address", "From: <\"ceo@listed.example>\r\n"},
	{"escaped quote", "From: \"\\\" <ceo@listed.example>\r\n"},
	{"comment without end", "From: (ceo@listed.example\r\n"},
	{"comment without end before", "From: ( <ceo@listed.example>\r\n"},
	{"parenthesis too many", "From: ) ceo@listed.example\r\n"},
	{"quote in a comment", "From: (\") <ceo@listed.example> (\")\r\n"},
	{"comment before the domain", "From: ceo@(x)listed.example\r\n"},
	{"comment before the at sign", "From: ceo(x)@listed.example\r\n"},
	{"comment around the dot", "From: ceo@listed(x).(y)example\r\n"},
	{"comment in a label", "From: <ceo@lis(x)ted.example>\r\n"},
	{"comment in a label behind a quote", "From: \"(\" <ceo@lis(x)ted.example>\r\n"},
	{"comment without end behind the dot", "From: ceo@listed.(example\r\n"},
	{"comment with an at sign", "From: ceo(@)@listed.example\r\n"},
	{"spaces around the at sign", "From: ceo @ listed.example\r\n"},
	{"spaces around the dot", "From: ceo@listed . example\r\n"},
	{"spaces in the brackets", "From: < ceo @ listed . example >\r\n"},
	{"spaces in a label in brackets", "From: <ceo@lis ted.example>\r\n"},
	{"folded at the at sign", "From: ceo\r\n @\r\n listed.example\r\n"},
	{"folded at the dot", "From: ceo@listed\r\n .example\r\n"},
	{"folded in a label", "From: ceo@lis\r\n ted.example\r\n"},
	{"folded with a line of white space", "From: x@other.example,\r\n \r\n ceo@listed.example\r\n"},
	{"dot at the end", "From: ceo@listed.example.\r\n"},
	{"two dots", "From: ceo@listed..example\r\n"},
	{"dot before", "From: ceo@.listed.example\r\n"},
	{"hyphen at the end", "From: ceo@listed.example-\r\n"},
	{"underscore behind", "From: ceo@listed.example_x\r\n"},
	{"slash behind", "From: ceo@listed.example/x.other.example\r\n"},
	{"port behind", "From: ceo@listed.example:25\r\n"},
	{"percent behind", "From: <ceo@listed.example%other.example>\r\n"},
	{"quoted domain", "From: ceo@\"listed.example\"\r\n"},
	{"quoted label", "From: ceo@\"listed\".example\r\n"},
	{"escaped domain", "From: ceo@listed\\.example\r\n"},
	{"escaped at sign", "From: ceo\\@listed.example\r\n"},
	{"brackets around the domain", "From: ceo@<listed.example>\r\n"},
	{"square brackets around the domain", "From: ceo@[listed.example]\r\n"},
	{"URL", "From: mailto:ceo@listed.example\r\n"},
	{"any capitals", "From: CEO@LISTED.EXAMPLE\r\n"},
	{"NUL behind", "From: ceo@listed.example\x00.other.example\r\n"},
	{"NUL in a label", "From: ceo@lis\x00ted.example\r\n"},
	{"NUL before", "From: ceo@\x00listed.example\r\n"},
	{"control character in a label", "From: ceo@lis\x1bted.example\r\n"},
	{"tab in the brackets", "From: <ceo@listed\t.example>\r\n"},
	{"octet that is no UTF-8 behind", "From: ceo@listed.example\xff\r\n"},
	{"octet that is no UTF-8 in a label", "From: ceo@lis\xffted.example\r\n"},
	{"no-break space behind", "From: ceo@listed.example\u00a0x\r\n"},
	{"soft hyphen", "From: ceo@lis\u00adted.example\r\n"},
	{"zero width space", "From: ceo@lis\u200bted.example\r\n"},
	{"zero width joiner at the end", "From: ceo@listed.example\u200d\r\n"},
	{"word joiner behind the at sign", "From: ceo@\u2060listed.example\r\n"},
	{"text direction", "From: ceo@\u202elisted.example\u202c\r\n"},
	{"variation selector", "From: ceo@lis\ufe0fted.example\r\n"},
	{"wide letters", "From: ceo@\uff4c\uff49sted.example\r\n"},
	{"wide at sign", "From: ceo\uff20listed.example\r\n"},
	{"small at sign", "From: ceo\ufe6blisted.example\r\n"},
	{"ideographic dot", "From: ceo@listed\u3002example\r\n"},
	{"wide dot", "From: ceo@listed\uff0eexample\r\n"},
	{"letter in a circle", "From: ceo@\u24dbisted.example\r\n"},
	{"encoded word", "From: =?utf-8?q?ceo=40listed=2Eexample?= <x@other.example>\r\n"},
	{"encoded word, base64", "From: =?utf-8?b?Y2VvQGxpc3RlZC5leGFtcGxl?= <x@other.example>\r\n"},
	{"encoded word, base64 without padding", "From: =?utf-8?b?PGNlb0BsaXN0ZWQuZXhhbXBsZT4?= <x@other.example>\r\n"},
	{"encoded word in quotes", "From: \"=?utf-8?q?ceo=40listed.example?=\" <x@other.example>\r\n"},
	{"encoded word in the address", "From: =?utf-8?b?Y2VvQGxpc3RlZC5leGFtcGxl?=@other.example\r\n"},
	{"encoded words and a NUL in the address", "From: =?utf-8?b?Y2VvQGxpc3RlZC5leGFtcGxl?==?utf-8?q?=00?==?utf-8?b?eA==?=@other.example\r\n"},
	{"encoded line end", "From: =?utf-8?q?ceo=40listed.example=0A?=@other.example\r\n"},
	{"encoded at sign alone", "From: ceo=?utf-8?q?=40?=listed.example\r\n"},
	{"encoded words next to each other", "From: =?utf-8?q?ceo=40lis?= =?utf-8?q?ted.example?= <x@other.example>\r\n"},
	{"encoded words on two lines", "From: =?utf-8?q?ceo=40lis?=\r\n =?utf-8?q?ted.example?= <x@other.example>\r\n"},
	{"encoded word in an encoded word", "From: =?utf-8?q?=3D=3Futf-8=3Fq=3Fceo=3D40listed=2Eexample=3F=3D?= <x@other.example>\r\n"},
	{"encoded word without end", "From: =?utf-8?q?ceo=40listed.example <x@other.example>\r\n"},
	{"encoded word with spaces", "From: =?utf-8?q?the ceo=40listed.example?= <x@other.example>\r\n"},
	{"encoded word with language", "From: =?utf-8*en?q?ceo=40listed.example?= <x@other.example>\r\n"},
	{"encoded word, unknown character set", "From: =?x-unknown?q?ceo=40listed.example?= <x@other.example>\r\n"},
	{"encoded word, UTF-16", "From: =?utf-16be?b?AGMAZQBvAEAAbABpAHMAdABlAGQALgBlAHgAYQBtAHAAbABl?= <x@other.example>\r\n"},
	{"encoded word, UTF-7", "From: =?utf-7?q?ceo+AEA-listed.example?= <x@other.example>\r\n"},
	{"encoded brackets", "From: =?utf-8?q?=3Cceo=40listed.example=3E?= <x@other.example>\r\n"},
	{"encoded quote", "From: =?utf-8?q?=22?= <ceo@listed.example>\r\n"},
	{"group", "From: Team: ceo@listed.example;\r\n"},
	{"name of a group", "From: ceo@listed.example: x@other.example;\r\n"},
	{"second field", "From: x@other.example\r\nFrom: ceo@listed.example\r\n"},
	{"second field before", "From: ceo@listed.example\r\nFrom: x@other.example\r\n"},
	{"space before the colon", "From: x@other.example\r\nFrom : ceo@listed.example\r\n"},
	{"name in capitals", "FROM: ceo@listed.example\r\n"},
	{"NUL in the name of the field", "Fr\x00om: ceo@listed.example\r\n"},
	{"NUL before the name of the field", "\x00From: ceo@listed.example\r\n"},
	{"byte order mark", "\ufeffFrom: ceo@listed.example\r\n"},
	{"folded before the colon", "From\r\n : ceo@listed.example\r\n"},
	{"two words in the name", "From x: ceo@listed.example\r\n"},
	{"envelope line", "From ceo@listed.example Tue Feb  3 09:15:00 2026\r\n"},
	{"envelope line without colon", "From ceo@listed.example\r\n"},
	{"behind a bare CR", "Subject: x\rFrom: ceo@listed.example\r\n"},
	{"behind a bare CR in another From", "From: x@other.example\rFrom: ceo@listed.example\r\n"},
	{"behind a form feed", "Subject: x\fFrom: ceo@listed.example\r\n"},
	{"behind U+2028", "Subject: x\u2028From: ceo@listed.example\r\n"},
	{"continuation of a line that is no field", "garbage\r\n From: ceo@listed.example\r\n"},
	{"behind a line that is no field", "garbage\r\nFrom: ceo@listed.example\r\n"},
	{"behind a line of white space", "A: 1\r\n \r\nFrom: ceo@listed.example\r\n"},
	{"far behind", "From: " + strings.Repeat("x@other.example, ", 500) + "ceo@listed.example\r\n"},
	{"behind many brackets", "From: " + strings.Repeat("<", 3000) + "ceo@listed.example\r\n"},
	{"behind many comments", "From: " + strings.Repeat("(", 3000) + "ceo@listed.example\r\n"},
	{"behind many quotes", "From: " + strings.Repeat("\"", 3001) + "ceo@listed.example\r\n"},
}

func TestEvasions(t *testing.T) {
	for _, tt := range evasions {
		t.Run(tt.name, func(t *testing.T) {
			f := readHeaderString(tt.in + "To: b@contoso.com\r\n\r\n").From()
			if !slices.Contains(f.Union, "listed.example") {
				t.Errorf("listed.example is not in %v", f.Union)
			}
			// None of them earns the mark of another domain.
			alike := f.StrictOK && f.Fields == 1 && len(f.Union) == len(f.Strict)
			if alike && slices.Equal(f.Union, []smtp.Domain{"other.example"}) {
				t.Errorf("taken for an ordinary From of other.example: %+v", f)
			}
		})
	}
}

// TestFromTakesItsTime holds that no From field, however it is made, takes
// more than a moment within the limit of a header.
func TestFromTakesItsTime(t *testing.T) {
	const size = DefaultHeaderLimit - 100
	for _, piece := range []string{
		"a@b.example,", "@", "@a.", "(", ")", "\"", "\\", "<", ">", "<@(", "=?", "=?a?q?=40", "=?a?b?QEBA?=", "=?q?q?=3D=3Fq=3Fq=3F=40?=",
		"\r\n ", "\u200b@", "\u3002", "\uff20a", "\v From:", "\v Authentication-Results: ", "\r\n\x00", "@\x00", "a\r\n From:\r\n ", "\ufdfa",
	} {
		t.Run(fmt.Sprintf("%q", piece), func(t *testing.T) {
			in := "x\r\nFrom: " + strings.Repeat(piece, size/len(piece)) + "\r\n\r\n"
			began := time.Now()
			h := readHeaderString(in)
			h.From()
			h.Remove(contoso)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Log(took)
			}
		})
	}
}

func FuzzFrom(f *testing.F) {
	for _, tt := range evasions {
		if len(tt.in) < 200 {
			f.Add(tt.in)
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		facts := readHeaderString(in).From()
		for _, d := range facts.Strict {
			if !slices.Contains(facts.Union, d) {
				t.Fatalf("%+v: the union lacks %s", facts, d)
			}
		}
		if facts.StrictOK && (len(facts.Strict) == 0 || facts.Fields == 0) {
			t.Fatalf("%+v: strictly nothing", facts)
		}
		for i, d := range facts.Union {
			if n, err := smtp.ParseDomain(string(d)); err != nil || n != d || slices.Contains(facts.Union[:i], d) {
				t.Fatalf("%+v: %q is no domain in its one form, or twice there", facts, d)
			}
		}
	})
}

// FuzzFromSeen hides listed.example in a From field as the fuzzer likes, in
// ways that leave an "@" and the domain in one piece: it must be seen.
func FuzzFromSeen(f *testing.F) {
	f.Add("\"", "\" <x@other.example>")
	f.Add("(", "")
	f.Add("=?utf-8?q?", "?=")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before+after, "\r\n") {
			return
		}
		if after != "" && (isDomainOctet(after[0]) || after[0] >= 0x80) {
			return // another domain
		}
		facts := readHeaderString("From: " + before + "ceo@listed.example" + after + "\r\n\r\n").From()
		if !slices.Contains(facts.Union, "listed.example") {
			t.Fatalf("not seen: %+v", facts)
		}
	})
}

func isDomainOctet(c byte) bool { return isDomainRune(rune(c)) }

func BenchmarkFrom(b *testing.B) {
	for _, bb := range []struct{ name, from string }{
		{"plain", "Alice Example <alice@woodgrovebank.com>"},
		{"encoded", "=?utf-8?B?w4VzYQ==?= Example <asa@woodgrovebank.com>"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h, err := ReadHeader(strings.NewReader("Subject: x\r\nFrom: "+bb.from+"\r\nTo: b@contoso.com\r\n\r\n"), math.MaxInt64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !h.From().StrictOK {
					b.Fatal("not strict")
				}
			}
		})
	}
}
