package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// waitConn brings one piece a read and notes how much room each read had that
// began a piece: where the session waited.
type waitConn struct {
	repeatConn
	pieces []string
	room   []int
	out    strings.Builder
}

func (c *waitConn) Read(p []byte) (int, error) {
	if c.rest == "" {
		c.room = append(c.room, len(p))
		if len(c.pieces) == 0 {
			return 0, io.EOF
		}
		c.rest, c.pieces = c.pieces[0], c.pieces[1:]
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *waitConn) Write(p []byte) (int, error) { return c.out.Write(p) }

// A session waits for a command with room for one octet and no buffer, however
// the input is cut; inside a line and inside a body it has one.
func TestIdleSessionHoldsNoBuffer(t *testing.T) {
	conn := &waitConn{pieces: []string{
		"EHLO client.example\r\n", "N", "OOP\r\n", "MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n",
		"one\r\n", ".\r\nNOOP\r\nNO", "OP\r\n", "QUIT\r\n",
	}}
	if cause := ServeSession(t.Context(), conn, nullSession{}, ServerOptions{}); cause != EndQuit {
		t.Fatalf("cause %v", cause)
	}
	buffered := make([]bool, len(conn.room))
	for i, n := range conn.room {
		buffered[i] = n > 1
	}
	if want := []bool{false, false, true, false, true, true, true, false}; !slices.Equal(buffered, want) {
		t.Errorf("room at each wait %v, want a buffer as in %v", conn.room, want)
	}
	var codes []string
	for line := range strings.Lines(conn.out.String()) {
		if line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	if got := strings.Join(codes, " "); got != "220 250 250 250 250 354 250 250 250 221" {
		t.Errorf("replies %s", got)
	}
}

// panicking is a session whose certificate cannot be had.
type panicking struct{ nullSession }

func (panicking) Hello(context.Context, Hello) (HelloResponse, error) {
	return HelloResponse{Greeting: "x", STARTTLS: true}, nil
}

func (panicking) StartTLS(context.Context) (*tls.Config, error) {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no key") }}, nil
}

func TestPanicInHandshake(t *testing.T) {
	server, client := net.Pipe()
	causes, told := make(chan EndCause, 1), make(chan error, 1)
	go func() {
		causes <- ServeSession(t.Context(), server, panicking{}, ServerOptions{OnError: func(err error) { told <- err }})
	}()
	defer client.Close()
	buf := make([]byte, 1<<10)
	for _, say := range []string{"EHLO x\r\n", "STARTTLS\r\n"} {
		if _, err := client.Read(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, say); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Read(buf); err != nil {
		t.Fatal(err)
	}
	if err := tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Fatal("the handshake passed")
	}
	if cause := <-causes; cause != EndInternal {
		t.Errorf("cause %v", cause)
	}
	if err := <-told; !strings.Contains(err.Error(), "no key") {
		t.Errorf("told %v", err)
	}
}
