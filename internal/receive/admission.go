package receive

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/protocollog"
)

// arrival is a connection that has no session yet.
type arrival struct {
	conn     net.Conn
	remote   netip.AddrPort // the client
	local    netip.AddrPort // where it has connected to
	upstream netip.AddrPort // the proxy that speaks for the client; invalid: none
}

// admit gives a connection its session. Where no connector serves the client or
// a limit is reached it turns the connection away and returns nil; else the
// session must leave.
func (s *Server) admit(d *door, a arrival) *session {
	p := d.serves(a.remote.Addr(), a.upstream)
	if p == nil {
		s.complain("a connection was turned away: no receive connector's remoteIPRanges hold the client",
			keyRemote, a.remote.String(), keyAddress, a.local.String())
		s.dismiss(a.conn, kindNotServed)
		return nil
	}
	x := s.newSession(p.connector, p.settings, a)
	if k := x.enter(); k != kindUnset {
		s.complain("a connection was turned away: too many are open", keyConnector, x.connector.name,
			keyRemote, a.remote.String(), keyReason, limitNames[k])
		s.turnAway(x, k)
		return nil
	}
	return x
}

// limitNames are the configuration's keys for the limits that enter keeps.
var limitNames = map[kind]string{
	kindTooManyConnections: "maxInboundConnection",
	kindTooManyFromSource:  "maxInboundConnectionPerSource, maxInboundConnectionPercentagePerSource",
}

// enter counts the session, or returns what its limit is answered with.
func (x *session) enter() kind {
	c := x.connector
	n := c.connections.Add(1)
	if n > x.rc.MaxInboundConnection {
		c.connections.Add(-1)
		return kindTooManyConnections
	}
	if x.source = c.sources.enter(x.remote.Addr(), sourceLimit(x.rc, n-1)); x.source == nil {
		c.connections.Add(-1)
		return kindTooManyFromSource
	}
	return kindUnset
}

// leave undoes enter.
func (x *session) leave() {
	x.connector.sources.leave(x.source, x.server.o.Now())
	x.connector.connections.Add(-1)
}

// sourceLimit is how many connections one client may have while the connector
// has open ones: the configured number, or the configured part of those that
// are left where that is less. One is always possible.
func sourceLimit(rc *directory.ReceiveConnector, open int64) int64 {
	limit := rc.MaxInboundConnectionPerSource
	if rc.MaxInboundConnection == directory.Unlimited || rc.MaxInboundConnectionPercentagePerSource == directory.Unlimited {
		return limit
	}
	left := rc.MaxInboundConnection - open
	part := left / 100 * rc.MaxInboundConnectionPercentagePerSource
	part += left % 100 * rc.MaxInboundConnectionPercentagePerSource / 100
	return max(min(limit, part), 1)
}

// turnAway answers a connection that gets no session, and writes its protocol log.
func (s *Server) turnAway(x *session, k kind) {
	r := refusal(k, x.id)
	if x.log != nil {
		x.log.Connected()
		x.log.Sent(r.String())
		x.log.Disconnected(protocollog.ContextLocal)
	}
	s.sayAndClose(x.conn, r.String())
}

// dismiss answers a connection that belongs to no connector.
func (s *Server) dismiss(conn net.Conn, k kind) {
	s.sayAndClose(conn, answers[k].reply("").String())
}

// sayAndClose writes one line. Into the empty buffer of a fresh connection that
// does not wait, so this may run in the accept loop.
func (s *Server) sayAndClose(conn net.Conn, line string) {
	_ = conn.SetWriteDeadline(time.Now().Add(busyReplyTimeout))
	_, _ = conn.Write([]byte(line + "\r\n")) // the peer may be gone; nobody is owed more
	_ = conn.Close()
}

// complaints bounds the log's lines about clients that limits keep out: who comes
// again and again shall not fill the disk.
type complaints struct {
	mu    sync.Mutex
	began time.Time // of the present minute
	told  int
	kept  int64 // lines not written
}

// complaintsPerMinute is how many of these lines are written.
const complaintsPerMinute = 60

// allow reports whether a line may be written now, and how many were not since
// the last one.
func (c *complaints) allow(now time.Time) (kept int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := now.Sub(c.began); d >= time.Minute || d < 0 {
		c.began, c.told = now, 0
	}
	if c.told >= complaintsPerMinute {
		c.kept++
		return 0, false
	}
	c.told++
	kept, c.kept = c.kept, 0
	return kept, true
}

// complain logs that a client was turned away.
func (s *Server) complain(text string, attributes ...any) {
	s.complainTo(s.o.Logger, text, attributes...)
}

// complainTo is complain with a logger that has attributes already.
func (s *Server) complainTo(l *slog.Logger, text string, attributes ...any) {
	kept, ok := s.complaints.allow(s.o.Now())
	if !ok {
		return
	}
	if kept > 0 {
		attributes = append(attributes, "linesLeftOut", kept)
	}
	l.Warn(text, attributes...)
}
