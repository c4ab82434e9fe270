package revocation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Resolver finds the addresses of a host. dnsx.Resolver is one.
type Resolver interface {
	Addresses(ctx context.Context, host string) ([]netip.Addr, error)
}

// maxAddresses bounds how many addresses of one host are tried.
const maxAddresses = 4

// dialer connects to what a certificate names, and to nothing inside: the name
// is resolved here, every address is looked at, and exactly the address that
// passed is dialled, so that a second answer of the DNS changes nothing.
type dialer struct {
	resolver Resolver
	check    func(netip.Addr) error // nil error: may be dialled
}

func newDialer(r Resolver, allowPrivate bool) *dialer {
	return &dialer{resolver: r, check: func(a netip.Addr) error { return checkTarget(a, allowPrivate) }}
}

// dial connects to host:port within ctx.
func (d *dialer) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("reading address %q: %w", cut(hostPort), err)
	}
	addresses, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed error
	for i, a := range addresses {
		conn, err := dialOne(ctx, network, net.JoinHostPort(a.String(), port), len(addresses)-i)
		if err == nil {
			return conn, nil
		}
		if failed == nil {
			failed = err
			continue
		}
		failed = fmt.Errorf("%w; %w", failed, err)
	}
	return nil, failed
}

// dialOne connects to one address in its share of the time that is left.
func dialOne(ctx context.Context, network, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	var plain net.Dialer
	return plain.DialContext(ctx, network, address)
}

// resolve returns the addresses of host that may be dialled, at least one.
func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	found, err := d.found(ctx, host)
	if err != nil {
		return nil, err
	}
	var allowed []netip.Addr
	why := fmt.Errorf("resolving %q: no address", cut(host))
	for _, a := range found {
		a = a.Unmap()
		if err := d.check(a); err != nil {
			why = err
			continue
		}
		if allowed = append(allowed, a); len(allowed) == maxAddresses {
			break
		}
	}
	if len(allowed) == 0 {
		return nil, why
	}
	return allowed, nil
}

// found returns every address of host, allowed or not.
func (d *dialer) found(ctx context.Context, host string) ([]netip.Addr, error) {
	if literal, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{literal}, nil
	}
	addresses, err := d.resolver.Addresses(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolving %q: %w", cut(host), err)
	}
	return addresses, nil
}

// targetRange is a range of addresses that a CRL server on the Internet cannot have.
type targetRange struct{ prefix, what string }

// privateRanges are the special-purpose ranges (IANA registries, RFC 6890) that
// netip has no word for. Ranges that carry an IPv4 address inside (NAT64, 6to4,
// Teredo) are refused whole: they could lead inside.
func privateRanges() []targetRange {
	return []targetRange{
		{"0.0.0.0/8", "this network"},
		{"100.64.0.0/10", "carrier-grade NAT"},
		{"192.0.0.0/24", "protocol assignments"},
		{"192.0.2.0/24", "documentation"},
		{"198.18.0.0/15", "benchmarking"},
		{"198.51.100.0/24", "documentation"},
		{"203.0.113.0/24", "documentation"},
		{"240.0.0.0/4", "reserved"},
		{"::/96", "IPv4-compatible"},
		{"64:ff9b::/96", "NAT64"},
		{"64:ff9b:1::/48", "NAT64"},
		{"100::/64", "discard"},
		{"2001::/23", "protocol assignments"},
		{"2001:db8::/32", "documentation"},
		{"2002::/16", "6to4"},
		{"fec0::/10", "site-local"},
	}
}

// checkTarget returns nil when a may be dialled. a is not an IPv4-mapped
// address. Multicast and unspecified addresses are refused in any case.
func checkTarget(a netip.Addr, allowPrivate bool) error {
	kind := ""
	switch {
	case !a.IsValid():
		return errors.New("the address is not valid")
	case a.IsUnspecified():
		return refuse(a, "unspecified")
	case a.IsMulticast():
		return refuse(a, "multicast")
	case allowPrivate:
		return nil
	case a.IsLoopback():
		kind = "loopback"
	case a.IsPrivate():
		kind = "private"
	case a.IsLinkLocalUnicast():
		kind = "link-local"
	default:
		for _, r := range privateRanges() {
			if netip.MustParsePrefix(r.prefix).Contains(a.WithZone("")) {
				kind = r.what
				break
			}
		}
	}
	if kind == "" {
		return nil
	}
	return fmt.Errorf("%w; revocation.allowPrivateTargets would allow it", refuse(a, kind))
}

func refuse(a netip.Addr, kind string) error {
	return fmt.Errorf("the address %s is not fetched from (%s)", a, kind)
}
