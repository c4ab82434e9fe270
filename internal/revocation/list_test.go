package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestIndex: every number put on a CRL is found, and its neighbours are not.
func TestIndex(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	rapid.Check(t, func(t *rapid.T) {
		octets := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 24), 0, 40).Draw(t, "serials")
		on := map[string]bool{}
		var entries []x509.RevocationListEntry
		for _, o := range octets {
			serial := new(big.Int).SetBytes(o)
			if serial.Sign() == 0 {
				continue
			}
			on[serial.String()] = true
			entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: start})
		}
		parsed, err := parseList(authority.crl(func(l *x509.RevocationList) { l.RevokedCertificateEntries = entries }))
		if err != nil {
			t.Fatal(err)
		}
		if n := parsed.revoked.count; n < len(on) || n > len(entries) {
			t.Fatalf("%d entries, want %d different of %d", n, len(on), len(entries))
		}
		for _, e := range entries {
			for _, d := range []int64{-1, 0, 1} {
				serial := new(big.Int).Add(e.SerialNumber, big.NewInt(d))
				if _, found, _ := parsed.revoked.lookup(parsed.issuerName, serial); found != on[serial.String()] {
					t.Fatalf("%s: found %v", serial.Text(16), found)
				}
			}
		}
	})
}

func TestMinimalInteger(t *testing.T) {
	for _, tt := range []struct {
		content string
		want    bool
	}{
		{"", false}, {"\x00", true}, {"\x80", true}, {"\x00\x80", true}, {"\x00\x7f", false}, {"\xff\x7f", true}, {"\xff\x80", false},
	} {
		if got := minimalInteger([]byte(tt.content)); got != tt.want {
			t.Errorf("%x: %v", tt.content, got)
		}
	}
}

// TestNegativeSerial: -128 and 128 differ by a sign octet only.
func TestNegativeSerial(t *testing.T) {
	entry := []byte("\x30\x12\x02\x01\x80\x17\x0d261123120000Z")
	b := must(newIndexBuilder("", true, int64(len(entry))))
	if err := b.add(entry, 0); err != nil {
		t.Fatal(err)
	}
	x := must(b.finish(&memoryRoom{crl: entry}))
	if _, found, _ := x.lookup("", big.NewInt(-128)); !found {
		t.Error("-128 was not found")
	}
	if _, found, _ := x.lookup("", big.NewInt(128)); found {
		t.Error("128 was found")
	}
}

// FuzzParseList: no octets make the parser fail otherwise than by an error, and
// what it accepts says the same as the standard library's parser.
func FuzzParseList(f *testing.F) {
	t := &testing.T{}
	authority := newCA(t, "Contoso Root")
	plain := authority.crl(revoking(1, 128, 1<<40))
	f.Add(plain)
	f.Add(authority.crl())
	f.Add(authority.crl(scoped(scopeValue{Point: uri("http://crl.example/a.crl"), OnlyUser: true})))
	f.Add(authority.crl(entryExtension(true, []int{2, 5, 29, 24}, []byte("\x18\x0f20261123120000Z"))))
	f.Add(stripNextUpdate(t, plain))
	f.Add(plain[:len(plain)/2])
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 20))
	f.Fuzz(func(t *testing.T, content []byte) {
		der, err := decode(content)
		if err != nil {
			return
		}
		parsed, err := parseList(der)
		if err != nil {
			return
		}
		if _, _, err := parsed.revoked.lookup(parsed.issuerName, big.NewInt(rand.Int64())); err != nil {
			t.Fatal(err)
		}
		oracle, err := x509.ParseRevocationList(der)
		if err != nil {
			return
		}
		if len(oracle.RevokedCertificateEntries) != parsed.revoked.count {
			t.Fatalf("%d entries, the oracle has %d", parsed.revoked.count, len(oracle.RevokedCertificateEntries))
		}
		for _, e := range oracle.RevokedCertificateEntries {
			if _, found, _ := parsed.revoked.lookup(parsed.issuerName, e.SerialNumber); !found {
				t.Fatalf("%s is missing", e.SerialNumber)
			}
		}
		if !bytes.Equal(parsed.signed.signature, oracle.Signature) || !oracle.ThisUpdate.Equal(parsed.thisUpdate) {
			t.Fatal("the frame differs from the oracle's")
		}
	})
}

// FuzzScope: no octets make the reader of the scope fail otherwise than by an error.
func FuzzScope(f *testing.F) {
	f.Add([]byte("\x30\x03\x81\x01\xff"))
	f.Add([]byte("\x30\x0c\xa0\x0a\xa0\x08\x86\x06http:/"))
	f.Fuzz(func(_ *testing.T, value []byte) { _, _ = parseScope(value, nil) })
}

// BenchmarkParse is a list of 100,000 entries.
func BenchmarkParse(b *testing.B) {
	authority := newCA(&testing.T{}, "Contoso Root")
	serials := make([]int64, 100_000)
	for i := range serials {
		serials[i] = rand.Int64()
	}
	der := authority.crl(revoking(serials...))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseList(der); err != nil {
			b.Fatal(err)
		}
	}
}

// A list of version 2 has a number that may be ignored by nobody's leave.
func TestNumberIsRequired(t *testing.T) {
	a := newCA(t, "Numbered CA")
	unnumbered := func(der []byte) []byte {
		return bytes.Replace(der, []byte{6, 3, 0x55, 0x1d, 20}, []byte{6, 3, 0x55, 0x1d, 127}, 1)
	}
	if _, err := parseList(unnumbered(a.crl())); err == nil || !strings.Contains(err.Error(), "no CRL number") {
		t.Errorf("without a number: %v", err)
	}
	critical := unnumbered(a.crl(extended(true, asn1.ObjectIdentifier{2, 5, 29, 20}, []byte{2, 1, 7})))
	if _, err := parseList(critical); err == nil || !strings.Contains(err.Error(), "is critical") {
		t.Errorf("with a critical number: %v", err)
	}
	if _, err := parseList(a.crl()); err != nil {
		t.Errorf("with a number: %v", err)
	}
}
