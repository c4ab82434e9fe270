package receive

import (
	"context"
	"net"
	"net/netip"
)

// ListenTCP opens the listener of one binding, "host:port". Without a host it is
// every address of either family.
func ListenTCP(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, networkOf(address), address)
}

// networkOf keeps 0.0.0.0 and [::] apart, which "tcp" would bind both at once.
func networkOf(address string) string {
	ap, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return "tcp" // no host: every address of either family
	case ap.Addr().Is4():
		return "tcp4"
	default:
		return "tcp6"
	}
}
