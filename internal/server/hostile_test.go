package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"
)

// footprint is what a process holds open.
type footprint struct{ goroutines, descriptors int }

// and allows for descriptors of the test's own.
func (f footprint) and(descriptors int) footprint {
	return footprint{f.goroutines, f.descriptors + descriptors}
}

func measured(t testing.TB) footprint {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the open descriptors cannot be counted here:", err)
	}
	return footprint{runtime.NumGoroutine(), len(open)}
}

// leavesNothing waits until the process holds no more than before.
func leavesNothing(t testing.TB, before footprint) {
	t.Helper()
	var now footprint
	for range int(patience / (20 * time.Millisecond)) {
		if now = measured(t); now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	open, _ := os.ReadDir("/proc/self/fd")
	for _, d := range open {
		to, _ := os.Readlink("/proc/self/fd/" + d.Name())
		fmt.Fprintf(&stacks, "descriptor %s: %s\n", d.Name(), to)
	}
	t.Fatalf("left open: %+v, before %+v\n%s", now, before, stacks.String())
}

// woodgrove makes woodgrovebank.com a partner below a root.
func woodgrove(t testing.TB, root *pkitest.CA) func(*directory.Configuration) {
	return func(c *directory.Configuration) {
		c.Trust.Anchors = []directory.Anchor{{
			File:  pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)),
			Scope: directory.Scope{Domains: []smtp.Domain{mustDomain("woodgrovebank.com")}}, Revocation: directory.RevocationRequired,
		}}
		c.Partners = []directory.Partner{{
			Domain: mustDomain("woodgrovebank.com"), Mode: directory.ModeEnforce, Send: true, Receive: true,
			NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer, FromAlignment: directory.FromUnmarked,
		}}
		c.Revocation.AllowPrivateTargets = true
		c.ReceiveConnectors[0].TarpitInterval = 0
	}
}

// hostileCRLs are servers that do not give a CRL, and a word of what is logged.
func hostileCRLs() map[string]http.HandlerFunc {
	drip := func(w http.ResponseWriter, r *http.Request, pause time.Duration) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte{0x30}); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
			}
		}
	}
	return map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 8<<10)); err != nil {
					return
				}
			}
		},
		"huge":          func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "100000000000") },
		"redirect loop": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) },
		"silent":        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"dripping":      func(w http.ResponseWriter, r *http.Request) { drip(w, r, 50*time.Millisecond) },
		"another thing": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Welcome to the hotel</html>") },
		"empty":         func(http.ResponseWriter, *http.Request) {},
		"reset": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		},
		"rubbish for HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, io.LimitReader(rand.Reader, 64<<10))
			_ = c.Close()
		},
	}
}

// TestHostileCRLServer: whatever the server of a partner's CRL does, the partner
// is told to come back, the log says why, and nothing hangs or stays behind.
func TestHostileCRLServer(t *testing.T) {
	crls := pkitest.NewCRLServer(t)
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Woodgrove Root"})
	for name, serve := range hostileCRLs() {
		t.Run(name, func(t *testing.T) {
			path := "/" + strings.ReplaceAll(name, " ", "-")
			crls.Handle(path, serve)
			leaf := root.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}, CRLs: []string{crls.URL(path)}})
			idle := measured(t)
			g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", freeAddress(t)), woodgrove(t, root), func(c *directory.Configuration) {
				c.Revocation.PerURL, c.Revocation.PerChain, c.Revocation.MaxBytes = time.Second, 2*time.Second, 64<<10
			}))
			before := measured(t)
			for range 3 {
				s := g.dialWith(t, leaf)
				s.Expect("MAIL FROM:<amy@woodgrovebank.com>", "454 4.7.5 Certificate validation failure, Reason:RevocationOffline")
				s.Expect("QUIT", "221")
				s.Close()
			}
			eventually(t, "the log says why", func() bool {
				log := g.log.String()
				return strings.Contains(log, "mail of a listed domain was refused") && strings.Contains(log, "reason=RevocationOffline") && strings.Contains(log, path)
			})
			leavesNothing(t, before)
			g.stop()
			leavesNothing(t, idle)
		})
	}
}

