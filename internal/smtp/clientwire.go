package smtp

import (
	"context"
	"net"
	"sync"
	"time"
)

// clientWire is the connection below a client session's buffers. It sets a
// deadline for every step: the step's own, or the context's if that is earlier.
type clientWire struct {
	raw    net.Conn // set once; all deadlines go there
	stream net.Conn // raw, or the TLS connection over it
	block  time.Duration

	limit  time.Time // the context's deadline, or zero
	readBy time.Time // of the reply being waited for

	mu      sync.Mutex
	stopped bool // the context has ended: no new deadline may undo that
}

// wait sets the time within which the next reply must have come.
func (w *clientWire) wait(d time.Duration) { w.readBy = w.earlier(time.Now().Add(d)) }

// Read reads before the time set by wait.
func (w *clientWire) Read(p []byte) (int, error) {
	if err := w.setDeadline(w.readBy, false); err != nil {
		return 0, err
	}
	return w.stream.Read(p)
}

// Write writes within the data block timeout.
func (w *clientWire) Write(p []byte) (int, error) {
	if err := w.setDeadline(w.earlier(time.Now().Add(w.block)), true); err != nil {
		return 0, err
	}
	return w.stream.Write(p)
}

// attach lets the end of ctx interrupt reads and writes until release is
// called. A context that cannot end costs nothing.
func (w *clientWire) attach(ctx context.Context) (release func()) {
	w.limit, _ = ctx.Deadline()
	if ctx.Done() == nil {
		return func() {}
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stopped = true
		// An error means that the connection is closed, which ends I/O too.
		_ = w.raw.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-interrupted
			w.stopped = false
		}
	}
}

// expired reports that the context's deadline has passed, which the connection
// may notice a little before the context does.
func (w *clientWire) expired() bool { return !w.limit.IsZero() && !time.Now().Before(w.limit) }

func (w *clientWire) setDeadline(t time.Time, write bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopped:
		return context.Canceled
	case write:
		return w.raw.SetWriteDeadline(t)
	}
	return w.raw.SetReadDeadline(t)
}

func (w *clientWire) earlier(t time.Time) time.Time {
	if !w.limit.IsZero() && w.limit.Before(t) {
		return w.limit
	}
	return t
}
