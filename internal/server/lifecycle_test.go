package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/server"
	"mailpact/internal/smtp/smtptest"
)

// shownCertificate is what the server presents after STARTTLS.
func shownCertificate(g *gateway) *x509.Certificate {
	g.t.Helper()
	state := g.dial().StartTLS(&tls.Config{InsecureSkipVerify: true})
	return state.PeerCertificates[0]
}

// TestNewThatFailsLeavesNothing spoils one thing that New needs. What New had
// opened before must be free again: the same configuration without the fault
// then starts on the same data directory and ports.
func TestNewThatFailsLeavesNothing(t *testing.T) {
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	tests := []struct {
		name  string
		spoil func(t *testing.T, c *directory.Configuration) (mend func())
		want  []string // in the error
	}{
		{"receive connector's port", func(_ *testing.T, c *directory.Configuration) func() {
			second := c.ReceiveConnectors[0]
			second.Name, second.Bindings = "Second", []string{occupied.Addr().String()}
			c.ReceiveConnectors = append(c.ReceiveConnectors, second)
			return func() { c.ReceiveConnectors = c.ReceiveConnectors[:1] }
		}, []string{`receive connector "Second"`, "address already in use", "--listen"}},
		{"HTTP port", func(_ *testing.T, c *directory.Configuration) func() {
			c.Server.HTTP = occupied.Addr().String()
			return func() { c.Server.HTTP = "" }
		}, []string{"server.http", "address already in use"}},
		{"anchor file", func(t *testing.T, c *directory.Configuration) func() {
			file := filepath.Join(t.TempDir(), "root.pem")
			writeFile(t, file, "this is no certificate")
			c.Trust.Anchors = []directory.Anchor{{File: file, Scope: directory.Scope{Any: true}}}
			return func() { c.Trust.Anchors = nil }
		}, []string{"trust.anchors[0]", "root.pem"}},
		{"certificate file", func(t *testing.T, c *directory.Configuration) func() {
			file := filepath.Join(t.TempDir(), "mail1.pem")
			c.Certificates = []directory.CertificateFile{{CertificateFile: file, KeyFile: file, Services: []directory.Service{directory.ServiceSMTP}}}
			return func() { c.Certificates = nil }
		}, []string{"mail1.pem"}},
		{"queue's store", func(t *testing.T, c *directory.Configuration) func() {
			file := filepath.Join(c.Server.DataDirectory, "queue.db")
			writeFile(t, file, strings.Repeat("this is no database. ", 1000))
			return func() { mustRemove(t, file) }
		}, []string{"opening the queue's store"}},
		{"tracking log's folder", func(t *testing.T, c *directory.Configuration) func() {
			file := filepath.Join(c.Server.DataDirectory, "logs", "tracking")
			writeFile(t, file, "in the way")
			return func() { mustRemove(t, file) }
		}, []string{"tracking"}},
		{"admin socket", func(t *testing.T, c *directory.Configuration) func() {
			l, err := net.Listen("unix", c.Server.AdminSocket)
			if err != nil {
				t.Fatal(err)
			}
			return func() { l.Close() }
		}, []string{"admin socket", "another server answers there"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := configuration(t, t.TempDir())
			c.ReceiveConnectors[0].Bindings = []string{freeAddress(t)}
			mend := tt.spoil(t, c)
			before := runtime.NumGoroutine()
			s, err := server.New(t.Context(), server.Options{Configuration: c})
			if err == nil {
				t.Fatal("New has not failed", s.Stop(t.Context()))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			if open := openBelow(t, c.Server.DataDirectory); len(open) > 0 {
				t.Errorf("still open: %v", open)
			}
			eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
			mend()
			start(t, c).stop()
		})
	}
}

// openBelow lists the files below dir that this process has open.
func openBelow(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		t.Logf("open files cannot be listed here: %v", err)
		return nil
	}
	var open []string
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, dir+string(filepath.Separator)) {
			open = append(open, to)
		}
	}
	return open
}

