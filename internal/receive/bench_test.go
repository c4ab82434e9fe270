package receive

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// sinkQueue takes everything and keeps nothing.
type sinkQueue struct{ content sinkContent }

func (q *sinkQueue) NewContent(context.Context) (queue.Content, error) {
	q.content.n = 0
	return &q.content, nil
}

func (q *sinkQueue) Accept(_ context.Context, m *queue.Message, _ queue.Content) error {
	if m.OnDurable != nil {
		m.OnDurable(m)
	}
	return nil
}

type sinkContent struct{ n int64 }

func (c *sinkContent) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }
func (c *sinkContent) Hold(int64) error            { return nil }
func (c *sinkContent) Discard()                    {}
func (c *sinkContent) Size() int64                 { return c.n }

// bodyReader is a message of 10 KB that comes in the loop's portions.
type bodyReader struct{ bytes.Reader }

func (r *bodyReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 4096)]) }

// ordinary returns a function that carries one ordinary 10 KB message through
// a session, as the loop would.
func ordinary(t testing.TB) func() {
	return ordinaryOf(t, "", 128)
}

// ordinaryOf is ordinary with further header lines and a number of body lines.
func ordinaryOf(t testing.TB, header string, lines int) func() {
	w := newWorld(t, func(c *directory.Configuration, o *Options) {
		c.ReceiveConnectors[0].ProtocolLoggingLevel = directory.LoggingNone
		o.Queue = &sinkQueue{}
		o.Recorder = &Records{}
	})
	a, b := net.Pipe()
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	x := w.session(t, a)
	x.rc.MaxHeaderSize = 64 << 10
	ctx := context.Background()
	if _, err := x.Hello(ctx, smtp.Hello{Name: "client.example", Extended: true}); err != nil {
		t.Fatal(err)
	}
	from := smtp.ReversePath{Mailbox: smtp.Mailbox{LocalPart: "carol", Domain: "stranger.example"}}
	to := smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: "bob", Domain: "contoso.com"}}
	content := []byte(header + letter("carol@stranger.example") + "\r\n" + strings.Repeat(strings.Repeat("x", 78)+"\r\n", lines))
	body := &bodyReader{}
	return func() {
		body.Reset(content)
		if _, err := x.Mail(ctx, from, smtp.MailParameters{}); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Recipient(ctx, to, smtp.RecipientParameters{}); err != nil {
			t.Fatal(err)
		}
		if r, err := x.Data(ctx, body); err != nil || r.Code != 250 {
			t.Fatal(r, err)
		}
		x.Reset()
	}
}

func BenchmarkOrdinaryMessage(b *testing.B) {
	one := ordinary(b)
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

func BenchmarkHello(b *testing.B) {
	w := newWorld(b)
	a, c := net.Pipe()
	b.Cleanup(func() { _, _ = a.Close(), c.Close() })
	x := w.session(b, a)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Hello(context.Background(), smtp.Hello{Name: "client.example", Extended: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestOrdinaryMessageAllocates holds the hot path to what it needs: header
// buffer and fields, trace field, envelope and reply.
func TestOrdinaryMessageAllocates(t *testing.T) {
	one := ordinary(t)
	one()
	if n := testing.AllocsPerRun(100, one); n > 40 {
		t.Errorf("%.0f allocations for an ordinary message", n)
	}
}

// TestLinesDoNotAllocate holds what a message allocates to be the same whatever
// the number of its lines: those of the body, and those of the header up to the
// growth of the one list of its fields.
func TestLinesDoNotAllocate(t *testing.T) {
	allocations := func(header string, lines int) float64 {
		one := ordinaryOf(t, header, lines)
		one()
		return testing.AllocsPerRun(100, one)
	}
	few := allocations("", 10)
	if n := allocations("", 1000); n > few {
		t.Errorf("%.0f allocations with 1000 body lines, %.0f with 10", n, few)
	}
	folded := "X-Long: word" + strings.Repeat("\r\n word", 200) + "\r\n"
	if n := allocations(folded, 10); n > few+2 {
		t.Errorf("%.0f allocations with 200 lines in a field, %.0f with none", n, few)
	}
	fields := strings.Repeat("X-Field: value\r\n", 200)
	if n := allocations(fields, 10); n > few+8 {
		t.Errorf("%.0f allocations with 200 more fields, %.0f with none", n, few)
	}
}
