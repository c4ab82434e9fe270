package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
)

// serve runs a session behind one end of a pipe and returns the raw client at
// the other, past the greeting, and the cause when it has ended.
func serve(ctx context.Context, t *testing.T, s smtp.Session, o smtp.ServerOptions) (*smtptest.Client, func() smtp.EndCause) {
	t.Helper()
	server, client := net.Pipe()
	return serveOn(ctx, t, server, client, s, o)
}

func serveOn(ctx context.Context, t *testing.T, server, client net.Conn, s smtp.Session, o smtp.ServerOptions) (*smtptest.Client, func() smtp.EndCause) {
	t.Helper()
	cause := make(chan smtp.EndCause, 1)
	go func() { cause <- smtp.ServeSession(ctx, server, s, o) }()
	c := smtptest.NewClient(t, client)
	if g := c.Reply(); !strings.HasPrefix(g, "220") {
		t.Fatalf("greeting %q", g)
	}
	return c, func() smtp.EndCause { return <-cause }
}

// loopback returns the two ends of a TCP connection.
func loopback(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestShutdownOfIdleSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, state := range []string{"greeted", "after EHLO", "half a command"} {
			ctx, stop := context.WithCancel(t.Context())
			s := &recorder{}
			c, cause := serve(ctx, t, s, smtp.ServerOptions{})
			switch state {
			case "after EHLO":
				c.Expect("EHLO client.example", "250")
			case "half a command":
				c.Write("NOO")
			}
			synctest.Wait() // until the loop waits for a command
			began := time.Now()
			stop()
			if r := c.Reply(); r != "421 4.3.2 Service not available, closing transmission channel" {
				t.Errorf("%s: %q", state, r)
			}
			c.ExpectClosed()
			if got := cause(); got != smtp.EndLocal {
				t.Errorf("%s: cause %v", state, got)
			}
			if d := time.Since(began); d != 0 {
				t.Errorf("%s: it took %v", state, d)
			}
		}
	})
}

func TestShutdownLetsTransactionFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s := &recorder{}
		s.onData = func(ctx context.Context, body io.Reader) (smtp.Reply, error) {
			b, err := io.ReadAll(body)
			if err == nil {
				err = ctx.Err()
			}
			s.messages = append(s.messages, message{Body: string(b)})
			return smtp.Reply{}, err
		}
		c, cause := serve(ctx, t, s, smtp.ServerOptions{})
		c.Expect("EHLO client.example", "250")
		c.Expect("MAIL FROM:<a@one.example>", "250")
		synctest.Wait()
		stop()
		synctest.Wait()
		c.Expect("RCPT TO:<b@two.example>", "250")
		c.Expect("DATA", "354")
		c.Write("line one\r\n")
		synctest.Wait()
		c.Write("line two\r\n.\r\n")
		if r := c.Reply(); !strings.HasPrefix(r, "250 2.6.0") {
			t.Fatalf("end of data: %q", r)
		}
		if r := c.Reply(); !strings.HasPrefix(r, "421 4.3.2") {
			t.Fatalf("after the transaction: %q", r)
		}
		c.ExpectClosed()
		if got := cause(); got != smtp.EndLocal {
			t.Errorf("cause %v", got)
		}
		if len(s.messages) != 1 || s.messages[0].Body != "line one\r\nline two\r\n" {
			t.Errorf("messages %q", s.messages)
		}
	})
}

// A message whose chunks are coming may finish, too.
func TestShutdownBetweenChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s := &recorder{}
		c, cause := serve(ctx, t, s, smtp.ServerOptions{})
		c.Expect("EHLO client.example", "250")
		c.Expect("MAIL FROM:<a@one.example>", "250")
		c.Expect("RCPT TO:<b@two.example>", "250")
		c.Write("BDAT 4\r\none\r")
		if r := c.Reply(); !strings.HasPrefix(r, "250") {
			t.Fatal(r)
		}
		synctest.Wait()
		stop()
		synctest.Wait()
		c.Write("BDAT 1 LAST\r\n\n")
		if r := c.Reply(); !strings.HasPrefix(r, "250 2.6.0") {
			t.Fatalf("last chunk: %q", r)
		}
		if r := c.Reply(); !strings.HasPrefix(r, "421 4.3.2") {
			t.Fatalf("after the transaction: %q", r)
		}
		if got := cause(); got != smtp.EndLocal {
			t.Errorf("cause %v", got)
		}
		if len(s.messages) != 1 || s.messages[0].Body != "one\r\n" {
			t.Errorf("messages %q", s.messages)
		}
	})
}

