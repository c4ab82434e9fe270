package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PostfixOptions say what a Postfix instance is to be.
type PostfixOptions struct {
	Host     string // loopback address to listen on and to send from
	Port     int
	Hostname string
	// Domains are accepted and relayed to NextHops[domain], "[host]:port".
	NextHops map[string]string
	// Settings are appended to main.cf.
	Settings map[string]string
}

// Postfix is a running Postfix with a configuration and a queue of its own.
type Postfix struct {
	t   testing.TB
	dir string
}

// RequirePostfix ends the test when Postfix cannot be run here: it fails with
// CI=true and skips otherwise.
func RequirePostfix(t testing.TB) {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("postfix"); err != nil {
		missing = "Postfix is not installed (sudo scripts/peers)"
	} else if os.Geteuid() != 0 {
		missing = "Postfix needs root"
	}
	unavailable(t, missing)
}

// StartPostfix starts an instance that ends with the test.
func StartPostfix(t testing.TB, o PostfixOptions) *Postfix {
	t.Helper()
	RequirePostfix(t)
	p := &Postfix{t: t, dir: peerDirectory(t, "postfix")}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of Postfix:\n%s", p.Log())
		}
	})
	uid, gid := userID(t, "postfix")
	makeOwned(t, filepath.Join(p.dir, "data"), uid, gid)
	for _, d := range []string{"etc", "spool"} {
		makeOwned(t, filepath.Join(p.dir, d), 0, 0)
	}
	writeAll(t, filepath.Join(p.dir, "etc", "main.cf"), p.mainCF(o))
	writeAll(t, filepath.Join(p.dir, "etc", "master.cf"), masterCF(o))
	if out, err := p.run("start"); err != nil {
		t.Fatalf("postfix start: %v\n%s", err, out)
	}
	return p
}

func (p *Postfix) run(verb string) (string, error) {
	out, err := exec.Command("postfix", "-c", filepath.Join(p.dir, "etc"), verb).CombinedOutput()
	return string(out), err
}

// stop ends the master, and that its services. `postfix stop` would do the
// same and count in whole seconds.
func (p *Postfix) stop() {
	text, err := os.ReadFile(filepath.Join(p.dir, "spool", "pid", "master.pid"))
	if err != nil {
		return // it never ran
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		p.t.Errorf("reading Postfix's process id: %v", err)
		return
	}
	for range 500 {
		if syscall.Kill(pid, syscall.SIGTERM) != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Errorf("Postfix's master %d did not end", pid)
	_, _ = p.run("stop") // with force, in the end; its log says why if that fails
}

// Log returns the instance's mail log.
func (p *Postfix) Log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "maillog"))
	return string(b)
}

// WaitLog waits until the log holds text.
func (p *Postfix) WaitLog(text string, within time.Duration) {
	p.t.Helper()
	Eventually(p.t, within, "Postfix logs "+strconv.Quote(text), func() bool { return strings.Contains(p.Log(), text) })
}

// Flush makes Postfix try its deferred mail now.
func (p *Postfix) Flush() { _, _ = p.run("flush") }

func (p *Postfix) mainCF(o PostfixOptions) string {
	var transports, domains []string
	for d, hop := range o.NextHops {
		transports = append(transports, "{"+d+"=smtp:"+hop+"}")
		domains = append(domains, d)
	}
	settings := map[string]string{
		"compatibility_level":      "3.6",
		"queue_directory":          filepath.Join(p.dir, "spool"),
		"data_directory":           filepath.Join(p.dir, "data"),
		"maillog_file":             filepath.Join(p.dir, "maillog"),
		"maillog_file_prefixes":    "/tmp",
		"myhostname":               o.Hostname,
		"mydestination":            "",
		"mynetworks":               "127.0.0.0/8",
		"inet_interfaces":          "all",
		"inet_protocols":           "ipv4",
		"alias_maps":               "",
		"alias_database":           "",
		"local_recipient_maps":     "",
		"relay_domains":            strings.Join(domains, ", "),
		"transport_maps":           "inline:{" + strings.Join(transports, ", ") + "}",
		"smtp_bind_address":        o.Host,
		"smtp_host_lookup":         "native",
		"disable_dns_lookups":      "yes",
		"smtputf8_enable":          "no",
		"smtpd_peername_lookup":    "no",
		"smtpd_relay_restrictions": "permit_mynetworks, reject",
		"minimal_backoff_time":     "5s",
		"queue_run_delay":          "5s",
		"smtp_tls_loglevel":        "1",
		"smtpd_tls_loglevel":       "1",
	}
	for k, v := range o.Settings {
		settings[k] = v
	}
	var b strings.Builder
	for k, v := range settings {
		fmt.Fprintf(&b, "%s = %s\n", k, v)
	}
	return b.String()
}

func masterCF(o PostfixOptions) string {
	return fmt.Sprintf(`%s:%d inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`, o.Host, o.Port)
}
