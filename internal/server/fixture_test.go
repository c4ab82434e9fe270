package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/dnsx/dnsserver"
	"mailpact/internal/server"
	"mailpact/internal/smtp/smtptest"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// configuration is that of a server without a file on a free loopback port,
// with change applied. It asks no resolver but one that refuses.
func configuration(t testing.TB, data string, change ...func(*directory.Configuration)) *directory.Configuration {
	t.Helper()
	c, err := directory.Default(directory.DefaultOptions{Hostname: "mail1.contoso.com", DataDirectory: data, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	c.Server.Resolvers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	c.Trust.SystemRoots = false
	for _, f := range change {
		f(c)
	}
	return c
}

// handsOff makes domain an accepted domain whose mail goes to address.
func handsOff(domain, address string) func(*directory.Configuration) {
	return func(c *directory.Configuration) {
		c.AcceptedDomains = append(c.AcceptedDomains, directory.AcceptedDomain{
			Name: mustDomain(domain), Type: directory.Authoritative, HandOff: address,
		})
	}
}

// gateway is a running server.
type gateway struct {
	*server.Server
	t    testing.TB
	data string
	addr string // of its first listener
	log  *lockedBuffer
}

// start builds and starts a server that stops with the test.
func start(t testing.TB, c *directory.Configuration) *gateway {
	t.Helper()
	g := &gateway{t: t, data: c.Server.DataDirectory, log: &lockedBuffer{}}
	s, err := server.New(t.Context(), server.Options{Configuration: c, Logger: slog.New(slog.NewTextHandler(g.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	g.Server, g.addr = s, s.Setup().Listeners[0].Address
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", g.data, g.log)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

// stop stops the server and fails the test if that goes wrong.
func (g *gateway) stop() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		g.t.Errorf("stopping: %v", err)
	}
}

// call runs a management operation.
func call[Response any](g *gateway, name string, request any) Response {
	g.t.Helper()
	r, err := admin.Call[Response](g.t.Context(), admin.NewClient(g.Setup().AdminSocket), name, request)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return r
}

// send hands one message in and fails the test unless it is accepted.
func (g *gateway) send(from, to, subject string) {
	g.t.Helper()
	c := g.dial()
	c.Expect("MAIL FROM:<"+from+">", "250")
	c.Expect("RCPT TO:<"+to+">", "250")
	c.Expect("DATA", "354")
	c.Expect(letter(from, subject)+".", "250 2.6.0")
	c.Expect("QUIT", "221")
}

// dial opens a session and says EHLO.
func (g *gateway) dial() *smtptest.Client {
	g.t.Helper()
	c, greeting := smtptest.Dial(g.t, g.addr)
	if !strings.HasPrefix(greeting, "220 ") {
		g.t.Fatalf("greeting %q", greeting)
	}
	c.Expect("EHLO client.example", "250-mail1.contoso.com Hello")
	return c
}

// tracking is the text of the message tracking log once it holds want.
func (g *gateway) tracking(want string) string {
	g.t.Helper()
	var text string
	eventually(g.t, "the tracking log holds "+want, func() bool {
		text = readAll(g.t, filepath.Join(g.data, "logs", "tracking", "*.log"))
		return strings.Contains(text, want)
	})
	return text
}

// letter is a message with CRLF line ends that needs no dot-stuffing.
func letter(from, subject string) string {
	return "From: <" + from + ">\r\nSubject: " + subject + "\r\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@client.example>\r\n\r\nHello.\r\n"
}

// sink is a mail system that takes what replies do not refuse (see smtptest.Table).
func sink(t testing.TB, replies map[string]string) *smtptest.Peer {
	t.Helper()
	return smtptest.Listen(t, smtptest.Script{smtptest.Serve(smtptest.Table{Replies: replies})})
}

// arrived waits for a message with text at p and returns it.
func arrived(t testing.TB, p *smtptest.Peer, text string) string {
	t.Helper()
	var found string
	eventually(t, "a message with "+text+" arrives", func() bool {
		for _, m := range p.Messages() {
			if strings.Contains(m, text) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// zone starts a DNS server with the mail exchangers of domains: each has its MX at 127.0.0.1.
func zone(t testing.TB, domains ...string) netip.AddrPort {
	t.Helper()
	z := dnsserver.NewZone(60)
	for _, d := range domains {
		if err := z.Set(d, dnsserver.MX(10, "mx."+d)); err != nil {
			t.Fatal(err)
		}
		if err := z.Set("mx."+d, dnsserver.Address(netip.MustParseAddr("127.0.0.1"))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dnsserver.Listen("127.0.0.1:0", z)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.Addr()
}

// eventually looks again and again until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// readAll is the text of all files that match pattern.
func readAll(t testing.TB, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	return string(text)
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// lockedBuffer keeps a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
