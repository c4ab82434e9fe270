package testkit

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scripts/peers unpacks Exim here, and has Exim trust these configurations.
const (
	eximRoot      = "/opt/mailpact-peers/exim"
	eximProgram   = eximRoot + "/usr/sbin/exim4"
	eximInstances = eximRoot + "/instance"
)

// EximOptions say what an Exim instance is to be.
type EximOptions struct {
	Host     string // loopback address to listen on and to send from
	Port     int
	Hostname string
	// Domains are accepted and relayed to NextHops[domain], "host:port".
	NextHops map[string]string
	// Main settings are added to or replace those of the main section, and
	// Transport settings those of the smtp transport.
	Main, Transport map[string]string
}

// Exim is a running Exim with a configuration and a spool of its own.
type Exim struct {
	t      testing.TB
	dir    string
	config string
	cmd    *exec.Cmd
	ended  chan struct{}
}

// RequireExim ends the test when Exim cannot be run here: it fails with
// CI=true and skips otherwise.
func RequireExim(t testing.TB) {
	t.Helper()
	missing := ""
	if _, err := os.Stat(eximProgram); err != nil {
		missing = "Exim is not there (sudo scripts/peers)"
	} else if os.Geteuid() != 0 {
		missing = "Exim needs root"
	}
	unavailable(t, missing)
}

// StartExim starts an instance that ends with the test.
func StartExim(t testing.TB, o EximOptions) *Exim {
	t.Helper()
	RequireExim(t)
	e := &Exim{t: t, dir: peerDirectory(t, "exim"), config: filepath.Join(eximInstance(t), "exim.conf")}
	uid, gid := userID(t, "Debian-exim")
	for _, d := range []string{"spool", "log"} {
		makeOwned(t, filepath.Join(e.dir, d), uid, gid)
	}
	writeAll(t, e.config, e.configuration(o))

	// The daemon stays in the foreground, in a process group with what it starts.
	e.cmd = exec.Command(eximProgram, "-C", e.config, "-bdf", "-q2s")
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.ended = make(chan struct{})
	go func() {
		defer close(e.ended)
		_ = e.cmd.Wait() // how it ended stands in its log
	}()
	t.Cleanup(e.stop)
	Eventually(t, 10*time.Second, "Exim listens", func() bool {
		select {
		case <-e.ended:
			t.Fatalf("Exim ended at its start:\n%s", e.Log())
		default:
		}
		return strings.Contains(e.Log(), "listening for SMTP")
	})
	return e
}

// stop ends the daemon, and then the processes that it has left: one may still
// deliver, or listen to one of our pooled sessions.
func (e *Exim) stop() {
	group := -e.cmd.Process.Pid
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(5 * time.Second):
	}
	// Once would do, but for the time that dying takes. Those whom nobody has
	// waited for yet still count as members.
	for range 20 {
		if syscall.Kill(group, syscall.SIGKILL) != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	<-e.ended
	if e.t.Failed() {
		e.t.Logf("log of Exim:\n%s", e.Log())
	}
}

// Log returns the instance's main log, followed by its panic log.
func (e *Exim) Log() string {
	main, _ := os.ReadFile(filepath.Join(e.dir, "log", "main"))
	panics, _ := os.ReadFile(filepath.Join(e.dir, "log", "panic"))
	return string(main) + string(panics)
}

// WaitLog waits until the log holds text.
func (e *Exim) WaitLog(text string, within time.Duration) {
	e.t.Helper()
	Eventually(e.t, within, "Exim logs "+strconv.Quote(text), func() bool { return strings.Contains(e.Log(), text) })
}

// eximInstance takes one of the places for configurations for the time of the test.
func eximInstance(t testing.TB) string {
	t.Helper()
	places, err := filepath.Glob(eximInstances + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range places {
		lock, err := os.OpenFile(filepath.Join(place, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		// The lock goes with the process, however that ends.
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			lock.Close()
			continue
		}
		t.Cleanup(func() { lock.Close() })
		return place
	}
	t.Fatalf("all of the %d places below %s are taken", len(places), eximInstances)
	return ""
}

func (e *Exim) configuration(o EximOptions) string {
	main := map[string]string{
		"exim_path":                 eximProgram,
		"primary_hostname":          o.Hostname,
		"spool_directory":           filepath.Join(e.dir, "spool"),
		"log_file_path":             filepath.Join(e.dir, "log", "%s"),
		"pid_file_path":             filepath.Join(e.dir, "exim.pid"),
		"local_interfaces":          o.Host,
		"daemon_smtp_ports":         strconv.Itoa(o.Port),
		"keep_environment":          "",
		"host_lookup":               "",
		"dns_dnssec_ok":             "0",
		"acl_smtp_rcpt":             "accept",
		"acl_smtp_data":             "accept",
		"log_selector":              "+tls_cipher +tls_certificate_verified +tls_peerdn +smtp_protocol_error +smtp_confirmation +received_recipients -queue_run -skip_delivery",
		"dsn_advertise_hosts":       "*",
		"smtp_return_error_details": "true",
		// A gateway keeps many sessions open, and sends a whole corpus in each.
		"smtp_accept_max":                  "0",
		"smtp_accept_queue_per_connection": "0",
	}
	transport := map[string]string{
		"interface":                 o.Host,
		"allow_localhost":           "true",
		"hosts_try_dane":            "",
		"hosts_try_fastopen":        "",
		"hosts_pipe_connect":        "",
		"tls_verify_cert_hostnames": "",
	}
	maps.Copy(main, o.Main)
	maps.Copy(transport, o.Transport)
	var b strings.Builder
	writeSettings(&b, "", main)
	b.WriteString("begin acl\nbegin routers\n")
	for i, domain := range slices.Sorted(maps.Keys(o.NextHops)) {
		host, port := splitAddress(e.t, o.NextHops[domain])
		fmt.Fprintf(&b, "relay%d:\n  driver = manualroute\n  domains = %s\n  transport = remote\n  self = send\n  route_list = * %s::%d byname\n", i, domain, host, port)
	}
	b.WriteString("begin transports\nremote:\n  driver = smtp\n")
	writeSettings(&b, "  ", transport)
	b.WriteString("begin retry\n* * F,1h,1s\n")
	return b.String()
}

func writeSettings(b *strings.Builder, indent string, settings map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(b, "%s%s = %s\n", indent, k, settings[k])
	}
}
