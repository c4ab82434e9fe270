package receive

import (
	"errors"
	"net"
	"time"

	"mailpact/internal/smtp"
)

// listener is one binding, which several connectors may share.
type listener struct {
	net.Listener
	key   string // directory.ReceiveConnector.ListenerKey
	owner string // the first connector's name
	bound *door  // as it was when the listener was opened: see view.door
}

// acceptLoop takes connections until the listener is closed. An error of the
// accept call itself never ends it: out of descriptors is a state that passes.
func (s *Server) acceptLoop(l *listener) {
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.begin(l, conn)
		case s.isStopping() || errors.Is(err, net.ErrClosed):
			return
		default:
			pause = nextPause(pause)
			s.o.Logger.Warn("accepting a connection failed", keyConnector, l.owner,
				keyAddress, l.Addr().String(), keyError, err, "retryIn", pause)
			select {
			case <-time.After(pause):
			case <-s.stopping:
				return
			}
		}
	}
}

func nextPause(last time.Duration) time.Duration {
	if last == 0 {
		return acceptBackoffFirst
	}
	return min(2*last, acceptBackoffMost)
}

// begin gives conn its session, or turns it away. It does not wait.
func (s *Server) begin(l *listener, conn net.Conn) {
	a := arrival{conn: conn, remote: addrPort(conn.RemoteAddr()), local: addrPort(conn.LocalAddr())}
	d := s.currentView().door(l)
	if d.expectsHeader(a.remote.Addr()) {
		s.awaitHeader(l, a)
		return
	}
	x := s.admit(d, a)
	if x == nil {
		return
	}
	began := s.run(conn, func() {
		defer x.leave()
		s.serve(x)
	})
	if !began {
		s.turnAway(x, kindShuttingDown)
		x.leave()
	}
}

// awaitHeader begins an upstream's connection.
func (s *Server) awaitHeader(l *listener, a arrival) {
	if s.pendingHeaders.Add(1) > maxPendingHeaders {
		s.pendingHeaders.Add(-1)
		s.complain("a connection was turned away: upstreams have not yet sent the PROXY headers of too many others", keyRemote, a.remote.String())
		s.dismiss(a.conn, kindTooManyHeaders)
		return
	}
	if !s.run(a.conn, func() { s.beginProxied(l, a) }) {
		s.pendingHeaders.Add(-1)
		s.dismiss(a.conn, kindShuttingDown)
	}
}

// run runs f for conn in a goroutine that Stop waits for, and closes conn after
// it. It reports false when the server is stopping.
func (s *Server) run(conn net.Conn, f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping() {
		return false
	}
	s.open[conn] = struct{}{}
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		defer func() {
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
			_ = conn.Close() // closed by the loop already, or nothing can be done
		}()
		f()
	}()
	return true
}

// serve runs one session to its end.
func (s *Server) serve(x *session) {
	smtp.ServeSession(s.sessions, x.conn, x, x.loopOptions())
}
