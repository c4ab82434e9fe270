package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var issued = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func contents() Contents {
	return Contents{
		Organization: "Fabrikam", Contact: "postmaster@fabrikam.com", Sequence: 7, Issued: issued, Expires: issued.Add(90 * 24 * time.Hour),
		Domains: []string{"fabrikam.com"}, Hosts: []string{"mail.fabrikam.com"}, CRLs: []string{"http://pki.fabrikam.com/a.crl"},
		Policy: Policy{NameRule: "domain", Send: true, Receive: true},
	}
}

func edKey(t testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRoundTrip(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"Ed25519": edKey(t), "ECDSA": ec} {
		data, err := Sign(contents(), key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(data, issued.Add(time.Hour))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want, err := Fingerprint(key.Public()); err != nil || b.Signer != want {
			t.Errorf("%s: signer %s, want %s, %v", name, b.Signer, want, err)
		}
		if diff := cmp.Diff(contents(), b.Contents); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	key := edKey(t)
	good, err := Sign(contents(), key)
	if err != nil {
		t.Fatal(err)
	}
	resigned := func(change func(string) string) []byte {
		var f file
		if err := json.Unmarshal(good, &f); err != nil {
			t.Fatal(err)
		}
		f.Contents = []byte(change(string(f.Contents)))
		f.Signature = ed25519.Sign(key, signed(f.Contents))
		// Not json.Marshal, which would compact the contents.
		k, _ := json.Marshal(f.Key)
		s, _ := json.Marshal(f.Signature)
		return slices.Concat([]byte(`{"format":"`+Format+`","key":`), k, []byte(`,"signature":`), s, []byte(`,"contents":`), f.Contents, []byte(`}`))
	}
	replace := func(old, with string) []byte {
		return resigned(func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%s is not in %s", old, s)
			}
			return strings.Replace(s, old, with, 1)
		})
	}
	tests := []struct {
		name string
		data []byte
		now  time.Time
		want string
	}{
		{"changed", bytes.Replace(good, []byte("fabrikam.com"), []byte("contoso.com."), 1), issued, "signature is not right"},
		{"cut", good[:len(good)/2], issued, "no partner bundle"},
		{"more behind", append(slices.Clone(good), "{}"...), issued, "something behind"},
		{"empty", nil, issued, "no partner bundle"},
		{"too long", bytes.Repeat([]byte(" "), MaxBytes+2), issued, "more than"},
		{"expired", good, issued.Add(91 * 24 * time.Hour), "ended on"},
		{"future", good, issued.Add(-time.Hour), "from the future"},
		{"unknown member", replace(`"domains"`, `"owner":1,"domains"`), issued, "unknown field"},
		{"member twice", replace(`"domains":["fabrikam.com"]`, `"domains":["contoso.com"],"domains":["fabrikam.com"]`), issued, "one form that counts"},
		{"spaces", replace(`"domains":[`, `"domains": [`), issued, "one form that counts"},
		{"capitals", replace(`["fabrikam.com"]`, `["Fabrikam.com"]`), issued, "not a domain in lower case"},
		{"a domain twice", replace(`["fabrikam.com"]`, `["fabrikam.com","fabrikam.com"]`), issued, "listed twice"},
		{"no domain", replace(`["fabrikam.com"]`, `[]`), issued, "no domain is named"},
		{"bad certificate", replace(`"crls"`, `"anchors":["AAAA"],"crls"`), issued, "certificate 1 cannot be read"},
		{"unknown rule", replace(`"nameRule":"domain"`, `"nameRule":"any"`), issued, "nameRule"},
		{"no direction", replace(`"send":true,"receive":true`, `"send":false,"receive":false`), issued, "neither direction"},
		{"control characters", replace(`"Fabrikam"`, `"Fab\u001brikam"`), issued, "control characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Open(tt.data, tt.now)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("bundle %v, error %v, want %q", b, err, tt.want)
			}
		})
	}
}

// FuzzOpen holds that what is accepted is what its signer wrote: signed anew it
// has the same contents. The fuzzer cannot sign, so half of its inputs are
// contents that are signed for it.
func FuzzOpen(f *testing.F) {
	key := edKey(f)
	good, err := Sign(contents(), key)
	if err != nil {
		f.Fatal(err)
	}
	var parts file
	if err := json.Unmarshal(good, &parts); err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add([]byte(parts.Contents), true)
	k, err := json.Marshal(parts.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign {
			s, err := json.Marshal(ed25519.Sign(key, signed(data)))
			if err != nil {
				t.Fatal(err)
			}
			data = slices.Concat([]byte(`{"format":"`+Format+`","key":`), k, []byte(`,"signature":`), s, []byte(`,"contents":`), data, []byte(`}`))
		}
		b, err := Open(data, issued)
		if err != nil {
			return
		}
		again, err := Sign(b.Contents, key)
		if err != nil {
			t.Fatalf("accepted, and cannot be written: %v", err)
		}
		c, err := Open(again, issued)
		if err != nil || !cmp.Equal(b.Contents, c.Contents) {
			t.Fatalf("written anew it differs: %v", err)
		}
	})
}
