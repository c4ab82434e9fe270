package certstore

import (
	"errors"
	"testing"
)

// FuzzParseSubject: what is accepted is read back from its written form as the
// same name, can be encoded, and keeps its limits.
func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{
		"C=US, O=contoso corp, CN=mail1.contoso.com", "DC=com,DC=Contoso,CN=mail1.contoso.com", "C=US o=contoso corp, CN=a",
		`O="a, ""b""", CN=x`, `O=a\, b\\`, "CN=", "=", ",", `CN="`, "C=ES,O=Diversión de Bicicleta,CN=mail1", "cn = a , ou=b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSubject(text)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || fault.Mend == "" || fault.Field == "" {
				t.Fatalf("%q: the error says nothing of use: %v", text, err)
			}
			return
		}
		again, err := ParseSubject(s.String())
		if err != nil {
			t.Fatalf("%q is written %q, which is refused: %v", text, s.String(), err)
		}
		if len(again) != len(s) {
			t.Fatalf("%q: %v, then %v", text, s, again)
		}
		for i := range s {
			if s[i] != again[i] {
				t.Fatalf("%q: %v, then %v", text, s, again)
			}
		}
		if _, err := s.der(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
