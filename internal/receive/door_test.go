package receive

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailpact/internal/directory"
)

func ranges(t testing.TB, texts ...string) []directory.AddressRange {
	t.Helper()
	out := make([]directory.AddressRange, len(texts))
	for i, s := range texts {
		var err error
		if out[i], err = directory.ParseAddressRange(s); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// doorFor makes the door of one binding from "name range range ...".
func doorFor(t testing.TB, connectors ...string) *door {
	t.Helper()
	c := &directory.Configuration{}
	for _, text := range connectors {
		name, rest, _ := strings.Cut(text, " ")
		rest, upstreams, _ := strings.Cut(rest, "from")
		c.ReceiveConnectors = append(c.ReceiveConnectors, directory.ReceiveConnector{
			Name: name, Bindings: []string{":25"}, RemoteIPRanges: ranges(t, strings.Fields(rest)...),
			ProxyProtocolFrom: ranges(t, strings.Fields(upstreams)...),
		})
	}
	return newDoors(c, newConnector)[":25"]
}

func TestMostSpecificRangeWins(t *testing.T) {
	d := doorFor(t,
		"Inet 0.0.0.0/0 ::/0 from 192.0.2.10",
		"Inner 10.0.0.0/8 fd00::/8",
		"Branch 10.1.0.0/16 10.2.0.0-10.2.0.9 from 192.0.2.10 192.0.2.11",
		"Printer 10.1.2.3",
		"Partner 198.51.100.0/24",
	)
	tests := []struct{ client, upstream, want string }{
		{"198.51.99.255", "", "Inet"},
		{"198.51.100.0", "", "Partner"},
		{"198.51.100.255", "", "Partner"},
		{"198.51.101.0", "", "Inet"},
		{"0.0.0.0", "", "Inet"},
		{"255.255.255.255", "", "Inet"},
		{"9.255.255.255", "", "Inet"},
		{"10.0.0.0", "", "Inner"},
		{"10.1.0.0", "", "Branch"},
		{"10.1.2.2", "", "Branch"},
		{"10.1.2.3", "", "Printer"},
		{"10.1.2.4", "", "Branch"},
		{"10.1.255.255", "", "Branch"},
		{"10.2.0.9", "", "Branch"},
		{"10.2.0.10", "", "Inner"},
		{"10.255.255.255", "", "Inner"},
		{"11.0.0.0", "", "Inet"},
		{"2001:db8::1", "", "Inet"},
		{"fd12::1", "", "Inner"},
		// An upstream speaks for clients of the connectors that name it.
		{"10.0.0.1", "192.0.2.10", "Inet"},
		{"10.1.2.3", "192.0.2.10", "Branch"},
		{"10.1.2.3", "192.0.2.11", "Branch"},
		{"198.51.100.1", "192.0.2.10", "Inet"},
		{"198.51.100.1", "192.0.2.11", ""},
	}
	for _, tt := range tests {
		t.Run(tt.client+" "+tt.upstream, func(t *testing.T) {
			var upstream netip.AddrPort
			if tt.upstream != "" {
				upstream = netip.AddrPortFrom(netip.MustParseAddr(tt.upstream), 40000)
			}
			got := ""
			if p := d.serves(netip.MustParseAddr(tt.client), upstream); p != nil {
				got = p.settings.Name
			}
			if got != tt.want {
				t.Errorf("%q serves, want %q", got, tt.want)
			}
		})
	}
	if d.serves(netip.Addr{}, netip.AddrPort{}) != nil {
		t.Error("somebody serves no address")
	}
	client := netip.MustParseAddr("10.1.2.4")
	if n := testing.AllocsPerRun(100, func() { d.serves(client, netip.AddrPort{}) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// TestServesTheNarrowest holds the search against a look at every range.
func TestServesTheNarrowest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
		var all []directory.AddressRange
		c := &directory.Configuration{}
		for i := range rapid.IntRange(1, 12).Draw(t, "ranges") {
			from := rapid.IntRange(0, 40).Draw(t, "from")
			r := directory.AddressRange{First: last(from), Last: last(from + rapid.IntRange(0, 40).Draw(t, "length"))}
			nested := true
			for _, x := range all {
				apart := r.Last.Less(x.First) || x.Last.Less(r.First)
				nested = nested && x != r && (apart || r.Contains(x.First) && r.Contains(x.Last) || x.Contains(r.First) && x.Contains(r.Last))
			}
			if !nested {
				continue // validation refuses it
			}
			all = append(all, r)
			c.ReceiveConnectors = append(c.ReceiveConnectors, directory.ReceiveConnector{
				Name: fmt.Sprint(i), Bindings: []string{":25"}, RemoteIPRanges: []directory.AddressRange{r},
			})
		}
		d := newDoors(c, newConnector)[":25"]
		for i := range 90 {
			a := last(i)
			var want *directory.AddressRange
			for j := range all {
				if r := &all[j]; r.Contains(a) && (want == nil || want.Contains(r.First) && want.Contains(r.Last)) {
					want = r
				}
			}
			got := d.serves(a, netip.AddrPort{})
			if (got == nil) != (want == nil) || got != nil && got.AddressRange != *want {
				t.Fatalf("%s: %v, want %v of %v", a, got, want, all)
			}
		}
	})
}
