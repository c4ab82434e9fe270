package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"mailpact/internal/smtp"
)

// gatekeeper is a Session that knows one client: "user" with "secret".
type gatekeeper struct {
	recorder
	mechanisms []string
	needsTLS   bool
	begun      []string
}

func (g *gatekeeper) Hello(ctx context.Context, h smtp.Hello) (smtp.HelloResponse, error) {
	r, err := g.recorder.Hello(ctx, h)
	r.Mechanisms, r.AuthNeedsTLS = g.mechanisms, g.needsTLS
	return r, err
}

func (g *gatekeeper) Authenticate(_ context.Context, mechanism string) (smtp.Exchange, error) {
	g.begun = append(g.begun, mechanism)
	if mechanism == "BUSY" {
		return nil, smtp.NewReply(454, smtp.EnhancedCode{4, 7, 0}, "Temporary authentication failure")
	}
	return &twoSteps{}, nil
}

// twoSteps asks for a name and a password, as LOGIN does.
type twoSteps struct{ heard []string }

func (s *twoSteps) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		s.heard = append(s.heard, string(response))
	}
	switch len(s.heard) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	switch strings.Join(s.heard, "/") {
	case "user/secret":
		return nil, true, nil
	case "user/fault":
		return nil, false, errors.New("the disk is on fire")
	}
	return nil, false, smtp.NewReply(535, smtp.EnhancedCode{5, 7, 8}, "Authentication unsuccessful")
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// script is a Transcript that keeps all it is told.
type script struct{ lines []string }

func (s *script) Sent(line string)          { s.lines = append(s.lines, "S "+line) }
func (s *script) Received(line string)      { s.lines = append(s.lines, "C "+line) }
func (s *script) Info(data, context string) { s.lines = append(s.lines, "I "+data+context) }

func TestAuth(t *testing.T) {
	user, secret := b64("user"), b64("secret")
	tests := []struct {
		name, said, want string
		without          bool // no mechanisms
		needsTLS         bool
	}{
		{name: "with initial response", said: "AUTH LOGIN " + user + "\r\n" + secret + "\r\n", want: "334 235"},
		{name: "without", said: "auth login\r\n" + user + "\r\n" + secret + "\r\n", want: "334 334 235"},
		{name: "twice", said: "AUTH LOGIN " + user + "\r\n" + secret + "\r\nAUTH LOGIN\r\n", want: "334 235 503"},
		{name: "wrong", said: "AUTH LOGIN " + user + "\r\n" + b64("guess") + "\r\nNOOP\r\n", want: "334 535 250"},
		{name: "wrong, then right", said: "AUTH LOGIN " + user + "\r\n" + b64("guess") + "\r\nAUTH LOGIN " + user + "\r\n" + secret + "\r\n", want: "334 535 334 235"},
		{name: "internal error", said: "AUTH LOGIN " + user + "\r\n" + b64("fault") + "\r\n", want: "334 451"},
		{name: "cancelled", said: "AUTH LOGIN\r\n*\r\nNOOP\r\n", want: "334 501 250"},
		{name: "not base64", said: "AUTH LOGIN\r\nNOOP!\r\nNOOP\r\n", want: "334 501 250"},
		{name: "initial response not base64", said: "AUTH LOGIN a\r\n", want: "501"},
		{name: "empty initial response", said: "AUTH LOGIN =\r\n" + secret + "\r\n", want: "334 535"},
		{name: "empty response", said: "AUTH LOGIN " + user + "\r\n\r\n", want: "334 535"},
		{name: "response too long", said: "AUTH LOGIN\r\n" + strings.Repeat("A", 2000) + "\r\nNOOP\r\n", want: "334 500 250"},
		{name: "response with a bare LF", said: "AUTH LOGIN\r\nQUJD\nNOOP\r\n", want: "334 500"},
		{name: "unknown mechanism", said: "AUTH CRAM-MD5\r\n", want: "504"},
		{name: "no mechanism", said: "AUTH\r\n", want: "501"},
		{name: "refused at its beginning", said: "AUTH BUSY\r\nNOOP\r\n", want: "454 250"},
		{name: "within a transaction", said: "MAIL FROM:<>\r\nAUTH LOGIN\r\n", want: "250 503"},
		{name: "after HELO", said: "HELO x\r\nAUTH LOGIN\r\n", want: "250 502"},
		{name: "not offered", said: "AUTH LOGIN " + user + "\r\n", want: "502", without: true},
		{name: "before STARTTLS", said: "AUTH LOGIN " + user + "\r\n", want: "538", without: true, needsTLS: true},
		{name: "AUTH= in MAIL", said: "MAIL FROM:<a@one.example> AUTH=<>\r\nRSET\r\nMAIL FROM:<a@one.example> AUTH=e+3Dmc2@example.com\r\nRSET\r\nMAIL FROM:<a@one.example> AUTH\r\n", want: "250 250 250 250 501"},
		{name: "AUTH= in MAIL, not offered", said: "MAIL FROM:<a@one.example> AUTH=<>\r\n", want: "555", without: true},
		{name: "end within", said: "AUTH LOGIN\r\n", want: "334"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &gatekeeper{mechanisms: []string{"LOGIN", "BUSY"}, needsTLS: tt.needsTLS}
			if tt.without {
				g.mechanisms = nil
			}
			var out bytes.Buffer
			var log script
			conn := &scriptedConn{in: strings.NewReader("EHLO x\r\n" + tt.said), out: &out}
			smtp.ServeSession(t.Context(), conn, g, smtp.ServerOptions{Transcript: &log})
			var codes []string
			offered := false
			for line := range strings.Lines(out.String()) {
				offered = offered || line == "250-AUTH LOGIN BUSY\r\n"
				if line[3] == ' ' {
					codes = append(codes, line[:3])
				}
			}
			if got := strings.Join(codes[2:], " "); got != tt.want {
				t.Errorf("replies %s, want %s:\n%s", got, tt.want, out.String())
			}
			if offered == tt.without {
				t.Errorf("AUTH offered: %v", offered)
			}
			for _, line := range log.lines {
				if strings.HasPrefix(line, "C ") && (strings.Contains(line, user) || strings.Contains(line, secret) || strings.Contains(line, b64("guess"))) {
					t.Errorf("the transcript shows %q", line)
				}
			}
		})
	}
}

