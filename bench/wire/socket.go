package wire

import (
	"net"
	"syscall"
)

// SegmentBytes is the TCP maximum segment size of both sides, as on Ethernet.
// With loopback's 64 KB segments Nagle's algorithm and delayed
// acknowledgements make servers wait that would not wait on a network.
const SegmentBytes = 1448

// LimitSegments is a control function for dialers and listeners that sets
// SegmentBytes.
func LimitSegments(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, SegmentBytes)
	}); e != nil {
		return e
	}
	return err
}

// QuickConn acknowledges at once for as long as Quick is set. A server that
// leaves Nagle's algorithm on otherwise waits 40 ms after its first session
// ticket, on loopback only.
type QuickConn struct {
	net.Conn
	Quick bool
	raw   syscall.RawConn
}

// NewQuickConn wraps a TCP connection, with Quick set.
func NewQuickConn(c net.Conn) *QuickConn {
	q := &QuickConn{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			q.raw, q.Quick = raw, true
		}
	}
	return q
}

// Read implements net.Conn. The kernel forgets the setting, so it is made anew.
func (q *QuickConn) Read(b []byte) (int, error) {
	if !q.Quick {
		return q.Conn.Read(b)
	}
	q.acknowledge()
	n, err := q.Conn.Read(b)
	q.acknowledge()
	return n, err
}

func (q *QuickConn) acknowledge() {
	// A fault shows in the figures, and nothing else can be done about it.
	_ = q.raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
