// Package scripts plays the *.txtar files beside it: what a user types, the exit
// code, and what comes back. The program runs as it is shipped, in processes of
// its own.
//
// Beside what testscript has, a script may say
//
//	exits N command...           the command must end with exit code N
//	nobody command...            run the command without root's rights
//	activated ADDRESS command... run the command with a listening socket of a service manager
//	waitfor SOCKET               wait until a server answers there
//	inject SOCKET FROM TO FILE   send FILE to the server's first listener
//	eventually command...        try the command until it succeeds
//	signal TERM|HUP              send a signal to the processes in the background
//	certificate NAME DNSNAME...  make NAME.pem and NAME.key, self-signed
//	network DOMAIN=ADDRESS...    a DNS server for the domains ($DNS), and free ports ($PORT, $HTTP)
//	fill FILE...                 replace $NAME in files by variables
//	counted SOCKET COUNTER VALUE wait until a counter of the server has the value
//	found NAME PATTERN           set NAME to what the pattern's group finds in the last output
//	authority FILE               make a root certificate
//	answer REQUEST OUT [FORM]    play a CA: sign REQUEST; FORM is pem, chain, der, p7b or pfx
//	thumbprint NAME              put the thumbprint that was printed last into a variable
//	presented SOCKET             print the thumbprint that STARTTLS shows
//
// and ask for the condition [lowport]: anybody may bind ports below 1024.
package scripts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"mailpact/internal/admin"
	"mailpact/internal/authority"
	"mailpact/internal/cli"
	"mailpact/internal/smtp"
)

// patience is how long a script waits for what must come.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"mailpact": func() {
			os.Exit(cli.Run(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
		"exits":     exits,
		"nobody":    nobody,
		"activated": activated,
	})
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d scripts, %v", len(files), err)
	}
	testscript.Run(t, testscript.Params{
		Files:              files,
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			// What a fresh user has. Times are shown in the local zone.
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("TZ", "UTC")
			e.Values[caKey{}] = &testCA{}
			fixtures, err := filepath.Abs("../../internal/certstore/testdata/pfx")
			if err != nil {
				return err
			}
			e.Setenv("PFX", fixtures) // what other programs have exported
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
		Condition: func(c string) (bool, error) {
			if c != "lowport" {
				return false, fmt.Errorf("unknown condition %s", c)
			}
			return anybodyMayBind(25)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor":     waitFor,
			"inject":      inject,
			"eventually":  eventually,
			"signal":      sendSignal,
			"certificate": makeCertificate,
			"authority":   makeAuthority,
			"answer":      answerRequest,
			"network":     makeNetwork,
			"fill":        fillFiles,
			"counted":     awaitCount,
			"found":       keepFound,
			"thumbprint":  keepThumbprint,
			"presented":   showPresented,
		},
	})
}

// anybodyMayBind reports whether a port needs no privilege on this machine.
func anybodyMayBind(port int) (bool, error) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return port >= first, err
}

// exits runs its arguments and succeeds if they end with the exit code wanted.
func exits() {
	want, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fail(err)
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		fail(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		fail(fmt.Errorf("exit code %d, want %d", got, want))
	}
}

// nobody becomes its arguments, as a user without rights if we are root.
func nobody() {
	bin, err := exec.LookPath(os.Args[1])
	if err != nil {
		fail(err)
	}
	if os.Geteuid() == 0 {
		// The folders of this test are closed to others; open those it needs.
		work := os.Getenv("WORK")
		for path, mode := range map[string]os.FileMode{
			work: 0o777, filepath.Dir(work): 0o755, filepath.Dir(bin): 0o755, filepath.Dir(filepath.Dir(bin)): 0o755,
		} {
			if err := os.Chmod(path, mode); err != nil {
				fail(err)
			}
		}
		const id = 65534
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id)); err != nil {
			fail(err)
		}
	}
	fail(syscall.Exec(bin, os.Args[1:], os.Environ())) // returns only if it fails
}

// activated becomes its arguments, with a socket on an address as the first
// inherited descriptor (sd_listen_fds(3)).
func activated() {
	l, err := net.Listen("tcp4", os.Args[1])
	if err != nil {
		fail(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		fail(err)
	}
	bin, err := exec.LookPath(os.Args[2])
	if err != nil {
		fail(err)
	}
	const first = 3
	if err := unix.Dup3(int(f.Fd()), first, 0); err != nil {
		fail(err)
	}
	env := append(os.Environ(), "LISTEN_FDS=1", "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	fail(syscall.Exec(bin, os.Args[2:], env))
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", strings.Join(os.Args, " "), err)
	os.Exit(125)
}

// status asks the server at socket how it is.
func status(socket string) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return admin.Call[admin.Status](ctx, admin.NewClient(socket), "status.show", nil)
}

func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor SOCKET")
	}
	retry(ts, func() error {
		_, err := status(ts.MkAbs(args[0]))
		return err
	})
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually command...")
	}
	retry(ts, func() error { return ts.Exec(args[0], args[1:]...) })
}

// retry tries until there is no error.
func retry(ts *testscript.TestScript, try func() error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("after %v still: %v", patience, err)
		}
	}
}

// sendSignal is meant for processes in the background; testscript's own kill
// knows neither SIGTERM nor SIGHUP.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}
	if neg || len(args) != 1 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal TERM|HUP")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}

// inject sends a file as a message. A refusal fails the script, unless it is negated.
func inject(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: [!] inject SOCKET FROM TO FILE")
	}
	s, err := status(ts.MkAbs(args[0]))
	ts.Check(err)
	reply, err := send(s.Listeners[0].Address, args[1], args[2], ts.ReadFile(args[3]))
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), reply)
	if reply.Positive() == neg {
		ts.Fatalf("the server says %s", reply)
	}
}

func send(address, from, to, text string) (smtp.Reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	sender, err := smtp.ParseMailbox(from)
	if err != nil {
		return smtp.Reply{}, err
	}
	recipient, err := smtp.ParseMailbox(to)
	if err != nil {
		return smtp.Reply{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return smtp.Reply{}, err
	}
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example"})
	defer c.Close()
	if _, err := c.Greeting(ctx); err != nil {
		return smtp.Reply{}, err
	}
	if _, err := c.Hello(ctx); err != nil {
		return smtp.Reply{}, err
	}
	result, err := c.Send(ctx, smtp.Transaction{
		From:       smtp.ReversePath{Mailbox: sender},
		Recipients: []smtp.ForwardPath{{Mailbox: recipient}},
		Content:    strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")),
	})
	var refused *smtp.ReplyError
	if errors.As(err, &refused) {
		return refused.Reply, nil
	} else if err != nil {
		return smtp.Reply{}, err
	}
	return result.Recipients[0], nil
}

func makeCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: certificate NAME DNSNAME...")
	}
	chain, key, _, err := authority.IssueSelfSigned(authority.SelfSignedOptions{DNSNames: args[1:]})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), chain, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), key, 0o600))
}

func makeAuthority(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: authority FILE")
	}
	ca, err := authority.NewRoot(authority.RootOptions{CommonName: args[0], CRLURL: "http://127.0.0.1:1/root.crl"})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), ca.CertificatePEM(), 0o600))
}
