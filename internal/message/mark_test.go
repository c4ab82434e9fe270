package message

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/domainsec"
)

func woodgroveMark() MarkOptions {
	return MarkOptions{
		Domain: "woodgrovebank.com", Name: "mail1.woodgrovebank.com",
		Certificate: domainsec.CertificateFacts{
			Subject: "CN=mail1.woodgrovebank.com, O=Woodgrove Bank", Issuer: "CN=Woodgrove Issuing CA, O=Woodgrove Bank",
			SHA1:   "AB493A0C9A6C0327162FE04EF74609CB8FB7FE24",
			SHA256: "F1B2C3D4E5F60718293A4B5C6D7E8F90F1B2C3D4E5F60718293A4B5C6D7E8F90",
		},
		TLS: *tls13, Revocation: domainsec.RevocationGood, RevocationTime: day, By: "mail1.contoso.com", AuthservID: "contoso.com",
	}
}

func TestMark(t *testing.T) {
	tests := []struct {
		name   string
		change func(*MarkOptions)
		want   string
	}{
		{"as in the contract", func(*MarkOptions) {}, "Mailpact-Domain-Secured: domain=woodgrovebank.com;\r\n" +
			" name=mail1.woodgrovebank.com;\r\n" +
			" subject=\"CN=mail1.woodgrovebank.com, O=Woodgrove Bank\";\r\n" +
			" issuer=\"CN=Woodgrove Issuing CA, O=Woodgrove Bank\";\r\n" +
			" sha1=AB493A0C9A6C0327162FE04EF74609CB8FB7FE24;\r\n" +
			" sha256=F1B2C3D4E5F60718293A4B5C6D7E8F90F1B2C3D4E5F60718293A4B5C6D7E8F90;\r\n" +
			" tls=TLSv1.3; cipher=TLS_AES_128_GCM_SHA256; revocation=good;\r\n" +
			" revocation-time=2026-02-03T09:15:00Z; by=mail1.contoso.com\r\n" +
			"Authentication-Results: contoso.com;\r\n" +
			" x-domain-secured=pass policy.domain=woodgrovebank.com\r\n"},
		{"empty subject, no revocation needed", func(o *MarkOptions) {
			o.Certificate.Subject, o.Certificate.SHA1 = "", ""
			o.Revocation, o.RevocationTime = domainsec.RevocationNotRequired, time.Time{}
		}, "Mailpact-Domain-Secured: domain=woodgrovebank.com;\r\n" +
			" name=mail1.woodgrovebank.com; subject=\"\";\r\n" +
			" issuer=\"CN=Woodgrove Issuing CA, O=Woodgrove Bank\";\r\n" +
			" sha256=F1B2C3D4E5F60718293A4B5C6D7E8F90F1B2C3D4E5F60718293A4B5C6D7E8F90;\r\n" +
			" tls=TLSv1.3; cipher=TLS_AES_128_GCM_SHA256; revocation=not-required;\r\n" +
			" by=mail1.contoso.com\r\n" +
			"Authentication-Results: contoso.com;\r\n" +
			" x-domain-secured=pass policy.domain=woodgrovebank.com\r\n"},
		{"a stranger's strings", func(o *MarkOptions) {
			o.Name = "a b;c\"\r\n"
			o.Certificate.Subject = "CN=x\"; domain=evil.example; y=\"\r\nMailpact-Domain-Secured: z\\"
			o.Certificate.Issuer = "CN=Jos\u00e9  100%\x00 "
			o.Certificate.SHA256, o.AuthservID = "", "a b;c"
		}, "Mailpact-Domain-Secured: domain=woodgrovebank.com; name=a%20b%3Bc%22%0D%0A;\r\n" +
			" subject=\"CN=x%22%3B domain=evil.example%3B\r\n" +
			" y=%22%0D%0AMailpact-Domain-Secured: z%5C\";\r\n" +
			" issuer=\"CN=Jos%C3%A9 %20100%25%00%20\";\r\n" +
			" sha1=AB493A0C9A6C0327162FE04EF74609CB8FB7FE24; tls=TLSv1.3;\r\n" +
			" cipher=TLS_AES_128_GCM_SHA256; revocation=good;\r\n" +
			" revocation-time=2026-02-03T09:15:00Z; by=mail1.contoso.com\r\n" +
			"Authentication-Results: a%20b%3Bc;\r\n" +
			" x-domain-secured=pass policy.domain=woodgrovebank.com\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := woodgroveMark()
			tt.change(&o)
			got := string(Mark(o))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, got)
			}
			checkMark(t, o, got)
		})
	}
}

// checkMark reads a mark back and compares it with what went in.
func checkMark(t testing.TB, o MarkOptions, got string) {
	t.Helper()
	h := readHeaderString(got)
	if len(h.Fields()) != 2 {
		t.Fatalf("%d fields in %q", len(h.Fields()), got)
	}
	checkOwnField(t, string(h.Fields()[0].Raw()), MarkField)
	checkOwnField(t, string(h.Fields()[1].Raw()), "Authentication-Results")
	m, err := ParseMark(h.Fields()[0].Raw())
	if err != nil {
		t.Fatalf("parsing %q: %v", got, err)
	}
	if m.Domain != o.Domain || m.Server != o.By || m.Revocation != revocationWord(o.Revocation) || !m.RevocationTime.Equal(o.RevocationTime) {
		t.Errorf("got %+v of %+v", m, o)
	}
	for _, s := range []struct{ name, in, out string }{
		{"name", o.Name, m.Name},
		{"subject", o.Certificate.Subject, m.Subject},
		{"issuer", o.Certificate.Issuer, m.Issuer},
		{"sha1", o.Certificate.SHA1, m.SHA1},
		{"sha256", o.Certificate.SHA256, m.SHA256},
		{"tls", o.TLS.Version, m.TLSVersion},
		{"cipher", o.TLS.CipherSuite, m.CipherSuite},
	} {
		if !sameOrCut(s.in, s.out) {
			t.Errorf("%s: %q came back as %q", s.name, s.in, s.out)
		}
	}
	// The firewall, of ours and of the next organisation, knows both fields.
	if n := len(h.Remove(Firewall{AuthservID: o.AuthservID})); n != 2 {
		t.Errorf("the firewall removed %d fields of %q", n, got)
	}
}

