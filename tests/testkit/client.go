package testkit

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Dialog is a raw SMTP client for tests: it says what it is told and returns
// what it hears.
type Dialog struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// Dial connects to addr, "host:port" or the path of a Unix socket, from the
// address local when it is not empty, and returns the dialog and the greeting.
func Dial(t testing.TB, addr, local string) (*Dialog, string) {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	network := "tcp"
	if filepath.IsAbs(addr) {
		network = "unix"
	}
	c, err := d.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	dialog := dialogOver(t, c)
	return dialog, dialog.Reply()
}

func dialogOver(t testing.TB, c net.Conn) *Dialog {
	return &Dialog{t: t, conn: c, r: bufio.NewReader(c)}
}

// Reply reads one reply; the lines of a longer one are joined by "\n".
func (d *Dialog) Reply() string {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	var lines []string
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			d.t.Fatalf("reading a reply after %q: %v", lines, err)
		}
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// Say sends one line and returns the reply.
func (d *Dialog) Say(format string, args ...any) string {
	d.t.Helper()
	d.Write([]byte(fmt.Sprintf(format, args...) + "\r\n"))
	return d.Reply()
}

// Write sends raw octets.
func (d *Dialog) Write(b []byte) {
	d.t.Helper()
	_ = d.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if _, err := d.conn.Write(b); err != nil {
		d.t.Fatalf("writing: %v", err)
	}
}

// StartTLS says STARTTLS, shakes hands (without verifying the server) and says EHLO again.
func (d *Dialog) StartTLS(cfg *tls.Config) string {
	d.t.Helper()
	if r := d.Say("STARTTLS"); !strings.HasPrefix(r, "220") {
		d.t.Fatalf("STARTTLS: %s", r)
	}
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = true
	c := tls.Client(d.conn, cfg)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if err := c.Handshake(); err != nil {
		d.t.Fatalf("handshake: %v", err)
	}
	d.conn, d.r = c, bufio.NewReader(c)
	return d.Say("EHLO client.test")
}

// Send sends one message over an open dialog (after EHLO) and returns the last
// reply: the first refusal, or that of the end of data. data has CRLF line ends.
func (d *Dialog) Send(from, to string, data []byte) string {
	d.t.Helper()
	for _, line := range []string{"MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA"} {
		if r := d.Say("%s", line); r[0] != '2' && r[0] != '3' {
			return r
		}
	}
	stuffed := make([]byte, 0, len(data)+5)
	atStart := true
	for _, b := range data {
		if atStart && b == '.' {
			stuffed = append(stuffed, '.')
		}
		stuffed = append(stuffed, b)
		atStart = b == '\n'
	}
	if !strings.HasSuffix(string(stuffed), "\r\n") {
		stuffed = append(stuffed, "\r\n"...)
	}
	d.Write(append(stuffed, ".\r\n"...))
	return d.Reply()
}

// Inject sends one message in the clear to addr and fails the test unless it is accepted.
func Inject(t testing.TB, addr, from, to string, data []byte) {
	t.Helper()
	d, greeting := Dial(t, addr, "")
	if !strings.HasPrefix(greeting, "220") {
		t.Fatalf("greeting: %s", greeting)
	}
	d.Say("EHLO client.test")
	if r := d.Send(from, to, data); !strings.HasPrefix(r, "250") {
		t.Fatalf("injecting %s -> %s: %s", from, to, r)
	}
	d.Say("QUIT")
}
