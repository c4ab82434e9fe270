package smtp

import (
	"crypto/tls"
	"io"
	"time"
)

// The bounds of linger.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// disconnect closes the connection: with TLS's own farewell when the session
// ended by somebody's will, without a word when it broke.
func (l *loop) disconnect() {
	if l.lingering {
		l.linger()
	}
	switch l.cause {
	case EndQuit, EndLocal:
		l.wire.stream.Close()
	case EndUnknown, EndRemote, EndTimeout, EndTLS, EndInternal:
	}
	l.wire.raw.Close()
}

// linger lets a client that is still sending see our last reply: closing a TCP
// connection with unread input resets it, and the reply may be lost with it.
func (l *loop) linger() {
	half, ok := l.wire.raw.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	if t, ok := l.wire.stream.(*tls.Conn); ok {
		// An error means that the peer is gone already.
		_ = t.CloseWrite()
	}
	if half.CloseWrite() != nil || l.wire.raw.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	buf := copyBuffers.Get().(*[bodyBufferBytes]byte)
	defer copyBuffers.Put(buf)
	// Whatever ends this, the connection is closed next.
	_, _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{io.LimitReader(l.wire.raw, lingerBytes)}, buf[:])
}