// A Session that panics in the middle of a chunk ends with its session, and the
// rest of the chunk is nobody's command.
func TestPanicInAChunk(t *testing.T) {
	s := &recorder{onData: func(context.Context, io.Reader) (smtp.Reply, error) { panic("poison") }}
	got, cause := say(t, s, smtp.ServerOptions{}, begun+"BDAT 20\r\nNOOP\r\nNOOP\r\nNOOP\r\n")
	if lines := strings.Split(got, "\n"); cause != smtp.EndInternal || !strings.HasPrefix(lines[len(lines)-1], "421 4.3.0") {
		t.Errorf("%v\n%s", cause, got)
	}
}

// A client with more work in its pipeline is not served a second transaction.
func TestShutdownBetweenPipelinedTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s := &recorder{}
		s.onData = func(_ context.Context, body io.Reader) (smtp.Reply, error) {
			_, err := io.ReadAll(body)
			stop()
			synctest.Wait() // until the loop has been told
			return smtp.Reply{}, err
		}
		c, cause := serve(ctx, t, s, smtp.ServerOptions{})
		c.Write("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n")
		for _, want := range []string{"250-", "250 2.1.0", "250 2.1.5", "354"} {
			if r := c.Reply(); !strings.HasPrefix(r, want) {
				t.Fatalf("got %q, want %s", r, want)
			}
		}
		c.Write(".\r\nMAIL FROM:<>\r\n")
		for _, want := range []string{"250 2.6.0", "421 4.3.2"} {
			if r := c.Reply(); !strings.HasPrefix(r, want) {
				t.Fatalf("got %q, want %s", r, want)
			}
		}
		if got := cause(); got != smtp.EndLocal {
			t.Errorf("cause %v", got)
		}
	})
}

func TestShutdownDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s := &recorder{tls: serverTLS(t)}
		c, cause := serve(ctx, t, s, smtp.ServerOptions{})
		c.Expect("EHLO client.example", "250")
		c.Expect("STARTTLS", "220 2.0.0 SMTP server ready")
		synctest.Wait() // until the server waits for a ClientHello
		began := time.Now()
		stop()
		c.ExpectClosed()
		if got := cause(); got != smtp.EndLocal {
			t.Errorf("cause %v", got)
		}
		if s.tlsErr == nil || s.state != nil {
			t.Errorf("HandshakeDone was told %v, %v", s.state, s.tlsErr)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// A peer that stops reading cannot hold up a stopping server for long.
func TestShutdownOfClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		c, cause := serve(ctx, t, &recorder{}, smtp.ServerOptions{})
		synctest.Wait()
		began := time.Now()
		stop()
		if got := cause(); got != smtp.EndLocal {
			t.Errorf("cause %v", got)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("it took %v", d)
		}
		c.Close()
	})
}

