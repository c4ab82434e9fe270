package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"mailpact/bench/wire"
)

// Bounds of one step on the wire; a server that needs longer has stalled.
const (
	dialTimeout    = 20 * time.Second
	messageTimeout = 60 * time.Second
)

// faultError says at what a message failed.
type faultError struct {
	what      string
	permanent bool
	err       error
}

func (e *faultError) Error() string { return e.what + ": " + e.err.Error() }
func (e *faultError) Unwrap() error { return e.err }

// worker is one connection.
type worker struct {
	g        *generator
	conn     net.Conn // nil: none
	reader   *wire.Reader
	message  *message
	envelope []byte
	used     int // messages on this connection

	latencies   []time.Duration
	first, last time.Time // final replies
}

func newWorker(g *generator) *worker {
	o := &g.options
	return &worker{
		g: g, reader: wire.NewReader(nil, 8<<10), message: newMessage(o.From, o.To, o.MessageBytes),
		envelope:  fmt.Appendf(nil, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", o.From, o.To),
		latencies: make([]time.Duration, 0, 1024),
	}
}

// run sends messages until the load is over.
func (w *worker) run(ctx context.Context) {
	defer w.quit()
	for {
		number, ok := w.g.take(ctx)
		if !ok {
			return
		}
		w.message.setNumber(number)
		for try := 1; ; try++ {
			err := w.send(ctx)
			if err == nil {
				break
			}
			w.g.fault(err)
			w.close()
			var f *faultError
			if try == attempts || errors.As(err, &f) && f.permanent || ctx.Err() != nil {
				break
			}
			time.Sleep(time.Duration(try*try) * 20 * time.Millisecond)
		}
		if limit := w.g.options.MessagesPerSession; limit > 0 && w.used >= limit {
			w.quit()
		}
	}
}

// send delivers the message, over a new connection where there is none.
func (w *worker) send(ctx context.Context) error {
	if w.conn == nil {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	w.used++
	start := time.Now()
	if err := w.conn.SetDeadline(start.Add(messageTimeout)); err != nil {
		return err
	}
	if err := w.write("envelope", w.envelope); err != nil {
		return err
	}
	for _, want := range [...]int{250, 250, 354} {
		if err := w.expect(want, "envelope"); err != nil {
			return err
		}
	}
	if err := w.write("data", w.message.octets); err != nil {
		return err
	}
	if err := w.expect(250, "final reply"); err != nil {
		return err
	}
	w.last = time.Now()
	if w.first.IsZero() {
		w.first = w.last
	}
	w.latencies = append(w.latencies, w.last.Sub(start))
	return nil
}

// open connects, says EHLO and STARTTLS, and EHLO again.
func (w *worker) open(ctx context.Context) error {
	dialer := net.Dialer{Timeout: dialTimeout, Control: wire.LimitSegments}
	c, err := dialer.DialContext(ctx, "tcp", w.g.options.Address)
	if err != nil {
		return &faultError{what: "connecting", err: err}
	}
	quick := wire.NewQuickConn(c)
	defer func() { quick.Quick = false }()
	w.conn, w.used = quick, 0
	if err := c.SetDeadline(time.Now().Add(messageTimeout)); err != nil {
		return err
	}
	w.reader.Reset(w.conn)
	if err := w.expect(220, "greeting"); err != nil {
		return err
	}
	for _, step := range []struct {
		command string
		want    int
	}{{"EHLO " + w.g.options.EHLO, 250}, {"STARTTLS", 220}} {
		if err := w.write(step.command, []byte(step.command+"\r\n")); err != nil {
			return err
		}
		if err := w.expect(step.want, step.command); err != nil {
			return err
		}
	}
	t := tls.Client(w.conn, w.g.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return &faultError{what: "handshake", err: err}
	}
	w.g.handshakes.Add(1)
	w.conn = t
	w.reader.Reset(t)
	if err := w.write("EHLO in TLS", []byte("EHLO "+w.g.options.EHLO+"\r\n")); err != nil {
		return err
	}
	return w.expect(250, "EHLO in TLS")
}

func (w *worker) write(what string, b []byte) error {
	if _, err := w.conn.Write(b); err != nil {
		return &faultError{what: "writing " + what, err: err}
	}
	return nil
}

func (w *worker) expect(want int, what string) error {
	code, err := w.reader.Reply()
	if err != nil {
		return &faultError{what: "reading the reply to " + what, err: err}
	}
	if code != want {
		return &faultError{what: fmt.Sprintf("%d to %s", code, what), permanent: code >= 500, err: fmt.Errorf("reply %d", code)}
	}
	return nil
}

func (w *worker) quit() {
	if w.conn == nil {
		return
	}
	if w.write("QUIT", []byte("QUIT\r\n")) == nil {
		_, _ = w.reader.Reply() // courtesy
	}
	w.close()
}

func (w *worker) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}
