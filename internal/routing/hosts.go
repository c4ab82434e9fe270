package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mailpact/internal/dnsx"
	"mailpact/internal/smtp"
)

// Bounds on what strangers' zones can make us try.
const (
	maxMX        = 16
	maxAddresses = 8 // per host
)

// Host is one next hop with the addresses to try, in order.
type Host struct {
	Name       string // host name, or the address when it was given as one
	Addrs      []netip.AddrPort
	Socket     string // path of a Unix socket, in the place of Addrs
	Preference uint16 // of its MX record
}

// Error says why a route has no hosts. Its reply is permanent when no later
// attempt can go better unless somebody changes the zone.
type Error struct {
	Reply smtp.Reply
	Err   error // the cause, when there is one beyond the reply
}

// Error returns the reply and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reply.String()
	}
	return e.Reply.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fault(code int, enhanced smtp.EnhancedCode, err error, text string) *Error {
	return &Error{Reply: smtp.NewReply(code, enhanced, text), Err: err}
}

// Hosts finds the next hops of route in the order in which they are to be
// tried; each has at least one address, or a socket. An error is an *Error.
func (r *Router) Hosts(ctx context.Context, route Route) ([]Host, error) {
	switch {
	case route.Socket != "":
		return []Host{{Name: "localhost", Socket: route.Socket}}, nil
	case route.HandOff != "":
		return r.named(ctx, []string{route.HandOff}, 25)
	case route.SendConnector == nil:
		return nil, fault(451, smtp.EnhancedCode{4, 4, 4}, nil, "No route to the destination")
	case route.SendConnector.DNSRoutingEnabled:
		return r.exchangers(ctx, route.NextHopDomain, route.SendConnector.Port)
	}
	return r.named(ctx, route.SendConnector.SmartHosts, route.SendConnector.Port)
}

// named finds smart hosts and hand-offs, which stand in the configuration. A
// mistake there is for an administrator to mend, so no mail bounces over it.
func (r *Router) named(ctx context.Context, names []string, port int) ([]Host, error) {
	var hosts []Host
	var last *Error
	for _, n := range names {
		host, p, err := splitHost(n, port)
		if err != nil {
			last = fault(451, smtp.EnhancedCode{4, 4, 3}, err, "The address of the next hop "+strconv.Quote(n)+" cannot be read")
			continue
		}
		addrs, err := r.addresses(ctx, host)
		if err != nil {
			last = fault(451, smtp.EnhancedCode{4, 4, 3}, err, "The next hop "+strconv.Quote(n)+" was not found")
			continue
		}
		h := Host{Name: host, Addrs: withPort(addrs, p)}
		if r.isSelf(h.Addrs) {
			last = fault(451, smtp.EnhancedCode{4, 4, 6}, nil, "The next hop "+strconv.Quote(n)+" is this server")
			continue
		}
		hosts = append(hosts, h)
	}
	if len(hosts) > 0 {
		return hosts, nil
	}
	if last == nil {
		last = fault(451, smtp.EnhancedCode{4, 4, 4}, nil, "No next hop is configured")
	}
	return nil, last
}

// splitHost reads "host", "host:port", an address, "[address]" or "[address]:port".
func splitHost(s string, port int) (string, int, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), port, nil
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		host, p = s, strconv.Itoa(port)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", p)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, int(n), nil
	}
	name, ok := dnsx.Normalize(host)
	if !ok {
		return "", 0, fmt.Errorf("host %q: %w", host, dnsx.ErrBadName)
	}
	return name, int(n), nil
}

func withPort(addrs []netip.Addr, port int) []netip.AddrPort {
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, uint16(port))
	}
	return out
}

// addresses returns the usable addresses of host, which may be one itself.
func (r *Router) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := r.o.Resolver.Addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	// Nobody receives mail at such addresses; 0.0.0.0 would reach ourselves.
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a.IsUnspecified() || a.IsMulticast() || !a.IsValid() })
	if len(addrs) == 0 {
		return nil, fmt.Errorf("host %s has no usable address: %w", host, dnsx.ErrNotFound)
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

// exchangers finds the hosts of a domain by RFC 5321, section 5.1.
func (r *Router) exchangers(ctx context.Context, domain string, port int) ([]Host, error) {
	mx, err := r.o.Resolver.MX(ctx, domain)
	var de *dnsx.Error
	switch {
	case err == nil:
	case errors.As(err, &de) && !de.Temporary && de.NXDomain, errors.Is(err, dnsx.ErrBadName):
		return nil, fault(550, smtp.EnhancedCode{5, 1, 2}, err, "The recipient's domain does not exist")
	case errors.Is(err, dnsx.ErrNotFound):
		mx = []dnsx.MX{{Host: domain}} // the implicit MX
	default:
		return nil, fault(451, smtp.EnhancedCode{4, 4, 3}, err, "The DNS look-up of the recipient's domain is not possible now")
	}
	mx = slices.DeleteFunc(mx, func(m dnsx.MX) bool { return m.Host == "" })
	if len(mx) == 0 {
		return nil, fault(556, smtp.EnhancedCode{5, 1, 10}, nil, "The recipient's domain does not accept mail (null MX)")
	}
	// Shuffle first: the stable sort keeps equals in random order.
	rand.Shuffle(len(mx), func(i, j int) { mx[i], mx[j] = mx[j], mx[i] })
	slices.SortStableFunc(mx, func(a, b dnsx.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	hosts, temporary, last := r.resolve(ctx, mx[:min(len(mx), maxMX)], port)
	hosts, loop := r.withoutSelf(hosts)
	switch {
	case len(hosts) > 0:
		return hosts, nil
	case loop:
		return nil, fault(554, smtp.EnhancedCode{5, 4, 6}, nil, "Mail for the recipient's domain loops back to this server, which does not accept it")
	case temporary:
		return nil, fault(451, smtp.EnhancedCode{4, 4, 3}, last, "The DNS look-up of the recipient's mail hosts is not possible now")
	}
	return nil, fault(550, smtp.EnhancedCode{5, 4, 4}, last, "No mail host of the recipient's domain has an address")
}

// resolve gives the exchangers their addresses and leaves out those that have
// none. It returns whether any failure may pass by itself, and the last one.
func (r *Router) resolve(ctx context.Context, mx []dnsx.MX, port int) (hosts []Host, temporary bool, last error) {
	hosts = make([]Host, 0, len(mx))
	for _, m := range mx {
		addrs, err := r.addresses(ctx, m.Host)
		if err != nil {
			last = err
			temporary = temporary || !errors.Is(err, dnsx.ErrNotFound) && !errors.Is(err, dnsx.ErrBadName)
			continue
		}
		hosts = append(hosts, Host{Name: m.Host, Addrs: withPort(addrs, port), Preference: m.Preference})
	}
	return hosts, temporary, last
}

// withoutSelf takes out ourselves and every host that is not preferred to us
// (RFC 5321, section 5.1). hosts are in order of preference.
func (r *Router) withoutSelf(hosts []Host) (left []Host, loop bool) {
	for _, h := range hosts {
		if !r.isSelf(h.Addrs) {
			continue
		}
		end := slices.IndexFunc(hosts, func(o Host) bool { return o.Preference >= h.Preference })
		return hosts[:end], true
	}
	return hosts, false
}

// isSelf reports whether one of the addresses, port included, is ours.
func (r *Router) isSelf(addrs []netip.AddrPort) bool {
	for _, own := range r.o.SelfAddresses() {
		for _, a := range addrs {
			if a.Port() != own.Port() {
				continue
			}
			if a.Addr().Unmap() == own.Addr().Unmap() || own.Addr().IsUnspecified() && r.isLocal(a.Addr().Unmap()) {
				return true
			}
		}
	}
	return false
}

func (r *Router) isLocal(a netip.Addr) bool {
	return a.IsLoopback() || slices.Contains(r.o.LocalAddresses(), a)
}

func interfaceAddresses() []netip.Addr {
	// Without the list we only fail to notice a loop early; Received fields
	// still end it.
	ifaces, _ := net.InterfaceAddrs()
	var out []netip.Addr
	for _, i := range ifaces {
		if p, err := netip.ParsePrefix(i.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}
