package smtp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mailpact/internal/smtp"
)

// FuzzServer says anything to the server in every state of a session. Whatever
// it is, the answers are proper replies, the Session is called in order, and the
// session ends when the client is gone.
func FuzzServer(f *testing.F) {
	states := []string{
		"", "EHLO x\r\n", "EHLO x\r\nMAIL FROM:<>\r\n", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\n",
		"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n",
		"EHLO x\r\nAUTH LOGIN\r\n", "EHLO x\r\nAUTH LOGIN dXNlcg==\r\n",
	}
	for i := range states {
		f.Add(uint8(i), "NOOP\r\nMAIL FROM:<a@b.c>\r\nRSET\r\nQUIT\r\n")
		f.Add(uint8(i), "DATA\r\nx\r\n.\r\nSTARTTLS\r\n")
		f.Add(uint8(i), "a\nb\r\n.\r\n")
		f.Add(uint8(i), "dXNlcg==\r\nc2VjcmV0\r\nAUTH LOGIN =\r\n*\r\n")
	}
	f.Fuzz(func(t *testing.T, state uint8, said string) {
		s := &orderly{t: t}
		var out bytes.Buffer
		conn := &scriptedConn{in: strings.NewReader(states[int(state)%len(states)] + said), out: &out}
		cause := smtp.ServeSession(t.Context(), conn, s, smtp.ServerOptions{MaxProtocolErrors: 50, MaxMessageBytes: 1000})
		if cause == smtp.EndUnknown || cause == smtp.EndInternal {
			t.Fatalf("cause %v", cause)
		}
		if s.closed != 1 || s.open {
			t.Fatalf("closed %d times, transaction open %v", s.closed, s.open)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\r\n"), "\r\n") {
			if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("reply line %q", line)
			}
		}
	})
}

// orderly is a Session that checks the order in which it is called.
type orderly struct {
	recorder
	t      *testing.T
	open   bool
	to     int
	closed int
}

func (o *orderly) Hello(ctx context.Context, h smtp.Hello) (smtp.HelloResponse, error) {
	r, err := o.recorder.Hello(ctx, h)
	r.Mechanisms = []string{"LOGIN"}
	return r, err
}

func (o *orderly) Authenticate(context.Context, string) (smtp.Exchange, error) {
	if o.open {
		o.t.Fatal("Authenticate in a transaction")
	}
	return &twoSteps{}, nil
}

func (o *orderly) Mail(context.Context, smtp.ReversePath, smtp.MailParameters) (smtp.Reply, error) {
	if o.open {
		o.t.Fatal("Mail in a transaction")
	}
	o.open = true
	return smtp.Reply{}, nil
}

func (o *orderly) Recipient(context.Context, smtp.ForwardPath, smtp.RecipientParameters) (smtp.Reply, error) {
	if !o.open {
		o.t.Fatal("Recipient without Mail")
	}
	o.to++
	return smtp.Reply{}, nil
}

func (o *orderly) Data(_ context.Context, body io.Reader) (smtp.Reply, error) {
	if !o.open || o.to == 0 {
		o.t.Fatal("Data without recipients")
	}
	_, err := io.Copy(io.Discard, body)
	return smtp.Reply{}, err
}

func (o *orderly) Reset() { o.open, o.to = false, 0 }

func (o *orderly) Close(smtp.EndCause) { o.closed++ }

// scriptedConn is a connection that has said all it will say.
type scriptedConn struct {
	in  io.Reader
	out io.Writer
}

func (c *scriptedConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *scriptedConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scriptedConn) Close() error                     { return nil }
func (c *scriptedConn) LocalAddr() net.Addr              { return nil }
func (c *scriptedConn) RemoteAddr() net.Addr             { return nil }
func (c *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }
