package dn

import (
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

type attribute struct {
	oid   string // content
	tag   asn1.Tag
	value string
}

const (
	commonName   = "\x55\x04\x03"
	country      = "\x55\x04\x06"
	organization = "\x55\x04\x0a"
)

// name encodes a Name of RDNs.
func name(t testing.TB, rdns ...[]attribute) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range rdns {
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
				for _, a := range rdn {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(a.oid)) })
						b.AddASN1(a.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(a.value)) })
					})
				}
			})
		}
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func key(t testing.TB, der []byte) string {
	t.Helper()
	n, err := Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return n.Key()
}

func TestNamesThatAreEqual(t *testing.T) {
	good := []attribute{{commonName, asn1.PrintableString, "Good CA"}}
	tests := []struct {
		name  string
		other [][]attribute
		equal bool
	}{
		{"itself", [][]attribute{good}, true},
		{"another case", [][]attribute{{{commonName, asn1.PrintableString, "gOOD ca"}}}, true},
		{"more spaces", [][]attribute{{{commonName, asn1.PrintableString, "  Good   CA "}}}, true},
		{"no space", [][]attribute{{{commonName, asn1.PrintableString, "GoodCA"}}}, false},
		{"UTF8String", [][]attribute{{{commonName, asn1.UTF8String, "Good CA"}}}, true},
		{"BMPString", [][]attribute{{{commonName, tagBMPString, "\x00G\x00o\x00o\x00d\x00 \x00C\x00A"}}}, true},
		{"UniversalString", [][]attribute{{{commonName, tagUniversalString, "\x00\x00\x00G\x00\x00\x00o\x00\x00\x00o\x00\x00\x00d\x00\x00\x00 \x00\x00\x00C\x00\x00\x00A"}}}, true},
		{"full width letters", [][]attribute{{{commonName, asn1.UTF8String, "\uff27ood CA"}}}, true},
		{"VisibleString", [][]attribute{{{commonName, asn1.Tag(26), "Good CA"}}}, true},
		{"a soft hyphen", [][]attribute{{{commonName, asn1.UTF8String, "Go\u00adod CA"}}}, true},
		{"a zero width space and a control character", [][]attribute{{{commonName, asn1.UTF8String, "G\u200bood\x01 CA"}}}, true},
		{"octets of another type", [][]attribute{{{commonName, asn1.OCTET_STRING, "Good CA"}}}, false},
		{"another attribute", [][]attribute{{{organization, asn1.PrintableString, "Good CA"}}}, false},
		{"one part more", [][]attribute{good, good}, false},
		{"two attributes in one part", [][]attribute{{good[0], good[0]}}, false},
		{"nothing", nil, false},
	}
	want := key(t, name(t, good))
	for _, tt := range tests {
		if got := key(t, name(t, tt.other...)) == want; got != tt.equal {
			t.Errorf("%s: equal %t, want %t", tt.name, got, tt.equal)
		}
	}
	a, b := attribute{country, asn1.PrintableString, "DE"}, attribute{organization, asn1.PrintableString, "X"}
	if key(t, name(t, []attribute{a, b})) != key(t, name(t, []attribute{b, a})) {
		t.Error("the order within a set tells names apart")
	}
	if key(t, name(t, []attribute{a}, []attribute{b})) == key(t, name(t, []attribute{b}, []attribute{a})) {
		t.Error("the order of parts does not tell names apart")
	}
}

func TestNamesThatCannotBeRead(t *testing.T) {
	for _, der := range []string{
		"", "\x30", "\x31\x00", "\x30\x00\x00", "\x30\x02\x31\x01", "\x30\x04\x31\x02\x30\x00",
		string(name(t, []attribute{{commonName, tagBMPString, "odd"}})),
		string(name(t, []attribute{{commonName, tagBMPString, "\xd8\x00"}})),
		string(name(t, []attribute{{commonName, tagUniversalString, "\xff\xff\xff\xff"}})),
		string(name(t, []attribute{{commonName, asn1.UTF8String, "\xff"}})),
	} {
		if n, err := Parse([]byte(der)); err == nil {
			t.Errorf("%x was read as %q", der, n.Key())
		}
	}
}

// What cannot be read is the same as its own octets and as nothing else.
func TestKeyOfWhatCannotBeRead(t *testing.T) {
	plain := name(t, []attribute{{commonName, asn1.PrintableString, "Contoso Root"}})
	cut := plain[:len(plain)-1]
	if Key(cut) == Key(plain) || Key(cut) != Key(append([]byte(nil), cut...)) || Key(nil) == Key(plain) || Key(nil) == Key(name(t)) {
		t.Error("a name that cannot be read is not the same as itself alone")
	}
	if Key(plain) != key(t, plain) || Key(name(t)) == "" {
		t.Error("a name that can be read has another key")
	}
}

// A name that is read has a key that depends on nothing but what it says, and
// lies within itself and all above it.
func FuzzParse(f *testing.F) {
	f.Add(name(f, []attribute{{country, asn1.PrintableString, "DE"}}, []attribute{{commonName, asn1.UTF8String, "K\u00f6ln  GmbH"}}))
	f.Add([]byte("\x30\x00"))
	f.Fuzz(func(t *testing.T, der []byte) {
		n, err := Parse(der)
		if err != nil {
			return
		}
		again, err := Parse(append([]byte(nil), der...))
		if err != nil || again.Key() != n.Key() {
			t.Fatalf("the same name has two keys")
		}
		if !n.Within(n) || !n.Within(Name{}) || !n.Empty() && (Name{}).Within(n) {
			t.Fatal("the name is not where it lies")
		}
	})
}
