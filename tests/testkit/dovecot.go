package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Dovecot is a running Dovecot that takes mail by LMTP into mailboxes of its own.
type Dovecot struct {
	t testing.TB
	// Addr and Socket are where it takes LMTP: "host:port" and a path.
	Addr, Socket string
	dir          string
	cmd          *exec.Cmd
	ended        chan struct{}
}

// DovecotOptions say what a Dovecot instance is to be.
type DovecotOptions struct {
	Host string // loopback address to listen on
	// Users are the addresses that have a mailbox. Full ones have one that
	// holds 1 KB at most.
	Users, Full []string
}

// RequireDovecot ends the test when Dovecot cannot be run here: it fails with
// CI=true and skips otherwise.
func RequireDovecot(t testing.TB) {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("dovecot"); err != nil {
		missing = "Dovecot is not installed (sudo scripts/peers)"
	} else if _, err := os.Stat("/usr/lib/dovecot/lmtp"); err != nil {
		missing = "Dovecot's LMTP server is not installed (sudo scripts/peers)"
	} else if os.Geteuid() != 0 {
		missing = "Dovecot needs root"
	}
	unavailable(t, missing)
}

// StartDovecot starts an instance that ends with the test.
func StartDovecot(t testing.TB, o DovecotOptions) *Dovecot {
	t.Helper()
	RequireDovecot(t)
	port := FreePort(t, o.Host)
	d := &Dovecot{t: t, dir: peerDirectory(t, "dovecot"), Addr: HostPort(o.Host, port)}
	d.Socket = filepath.Join(d.dir, "lmtp")
	uid, gid := userID(t, "mail")
	makeOwned(t, filepath.Join(d.dir, "mail"), uid, gid)
	var users strings.Builder
	line := func(user, more string) {
		fmt.Fprintf(&users, "%s::%d:%d::%s::%s\n", user, uid, gid, filepath.Join(d.dir, "mail", user), more)
	}
	for _, user := range o.Users {
		line(user, "")
	}
	for _, user := range o.Full {
		line(user, "userdb_quota_rule=*:bytes=1024")
	}
	writeAll(t, filepath.Join(d.dir, "users"), users.String())
	config := filepath.Join(d.dir, "dovecot.conf")
	writeAll(t, config, d.configuration(o.Host, port))

	// In the foreground, in a process group with what it starts.
	d.cmd = exec.Command("dovecot", "-F", "-c", config)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.Stderr = os.Stderr
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.ended = make(chan struct{})
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait() // how it ended stands in its log
	}()
	t.Cleanup(d.stop)
	Eventually(t, 10*time.Second, "Dovecot listens", func() bool {
		select {
		case <-d.ended:
			t.Fatalf("Dovecot ended at its start:\n%s", d.Log())
		default:
		}
		for network, addr := range map[string]string{"unix": d.Socket, "tcp": d.Addr} {
			c, err := net.Dial(network, addr)
			if err != nil {
				return false
			}
			c.Close()
		}
		return true
	})
	return d
}

func (d *Dovecot) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
		<-d.ended
	}
	if d.t.Failed() {
		d.t.Logf("log of Dovecot:\n%s", d.Log())
	}
}

// Log returns the instance's log.
func (d *Dovecot) Log() string {
	b, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return string(b)
}

// Break has deliveries to a user, who has no mail yet, fail for the time being.
func (d *Dovecot) Break(user string) {
	d.t.Helper()
	writeAll(d.t, filepath.Join(d.dir, "mail", user), "a file where a folder should be")
}

// Mend takes back what Break did.
func (d *Dovecot) Mend(user string) {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "mail", user)); err != nil {
		d.t.Fatal(err)
	}
}

// Mailbox returns the messages of a user's INBOX, with CRLF as they came and
// what the delivery has put above them.
func (d *Dovecot) Mailbox(user string) []string {
	d.t.Helper()
	var messages []string
	for _, sub := range []string{"new", "cur"} {
		files, err := filepath.Glob(filepath.Join(d.dir, "mail", user, "Maildir", sub, "*"))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				d.t.Fatal(err)
			}
			messages = append(messages, string(text))
		}
	}
	return messages
}

func (d *Dovecot) configuration(host string, port int) string {
	return fmt.Sprintf(`
base_dir = %[1]s/run
log_path = %[1]s/log
protocols = lmtp
listen = %[2]s
ssl = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_save_crlf = yes
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
service lmtp {
  inet_listener lmtp {
    address = %[2]s
    port = %[3]d
  }
  unix_listener %[4]s {
    mode = 0666
  }
}
`, d.dir, host, port, d.Socket)
}
