package directory

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// ranges parses ranges that are right.
func ranges(t *testing.T, texts ...string) []AddressRange {
	t.Helper()
	out := make([]AddressRange, len(texts))
	for i, s := range texts {
		var err error
		if out[i], err = ParseAddressRange(s); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestAddressRangeContains(t *testing.T) {
	tests := []struct {
		name, r, a string
		want       bool
	}{
		{"the one address", "192.0.2.1", "192.0.2.1", true},
		{"the next one", "192.0.2.1", "192.0.2.2", false},
		{"first", "192.0.2.1-192.0.2.9", "192.0.2.1", true},
		{"last", "192.0.2.1-192.0.2.9", "192.0.2.9", true},
		{"before", "192.0.2.1-192.0.2.9", "192.0.2.0", false},
		{"behind", "192.0.2.1-192.0.2.9", "192.0.2.10", false},
		{"last of a network", "10.0.0.0/8", "10.255.255.255", true},
		{"behind a network", "10.0.0.0/9", "10.128.0.0", false},
		{"every IPv4 address", "0.0.0.0/0", "255.255.255.255", true},
		{"IPv6 is not IPv4", "0.0.0.0/0", "::1", false},
		{"IPv4 is not IPv6", "::/0", "127.0.0.1", false},
		{"last of an IPv6 network", "2001:db8::/33", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", true},
		{"behind an IPv6 network", "2001:db8::/33", "2001:db8:8000::", false},
		{"mapped and unmapped", "::ffff:10.0.0.1", "10.0.0.1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ranges(t, tt.r)[0].Contains(netip.MustParseAddr(tt.a)); got != tt.want {
				t.Errorf("%s in %s: %v", tt.a, tt.r, got)
			}
		})
	}
	if (AddressRange{}).Contains(netip.Addr{}) || (AddressRange{}).Contains(netip.MustParseAddr("0.0.0.0")) {
		t.Error("the zero range holds an address")
	}
}

func TestAddressRangeInside(t *testing.T) {
	for _, s := range []string{"127.0.0.1", "10.0.0.0/8", "172.16.0.0-172.31.255.255", "192.168.7.0/24", "169.254.1.1", "::1", "fd12::/16", "fe80::/64"} {
		if r := ranges(t, s)[0]; !r.isInside() {
			t.Errorf("%s is not inside", s)
		}
	}
	for _, s := range []string{"0.0.0.0/0", "::/0", "9.255.255.255-10.0.0.1", "10.0.0.0-192.168.0.1", "172.16.0.0-172.32.0.0", "192.0.2.1", "::/127", "2001:db8::1", "100.64.0.1", "fec0::1"} {
		if r := ranges(t, s)[0]; r.isInside() {
			t.Errorf("%s is inside", s)
		}
	}
	if allInside(nil) {
		t.Error("nobody is inside")
	}
}

// TestAddressRangeReadsBack holds that String writes what ParseAddressRange
// reads, as the same range.
func TestAddressRangeReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{4, 16}).Draw(t, "octets")
		draw := func(label string) netip.Addr {
			a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label))
			return a.Unmap()
		}
		a, b := draw("a"), draw("b")
		if a.BitLen() != b.BitLen() {
			t.Skip("one of the two is mapped")
		}
		r := AddressRange{First: a, Last: b}
		if b.Less(a) {
			r = AddressRange{First: b, Last: a}
		}
		if rapid.Bool().Draw(t, "network") {
			p := netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
			r = prefixRange(p)
			if !p.Contains(r.Last) || r.Last.Next().IsValid() && p.Contains(r.Last.Next()) {
				t.Fatalf("%s ends at %s", p, r.Last)
			}
		}
		if r.First.Is4In6() {
			t.Skip("mapped")
		}
		got, err := ParseAddressRange(r.String())
		if err != nil || got != r {
			t.Fatalf("%s is read as %s, %v", r, got, err)
		}
	})
}

// TestNestedRanges holds the sweep against a comparison of every pair.
func TestNestedRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Configuration{}
		for i := range rapid.IntRange(1, 3).Draw(t, "connectors") {
			r := ReceiveConnector{Name: fmt.Sprint(i), Bindings: []string{"0.0.0.0:25"}}
			for range rapid.IntRange(1, 4).Draw(t, "ranges") {
				first, length := rapid.ByteRange(0, 30).Draw(t, "first"), rapid.ByteRange(0, 20).Draw(t, "length")
				r.RemoteIPRanges = append(r.RemoteIPRanges, AddressRange{
					First: netip.AddrFrom4([4]byte{10, 0, 0, first}), Last: netip.AddrFrom4([4]byte{10, 0, 0, first + length}),
				})
			}
			c.ReceiveConnectors = append(c.ReceiveConnectors, r)
		}
		var all []AddressRange
		for _, r := range c.ReceiveConnectors {
			all = append(all, r.RemoteIPRanges...)
		}
		want := false
		for i, a := range all {
			want = want || slices.ContainsFunc(all[:i], func(b AddressRange) bool {
				meet := !a.Last.Less(b.First) && !b.Last.Less(a.First)
				return a == b || meet && !a.within(b) && !b.within(a)
			})
		}
		k := &checker{}
		k.remoteIPRanges(c)
		if got := len(k.faults) > 0; got != want {
			t.Fatalf("%v: fault %v, want %v\n%v", all, got, want, k.faults)
		}
	})
}
