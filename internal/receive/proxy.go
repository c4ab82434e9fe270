package receive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// The bounds of PROXY headers.
const (
	// proxyHeaderTimeout is how long an upstream may take for a header, which
	// it has ready when it connects.
	proxyHeaderTimeout = 5 * time.Second
	// proxyBufferBytes is what is read at once: a header of version 1 has at
	// most 107 octets.
	proxyBufferBytes = 256
	// maxPendingHeaders is how many headers may be waited for at the same time.
	maxPendingHeaders = 1000
)

// beginProxied reads the PROXY header of an upstream's connection and gives the
// client that it names its session. The caller has counted it in
// pendingHeaders.
func (s *Server) beginProxied(l *listener, a arrival) {
	b, err := readProxyHeader(s.sessions, a)
	s.pendingHeaders.Add(-1)
	switch {
	case s.isStopping():
		s.dismiss(a.conn, kindShuttingDown)
		return
	case err != nil:
		s.complain("a connection was turned away: it comes from an address in proxyProtocolFrom and has no usable PROXY header",
			keyRemote, a.remote.String(), keyAddress, a.local.String(), keyError, err)
		s.dismiss(a.conn, kindNoProxyHeader)
		return
	}
	x := s.admit(s.currentView().door(l), b)
	if x == nil {
		return
	}
	defer x.leave()
	s.serve(x)
}

var (
	errProxyClient = errors.New("the header names no client that could speak SMTP")
	errProxyFamily = errors.New("the header is not about a TCP connection")
)

// readProxyHeader reads the header of a connection and returns the connection as
// the header describes it. A header that speaks for nobody (LOCAL, as the
// upstream's own checks of health have it, or UNKNOWN) leaves the upstream as the
// client. What else stands in a header, the client's certificate as the upstream
// has seen it say, is not read: nobody has proven it to us.
//
// The end of ctx ends the wait.
func readProxyHeader(ctx context.Context, a arrival) (arrival, error) {
	if err := a.conn.SetReadDeadline(time.Now().Add(proxyHeaderTimeout)); err != nil {
		return a, fmt.Errorf("reading a PROXY header: %w", err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = a.conn.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection only
		close(ended)
	})
	r := bufio.NewReaderSize(a.conn, proxyBufferBytes)
	h, err := proxyproto.Read(r)
	if !stop() {
		<-ended
	}
	if err != nil {
		return a, fmt.Errorf("reading a PROXY header: %w", err)
	}
	if n := r.Buffered(); n > 0 {
		rest, _ := r.Peek(n)
		a.conn = &resumedConn{Conn: a.conn, rest: rest}
	}
	a.upstream = a.remote
	if h.Command.IsLocal() {
		return a, nil
	}
	source, destination, ok := h.TCPAddrs()
	if !ok {
		return a, errProxyFamily
	}
	a.remote, a.local = addrPort(source), addrPort(destination)
	if c := a.remote.Addr(); !c.IsValid() || c.IsUnspecified() || c.IsMulticast() {
		return a, errProxyClient
	}
	return a, nil
}

// resumedConn is a connection from which more has been read than the header.
type resumedConn struct {
	net.Conn
	rest []byte
}

// Read returns what has been read already, then what comes.
func (c *resumedConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}

// CloseWrite ends the sending half, as the server loop does before it lingers.
func (c *resumedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
