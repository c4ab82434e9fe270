package rfc5280

import (
	"net"
	"strings"
	"testing"
)

func TestHostWithin(t *testing.T) {
	tests := []struct {
		host, constraint    string
		permitted, excluded bool
	}{
		{"example.com", "example.com", true, true},
		{"a.example.com", "example.com", true, true},
		{"notexample.com", "example.com", false, false},
		{"example.com", ".example.com", false, false},
		{"a.example.com", ".example.com", true, true},
		{"*.example.com", ".example.com", true, true},
		{"*.example.com", "example.com", true, true},
		{"*.example.com", "a.example.com", false, true},    // it stands for a.example.com, too
		{"*.example.com", "b.a.example.com", false, false}, // a wildcard is one label
		{"*.com", "example.com", false, true},
		{"anything.example", "", true, true},
		{"example.org", "example.com", false, false},
	}
	for _, tt := range tests {
		// What lies deeper than the wildcard reaches may be excluded without harm.
		if got := hostWithin(tt.host, tt.constraint, false); got != tt.permitted {
			t.Errorf("%s within %q: %t", tt.host, tt.constraint, got)
		}
		if got := hostWithin(tt.host, tt.constraint, true); got != tt.excluded && (tt.excluded || !strings.HasPrefix(tt.host, "*.")) {
			t.Errorf("%s excluded by %q: %t", tt.host, tt.constraint, got)
		}
	}
}

func TestEmailWithin(t *testing.T) {
	tests := []struct {
		mailbox, constraint string
		want                bool
	}{
		{"a@example.com", "example.com", true},
		{"a@EXAMPLE.com", "example.com", true},
		{"a@b.example.com", "example.com", false},
		{"a@b.example.com", ".example.com", true},
		{"a@example.com", ".example.com", false},
		{"a@example.com", "a@example.com", true},
		{"b@example.com", "a@example.com", false},
		{`"x@y"@example.com`, "example.com", true},
	}
	for _, tt := range tests {
		if got, err := emailWithin(tt.mailbox, tt.constraint); got != tt.want || err != nil {
			t.Errorf("%s within %s: %t %v", tt.mailbox, tt.constraint, got, err)
		}
	}
	for _, bad := range []string{"", "a", "@example.com", "a@", "a@b@example.com", "a@.example.com"} {
		if _, err := emailWithin(bad, "example.com"); err == nil {
			t.Errorf("%q passes for a mailbox", bad)
		}
	}
}

func TestURIWithin(t *testing.T) {
	for uri, want := range map[string]bool{"example.com": true, "example.com:8080": true, "example.com.": true, "EXAMPLE.com.:80": true, "b.example.com": false} {
		if got, err := uriWithin(uri, "example.com"); got != want || err != nil {
			t.Errorf("%s: %t %v", uri, got, err)
		}
	}
	if got, _ := uriWithin("b.example.com", ".example.com"); !got {
		t.Error("a host below is not within")
	}
	for _, bad := range []string{"", "10.0.0.1", "[::1]", "[::1]:80", "*.example.com", "example\u3002com", "."} {
		if _, err := uriWithin(bad, "example.com"); err == nil {
			t.Errorf("%q passes for a host", bad)
		}
	}
}

func TestAddressWithin(t *testing.T) {
	_, v4, _ := net.ParseCIDR("10.1.0.0/16")
	_, v6, _ := net.ParseCIDR("2001:db8::/32")
	tests := []struct {
		ip    string
		block *net.IPNet
		want  bool
	}{{"10.1.2.3", v4, true}, {"10.2.2.3", v4, false}, {"2001:db8::1", v6, true}, {"2001:db9::1", v6, false}, {"10.1.2.3", v6, false}, {"::ffff:10.1.2.3", v4, true}}
	for _, tt := range tests {
		if got := addressWithin(net.ParseIP(tt.ip), tt.block); got != tt.want {
			t.Errorf("%s in %s: %t", tt.ip, tt.block, got)
		}
	}
}
