package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long either side waits for the other before the test fails.
const patience = 30 * time.Second

// Script is what a Peer does on one connection, in order. When it is done the
// connection is closed.
type Script []Step

// Step is one step of a script. Make steps with Say, Hear, On, Data, Chunk,
// StartTLS, Serve, Raw, Await and Close.
type Step func(c *Conn) error

// Conn is one connection of a Peer, as its steps see it.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
	rec  *Record
	mu   *sync.Mutex     // guards rec
	bdat strings.Builder // the chunks of a message so far
}

// Record is what a Peer saw on one connection.
type Record struct {
	Lines    []string // commands, without CRLF
	Messages []string // mail data, dot-unstuffed
	TLS      *tls.ConnectionState
	// Err is why the script ended before its end, nil if it did not.
	Err error
}

// Peer is a server that plays scripts. It is safe for concurrent use.
type Peer struct {
	Addr    string // "127.0.0.1:port"
	t       testing.TB
	mu      sync.Mutex
	scripts []Script
	records []*Record
	open    map[net.Conn]struct{}
	ended   *sync.Cond // of mu: a connection has left open
	wg      sync.WaitGroup
}

// Listen starts a Peer on a free port of 127.0.0.1. Connections play the
// scripts in order; those beyond the last play the last again.
func Listen(t testing.TB, scripts ...Script) *Peer {
	t.Helper()
	return ListenOn(t, "127.0.0.1:0", scripts...)
}

// ListenOn is Listen at an address of the caller's choice, which must be a
// loopback address.
func ListenOn(t testing.TB, address string, scripts ...Script) *Peer {
	t.Helper()
	if len(scripts) == 0 {
		t.Fatal("smtptest: a peer needs a script")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	p := newPeer(t, scripts)
	p.Addr = l.Addr().String()
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.start(conn)
		}
	})
	t.Cleanup(func() { l.Close() })
	return p
}

// Pipe returns the client's end of a connection in memory whose other end
// plays script, and the Peer that records it. Such a connection has no buffer;
// scripts with TLS, whose ends both write at times, need Listen.
func Pipe(t testing.TB, script Script) (net.Conn, *Peer) {
	t.Helper()
	p := newPeer(t, []Script{script})
	client, server := net.Pipe()
	p.start(server)
	return client, p
}

func newPeer(t testing.TB, scripts []Script) *Peer {
	p := &Peer{t: t, scripts: scripts, open: make(map[net.Conn]struct{})}
	p.ended = sync.NewCond(&p.mu)
	t.Cleanup(p.stop)
	return p
}

// Wait returns when every connection so far has played its script to its end,
// and fails the test if one went otherwise than written.
func (p *Peer) Wait() {
	p.t.Helper()
	p.mu.Lock()
	for len(p.open) > 0 { // every step has a deadline, so this ends
		p.ended.Wait()
	}
	p.mu.Unlock()
	for i, r := range p.Records() {
		if r.Err != nil {
			p.t.Errorf("smtptest: connection %d: %v", i+1, r.Err)
		}
	}
}

// Records returns what was seen so far, one record per connection.
func (p *Peer) Records() []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Record, len(p.records))
	for i, r := range p.records {
		out[i] = *r
		out[i].Lines = append([]string(nil), r.Lines...)
		out[i].Messages = append([]string(nil), r.Messages...)
	}
	return out
}

// Messages returns the messages of all connections.
func (p *Peer) Messages() []string {
	var all []string
	for _, r := range p.Records() {
		all = append(all, r.Messages...)
	}
	return all
}

func (p *Peer) start(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	script := p.scripts[min(len(p.records), len(p.scripts)-1)]
	rec := &Record{}
	p.records = append(p.records, rec)
	p.open[conn] = struct{}{}
	p.wg.Go(func() {
		c := &Conn{conn: conn, in: bufio.NewReader(conn), rec: rec, mu: &p.mu}
		err := script.play(c)
		p.mu.Lock()
		rec.Err = err // before the other side can see the end
		p.mu.Unlock()
		c.conn.Close()
		p.mu.Lock()
		delete(p.open, conn)
		p.ended.Broadcast()
		p.mu.Unlock()
	})
}

func (p *Peer) stop() {
	p.mu.Lock()
	for conn := range p.open {
		conn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

var errScriptOver = errors.New("script over")

func (s Script) play(c *Conn) error {
	for _, step := range s {
		// A connection that takes no deadline is closed, which the step notices.
		_ = c.conn.SetDeadline(time.Now().Add(patience))
		if err := step(c); errors.Is(err, errScriptOver) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// NewManual makes a Conn of a connection for a test that runs steps itself,
// with Play: without a Peer, its record and its patience.
func NewManual(conn net.Conn) *Conn {
	return &Conn{conn: conn, in: bufio.NewReader(conn), rec: &Record{}, mu: &sync.Mutex{}}
}

// Play runs steps and returns the first error.
func (c *Conn) Play(steps []Step) error {
	for _, step := range steps {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) write(s string) error {
	_, err := io.WriteString(c.conn, s)
	return err
}

// say writes a reply whose lines are separated by "\n".
func (c *Conn) say(reply string) error {
	return c.write(strings.ReplaceAll(reply, "\n", "\r\n") + "\r\n")
}

// line reads a command line; only CRLF ends it.
func (c *Conn) line() (string, error) {
	s, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(s, "\r\n")
	if !ok {
		return "", errors.New("a line that does not end with CRLF")
	}
	c.mu.Lock()
	c.rec.Lines = append(c.rec.Lines, line)
	c.mu.Unlock()
	return line, nil
}

// data reads mail data through CRLF.CRLF and records it.
func (c *Conn) data() error {
	var b strings.Builder
	for start := true; ; {
		s, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if start && s == ".\r\n" {
			break
		}
		if start && strings.HasPrefix(s, ".") {
			s = s[1:]
		}
		b.WriteString(s)
		start = strings.HasSuffix(s, "\r\n")
	}
	c.mu.Lock()
	c.rec.Messages = append(c.rec.Messages, b.String())
	c.mu.Unlock()
	return nil
}

// chunk reads the octets of the BDAT command that was the last line.
func (c *Conn) chunk() error {
	c.mu.Lock()
	line := c.rec.Lines[len(c.rec.Lines)-1]
	c.mu.Unlock()
	var size int64
	if _, err := fmt.Sscanf(line, "BDAT %d", &size); err != nil {
		return fmt.Errorf("%q is no BDAT: %w", line, err)
	}
	if _, err := io.CopyN(&c.bdat, c.in, size); err != nil {
		return fmt.Errorf("reading a chunk: %w", err)
	}
	if strings.HasSuffix(line, " LAST") {
		c.mu.Lock()
		c.rec.Messages = append(c.rec.Messages, c.bdat.String())
		c.mu.Unlock()
		c.bdat.Reset()
	}
	return nil
}

func (c *Conn) startTLS(cfg *tls.Config) error {
	conn := tls.Server(c.conn, cfg)
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	c.conn, c.in = conn, bufio.NewReader(conn)
	c.mu.Lock()
	c.rec.TLS = &state
	c.mu.Unlock()
	return nil
}
