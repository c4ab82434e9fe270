package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"mailpact/internal/receive"
)

// firstInherited is the first descriptor of socket activation (sd_listen_fds(3)).
const firstInherited = 3

// maxInherited bounds LISTEN_FDS.
const maxInherited = 1000

// InheritedListeners returns the listening sockets that a service manager has
// opened for this process (LISTEN_FDS, LISTEN_PID); none without socket activation.
func InheritedListeners(getenv func(string) string, pid int) ([]net.Listener, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("reading LISTEN_FDS %q: not a number up to %d", getenv("LISTEN_FDS"), maxInherited)
	}
	var out []net.Listener
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		f := os.NewFile(uintptr(fd), "LISTEN_FD_"+strconv.Itoa(fd))
		l, err := net.FileListener(f) // a duplicate that is closed on exec
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("taking over descriptor %d of socket activation: %w", fd, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// inheritance hands inherited sockets to the bindings that want their address.
type inheritance struct {
	mu   sync.Mutex
	free []net.Listener
}

// listen returns the inherited socket with address, or opens one.
func (h *inheritance) listen(ctx context.Context, address string) (net.Listener, error) {
	h.mu.Lock()
	for i, l := range h.free {
		if sameAddress(l.Addr(), address) {
			h.free = append(h.free[:i:i], h.free[i+1:]...)
			h.mu.Unlock()
			return l, nil
		}
	}
	h.mu.Unlock()
	return receive.ListenTCP(ctx, address)
}

// check complains of sockets that no binding has asked for: mail would wait there forever.
func (h *inheritance) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, l := range h.free {
		errs = append(errs, fmt.Errorf("the socket %s of the service manager belongs to no binding of a receive connector; make the unit and the configuration agree", l.Addr()))
	}
	return errors.Join(errs...)
}

// close closes what nobody has taken.
func (h *inheritance) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, l := range h.free {
		errs = append(errs, l.Close())
	}
	h.free = nil
	return errors.Join(errs...)
}

// sameAddress reports whether a socket is what a binding means; ":25" is every
// address of either family, and so is a socket on [::].
func sameAddress(a net.Addr, binding string) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	have := t.AddrPort()
	host, port, err := net.SplitHostPort(binding)
	if err != nil || port != strconv.Itoa(int(have.Port())) {
		return false
	}
	if host == "" {
		return have.Addr().IsUnspecified()
	}
	want, err := netip.ParseAddr(host)
	return err == nil && want.Unmap() == have.Addr().Unmap()
}