func TestTimeouts(t *testing.T) {
	const inactivity, total = time.Minute, 150 * time.Second
	tests := []struct {
		name  string
		do    func(c *smtptest.Client)
		after time.Duration
	}{
		{"silent from the start", func(*smtptest.Client) {}, inactivity},
		{"half a command", func(c *smtptest.Client) { c.Write("NO") }, inactivity},
		{"in a transaction", func(c *smtptest.Client) {
			c.Expect("HELO x", "250")
			c.Expect("MAIL FROM:<>", "250")
		}, inactivity},
		{"in DATA", func(c *smtptest.Client) {
			c.Expect("HELO x", "250")
			c.Expect("MAIL FROM:<>", "250")
			c.Expect("RCPT TO:<b@two.example>", "250")
			c.Expect("DATA", "354")
			c.Write("Subject: never\r\n")
		}, inactivity},
		{"in a chunk", func(c *smtptest.Client) {
			c.Expect("EHLO x", "250")
			c.Expect("MAIL FROM:<>", "250")
			c.Expect("RCPT TO:<b@two.example>", "250")
			c.Write("BDAT 100 LAST\r\nSubject: never\r\n")
		}, inactivity},
		{"between chunks", func(c *smtptest.Client) {
			c.Expect("EHLO x", "250")
			c.Expect("MAIL FROM:<>", "250")
			c.Expect("RCPT TO:<b@two.example>", "250")
			c.Write("BDAT 3\r\nx\r\n")
			if r := c.Reply(); r != "250 2.0.0 3 octets received" {
				panic(r)
			}
		}, inactivity},
		{"in a chunk that nobody wants", func(c *smtptest.Client) {
			c.Expect("EHLO x", "250")
			c.Write("BDAT 100 LAST\r\nSubject: never\r\n")
		}, inactivity},
		{"busy between chunks without end", func(c *smtptest.Client) {
			c.Expect("EHLO x", "250")
			c.Expect("MAIL FROM:<>", "250")
			c.Expect("RCPT TO:<b@two.example>", "250")
			c.Expect("BDAT 0", "250")
			for range 4 {
				c.Expect("NOOP", "250")
				time.Sleep(30 * time.Second)
			}
		}, total},
		{"busy without end", func(c *smtptest.Client) {
			for range 4 {
				c.Expect("NOOP", "250")
				time.Sleep(30 * time.Second) // of the bubble's clock
			}
		}, total},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &recorder{}
				began := time.Now()
				c, cause := serve(t.Context(), t, s, smtp.ServerOptions{InactivityTimeout: inactivity, SessionTimeout: total})
				tt.do(c)
				time.Sleep(tt.after - time.Since(began) - time.Second)
				synctest.Wait()
				if s.cause != smtp.EndUnknown {
					t.Fatal("it ended too early")
				}
				r := c.ReplyWithin(time.Hour)
				if !strings.HasPrefix(r, "421 4.4.2") {
					t.Errorf("got %q", r)
				}
				c.ExpectClosed()
				if got := cause(); got != smtp.EndTimeout {
					t.Errorf("cause %v", got)
				}
				if d := time.Since(began); d != tt.after {
					t.Errorf("it ended after %v, want %v", d, tt.after)
				}
				if len(s.messages) > 0 {
					t.Error("a message without end was accepted")
				}
			})
		})
	}
}

func TestStartTLSForgetsEverything(t *testing.T) {
	cert := certificate(t, "mail.example")
	s := &recorder{tls: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}}
	c, cause := serve(t.Context(), t, s, smtp.ServerOptions{})
	if r := c.Say("EHLO client.example"); !strings.Contains(r, "STARTTLS") {
		t.Fatalf("EHLO: %q", r)
	}
	c.Expect("MAIL FROM:<a@one.example>", "250")
	state := c.StartTLS(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate(t, "client.example")}})
	if !state.HandshakeComplete {
		t.Fatal("no handshake")
	}
	c.Expect("RCPT TO:<b@two.example>", "503 5.5.1 Need MAIL first")
	c.Expect("MAIL FROM:<a@one.example>", "503 5.5.1 Send EHLO or HELO first")
	if r := c.Say("EHLO client.example"); strings.Contains(r, "STARTTLS") {
		t.Fatalf("EHLO after STARTTLS: %q", r)
	}
	c.Expect("STARTTLS", "503 5.5.1 TLS is already on")
	c.Expect("QUIT", "221")
	c.ExpectClosed()
	if got := cause(); got != smtp.EndQuit {
		t.Errorf("cause %v", got)
	}
	if s.state == nil || len(s.state.PeerCertificates) != 1 {
		t.Errorf("the Session did not see the client's certificate: %+v", s.state)
	}
	want := []string{
		"Greeting", "Hello client.example", "Mail a@one.example", "StartTLS", "Reset", "HandshakeDone",
		"Hello client.example", "Close",
	}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// What lies in the kernel's buffer when the handshake begins goes to TLS, which
