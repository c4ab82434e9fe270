package server_test

import (
	"crypto/tls"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
)

// TestAccountsFollowTheirFile: an account submits, a reload takes it away, and a
// file with a fault leaves everything as it was.
func TestAccountsFollowTheirFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := func(name, password string) string {
		t.Helper()
		l, err := admin.AccountLine(name, password)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	alice := line("alice", "secret")
	write(alice)
	users := func(c *directory.Configuration) {
		c.Server.AccountsFile = file
		c.ReceiveConnectors[0].AuthMechanism = []directory.AuthMechanism{directory.AuthTLS, directory.AuthBasic, directory.AuthBasicRequireTLS}
		c.ReceiveConnectors[0].PermissionGroups = []directory.PermissionGroup{directory.GroupExchangeUsers}
		c.ReceiveConnectors[0].TarpitInterval = 0
	}
	inner := sink(t, nil)
	data := t.TempDir()
	g := start(t, configuration(t, data, handsOff("contoso.com", inner.Addr), users))
	logon := func(name, password, want string) {
		t.Helper()
		s := g.dial()
		defer s.Close()
		s.StartTLS(&tls.Config{InsecureSkipVerify: true})
		s.Expect("EHLO client.example", "250-")
		s.Expect("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password)), want)
		if want != "235" {
			s.Expect("MAIL FROM:<alice@contoso.com>", "530 5.7.1")
			return
		}
		s.Expect("MAIL FROM:<alice@contoso.com>", "250")
		s.Expect("RCPT TO:<bob@contoso.com>", "250")
		s.Expect("DATA", "354")
		s.Expect(letter("alice@contoso.com", "by an account")+".", "250 2.6.0")
		s.Expect("QUIT", "221")
	}
	logon("alice", "secret", "235")
	if m := arrived(t, inner, "by an account"); !strings.Contains(m, " with ESMTPSA") {
		t.Errorf("the trace field does not say ESMTPSA:\n%s", m)
	}
	logon("alice", "guess", "535 5.7.8")
	logon("carol", "secret", "535 5.7.8")
	write(line("carol", "secret"))
	again := func() error {
		return g.Reload(t.Context(), configuration(t, data, handsOff("contoso.com", inner.Addr), users))
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
	logon("alice", "secret", "535 5.7.8")
	logon("carol", "secret", "235")
	write(alice, "dave:secret")
	if err := again(); err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "secret") {
		t.Errorf("reloading a file with a fault: %v", err)
	}
	logon("carol", "secret", "235")
}
