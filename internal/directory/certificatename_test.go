package directory

import (
	"slices"
	"strings"
	"testing"
)

func TestParseCertificateName(t *testing.T) {
	sha1 := strings.Repeat("AB", 20)
	tests := []struct{ text, want, fault string }{
		{"Mail.Contoso.com", "mail.contoso.com", ""},
		{" <I>CN=CA, O=Contoso<S>CN=mail.contoso.com ", "<I>CN=CA, O=Contoso<S>CN=mail.contoso.com", ""},
		{strings.ToLower(sha1), sha1, ""},
		{"AB:" + sha1[2:], sha1, ""},
		{strings.Repeat("AB", 32), strings.Repeat("AB", 32), ""},
		{"<S>CN=a<I>CN=b", "", "not of the form"},
		{"<I>CN=a", "", "not of the form"},
		{"<I><S>CN=a", "", "empty distinguished name"},
		{"<I>CN=a<S>b", "", "not KEY=VALUE"},
		{`<I>CN="a<S>CN=b`, "", "not closed"},
		{`<I>CN="a"b<S>CN=b`, "", "after quotation marks"},
		{"a b", "", "not a mail domain"},
		{"<I>CN=" + strings.Repeat("a", 1024) + "<S>CN=b", "", "more than 1024 octets"},
	}
	for _, tt := range tests {
		got, err := ParseCertificateName(tt.text)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%q: got %v, want %q", tt.text, err, tt.fault)
			}
			continue
		}
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

// TestParseDN: what is the same name to RFC 5280 comes out alike.
func TestParseDN(t *testing.T) {
	for _, same := range [][]string{
		{"CN=Contoso  CA,O=Contoso", "cn=contoso ca, o=CONTOSO", `CN="Contoso CA", O=contoso`, " CN = contoso ca ,O=contoso"},
		{"S=a, E=b@c.example", "ST=A, EMAILADDRESS=b@C.example", "ST=a,1.2.840.113549.1.9.1=b@c.example", "OID.ST=a,E=b@c.example"},
		{`O="Contoso, ""the"" firm"`, `O=Contoso\, \"the\" firm`},
		{"CN=a+OU=b", "CN=a, OU=b"},
	} {
		want, err := ParseDN(same[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range same[1:] {
			if got, err := ParseDN(s); err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %q, %v, want %q", s, got, err, want)
			}
		}
	}
	a, _ := ParseDN("CN=a, CN=b")
	b, _ := ParseDN("CN=b, CN=a")
	if slices.Equal(a, b) {
		t.Error("the order does not count")
	}
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"CN=a, O=b", `O="a, ""b"""`, `CN=a\,b`, "=", `CN="`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) {
		_, _ = ParseDN(s)
		_, _ = ParseCertificateName(s)
	})
}
