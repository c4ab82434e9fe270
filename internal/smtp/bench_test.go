package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// body10K is a message of 10 KB in lines of 78 octets, some with a stuffed dot.
func body10K() string {
	line := strings.Repeat("x", 76) + "\r\n"
	return "Subject: bench\r\n\r\n" + strings.Repeat(line, 120) + "..stuffed\r\n" + strings.Repeat(line, 10)
}

// BenchmarkServer receives pipelined messages of 10 KB, two recipients each,
// from memory.
func BenchmarkServer(b *testing.B) {
	envelope := "MAIL FROM:<sender@one.example> SIZE=10240\r\nRCPT TO:<first@two.example>\r\nRCPT TO:<second@two.example>\r\nDATA\r\n"
	one := envelope + body10K() + ".\r\n"
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	conn := &repeatConn{greet: "EHLO client.example\r\n", one: one, left: b.N}
	if cause := ServeSession(context.Background(), conn, nullSession{}, ServerOptions{}); cause != EndRemote {
		b.Fatalf("cause %v", cause)
	}
	if conn.left > 0 {
		b.Fatalf("%d messages left", conn.left)
	}
}

// repeatConn is a connection that brings the same message again and again.
type repeatConn struct {
	greet, one, rest string
	left             int
}

func (c *repeatConn) Read(p []byte) (int, error) {
	switch {
	case c.greet != "":
		c.rest, c.greet = c.greet, ""
	case c.rest == "" && c.left == 0:
		return 0, io.EOF
	case c.rest == "":
		c.rest = c.one
		c.left--
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *repeatConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *repeatConn) Close() error                     { return nil }
func (c *repeatConn) LocalAddr() net.Addr              { return nil }
func (c *repeatConn) RemoteAddr() net.Addr             { return nil }
func (c *repeatConn) SetDeadline(time.Time) error      { return nil }
func (c *repeatConn) SetReadDeadline(time.Time) error  { return nil }
func (c *repeatConn) SetWriteDeadline(time.Time) error { return nil }

// nullSession accepts everything and keeps nothing.
type nullSession struct{}

func (nullSession) Greeting(context.Context) Reply { return replyGreeting }
func (nullSession) Hello(context.Context, Hello) (HelloResponse, error) {
	return HelloResponse{Greeting: "bench"}, nil
}

func (nullSession) StartTLS(context.Context) (*tls.Config, error)              { return nil, replyTLSUnavailable }
func (nullSession) HandshakeDone(context.Context, *tls.ConnectionState, error) {}
func (nullSession) Mail(context.Context, ReversePath, MailParameters) (Reply, error) {
	return Reply{}, nil
}

func (nullSession) Recipient(context.Context, ForwardPath, RecipientParameters) (Reply, error) {
	return Reply{}, nil
}

func (nullSession) Data(_ context.Context, body io.Reader) (Reply, error) {
	_, err := body.(io.WriterTo).WriteTo(io.Discard)
	return Reply{}, err
}
func (nullSession) Reset()                               {}
func (nullSession) Verify(context.Context, string) Reply { return Reply{} }
func (nullSession) Close(EndCause)                       {}

func BenchmarkDotReader(b *testing.B) {
	data := body10K() + ".\r\n"
	src := strings.NewReader(data)
	in := bufio.NewReaderSize(src, bodyBufferBytes)
	var r dotReader
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(data)
		in.Reset(src)
		r.reset(in, bodyLimits{messageBytes: 1 << 20, lineBytes: 1000})
		if _, err := r.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClient sends messages of 10 KB to a peer in memory that has its
// replies ready.
func BenchmarkClient(b *testing.B) {
	conn := &repeatConn{
		greet: "220 bench\r\n", one: "250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 kept\r\n", left: b.N,
	}
	c := NewClient(conn, ClientOptions{LocalName: "client.example"})
	ctx := context.Background()
	if _, err := c.Greeting(ctx); err != nil {
		b.Fatal(err)
	}
	conn.rest = "250-bench\r\n250 PIPELINING\r\n"
	if _, err := c.Hello(ctx); err != nil {
		b.Fatal(err)
	}
	text := []byte(body10K())
	content := bytes.NewReader(text)
	t := Transaction{
		From:       ReversePath{Mailbox: Mailbox{LocalPart: "sender", Domain: "one.example"}},
		Recipients: []ForwardPath{{Mailbox: Mailbox{LocalPart: "first", Domain: "two.example"}}},
		Content:    content,
	}
	b.SetBytes(content.Size())
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		content.Reset(text)
		if _, err := c.Send(ctx, t); err != nil {
			b.Fatal(err)
		}
	}
}
