package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is the socket of a service manager.
func manager(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func() string {
		t.Helper()
		b := make([]byte, 512)
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("the service manager heard nothing: %v", err)
		}
		return string(b[:n])
	}
}

func environment(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(key string) string { return m[key] }
}

func TestNotifierTellsTheServiceManager(t *testing.T) {
	path, next := manager(t)
	n := NotifierFromEnvironment(environment("NOTIFY_SOCKET", path), 1)
	for _, tt := range []struct {
		say  func() error
		want string
	}{
		{n.Ready, "READY=1"},
		{n.Reloading, "RELOADING=1\nMONOTONIC_USEC="},
		{n.Stopping, "STOPPING=1"},
	} {
		if err := tt.say(); err != nil {
			t.Fatal(err)
		}
		if got := next(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("said %q, want %q", got, tt.want)
		}
	}
}

func TestNotifierWithoutManagerIsSilent(t *testing.T) {
	n := NotifierFromEnvironment(environment(), 1)
	if err := n.Ready(); err != nil {
		t.Error(err)
	}
	n.Watch(t.Context(), func() bool { t.Error("nobody watches"); return true })
}

func TestWatchdogHearsOnlyOfALivingServer(t *testing.T) {
	path, next := manager(t)
	n := NotifierFromEnvironment(environment("NOTIFY_SOCKET", path, "WATCHDOG_USEC", "20000", "WATCHDOG_PID", "7"), 7)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	asked := make(chan bool)
	go func() {
		defer close(done)
		n.Watch(ctx, func() bool { return <-asked })
	}()
	asked <- false // not alive: nothing is said
	asked <- true
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("heard %q", got)
	}
	cancel()
	for {
		select {
		case asked <- false:
		case <-done:
			return
		}
	}
}

func TestWatchdogOfAnotherProcess(t *testing.T) {
	n := NotifierFromEnvironment(environment("NOTIFY_SOCKET", "/nowhere", "WATCHDOG_USEC", "20000", "WATCHDOG_PID", "8"), 7)
	if n.watchdog != 0 {
		t.Errorf("watchdog of %v taken from another process's environment", n.watchdog)
	}
}

func TestInheritedListenersAreForThisProcess(t *testing.T) {
	for name, env := range map[string]func(string) string{
		"none":            environment(),
		"another process": environment("LISTEN_PID", "8", "LISTEN_FDS", "1"),
	} {
		if got, err := InheritedListeners(env, 7); err != nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, n := range []string{"", "x", "-1", "1001"} {
		if _, err := InheritedListeners(environment("LISTEN_PID", strconv.Itoa(os.Getpid()), "LISTEN_FDS", n), os.Getpid()); err == nil {
			t.Errorf("LISTEN_FDS=%q: no error", n)
		}
	}
}

func TestInheritance(t *testing.T) {
	open := func() net.Listener {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	wanted, other := open(), open()
	h := &inheritance{free: []net.Listener{wanted, other}}
	got, err := h.listen(t.Context(), wanted.Addr().String())
	if err != nil || got != wanted {
		t.Errorf("listen = %v, %v, want the inherited socket", got, err)
	}
	fresh, err := h.listen(t.Context(), "127.0.0.1:0")
	if err != nil || fresh == other {
		t.Errorf("listen = %v, %v, want a socket of our own", fresh, err)
	} else {
		fresh.Close()
	}
	if err := h.check(); err == nil || !strings.Contains(err.Error(), other.Addr().String()) {
		t.Errorf("check = %v, want the forgotten socket named", err)
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
	if _, err := other.Accept(); err == nil {
		t.Error("the forgotten socket is still open")
	}
	if err := h.check(); err != nil {
		t.Errorf("check after close = %v", err)
	}
}

func TestSameAddress(t *testing.T) {
	at := func(s string) net.Addr { a, _ := net.ResolveTCPAddr("tcp", s); return a }
	tests := []struct {
		socket, binding string
		want            bool
	}{
		{"127.0.0.1:25", "127.0.0.1:25", true},
		{"127.0.0.1:25", "127.0.0.1:26", false},
		{"127.0.0.1:25", "127.0.0.2:25", false},
		{"[::]:25", ":25", true},
		{"0.0.0.0:25", "0.0.0.0:25", true},
		{"[::]:25", "0.0.0.0:25", false},
		{"127.0.0.1:25", ":25", false},
		{"127.0.0.1:25", "nonsense", false},
	}
	for _, tt := range tests {
		if got := sameAddress(at(tt.socket), tt.binding); got != tt.want {
			t.Errorf("sameAddress(%s, %s) = %v", tt.socket, tt.binding, got)
		}
	}
}
