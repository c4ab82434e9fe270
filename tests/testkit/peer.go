package testkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"testing"
	"time"
)

// unavailable ends the test when missing says what is not there: it fails with
// CI=true and skips otherwise.
func unavailable(t testing.TB, missing string) {
	t.Helper()
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// RequirePrograms ends the test when one of the programs is not installed: it
// fails with CI=true and skips otherwise.
func RequirePrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			unavailable(t, name+" is not installed (sudo scripts/peers)")
		}
	}
}

// peerDirectory makes a directory below /tmp itself: peers run as their own
// users and must get through every folder above.
func peerDirectory(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mailpact-"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// userID looks a user of the system up.
func userID(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		t.Fatal(err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

// makeOwned makes a directory for a peer's user.
func makeOwned(t testing.TB, dir string, uid, gid int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// writeAll writes a file that peers can read.
func writeAll(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// toolPatience bounds a run of a client program.
const toolPatience = 30 * time.Second

// Tool runs a client program with the given input until it ends, and returns
// its exit code and everything it wrote.
func Tool(t testing.TB, input, name string, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), toolPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewBufferString(input)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// DialProgram starts a client program that carries a connection over its
// standard input and output, and returns a dialog over it. What it writes to
// stderr is logged when the test has failed.
func DialProgram(t testing.TB, name string, args ...string) *Dialog {
	t.Helper()
	ours, its := net.Pipe()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = its, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	copied, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(stdin, its) // ends when either end of the pipe is closed
		stdin.Close()
	}()
	var result error
	go func() {
		defer close(ended)
		result = cmd.Wait()
		its.Close()
	}()
	t.Cleanup(func() {
		ours.Close()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		<-copied
		if t.Failed() {
			t.Logf("%s %q: %v\n%s", name, args, result, stderr.String())
		}
	})
	return dialogOver(t, ours)
}

// splitAddress is the reverse of HostPort.
func splitAddress(t testing.TB, addr string) (host string, port int) {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return a.Addr().String(), int(a.Port())
}

// HostPort joins a host and a port.
func HostPort(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }
