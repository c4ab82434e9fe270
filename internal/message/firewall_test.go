package message

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var contoso = Firewall{AuthservID: "contoso.com"}

func TestRemove(t *testing.T) {
	const e2028 = "\xe2\x80\xa8"
	tests := []struct {
		name string
		in   string // one element, or more
		gone bool
	}{
		// Names that go.
		{"the mark", "Mailpact-Domain-Secured: domain=a.example\r\n", true},
		{"any name of ours", "Mailpact-Whatever: x\r\n", true},
		{"in capitals", "MAILPACT-DOMAIN-SECURED: x\r\n", true},
		{"in mixed case", "mAILpact-dOMAIN-sECURED: x\r\n", true},
		{"the prefix alone", "Mailpact-: x\r\n", true},
		{"organization", "X-MS-Exchange-Organization-AuthAs: Partner\r\n", true},
		{"forest", "x-ms-exchange-forest-rules: x\r\n", true},
		{"without value", "Mailpact-Domain-Secured:\r\n", true},
		{"without space", "Mailpact-Domain-Secured:x\r\n", true},
		{"without end of line", "Mailpact-Domain-Secured: x", true},
		{"space before the colon", "Mailpact-Domain-Secured : x\r\n", true},
		{"tabs before the colon", "Mailpact-Domain-Secured\t\t: x\r\n", true},
		{"folded value", "Mailpact-Domain-Secured: a\r\n b\r\n\tc\r\n", true},
		{"folded before the value", "Mailpact-Domain-Secured:\r\n x\r\n", true},
		{"folded before the colon", "Mailpact-Domain-Secured\r\n : x\r\n", true},
		{"folded in the name", "Mailpact-Domain\r\n -Secured: x\r\n", true},
		{"a line of white space in it", "Mailpact-Domain-Secured: a\r\n  \r\n b\r\n", true},
		{"white space in the name", "Mailpact-Domain Secured: x\r\n", true},
		{"NUL in the name", "Mail\x00pact-Domain-Secured: x\r\n", true},
		{"NUL before the name", "\x00Mailpact-Domain-Secured: x\r\n", true},
		{"other control characters", "\x01Mailpact\x7f-\x08Domain-Secured: x\r\n", true},
		{"byte order mark", "\xef\xbb\xbfMailpact-Domain-Secured: x\r\n", true},
		{"many octets that nobody sees", strings.Repeat("\x00", 5000) + "Mailpact-Domain-Secured: x\r\n", true},
		{"long name", "Mailpact-" + strings.Repeat("x", 2000) + ": x\r\n", true},
		{"NULs in the value", "Mailpact-Domain-Secured: \x00\r\n", true},
		{"first line of a message that begins with white space", " Mailpact-Domain-Secured: x\r\n", true},
		{"behind a bare CR", "Subject: x\rMailpact-Domain-Secured: x\r\n", true},
		{"behind a bare CR and white space", "Subject: x\r Mailpact-Domain-Secured: x\r\n", true},
		{"behind CR CR LF", "Subject: x\r\r\n Mailpact-Domain-Secured: x\r\n", true},
		{"behind a vertical tab", "Subject: x\vMailpact-Domain-Secured: x\r\n", true},
		{"behind a form feed", "Subject: x\fMailpact-Domain-Secured: x\r\n", true},
		{"behind NEL", "Subject: x\x85Mailpact-Domain-Secured: x\r\n", true},
		{"behind U+2028", "Subject: x" + e2028 + "Mailpact-Domain-Secured: x\r\n", true},
		{"continuation of a line that is no field", "garbage\r\n Mailpact-Domain-Secured: x\r\n", true},
		{"continuation of a field without name", ": x\r\n Mailpact-Domain-Secured: x\r\n", true},
		{"continuation of a field with a bad name", "two words: x\r\n\tMailpact-Domain-Secured: x\r\n", true},
		{"second continuation of a line that is no field", "garbage\r\n a\r\n b: c\r\n Mailpact-Domain-Secured: x\r\n", true},

		// Names that stay.
		{"another name", "X-Mailpact-Domain-Secured: x\r\n", false},
		{"a shorter name", "Mailpact: x\r\n", false},
		{"other fields of that vendor", "X-MS-Exchange-CrossTenant-Id: x\r\n", false},
		{"organization alone", "X-MS-Exchange-Organization: x\r\n", false},
		{"the name as a value", "Subject: Mailpact-Domain-Secured: x\r\n", false},
		{"the name in a continuation line", "Subject: x\r\n Mailpact-Domain-Secured: x\r\n", false},
		{"the name without a colon", "Mailpact-Domain-Secured is fine\r\n", false},
		{"nothing before the colon", ": Mailpact-Domain-Secured\r\n", false},
		{"a bare CR elsewhere", "Subject: a\rb: Mailpact-Domain-Secured\r\n", false},
		{"curly quotes", "Subject: \xe2\x80\x9cMailpact-x: y\xe2\x80\x9d\r\n", false},

		// Authentication-Results.
		{"ours", "Authentication-Results: contoso.com; x-domain-secured=pass\r\n", true},
		{"ours, any capitals", "AUTHENTICATION-RESULTS: CONTOSO.com; none\r\n", true},
		{"ours, no result", "Authentication-Results: contoso.com\r\n", true},
		{"ours, version", "Authentication-Results: contoso.com 1; none\r\n", true},
		{"ours, comments", "Authentication-Results: (a (b) \\) c) contoso.com (d) 1 (e); none\r\n", true},
		{"ours, quoted", "Authentication-Results: \"contoso.com\"; none\r\n", true},
		{"ours, quoted with escapes", "Authentication-Results: \"c\\ontoso.co\\m\"; none\r\n", true},
		{"ours, quoted with spaces", "Authentication-Results: \" contoso.com \"; none\r\n", true},
		{"ours, dot at the end", "Authentication-Results: contoso.com.; none\r\n", true},
		{"ours, folded", "Authentication-Results:\r\n\tcontoso.com;\r\n none\r\n", true},
		{"ours, folded comment", "Authentication-Results: (a\r\n b)\r\n contoso.com; none\r\n", true},
		{"ours, wide letters", "Authentication-Results: \uff43ontoso.com; none\r\n", true},
		{"ours, folded name", "Authentication-Results\r\n : contoso.com; none\r\n", true},
		{"ours, NUL in the id", "Authentication-Results: con\x00toso.com; none\r\n", true},
		{"ours, two words in the name", "Authentication-Results x: contoso.com; none\r\n", true},
		{"ours, behind a bare CR", "Subject: x\rAuthentication-Results: contoso.com; none\r\n", true},
		{"ours, continuation of what is no field", "garbage\r\n Authentication-Results: contoso.com; none\r\n", true},
		{"broken: comment without end", "Authentication-Results: (contoso.com; none\r\n", true},
		{"broken: quoted string without end", "Authentication-Results: \"contoso.com; none\r\n", true},
		{"broken: two ids", "Authentication-Results: other.example contoso.com; none\r\n", true},
		{"broken: id after the version", "Authentication-Results: other.example 1 contoso.com; none\r\n", true},
		{"broken: a second word", "Authentication-Results: contoso.com spf=pass\r\n", true},
		{"broken: folded within the id", "Authentication-Results: conto\r\n so.com; none\r\n", true},
		{"broken: comment within the id", "Authentication-Results: conto(x)so.com; none\r\n", true},
		{"broken: encoded word", "Authentication-Results: =?utf-8?q?contoso=2Ecom?=; none\r\n", true},
		{"broken: encoded word in base64", "Authentication-Results: =?utf-8?b?Y29udG9zby5jb20=?=; none\r\n", true},
		{"broken: no id", "Authentication-Results: ; contoso.com\r\n", true},
		{"broken: at sign", "Authentication-Results: x@contoso.com; none\r\n", true},
		{"theirs", "Authentication-Results: woodgrovebank.com; x-domain-secured=pass\r\n", false},
		{"theirs, naming us in a result", "Authentication-Results: woodgrovebank.com; spf=pass smtp.helo=contoso.com\r\n", false},
		{"theirs, naming us in a comment", "Authentication-Results: woodgrovebank.com (contoso.com); none\r\n", false},
		{"a host of ours is another id", "Authentication-Results: mail.contoso.com; none\r\n", false},
		{"a longer id", "Authentication-Results: contoso.com.evil.example; none\r\n", false},
		{"broken, and not ours", "Authentication-Results: \"woodgrovebank.com; none\r\n", false},
		{"ARC", "ARC-Authentication-Results: i=1; contoso.com; none\r\n", false},
		{"a longer name", "Authentication-Results-Original: contoso.com; none\r\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := "", "To: b@contoso.com\r\nX-After: 1\r\n"
			if !strings.Contains(tt.name, "begins with") && !strings.Contains(tt.name, "first line") {
				before = "Received: from x\r\n by y\r\n"
			}
			if !strings.HasSuffix(tt.in, "\n") {
				after = ""
			}
			in := before + tt.in + after + "\r\nMailpact-Domain-Secured: in the body\r\n"
			want := before + tt.in + after + "\r\n"
			if tt.gone {
				want = before + after + "\r\n"
			}
			if after == "" {
				in, want = before+tt.in, before
			}
			h := readHeaderString(in)
			removed := h.Remove(contoso)
			if got := string(h.AppendTo(nil)); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if (len(removed) == 1) != tt.gone || len(removed) > 1 {
				t.Errorf("removed %q", removed)
			}
			checkOutputs(t, h, want)
			if again := h.Remove(contoso); again != nil {
				t.Errorf("a second time removed %q", again)
			}
		})
	}
}

func TestRemovedNames(t *testing.T) {
	h := readHeaderString("Mailpact-A : 1\r\nTo: x\r\n\x00Mailpact-\x1b[1mB: 2\r\nSubject: x\rmailpact-c: 3\r\n" +
		"Mailpact-" + strings.Repeat("x", 100) + ": 4\r\n\r\n")
	want := []string{"Mailpact-A", "Mailpact- [1mB", "mailpact-c", "Mailpact-" + strings.Repeat("x", 69)}
	got := h.Remove(contoso)
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoAuthservIDRemovesEveryResult(t *testing.T) {
	h := readHeaderString("Authentication-Results: woodgrovebank.com; none\r\nA: 1\r\n\r\n")
	h.Remove(Firewall{})
	if got := string(h.AppendTo(nil)); got != "A: 1\r\n\r\n" {
		t.Errorf("got %q", got)
	}
}

// seenNames returns the names that a tolerant reader of its own making sees in
// a header section: it ends lines at CR, LF and CRLF, knows continuation lines
// only after a field with a proper name, and trims what it does not like.
func seenNames(section string) []string {
	var names []string
	proper := false
	for line := range strings.SplitSeq(strings.ReplaceAll(section, "\r", "\n"), "\n") {
		if line == "" {
			continue
		}
		if proper && (line[0] == ' ' || line[0] == '\t') {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		trimmed := strings.Trim(name, " \t\x00\v\f")
		proper = ok && trimmed != "" && line[0] != ' ' && line[0] != '\t' &&
			strings.IndexFunc(strings.TrimRight(name, " \t"), func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
		if ok {
			names = append(names, strings.ToLower(trimmed))
		}
	}
	return names
}

func FuzzRemove(f *testing.F) {
	for _, s := range []string{
		"Mailpact-Domain-Secured: x\r\n\r\nbody", "A: 1\r\n b\r\nMailpact-A : x\r\n y\r\nB: 2\r\n\r\n", " x\r\nMAILPACT-a:\r\n",
		"garbage\r\n Mailpact-A: x\r\n", "Subject: a\rMailpact-A: b\r\n", "Authentication-Results: (x) contoso.com; none\r\n",
		"X-MS-Exchange-Forest-x:1\n\n", "From: a@b.example\r\n\x00mailpact-a:", ":\r\n\tMailpact-a:b\r\n\v", "a\n\x85\xe2\x80\xa8Mailpact-x:y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		h, body := readAll(t, strings.NewReader(in), math.MaxInt64)
		before := rawFields(h)
		if got := strings.Join(before, "") + string(h.separator) + body; got != in {
			t.Fatalf("reading lost octets: %q of %q", got, in)
		}
		removed := h.Remove(contoso)
		after := rawFields(h)
		// What remains is a subsequence of what was there, octet for octet.
		i := 0
		for _, raw := range before {
			if i < len(after) && raw == after[i] {
				i++
			}
		}
		if i != len(after) || len(before)-len(after) != len(removed) {
			t.Fatalf("before %q, after %q, removed %q", before, after, removed)
		}
		section := strings.Join(after, "")
		for _, name := range seenNames(section) {
			for _, p := range removedPrefixes {
				if strings.HasPrefix(name, p) {
					t.Fatalf("%q survives in %q", name, section)
				}
			}
		}
		if again := readHeaderString(section).Remove(contoso); again != nil {
			t.Fatalf("a second pass removes %q from %q", again, section)
		}
		checkOutputs(t, h, section+string(h.separator))
		h.From()
		h.Subject()
		h.InternetMessageID()
	})
}

func BenchmarkReadHeaderAndRemove(b *testing.B) {
	in := benchmarkMessage(10 << 10)
	r := strings.NewReader(in)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(in)
		h, err := ReadHeader(r, 0)
		if err != nil {
			b.Fatal(err)
		}
		if h.Remove(contoso) != nil {
			b.Fatal("removed something")
		}
	}
}

// benchmarkMessage is an ordinary message with a header of about 2 KB.
func benchmarkMessage(size int) string {
	const header = "Return-Path: <alice@woodgrovebank.com>\r\n" +
		"Received: from mail1.woodgrovebank.com (unknown [198.51.100.7])\r\n\tby mail1.contoso.com with ESMTPS id 08D1A2B3C4D5E6F7\r\n\tfor <bob@contoso.com>; Tue, 3 Feb 2026 09:15:00 +0000\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=woodgrovebank.com;\r\n\ts=2026; h=from:to:subject:date:message-id;\r\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZ\r\n" +
		"Date: Tue, 3 Feb 2026 10:15:00 +0100\r\nMessage-ID: <1@woodgrovebank.com>\r\nMIME-Version: 1.0\r\nUser-Agent: Example\r\n" +
		"Subject: Your offer of last week\r\nFrom: Alice Example <alice@woodgrovebank.com>\r\nTo: Bob Example <bob@contoso.com>\r\n" +
		"X-Mailer: Example 1.0\r\nX-Spam-Status: No\r\nAuthentication-Results: woodgrovebank.com; none\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
	return header + strings.Repeat("A line of text that has an ordinary length, more or less.\r\n", size/60)
}
