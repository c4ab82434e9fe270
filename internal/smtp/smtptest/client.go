package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Client is a raw client: it sends what it is told and returns what it hears.
// A failure of the connection fails the test. It is not safe for concurrent use.
type Client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to addr and returns the client and the greeting.
func Dial(t testing.TB, addr string) (*Client, string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	c := NewClient(t, conn)
	return c, c.Reply()
}

// NewClient makes a client of a connection, which the end of the test closes.
func NewClient(t testing.TB, conn net.Conn) *Client {
	t.Cleanup(func() { conn.Close() })
	return &Client{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// Reply reads one reply; its lines are joined by "\n".
func (c *Client) Reply() string {
	c.t.Helper()
	return c.ReplyWithin(patience)
}

// ReplyWithin is Reply for a server that may take its time.
func (c *Client) ReplyWithin(wait time.Duration) string {
	c.t.Helper()
	c.deadline(wait)
	var lines []string
	for {
		s, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("smtptest: reading a reply after %q: %v", lines, err)
		}
		line, ok := strings.CutSuffix(s, "\r\n")
		if !ok {
			c.t.Fatalf("smtptest: reply line %q does not end with CRLF", s)
		}
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// Say sends one line and returns its reply.
func (c *Client) Say(format string, args ...any) string {
	c.t.Helper()
	c.Write(fmt.Sprintf(format, args...) + "\r\n")
	return c.Reply()
}

// Expect sends one line and fails the test unless its reply begins with prefix.
func (c *Client) Expect(line, prefix string) {
	c.t.Helper()
	if got := c.Say("%s", line); !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("smtptest: %s\n got %q\nwant %q", line, got, prefix)
	}
}

// Write sends octets as they are.
func (c *Client) Write(octets string) {
	c.t.Helper()
	c.deadline(patience)
	if _, err := io.WriteString(c.conn, octets); err != nil {
		c.t.Fatalf("smtptest: writing: %v", err)
	}
}

// StartTLS says STARTTLS and shakes hands with cfg; the caller says EHLO.
func (c *Client) StartTLS(cfg *tls.Config) tls.ConnectionState {
	c.t.Helper()
	c.Expect("STARTTLS", "220")
	conn := tls.Client(c.conn, cfg)
	c.deadline(patience)
	if err := conn.Handshake(); err != nil {
		c.t.Fatalf("smtptest: handshake: %v", err)
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	return conn.ConnectionState()
}

// ExpectClosed fails the test unless the server says no more and closes.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	c.deadline(patience)
	rest, err := io.ReadAll(c.in)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		c.t.Fatalf("smtptest: the connection goes on: %q, %v", rest, err)
	}
}

// Close closes the connection.
func (c *Client) Close() { c.conn.Close() }

// deadline has no error of its own: a pipe whose other end is closed takes no
// deadline, although what it said last may still be read.
func (c *Client) deadline(wait time.Duration) { _ = c.conn.SetDeadline(time.Now().Add(wait)) }
