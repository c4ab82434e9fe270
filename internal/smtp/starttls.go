package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime/debug"
)

// errAfterStartTLS reports octets that came behind STARTTLS without waiting for
// the handshake: a broken client, or somebody between client and server who
// wants his commands to be read as if they had come through TLS.
var errAfterStartTLS = errors.New("octets behind STARTTLS before the handshake")

// startTLS carries out STARTTLS (RFC 3207). After the handshake nothing is
// known that was learned before it; a failed one ends the session.
func (l *loop) startTLS(ctx context.Context, argument []byte) {
	switch {
	case len(argument) > 0:
		l.protocolError(&replyNoArgument) // RFC 3207, section 4
		return
	case l.tls:
		l.protocolError(&replyAlreadyTLS)
		return
	case l.greeted != greetedEHLO:
		l.protocolError(&replyEHLOFirst)
		return
	case !l.offered:
		l.protocolError(&replyNotImplemented)
		return
	case l.in.Buffered() > 0:
		l.note(errAfterStartTLS.Error())
		l.report(errAfterStartTLS)
		l.lingering = true
		l.reply(&replyAfterStartTLS)
		return
	}
	cfg, err := l.session.StartTLS(ctx)
	if err == nil && cfg == nil {
		err = replyTLSUnavailable
	}
	if err != nil {
		r := l.refusal(err)
		l.reply(&r)
		return
	}
	l.reply(&replyStartTLS)
	if err := l.out.Flush(); err != nil {
		l.readFailed(err)
		return
	}
	l.handshake(ctx, cfg)
}

// handshake puts TLS under the session. What is still in the kernel's buffer is
// read by the TLS layer, to which a plain command is a broken record; the
// reader is empty, as startTLS has checked.
func (l *loop) handshake(ctx context.Context, cfg *tls.Config) {
	l.endTransaction()
	hctx, cancel := context.WithDeadline(ctx, l.wire.handshakeDeadline())
	defer cancel()
	conn := tls.Server(l.wire.raw, cfg)
	// In a goroutine of its own: it needs a deep stack, which this one, that
	// stays for as long as the session does, would keep.
	done := make(chan error, 1)
	go func() {
		err := l.wire.raw.SetDeadline(l.wire.handshakeDeadline())
		if err == nil {
			err = guardHandshake(hctx, conn)
		}
		done <- err
	}()
	var err error
	stopped := false
	select {
	case err = <-done:
	case <-l.shutdown:
		stopped = true
		cancel()
		err = <-done
	}
	timedOut := errors.Is(hctx.Err(), context.DeadlineExceeded)

	if err != nil {
		l.session.HandshakeDone(ctx, nil, fmt.Errorf("shaking hands: %w", err))
		var fault *PanicError
		switch {
		case errors.As(err, &fault):
			l.report(fault)
			l.finish(EndInternal)
		case stopped:
			l.finish(EndLocal)
		case timedOut || isTimeout(err):
			l.finish(EndTimeout)
		default:
			l.finish(EndTLS)
		}
		return
	}
	l.wire.stream, l.tls = conn, true
	l.forgetHello(greetedNot)
	l.authenticated = false // RFC 3207, section 4.2
	state := conn.ConnectionState()
	l.session.HandshakeDone(ctx, &state, nil)
}

// guardHandshake shakes hands. A panic, which guard could not catch in another
// goroutine, becomes an error.
func guardHandshake(ctx context.Context, conn *tls.Conn) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return conn.HandshakeContext(ctx)
}