// TestNewUnderEndedContext undoes what it has done although nobody waits.
func TestNewUnderEndedContext(t *testing.T) {
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	c := configuration(t, t.TempDir(), func(c *directory.Configuration) { c.Server.HTTP = occupied.Addr().String() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := server.New(ctx, server.Options{Configuration: c}); err == nil {
		t.Fatal("New has not failed")
	}
	if open := openBelow(t, c.Server.DataDirectory); len(open) > 0 {
		t.Errorf("still open: %v", open)
	}
	c.Server.HTTP = ""
	start(t, c)
}

func TestSecondServerOnSameDataDirectory(t *testing.T) {
	data := t.TempDir()
	first := start(t, configuration(t, data))
	_, err := server.New(t.Context(), server.Options{Configuration: configuration(t, data)})
	if err == nil {
		t.Fatal("a second server opens the same data directory")
	}
	for _, want := range []string{data, "another server uses it", "--data"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if s := call[admin.Status](first, "status.show", nil); s.FQDN != "mail1.contoso.com" {
		t.Errorf("the first server answers %+v", s)
	}
}

func TestStopIsIdempotent(t *testing.T) {
	g := start(t, configuration(t, t.TempDir()))
	g.stop()
	g.stop()
	if open := openBelow(t, g.data); len(open) > 0 {
		t.Errorf("still open: %v", open)
	}
	if _, err := os.Stat(g.Setup().AdminSocket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket is still there: %v", err)
	}
}

func TestStopWithoutStart(t *testing.T) {
	c := configuration(t, t.TempDir(), func(c *directory.Configuration) { c.Server.HTTP = "127.0.0.1:0" })
	s, err := server.New(t.Context(), server.Options{Configuration: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stopping: %v", err)
	}
	start(t, c)
}

// stopWith stops g with a bound and returns how long it took and its error.
func stopWith(g *gateway, bound time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	began := time.Now()
	err := g.Stop(ctx)
	return time.Since(began), err
}

// TestStopWithClients stops while a client is in each state. The bound is far
// away where nobody has to be waited for, and near where somebody never ends.
func TestStopWithClients(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		g := start(t, configuration(t, t.TempDir()))
		client := g.dial()
		g.stop()
		if got := client.Reply(); !strings.HasPrefix(got, "421 4.3.2 ") {
			t.Errorf("the idle client hears %q", got)
		}
		client.ExpectClosed()
	})
	t.Run("DATA that ends", func(t *testing.T) {
		g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", freeAddress(t))))
		client := inData(g)
		stopped := make(chan error, 1)
		go func() {
			_, err := stopWith(g, patience)
			stopped <- err
		}()
		refused(t, g.addr) // Stop is under way
		client.Expect(letter("ann@client.example", "the last one")+".", "250 2.6.0")
		if got := client.Reply(); !strings.HasPrefix(got, "421 4.3.2 ") {
			t.Errorf("after its transaction the client hears %q", got)
		}
		if err := <-stopped; err != nil {
			t.Errorf("stopping: %v", err)
		}
		again := start(t, configuration(t, g.data, handsOff("contoso.com", freeAddress(t))))
		if rows := call[admin.MessageListResponse](again, "message.list", nil).Messages; len(rows) != 1 || rows[0].Subject != "the last one" {
			t.Errorf("after the restart the queue holds %+v", rows)
		}
	})
	t.Run("DATA that never ends", func(t *testing.T) {
		g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", freeAddress(t))))
		inData(g).Write("Subject: endless\r\n")
		took, err := stopWith(g, 300*time.Millisecond)
		if err == nil || !strings.Contains(err.Error(), "1 sessions were cut short") {
			t.Errorf("stopping: %v; want it to tell of the session", err)
		}
		if took > patience/2 {
			t.Errorf("it took %v", took)
		}
		again := start(t, configuration(t, g.data))
		if rows := call[admin.MessageListResponse](again, "message.list", nil).Messages; len(rows) != 0 {
			t.Errorf("a message that was never acknowledged is queued: %+v", rows)
		}
	})
	t.Run("handshake", func(t *testing.T) {
		g := start(t, configuration(t, t.TempDir()))
		client := g.dial()
		client.Expect("STARTTLS", "220")
		client.Write("\x16\x03\x01") // the beginning of a TLS record
		g.stop()
		client.ExpectClosed()
	})
}

// inData opens a session whose client is about to send a message.
func inData(g *gateway) *smtptest.Client {
	g.t.Helper()
	c := g.dial()
	c.Expect("MAIL FROM:<ann@client.example>", "250")
	c.Expect("RCPT TO:<bob@contoso.com>", "250")
	c.Expect("DATA", "354")
	return c
}

// refused waits until nobody listens on addr any more.
func refused(t *testing.T, addr string) {
	t.Helper()
	eventually(t, addr+" is closed", func() bool {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRemove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
