package receive

import (
	"errors"
	"net"
	"time"

	"mailpact/internal/protocollog"
	"mailpact/internal/smtp"
)

// listener is one binding of a connector.
type listener struct {
	net.Listener
	connector *connector
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
			s.begin(l.connector, conn)
		case s.isStopping() || errors.Is(err, net.ErrClosed):
			return
		default:
			pause = nextPause(pause)
			s.o.Logger.Warn("accepting a connection failed", keyConnector, l.connector.name,
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

// begin gives conn its session, or turns it away.
func (s *Server) begin(c *connector, conn net.Conn) {
	n := c.connections.Add(1)
	x := s.newSession(c, conn)
	if n > x.rc.MaxInboundConnection {
		s.turnAway(x, kindTooManyConnections)
		c.connections.Add(-1)
		return
	}
	s.mu.Lock()
	if s.isStopping() {
		s.mu.Unlock()
		s.turnAway(x, kindShuttingDown)
		c.connections.Add(-1)
		return
	}
	s.open[conn] = struct{}{}
	s.wait.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wait.Done()
		defer c.connections.Add(-1)
		s.serve(x)
	}()
}

// serve runs one session to its end.
func (s *Server) serve(x *session) {
	defer func() {
		s.mu.Lock()
		delete(s.open, x.conn)
		s.mu.Unlock()
		_ = x.conn.Close() // closed by the loop already, or nothing can be done
	}()
	smtp.ServeSession(s.sessions, x.conn, x, x.loopOptions())
}

// turnAway answers a connection that gets no session. One write into the empty
// buffer of a fresh connection does not wait, so this may run in the accept loop.
func (s *Server) turnAway(x *session, k kind) {
	r := refusal(k, x.id)
	if x.log != nil {
		x.log.Connected()
		x.log.Sent(r.String())
		x.log.Disconnected(protocollog.ContextLocal)
	}
	_ = x.conn.SetWriteDeadline(time.Now().Add(busyReplyTimeout))
	_, _ = x.conn.Write([]byte(r.String() + "\r\n")) // the peer may be gone; nobody is owed more
	_ = x.conn.Close()
}
