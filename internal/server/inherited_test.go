package server_test

import (
	"net"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/server"
)

// inherit opens a socket as a service manager would.
func inherit(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestInheritedSocketIsServed(t *testing.T) {
	l := inherit(t)
	c := configuration(t, t.TempDir())
	c.ReceiveConnectors[0].Bindings = []string{l.Addr().String()}
	s, err := server.New(t.Context(), server.Options{Configuration: c, Inherited: []net.Listener{l}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Server: s, t: t, addr: s.Setup().Listeners[0].Address}
	t.Cleanup(g.stop)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.addr != l.Addr().String() {
		t.Errorf("it listens on %s", g.addr)
	}
	g.dial().Expect("QUIT", "221")
}

// TestInheritedSocketsEndWithNew: what the service manager opened is not left
// listening by a New that fails, wherever that is.
func TestInheritedSocketsEndWithNew(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, c *directory.Configuration)
		want  string
	}{
		{"no binding asks for it", func(*testing.T, *directory.Configuration) {}, "belongs to no binding"},
		{"before it is asked for", func(t *testing.T, c *directory.Configuration) {
			start(t, configuration(t, c.Server.DataDirectory))
		}, "another server uses it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := inherit(t)
			c := configuration(t, t.TempDir())
			tt.spoil(t, c)
			_, err := server.New(t.Context(), server.Options{Configuration: c, Inherited: []net.Listener{l}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v; want %s", err, tt.want)
			}
			refused(t, l.Addr().String())
		})
	}
}
