package directory

import (
	"errors"
	"net/netip"
	"strings"
)

// AddressRange is a run of IP addresses of one family, both ends included, as
// remoteIPRanges writes them. The zero value holds no address.
type AddressRange struct {
	First, Last netip.Addr // unmapped, without zone
}

// everyAddress returns the two ranges that leave nobody out.
func everyAddress() []AddressRange {
	return []AddressRange{
		prefixRange(netip.PrefixFrom(netip.IPv4Unspecified(), 0)),
		prefixRange(netip.PrefixFrom(netip.IPv6Unspecified(), 0)),
	}
}

// ParseAddressRange reads "192.0.2.1", "192.0.2.0/24" or
// "192.0.2.1-192.0.2.9", and the same in IPv6.
func ParseAddressRange(s string) (AddressRange, error) {
	s = strings.TrimSpace(s)
	if first, last, ok := strings.Cut(s, "-"); ok {
		return parseSpan(strings.TrimSpace(first), strings.TrimSpace(last))
	}
	if !strings.Contains(s, "/") {
		a, err := parseRangeAddress(s)
		return AddressRange{First: a, Last: a}, err
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return AddressRange{}, errors.New("is not a range of addresses")
	case p.Addr().Is4In6():
		return AddressRange{}, errors.New("is a range of IPv4 addresses written in IPv6")
	case p.Masked() != p:
		return AddressRange{}, &mendableError{
			"is neither one address nor a whole network",
			"Write " + p.Masked().String() + ", or " + p.Addr().String() + " for the one address",
		}
	}
	return prefixRange(p), nil
}

func parseSpan(first, last string) (AddressRange, error) {
	a, err := parseRangeAddress(first)
	if err != nil {
		return AddressRange{}, err
	}
	b, err := parseRangeAddress(last)
	switch {
	case err != nil:
		return AddressRange{}, err
	case a.BitLen() != b.BitLen():
		return AddressRange{}, errors.New("begins in one address family and ends in the other")
	case b.Less(a):
		return AddressRange{}, errors.New("ends before it begins")
	}
	return AddressRange{First: a, Last: b}, nil
}

func parseRangeAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, errors.New("is not a range of addresses")
	case a.Zone() != "":
		return netip.Addr{}, errors.New("names a zone, which a range cannot")
	}
	return a.Unmap(), nil
}

// prefixRange returns the addresses of a masked prefix.
func prefixRange(p netip.Prefix) AddressRange {
	last := p.Addr().AsSlice()
	for i := range last {
		if host := (i+1)*8 - p.Bits(); host > 0 {
			last[i] |= byte(1<<min(host, 8) - 1)
		}
	}
	end, _ := netip.AddrFromSlice(last) // as long as the address it was made of
	return AddressRange{First: p.Addr(), Last: end}
}

// Contains reports whether a, which must be unmapped and without zone, is in
// the range.
func (r AddressRange) Contains(a netip.Addr) bool {
	// Addresses of different families never compare in between.
	return r.First.IsValid() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// within reports whether outer holds all of r.
func (r AddressRange) within(outer AddressRange) bool {
	return outer.Contains(r.First) && outer.Contains(r.Last)
}

// isFamily reports whether r is every address of its family.
func (r AddressRange) isFamily() bool {
	for _, e := range everyAddress() {
		if r == e {
			return true
		}
	}
	return false
}

// Compare orders ranges by their beginning, and an outer one before those that
// it holds.
func (r AddressRange) Compare(x AddressRange) int {
	if c := r.First.Compare(x.First); c != 0 {
		return c
	}
	return x.Last.Compare(r.Last)
}

// String returns the range as ParseAddressRange reads it: as a network where it
// is one.
func (r AddressRange) String() string {
	if !r.First.IsValid() {
		return "no address"
	}
	if r.First == r.Last {
		return r.First.String()
	}
	for bits := r.First.BitLen(); bits >= 0; bits-- {
		if p := netip.PrefixFrom(r.First, bits); p.Masked() == p && prefixRange(p) == r {
			return p.String()
		}
	}
	return r.First.String() + "-" + r.Last.String()
}

// isInside reports whether all of r is loopback, private or link-local: out of
// the Internet's reach as far as addresses can tell.
func (r AddressRange) isInside() bool {
	for _, n := range [...]netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8), // RFC 1918
		netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16}), 12),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16), // RFC 3927
		netip.PrefixFrom(netip.IPv6Loopback(), 128),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfc}), 7),           // RFC 4193
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80}), 10), // RFC 4291, section 2.5.6
	} {
		if r.within(prefixRange(n)) {
			return true
		}
	}
	return false
}

// allInside reports whether there are ranges and all of them are inside.
func allInside(ranges []AddressRange) bool {
	for _, r := range ranges {
		if !r.isInside() {
			return false
		}
	}
	return len(ranges) > 0
}
