package certstore

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
)

// TestParseSubject is the grammar with the limits of its attributes.
func TestParseSubject(t *testing.T) {
	n := func(c string, n int) string { return strings.Repeat(c, n) }
	tests := []struct {
		text, want string // as written again, or
		fault      string
	}{
		{"c=us, o=contoso corp, cn=mail1.contoso.com", "C=us, O=contoso corp, CN=mail1.contoso.com", ""},
		{"DC=com,DC=Contoso,CN=mail1.contoso.com", "DC=com, DC=Contoso, CN=mail1.contoso.com", ""},
		{"DC= contoso, DC=com, O=contoso corp, CN=mail1.contoso.com", "DC=contoso, DC=com, O=contoso corp, CN=mail1.contoso.com", ""},
		{"C=ES,O=Diversión de Bicicleta,CN=mail1.diversiondebicicleta.com", "C=ES, O=Diversión de Bicicleta, CN=mail1.diversiondebicicleta.com", ""},
		{"  CN =  a b  ,  OU = c ", "CN=a b, OU=c", ""},
		{"ST=Washington", "S=Washington", ""},
		{`O="Contoso, ""the"" firm", CN=a`, `O="Contoso, ""the"" firm", CN=a`, ""},
		{`O=Contoso\, Ltd, CN=a`, `O="Contoso, Ltd", CN=a`, ""},
		{`O=a\\b`, `O="a\b"`, ""},
		{`CN=x=y`, `CN="x=y"`, ""},
		{`CN="C=US o=contoso corp"`, `CN="C=US o=contoso corp"`, ""},
		{"CN=" + n("ä", 64), "CN=" + n("ä", 64), ""},
		{"S=" + n("a", 128) + ",L=" + n("b", 128), "S=" + n("a", 128) + ", L=" + n("b", 128), ""},
		{"DC=" + n("a", 127) + ",DC=" + n("b", 128), "DC=" + n("a", 127) + ", DC=" + n("b", 128), ""},
		{"CN=a, CN=b, OU=c, OU=d", "CN=a, CN=b, OU=c, OU=d", ""},

		{"C=US o=contoso corp, CN=mail1.contoso.com", "", `subjectName: the value of C holds another part, "o=". Put a comma before o=`},
		{"", "", "the name is empty"},
		{" ", "", "the name is empty"},
		{"mail1.contoso.com", "", "is not of the form KEY=VALUE"},
		{"CN=a,", "", "is not of the form KEY=VALUE"},
		{"CN=a,,O=b", "", `",O" is not one of C, DC, S, L, O, OU, CN`},
		{"E=a@b.example", "", `the key "E" is not one of`},
		{"2.5.4.3=a", "", `the key "2.5.4.3" is not one of`},
		{"CN=", "", "CN has no value"},
		{`CN=""`, "", "CN has no value"},
		{`CN="a`, "", "quotation marks of CN are not closed"},
		{`CN="a" b`, "", "text follows the quotation marks"},
		{`CN=a"b`, "", `outside quotation marks`},
		{"CN=a+OU=b", "", `the value of CN holds '+' outside quotation marks`},
		{`CN=a\`, "", "a backslash ends the value"},
		{"C=USA", "", "C must be a country's two letters"},
		{"C=1x", "", "C must be a country's two letters"},
		{"C=ÄÖ", "", "C may hold ASCII only"},
		{"C=US,C=DE", "", "C stands more than once"},
		{"O=a,O=b", "", "O stands more than once"},
		{"S=a,ST=b", "", "S stands more than once"},
		{"L=a,L=b", "", "L stands more than once"},
		{"CN=" + n("a", 65), "", "CN has 65 characters; 64 are the limit. Put the long name among the domain names"},
		{"O=" + n("a", 65), "", "O has 65 characters; 64 are the limit"},
		{"OU=" + n("a", 65), "", "OU has 65 characters"},
		{"S=" + n("a", 129), "", "S has 129 characters; 128 are the limit"},
		{"DC=" + n("a", 128) + ",DC=" + n("b", 128), "", "all DC together have more than 255 characters"},
		{"DC=bücher", "", "DC may hold ASCII only"},
		{"CN=a\x00b", "", "CN holds a control character"},
		{"CN=a\xff", "", "the name is not UTF-8"},
		{"CN=" + n("a", maxSubjectBytes), "", "more than 4096 octets"},
	}
	for _, tt := range tests {
		s, err := ParseSubject(tt.text)
		if tt.fault != "" {
			wantFault(t, err, tt.fault)
			continue
		}
		if err != nil || s.String() != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.text, s, err, tt.want)
		}
	}
}

func TestSubjectEncoding(t *testing.T) {
	s, err := ParseSubject("DC=com, C=us, O=Diversión, CN=mail1")
	if err != nil {
		t.Fatal(err)
	}
	der, err := s.der()
	if err != nil {
		t.Fatal(err)
	}
	var seq []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &seq); err != nil || len(seq) != 4 {
		t.Fatalf("%d parts, %v", len(seq), err)
	}
	tags := []int{asn1.TagIA5String, asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagPrintableString}
	for i, part := range seq {
		var pair struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		if _, err := asn1.Unmarshal(part.Bytes, &pair); err != nil || pair.Value.Tag != tags[i] {
			t.Errorf("part %d has the tag %d, %v, want %d", i+1, pair.Value.Tag, err, tags[i])
		}
	}
	var rdn pkix.RDNSequence
	var name pkix.Name
	if _, err := asn1.Unmarshal(der, &rdn); err != nil {
		t.Fatal(err)
	}
	name.FillFromRDNSequence(&rdn)
	if got := subjectOf(name).String(); got != s.String() {
		t.Errorf("read back: %q, want %q", got, s)
	}
}

func TestSubjectAdvice(t *testing.T) {
	tests := []struct{ text, want string }{
		{"C=US, O=Contoso, CN=a", ""},
		{"CN=a, CN=b", "more than one CN"},
		{"C=US, DC=com, CN=a", "C and DC"},
		{"CN=a, C=US", "usual order"},
	}
	for _, tt := range tests {
		s, err := ParseSubject(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Advice(), "; "); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
	}
}
