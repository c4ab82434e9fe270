package smtp

import (
	"errors"
	"net"
	"sync"
	"time"
)

// errDraining ends the wait for a command when the server is stopping.
var errDraining = errors.New("the server is stopping")

// drainGrace bounds the last writes of a session that is told to go.
const drainGrace = 5 * time.Second

// serverWire is the connection below a server session's buffers. It sets a
// deadline for every step, and it sends what replies are waiting before it
// waits for input: a reply leaves exactly when no pipelined input is at hand
// (RFC 2920, section 3.2).
type serverWire struct {
	raw        net.Conn // set once; all deadlines go there
	stream     net.Conn // raw, or the TLS connection over it
	out        *replyWriter
	inactivity time.Duration
	end        time.Time // of the whole session
	// busy says that a transaction is open, which a stopping server lets
	// finish. Only the session's goroutine uses it.
	busy bool

	mu       sync.Mutex
	waiting  bool // a read waits for a command outside a transaction
	draining bool
}

// Read sends waiting replies, then reads within the inactivity timeout.
func (w *serverWire) Read(p []byte) (int, error) {
	if w.out.Buffered() > 0 {
		if err := w.out.Flush(); err != nil {
			return 0, err
		}
	}
	if err := w.beginRead(); err != nil {
		return 0, err
	}
	n, err := w.stream.Read(p)
	if w.endRead() && err != nil && isTimeout(err) {
		err = errDraining
	}
	return n, err
}

// Write writes within the inactivity timeout.
func (w *serverWire) Write(p []byte) (int, error) {
	w.mu.Lock()
	err := w.raw.SetWriteDeadline(w.deadline())
	w.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return w.stream.Write(p)
}

// drain ends a wait for a command now and all later ones; it is safe to call
// from another goroutine.
func (w *serverWire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.waiting {
		// An error means that the connection is closed, which ends the wait too.
		_ = w.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// mustEnd reports that the server is stopping and no transaction is open.
func (w *serverWire) mustEnd() bool {
	if w.busy {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

func (w *serverWire) beginRead() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining && !w.busy {
		return errDraining
	}
	w.waiting = !w.busy
	return w.raw.SetReadDeadline(w.deadline())
}

// endRead reports that the read was one which drain may have ended.
func (w *serverWire) endRead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = false
	return w.draining && !w.busy
}

// deadline is called with mu held.
func (w *serverWire) deadline() time.Time {
	wait := w.inactivity
	if w.draining && !w.busy {
		wait = min(wait, drainGrace)
	}
	if t := time.Now().Add(wait); t.Before(w.end) {
		return t
	}
	return w.end
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// handshakeDeadline is when a TLS handshake that begins now must be done.
func (w *serverWire) handshakeDeadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deadline()
}
