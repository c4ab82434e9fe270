package receive

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/store/sqlite"
)

// next stands for routing and send: it takes what the queue delivers.
type next struct{ got chan storedMessage }

func (n *next) Route(d smtp.Domain) (queue.Key, string) {
	return queue.Key{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: string(d)}, ""
}

func (n *next) Deliver(ctx context.Context, d *queue.Delivery) []queue.Outcome {
	out := make([]queue.Outcome, len(d.Recipients))
	r, err := d.Open(ctx)
	if err != nil {
		return out
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return out
	}
	for i := range out {
		out[i].Disposition = queue.Delivered
	}
	n.got <- storedMessage{Message: *d.Message, Content: string(b)}
	return out
}

// realQueue is a running queue over SQLite that delivers to n.
func realQueue(t *testing.T, n *next, change func(*queue.Options)) *queue.Queue {
	t.Helper()
	engine, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "queue.db")})
	if err != nil {
		t.Fatal(err)
	}
	o := queue.Options{
		Engine: engine, Router: n, Deliverer: n,
		Settings: func() directory.Queue {
			return directory.Queue{RetryInterval: time.Minute, Expiration: time.Hour, DelayNotification: time.Hour}
		},
	}
	change(&o)
	q, err := queue.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = q.Stop(context.Background())
		_ = engine.Close()
	})
	return q
}

// TestHeadersAreWithinTheBudget: clients that stop in the middle of a large
// header hold the queue's memory, and when it is spent, mail is put off.
func TestHeadersAreWithinTheBudget(t *testing.T) {
	n := &next{got: make(chan storedMessage)}
	q := realQueue(t, n, func(o *queue.Options) { o.MemoryBudget = 520 << 10 })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range n.got {
		}
	}()
	t.Cleanup(func() { // before the queue stops, so that no delivery waits
		_ = q.Stop(context.Background())
		close(n.got)
		<-drained
	})
	w := newWorld(t, func(_ *directory.Configuration, o *Options) { o.Queue = q })
	const putOff = "452 4.3.1 Insufficient system resources [id]"
	big := "X: " + strings.Repeat("x", 800) + "\r\n"
	var holding []*peer
	for range 4 { // 80 KB each: 16 for content, 64 for the header
		p := w.dial()
		p.hello()
		p.want("MAIL FROM:<carol@stranger.example>", "250 2.1.0 carol@stranger.example Sender OK")
		p.want("RCPT TO:<bob@contoso.com>", "250 2.1.5 bob@contoso.com Recipient OK")
		p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
		p.send(strings.Repeat(big, 60)) // 48 KB
		holding = append(holding, p)
	}
	// This one needs 320 KB on its way: too much beside the headers, and enough
	// room without them.
	large := letter("carol@stranger.example") + "\r\n" + strings.Repeat(big, 300)
	other := w.dial()
	other.hello()
	waitFor(t, func() bool { // a message is put off
		return other.message("carol@stranger.example", "bob@contoso.com", large) == putOff
	})
	for _, p := range holding {
		p.send("\r\nText.\r\n.\r\n")
		if got := p.read(); !strings.HasPrefix(got, "250 2.6.0 ") {
			t.Errorf("a message that had its memory was answered %q", got)
		}
	}
	waitFor(t, func() bool { // mail is taken again
		return strings.HasPrefix(other.message("carol@stranger.example", "bob@contoso.com", large), "250 ")
	})
}

func TestThroughTheRealQueue(t *testing.T) {
	n := &next{got: make(chan storedMessage, 1)}
	q := realQueue(t, n, func(*queue.Options) {})
	w := newWorld(t, func(_ *directory.Configuration, o *Options) { o.Queue = q })
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	for _, size := range []int{10, 100 << 10, 900 << 10} {
		content := letter("alice@woodgrovebank.com") + "\r\n" + strings.Repeat("0123456789abcdef\r\n", size/18) + "end"
		if got, want := p.message("alice@woodgrovebank.com", "bob@contoso.com", content), "250 2.6.0 <1@client.example> Queued mail for delivery"; got != want {
			t.Fatalf("%d octets: got %q, want %q", size, got, want)
		}
		select {
		case m := <-n.got:
			if !strings.HasSuffix(m.Content, content+"\r\n") || !strings.HasPrefix(m.Content, "Mailpact-Domain-Secured: ") {
				t.Errorf("%d octets: another content was delivered", size)
			}
			if m.SecuredDomain != "woodgrovebank.com" || m.Size != int64(len(m.Content)) {
				t.Errorf("%d octets: envelope %+v", size, m.Message)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was delivered")
		}
	}
}

// scripted is a connection whose client has said everything already.
type scripted struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *scripted) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *scripted) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *scripted) Close() error                { return nil }
func (c *scripted) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

func (c *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1025} }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

// FuzzSession says whatever it likes in the clear. Nothing that is accepted
// may be marked, come from a partner that enforces, or be for a third domain,
// and each accepted message was acknowledged.
func FuzzSession(f *testing.F) {
	f.Add([]byte("EHLO a\r\nMAIL FROM:<c@stranger.example>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\nMailpact-Domain-Secured: domain=woodgrovebank.com\r\n\r\nx\r\n.\r\nQUIT\r\n"))
	f.Add([]byte("HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<b@[127.0.0.1]>\r\nDATA\r\n\r\n.\r\n"))
	f.Add([]byte("EHLO a\r\nMAIL FROM:<a@woodgrovebank.com>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\nRSET\r\nVRFY x\r\nSTARTTLS\r\n"))
	f.Add([]byte("EHLO a\r\nMAIL FROM:<a@x.example> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<@x:bob@contoso.com>\r\nDATA\r\nFrom: dave@fabrikam.com\r\n\r\n..\r\n.\r\n"))
	w := newWorld(f, func(c *directory.Configuration, o *Options) {
		c.ReceiveConnectors[0].ProtocolLoggingLevel = directory.LoggingNone
		o.Logger = nil
	})
	f.Fuzz(func(t *testing.T, said []byte) {
		w.queue.mu.Lock()
		w.queue.messages = nil
		w.queue.mu.Unlock()
		c := &scripted{in: bytes.NewReader(said)}
		x := w.session(t, c)
		smtp.ServeSession(t.Context(), c, x, x.loopOptions())
		all := w.queue.taken()
		if n := strings.Count(c.out.String(), "\r\n250 2.6.0 "); n != len(all) {
			t.Errorf("%d messages were accepted and %d acknowledged", len(all), n)
		}
		for _, m := range all {
			if m.SecuredDomain != "" || !strings.HasPrefix(m.Content, "Received: ") {
				t.Errorf("secured for %q:\n%s", m.SecuredDomain, m.Content)
			}
			if d := m.From.Mailbox.Domain; d == "woodgrovebank.com" || d == "fabrikam.com" {
				t.Errorf("accepted from %s in the clear", d)
			}
			for _, to := range m.Recipients {
				if d := to.Mailbox.Domain; d != "contoso.com" && d != "relay.example" {
					t.Errorf("accepted for %s", to)
				}
			}
		}
	})
}