// TestHostileClients: a client that does not read, or talks rubbish where TLS is
// due, costs a session until its time is over, and nothing after it.
func TestHostileClients(t *testing.T) {
	garbage := make([]byte, 64<<10)
	_, _ = rand.Read(garbage)
	garbage[0] = 0xff // no record of TLS
	tests := []struct {
		name string
		do   func(c net.Conn, in *bufio.Reader) // after EHLO
		log  string
	}{
		{"garbage in the place of TLS", func(c net.Conn, in *bufio.Reader) {
			_, _ = io.WriteString(c, "STARTTLS\r\n")
			_, _ = in.ReadString('\n')
			_, _ = c.Write(garbage)
		}, "TLS handshake failed"},
		{"silence in the place of TLS", func(c net.Conn, in *bufio.Reader) {
			_, _ = io.WriteString(c, "STARTTLS\r\n")
			_, _ = in.ReadString('\n')
		}, "TLS handshake failed"},
		{"half a ClientHello", func(c net.Conn, in *bufio.Reader) {
			_, _ = io.WriteString(c, "STARTTLS\r\n")
			_, _ = in.ReadString('\n')
			_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252})
		}, "TLS handshake failed"},
		{"replies that nobody reads", func(c net.Conn, _ *bufio.Reader) {
			_ = c.(*net.TCPConn).SetReadBuffer(1 << 10)
			_, _ = io.WriteString(c, strings.Repeat("HELP\r\n", 200)) // within what a session may say
		}, ""},
		{"data without end", func(c net.Conn, in *bufio.Reader) {
			_, _ = io.WriteString(c, "MAIL FROM:<a@fabrikam.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n")
			for range 3 {
				_, _ = in.ReadString('\n')
			}
			_, _ = io.WriteString(c, "Subject: x\r\n\r\n")
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			idle := measured(t)
			g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", freeAddress(t)), func(c *directory.Configuration) {
				c.ReceiveConnectors[0].ConnectionInactivityTimeout, c.ReceiveConnectors[0].ConnectionTimeout = time.Second, 2*time.Second
			}))
			before := measured(t)
			for range 5 {
				c, err := net.DialTimeout("tcp", g.addr, patience)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				in := bufio.NewReader(c)
				_, _ = io.WriteString(c, "EHLO client.example\r\n")
				for line := ""; !strings.HasPrefix(line, "250 "); {
					if line, err = in.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
				tt.do(c, in)
			}
			// The clients' own ends stay open: five descriptors of ours.
			leavesNothing(t, before.and(5))
			if tt.log != "" && !strings.Contains(g.log.String(), tt.log) {
				t.Errorf("the log lacks %q", tt.log)
			}
			s := g.dial() // others are served
			s.Expect("QUIT", "221")
			s.Close()
			g.stop()
			leavesNothing(t, idle.and(5))
		})
	}
}

// TestHostileResolver: mail for a domain of which the resolver says nothing, or
// says rubbish, waits with a reason, and nothing stays behind.
func TestHostileResolver(t *testing.T) {
	lies := 0
	answers := map[string]func(question []byte) []byte{
		"down":           nil,
		"server failure": func(q []byte) []byte { r := bytes.Clone(q); r[2] |= 0x80; r[3] = 2; return r },
		"lying": func(q []byte) []byte {
			r := bytes.Clone(q)
			r[2] |= 0x80 // a reply
			switch lies++; lies % 3 {
			case 0:
				_, _ = rand.Read(r)
			case 1:
				r[0] ^= 1 // to another question
			case 2:
				r[7] = 200 // with answers that are not there
			}
			return r
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			idle := measured(t)
			p, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				buf := make([]byte, 1<<10)
				for answer != nil {
					n, from, err := p.ReadFrom(buf)
					if err != nil {
						return
					}
					if r := answer(buf[:n]); r != nil {
						_, _ = p.WriteTo(r, from)
					}
				}
			}()
			if answer == nil {
				p.Close()
			}
			c := configuration(t, t.TempDir(), func(c *directory.Configuration) {
				c.Server.Resolvers = []netip.AddrPort{netip.MustParseAddrPort(p.LocalAddr().String())}
				c.AcceptedDomains = []directory.AcceptedDomain{{Name: mustDomain("relay.example"), Type: directory.InternalRelay}}
				c.Queue.GlitchRetryInterval = time.Hour
			})
			g := start(t, c)
			g.send("alice@fabrikam.com", "bob@relay.example", "one")
			var rows []admin.QueueRow
			waits := func() bool {
				rows = call[admin.QueueListResponse](g, "queue.list", nil).Queues
				return len(rows) == 1 && rows[0].MessageCount == 1 && rows[0].LastError != ""
			}
			for end := time.Now().Add(3 * patience); !waits() && time.Now().Before(end); { // some seconds a question
				time.Sleep(50 * time.Millisecond)
			}
			if !waits() {
				t.Fatalf("the message does not wait with a reason: %+v", rows)
			}
			if e := rows[0].LastError; !strings.HasPrefix(e, "4") || strings.ContainsAny(e, "\x00\r\n") {
				t.Errorf("last error %q", e)
			}
			g.stop()
			p.Close()
			<-done
			leavesNothing(t, idle.and(1)) // the client's end of send
		})
	}
}

// TestHostWithoutEars: a next hop that takes the connection and then does nothing
// does not hold up the end of the server, and nothing of it stays behind.
func TestHostWithoutEars(t *testing.T) {
	for name, greeting := range map[string]string{"mute": "", "deaf after its greeting": "220 hub.example\r\n"} {
		t.Run(name, func(t *testing.T) {
			idle := measured(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			taken := make(chan net.Conn, 8)
			go func() {
				defer close(taken)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, greeting)
					taken <- c
				}
			}()
			g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", l.Addr().String())))
			g.send("alice@fabrikam.com", "bob@contoso.com", "one")
			c := <-taken
			s := g.dial() // others are served meanwhile
			s.Expect("QUIT", "221")
			s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := g.Stop(ctx); err != nil {
				t.Errorf("stopping: %v", err)
			}
			c.Close()
			l.Close()
			for c := range taken {
				c.Close()
			}
			leavesNothing(t, idle.and(1)) // the client's end of send
		})
	}
}
