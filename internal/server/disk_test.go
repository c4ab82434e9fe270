package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailpact/internal/admin"
	"mailpact/internal/smtp/smtptest"
)

// TestFullDisk fills the disk below a running server: mail is put off, what was
// accepted is delivered and forgotten, and health says why.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	data := t.TempDir()
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=260m"); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, 0); err != nil {
			t.Error("unmounting:", err)
		}
	})
	hub := smtptest.Listen(t,
		smtptest.Script{smtptest.Serve(smtptest.Table{Replies: map[string]string{"greeting": "421 4.3.2 Later"}})},
		smtptest.Script{smtptest.Serve(smtptest.Table{})})
	c := configuration(t, data, withHTTP(t), handsOff("contoso.com", hub.Addr))
	c.Queue.GlitchRetryInterval = time.Hour
	g := start(t, c)
	g.send("alice@fabrikam.com", "bob@contoso.com", "one")
	ballast := filepath.Join(data, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 100<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func() bool {
		s := g.dial()
		s.Expect("MAIL FROM:<alice@fabrikam.com>", "250")
		s.Expect("RCPT TO:<bob@contoso.com>", "250")
		s.Expect("DATA", "354")
		reply := s.Say("%s.", letter("alice@fabrikam.com", "two"))
		s.Expect("QUIT", "221")
		s.Close()
		return strings.HasPrefix(reply, "452 4.3.1 ")
	}
	eventually(t, "a message is put off", refused)
	code, h := askHealth(t, c)
	if code != http.StatusServiceUnavailable || !slices.ContainsFunc(h.Findings, func(f admin.Finding) bool { return strings.HasPrefix(f.Object, "disk of ") }) {
		t.Errorf("code %d, findings %+v", code, h.Findings)
	}
	rows := func() []admin.QueueRow { return call[admin.QueueListResponse](g, "queue.list", nil).Queues }
	eventually(t, "the first attempt has failed", func() bool { return !rows()[0].NextRetryTime.IsZero() })
	call[admin.QueueRetryResponse](g, "queue.retry", admin.QueueRetryRequest{Identity: rows()[0].Identity})
	eventually(t, "the message is forgotten", func() bool { return rows()[0].MessageCount == 0 })
	arrived(t, hub, "Subject: one")
	before := measured(t)
	for range 20 {
		refused()
	}
	leavesNothing(t, before)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "mail is taken again", func() bool { return !refused() })
	eventually(t, "health is good again", func() bool { code, _ := askHealth(t, c); return code == http.StatusOK })
}
