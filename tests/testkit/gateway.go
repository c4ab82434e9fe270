package testkit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the program, which is built once for all tests of the process.
var built struct {
	once sync.Once
	path string
	err  error
}

// Binary builds the program once for all tests of the process and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.path, built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "mailpact-bin")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "mailpact")
	out, err := exec.Command("go", "build", "-o", bin, "mailpact/cmd/mailpact").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building mailpact: %w\n%s", err, out)
	}
	return bin, nil
}

// RemoveBinary removes what Binary has built. A package's TestMain calls it at the end.
func RemoveBinary() {
	built.once.Do(func() {})
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
}

// Gateway is a running `mailpact serve`.
type Gateway struct {
	t      testing.TB
	Config string // path of its file
	Data   string // its data directory
	cmd    *exec.Cmd
	log    *lockedBuffer
	ended  chan struct{}
}

// StartGateway writes config into dir as mailpact.yaml and serves it until the test
// ends. It returns once the process has said that it is ready.
func StartGateway(t testing.TB, dir, config string) *Gateway {
	t.Helper()
	g := &Gateway{t: t, Config: filepath.Join(dir, "mailpact.yaml"), Data: filepath.Join(dir, "data")}
	if err := os.WriteFile(g.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", dir, g.log.String())
		}
	})
	return g
}

// Start starts the process again after Kill or Stop.
func (g *Gateway) Start() {
	g.t.Helper()
	cmd := exec.Command(Binary(g.t), "serve", "--config", g.Config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	cmd.Stdout = os.Stderr
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	if g.log == nil {
		g.log = &lockedBuffer{}
	}
	g.cmd, g.ended = cmd, make(chan struct{})
	ready := make(chan struct{})
	ended := g.ended
	go func() {
		defer close(ended)
		once := sync.OnceFunc(func() { close(ready) })
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			g.log.WriteLine(lines.Text())
			if strings.TrimSpace(lines.Text()) == "ready" {
				once()
			}
		}
		_ = cmd.Wait() // how it ended, the test sees by what it does
	}()
	select {
	case <-ready:
	case <-ended:
		g.t.Fatalf("mailpact serve ended before it was ready:\n%s", g.log.String())
	case <-time.After(30 * time.Second):
		g.t.Fatalf("mailpact serve is not ready after 30 s:\n%s", g.log.String())
	}
}

// Stop ends the process with SIGTERM and waits for it.
func (g *Gateway) Stop() { g.end(syscall.SIGTERM) }

// Kill ends the process with SIGKILL and waits for it.
func (g *Gateway) Kill() { g.end(syscall.SIGKILL) }

func (g *Gateway) end(sig os.Signal) {
	select {
	case <-g.ended:
		return
	default:
	}
	_ = g.cmd.Process.Signal(sig)
	select {
	case <-g.ended:
	case <-time.After(40 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.ended
		g.t.Errorf("mailpact serve did not end within 40 s of %v:\n%s", sig, g.log.String())
	}
}

// PID returns the process id.
func (g *Gateway) PID() int { return g.cmd.Process.Pid }

// Log returns what the process has written to stderr.
func (g *Gateway) Log() string { return g.log.String() }

// Run runs a command of the binary against this gateway's socket and decodes
// its JSON output into v (nil: ignored). It returns the exit code.
func (g *Gateway) Run(v any, args ...string) int {
	g.t.Helper()
	args = append([]string{"--json", "--socket", filepath.Join(g.Data, "admin.sock")}, args...)
	cmd := exec.Command(Binary(g.t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if v != nil {
		if jsonErr := json.Unmarshal(out, v); jsonErr != nil {
			g.t.Fatalf("mailpact %s: %v\n%s%s", strings.Join(args, " "), jsonErr, out, stderr.String())
		}
	}
	if err != nil {
		return cmd.ProcessState.ExitCode()
	}
	return 0
}

// lockedBuffer collects log lines from several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) WriteLine(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.WriteString(s + "\n")
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// FreePort returns a TCP port that is free on every given loopback address.
func FreePort(t testing.TB, hosts ...string) int {
	t.Helper()
	for range 50 {
		first, err := net.Listen("tcp", net.JoinHostPort(hosts[0], "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		free := true
		for _, h := range hosts[1:] {
			l, err := net.Listen("tcp", net.JoinHostPort(h, fmt.Sprint(port)))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		first.Close()
		if free {
			return port
		}
	}
	t.Fatal("no port is free on all of ", hosts)
	return 0
}

// Eventually calls ok every 20 ms until it holds or within has passed.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