// cannot read it: the session ends.
func TestStartTLSPlainTextInsteadOfHandshake(t *testing.T) {
	server, client := loopback(t)
	s := &recorder{tls: serverTLS(t)}
	c, cause := serveOn(t.Context(), t, server, client, s, smtp.ServerOptions{})
	c.Expect("EHLO client.example", "250")
	c.Expect("STARTTLS", "220")
	c.Write("MAIL FROM:<a@one.example>\r\n")
	if got := cause(); got != smtp.EndTLS {
		t.Errorf("cause %v", got)
	}
	want := []string{"Greeting", "Hello client.example", "StartTLS", "HandshakeDone", "Close"}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if s.tlsErr == nil {
		t.Error("HandshakeDone was told of no error")
	}
}

func TestStartTLSRefused(t *testing.T) {
	s := &refusingTLS{recorder{tls: serverTLS(t)}}
	c, _ := serve(t.Context(), t, s, smtp.ServerOptions{})
	c.Expect("EHLO client.example", "250")
	c.Expect("STARTTLS", "454 4.7.0 TLS not available due to local problem")
	c.Expect("NOOP", "250")
	c.Close()
}

type refusingTLS struct{ recorder }

func (r *refusingTLS) StartTLS(context.Context) (*tls.Config, error) {
	return nil, smtp.NewReply(454, smtp.EnhancedCode{4, 7, 0}, "TLS not available due to local problem")
}

// ImplicitTLS: a connection that is TLS already offers no STARTTLS.
func TestImplicitTLS(t *testing.T) {
	server, client := net.Pipe()
	c, cause := serveOn(t.Context(), t, tls.Server(server, serverTLS(t)),
		tls.Client(client, &tls.Config{InsecureSkipVerify: true}), &recorder{tls: serverTLS(t)}, smtp.ServerOptions{})
	if r := c.Say("EHLO client.example"); strings.Contains(r, "STARTTLS") {
		t.Fatalf("EHLO: %q", r)
	}
	c.Expect("STARTTLS", "503")
	c.Expect("QUIT", "221")
	c.ExpectClosed()
	cause()
}

func TestTranscript(t *testing.T) {
	var tr transcript
	s := &recorder{tls: serverTLS(t)}
	c, cause := serve(t.Context(), t, s, smtp.ServerOptions{Transcript: &tr})
	c.Say("EHLO client.example")
	c.Expect("AUTH PLAIN AGEAc2VjcmV0", "502")
	c.Expect("MAIL FROM:<a@one.example>", "250")
	c.Expect("RCPT TO:<b@two.example>", "250")
	c.Expect("DATA", "354")
	c.Write("very private\r\n.\r\nX\x00\xff\r\n")
	c.Reply()
	c.Reply()
	c.Expect("QUIT", "221")
	cause()
	want := []string{
		"> 220 mail.example ready",
		"< EHLO client.example",
		"> 250-mail.example Hello", "> 250-SIZE", "> 250-PIPELINING", "> 250-DSN", "> 250-ENHANCEDSTATUSCODES",
		"> 250-STARTTLS", "> 250-8BITMIME", "> 250-BINARYMIME", "> 250-CHUNKING", "> 250 SMTPUTF8",
		"< AUTH PLAIN *", "> 502 5.5.1 Command not implemented",
		"< MAIL FROM:<a@one.example>", "> 250 2.1.0 a@one.example Sender OK",
		"< RCPT TO:<b@two.example>", "> 250 2.1.5 b@two.example Recipient OK",
		"< DATA", "> 354 Start mail input; end with <CRLF>.<CRLF>",
		"> 250 2.6.0 Queued mail for delivery",
		`< X\x00\xFF`, "> 500 5.5.2 Control character in a command",
		"< QUIT", "> 221 2.0.0 Service closing transmission channel",
	}
	if diff := cmp.Diff(want, tr.lines); diff != "" {
		t.Errorf("transcript (-want +got):\n%s", diff)
	}
}