// sameOrCut reports whether out is in, or what cutting left of it.
func sameOrCut(in, out string) bool {
	begin, cut := strings.CutSuffix(out, "...")
	return in == out || cut && strings.HasPrefix(in, begin)
}

func TestLongValuesAreCut(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x ", 500), strings.Repeat("\xff", 84), strings.Repeat("\xff", 85),
		strings.Repeat("\xff", 86), strings.Repeat("x", 250) + "\xff", strings.Repeat("x", 253) + "\xff", strings.Repeat("x", 252) + "\xff",
		strings.Repeat("  ", 100), strings.Repeat("x", 251) + " yyyy",
	} {
		got := escaped(s, "")
		if len(got) > maxEscaped || got != "" && (got[0] == ' ' || got[len(got)-1] == ' ') {
			t.Errorf("%d octets for %q: %q", len(got), s, got)
		}
		if back := unescaped(got); !sameOrCut(s, back) {
			t.Errorf("%q came back as %q", s, back)
		}
	}
	if got := escaped(strings.Repeat("x", 255), ""); strings.HasSuffix(got, ".") {
		t.Errorf("cut though it fits: %q", got)
	}
}

func TestParseMark(t *testing.T) {
	good := "Mailpact-Domain-Secured: domain=woodgrovebank.com; name=a; later=x; revocation-time=2026-02-03T09:15:00Z\r\n"
	if m, err := ParseMark([]byte(good)); err != nil || m.Domain != "woodgrovebank.com" || m.Name != "a" {
		t.Errorf("%+v, %v", m, err)
	}
	for name, field := range map[string]string{
		"another field":             "Subject: domain=a.example\r\n",
		"no colon":                  "Mailpact-Domain-Secured domain=a.example\r\n",
		"no domain":                 "Mailpact-Domain-Secured: name=a\r\n",
		"bad domain":                "Mailpact-Domain-Secured: domain=a..b\r\n",
		"two domains":               "Mailpact-Domain-Secured: domain=a.example; domain=b.example\r\n",
		"a part without value":      "Mailpact-Domain-Secured: domain=a.example; x\r\n",
		"a quote without end":       "Mailpact-Domain-Secured: domain=a.example; subject=\"x\r\n",
		"a time that is none":       "Mailpact-Domain-Secured: domain=a.example; revocation-time=now\r\n",
		"a semicolon in the quotes": "Mailpact-Domain-Secured: subject=\"x; domain=a.example; y\"\r\n",
		"empty":                     "",
	} {
		if m, err := ParseMark([]byte(field)); !errors.Is(err, ErrNotMark) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// TestForgedMarks holds that a message that comes with marks leaves with ours
// alone, however often it passes.
func TestForgedMarks(t *testing.T) {
	const rest = "From: a@woodgrovebank.com\r\n\r\nbody\r\n"
	mark := string(Mark(woodgroveMark()))
	in := mark + "MAILPACT-domain-secured :\r\n domain=evil.example\r\n" + mark + rest
	for range 3 {
		r := strings.NewReader(in)
		h, body := readAll(t, r, 0)
		h.Remove(contoso)
		in = mark + string(h.AppendTo(nil)) + body
		if in != mark+rest {
			t.Fatalf("got %q", in)
		}
	}
	out, err := io.ReadAll(NewOutboundFilter(strings.NewReader(in), contoso, 0))
	if err != nil || string(out) != rest {
		t.Errorf("what leaves is %q, %v", out, err)
	}
}

func FuzzMark(f *testing.F) {
	f.Add("mail.example", "CN=a, O=b", "CN=\"\r\nX: y\"", "contoso.com")
	f.Add("*.example", "  ", strings.Repeat("\u00e9", 200), "a;b")
	f.Add("a%0D", "...", "%", "\"(\\")
	f.Fuzz(func(t *testing.T, name, subject, issuer, id string) {
		o := woodgroveMark()
		o.Name, o.Certificate.Subject, o.Certificate.Issuer = name, subject, issuer
		o.TLS.CipherSuite, o.Certificate.SHA1 = issuer, subject
		if got := string(Mark(o)); strings.Count(got, "\r\n ") == 0 {
			t.Fatalf("never folded: %q", got)
		}
		checkMark(t, o, string(Mark(o)))
		o.AuthservID = id
		checkOwnField(t, string(readHeaderString(string(Mark(o))).Fields()[1].Raw()), "Authentication-Results")
	})
}

func FuzzParseMark(f *testing.F) {
	f.Add(string(Mark(woodgroveMark())))
	f.Add("Mailpact-Domain-Secured: domain=\"a.example\"; =\r\n")
	f.Fuzz(func(t *testing.T, field string) {
		m, err := ParseMark([]byte(field))
		if (err == nil) == (m.Domain == "") || err != nil && m != (DomainSecured{}) {
			t.Fatalf("%+v, %v", m, err)
		}
	})
}