// TestAuthIsForgotten: after STARTTLS a client is a stranger again (RFC 3207, section 4.2).
func TestAuthIsForgotten(t *testing.T) {
	g := &gatekeeper{mechanisms: []string{"LOGIN"}}
	g.tls = serverTLS(t)
	c := dialTLS(t, g, "EHLO x\r\n", "AUTH LOGIN "+b64("user")+"\r\n", b64("secret")+"\r\n")
	for _, step := range []string{"EHLO x\r\n", "AUTH LOGIN " + b64("user") + "\r\n", b64("secret") + "\r\n", "QUIT\r\n"} {
		c.say(step)
	}
	want := []string{"220", "250", "334", "235", "220", "250", "334", "235", "221"}
	if !slices.Equal(c.codes, want) {
		t.Errorf("replies %v, want %v", c.codes, want)
	}
}

// talker is a client that notes the code of each reply.
type talker struct {
	t     *testing.T
	conn  net.Conn
	in    *bufio.Reader
	codes []string
}

func (c *talker) hear() {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if line[3] == ' ' {
			c.codes = append(c.codes, line[:3])
			return
		}
	}
}

func (c *talker) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line); err != nil {
		c.t.Fatal(err)
	}
	c.hear()
}

// dialTLS begins a session with s, says the lines, and goes on in TLS.
func dialTLS(t *testing.T, s smtp.Session, before ...string) *talker {
	t.Helper()
	server, client := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		smtp.ServeSession(context.WithoutCancel(t.Context()), server, s, smtp.ServerOptions{})
	}()
	t.Cleanup(func() { client.Close(); <-done })
	c := &talker{t: t, conn: client, in: bufio.NewReader(client)}
	c.hear()
	for _, line := range append(before, "STARTTLS\r\n") {
		c.say(line)
	}
	c.conn = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	c.in = bufio.NewReader(c.conn)
	return c
}
