package rfc5280

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"

	"mailpact/internal/domainsec/dn"
)

// constrained returns a CA with the one subtree of a form on each side that is asked for.
func constrained(form byte, base string, permitted, excluded bool) *x509.Certificate {
	wrap := func(tag byte, in []byte) []byte {
		n := len(in)
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, in...)
	}
	tree := wrap(0x30, wrap(0x80|form, []byte(base)))
	if form == formDirectory {
		tree = wrap(0x30, wrap(0xa0|form, []byte(base)))
	}
	var all []byte
	if permitted {
		all = append(all, wrap(0xa0, tree)...)
	}
	if excluded {
		all = append(all, wrap(0xa1, tree)...)
	}
	return &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Value: shortest(wrap(0x30, all))}}}
}

// shortest rewrites lengths that need no long form, which DER wants.
func shortest(der []byte) []byte {
	if len(der) < 4 || der[1] != 0x82 {
		return der
	}
	content := der[4:]
	if der[0]&0x20 != 0 {
		var out []byte
		for len(content) > 0 {
			n := 4
			if len(content) >= 4 && content[1] == 0x82 {
				n += int(content[2])<<8 | int(content[3])
			} else {
				out = append(out, content...)
				break
			}
			out = append(out, shortest(content[:n])...)
			content = content[n:]
		}
		content = out
	}
	n := len(content)
	switch {
	case n < 0x80:
		return append([]byte{der[0], byte(n)}, content...)
	case n < 0x100:
		return append([]byte{der[0], 0x81, byte(n)}, content...)
	default:
		return append([]byte{der[0], 0x82, byte(n >> 8), byte(n)}, content...)
	}
}

// Whatever a name and a constraint are: what a constraint permits, the same
// constraint as an exclusion must refuse, and no spelling of a host escapes it.
func FuzzNameConstraints(f *testing.F) {
	for _, s := range []string{"example.com", ".example.com", "a@example.com", "*.example.com", "example.com.", "", "EXAMPLE.com", "\x0a\x00\x00\x00\xff\x00\x00\x00"} {
		for _, form := range []byte{formEmail, formDNS, formURI, formIP, formDirectory, 0} {
			f.Add(form, s, "host.example.com")
			f.Add(form, s, s)
		}
	}
	f.Fuzz(func(t *testing.T, form byte, base, value string) {
		form &= 0x0f
		if len(base) > 1000 || len(value) > 1000 {
			return
		}
		permitted, err := nameConstraints(constrained(form, base, true, false))
		if err != nil {
			return
		}
		if permitted == nil || len(permitted.permitted) != 1 {
			t.Fatalf("one permitted subtree was read as %+v", permitted)
		}
		excluded, err := nameConstraints(constrained(form, base, false, true))
		if err != nil {
			t.Fatalf("readable on one side alone: %v", err)
		}
		both := func(n *names) (in, out error) {
			return permitted.allow(n, &budget{10}), excluded.allow(n, &budget{10})
		}
		var n *names
		switch form {
		case formEmail:
			n = &names{emails: []string{value}}
		case formDNS:
			n = &names{hosts: []string{value}}
		case formURI:
			n = &names{uris: []string{value}}
		case formIP:
			if len(value) != 4 && len(value) != 16 {
				return
			}
			n = &names{addresses: []net.IP{net.IP(value)}}
		case formDirectory:
			name, err := dn.Parse([]byte(value))
			if err != nil {
				return
			}
			n = &names{directory: []dn.Name{name}}
		default:
			n = &names{others: map[int]bool{int(form): true}}
		}
		in, out := both(n)
		if in == nil && out == nil {
			t.Errorf("form %d, %q passes %q as permitted and as excluded", form, value, base)
		}
		if form != formDNS {
			return
		}
		if strings.HasSuffix(value, "..") {
			return // no host name, and without one dot neither
		}
		for _, spelling := range []string{strings.ToUpper(value), strings.ToLower(value), strings.TrimSuffix(value, ".") + "."} {
			in2, out2 := both(&names{hosts: []string{spelling}})
			if (in2 == nil) != (in == nil) && isASCII(value) || (out2 == nil) != (out == nil) && isASCII(value) {
				t.Errorf("%q and %q get different answers from %q", value, spelling, base)
			}
		}
	})
}

func isASCII(s string) bool {
	return !bytes.ContainsFunc([]byte(s), func(r rune) bool { return r >= 0x80 })
}