type transcript struct{ lines []string }

func (t *transcript) Sent(line string)          { t.lines = append(t.lines, "> "+line) }
func (t *transcript) Received(line string)      { t.lines = append(t.lines, "< "+line) }
func (t *transcript) Info(data, context string) { t.lines = append(t.lines, "* "+data+","+context) }

// A pipelined group is answered in one write, the greeting and 354 at once.
func TestRepliesLeaveTogether(t *testing.T) {
	server, client := net.Pipe()
	counted := &countingConn{Conn: server}
	c, cause := serveOn(t.Context(), t, counted, client, &recorder{}, smtp.ServerOptions{})
	c.Say("EHLO x")
	before := counted.writes.Load()
	c.Write("MAIL FROM:<>\r\nRCPT TO:<b@two.example>\r\nRCPT TO:<c@two.example>\r\nDATA\r\n")
	for range 4 {
		c.Reply()
	}
	if n := counted.writes.Load() - before; n != 1 {
		t.Errorf("the group was answered in %d writes", n)
	}
	c.Write("body\r\n.\r\nQUIT\r\n")
	c.Reply()
	c.Reply()
	c.ExpectClosed()
	cause()
	if n := counted.writes.Load() - before; n != 2 {
		t.Errorf("the end was answered in %d writes", n-1)
	}
}

type countingConn struct {
	net.Conn
	writes atomic.Int32
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A client that is still sending must see the reply that ends the session.
func TestLastReplyIsNotLostToReset(t *testing.T) {
	server, client := loopback(t)
	c, cause := serveOn(t.Context(), t, server, client, &recorder{}, smtp.ServerOptions{MaxProtocolErrors: 1})
	c.Write(strings.Repeat("XYZZY\r\n", 20000))
	c.Reply()
	if r := c.Reply(); !strings.HasPrefix(r, "421 4.7.0") {
		t.Errorf("got %q", r)
	}
	c.ExpectClosed()
	c.Close()
	if got := cause(); got != smtp.EndLocal {
		t.Errorf("cause %v", got)
	}
}

func TestSessionSeesBodyErrors(t *testing.T) {
	tests := []struct {
		name, data string
		want       error
	}{
		{"too large", strings.Repeat("0123456\r\n", 20) + ".\r\n", smtp.ErrMessageTooLarge},
		{"bare LF", "a\nb\r\n.\r\n", smtp.ErrBareLine},
		{"long line", strings.Repeat("x", 90) + "\r\n.\r\n", smtp.ErrLineTooLong},
		{"cut off", "a\r\n", io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := make(chan error, 1)
			s := &recorder{onData: func(_ context.Context, body io.Reader) (smtp.Reply, error) {
				_, err := io.Copy(io.Discard, body)
				seen <- err
				return smtp.Reply{}, err
			}}
			c, cause := serve(t.Context(), t, s, smtp.ServerOptions{MaxMessageBytes: 100, MaxLineBytes: 80})
			c.Say("HELO x")
			c.Expect("MAIL FROM:<>", "250")
			c.Expect("RCPT TO:<b@two.example>", "250")
			c.Expect("DATA", "354")
			c.Write(tt.data)
			if errors.Is(tt.want, io.ErrUnexpectedEOF) {
				c.Close()
			} else if r := c.Reply(); r[0] != '5' {
				t.Errorf("reply %q", r)
			}
			if err := <-seen; !errors.Is(err, tt.want) || errors.Is(err, io.EOF) {
				t.Errorf("the Session saw %v", err)
			}
			c.Close()
			cause()
		})
	}
}

func TestSessionIDs(t *testing.T) {
	seen := make(map[smtp.SessionID]bool)
	for range 1000 {
		id := smtp.NewSessionID()
		if len(id) != 16 || strings.Trim(string(id), "0123456789ABCDEF") != "" || seen[id] {
			t.Fatalf("session id %q", id)
		}
		seen[id] = true
	}
}
