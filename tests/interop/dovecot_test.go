//go:build interop

package interop

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/tests/testkit"
)

const dovecotHost = "127.20.0.4"

// TestDovecotByHand shows what Dovecot says by LMTP, a reply to the content for
// each recipient above all, so that a failure of ours can be told from one of its own:
//
//	test  --LMTP, by TCP to 127.20.0.4 or by a Unix socket-->  Dovecot  -->  mailboxes
func TestDovecotByHand(t *testing.T) {
	dovecot := testkit.StartDovecot(t, testkit.DovecotOptions{
		Host: dovecotHost, Users: []string{"bob@contoso.com", "carol@contoso.com"}, Full: []string{"full@contoso.com"},
	})
	content := "Subject: x\r\n\r\n" + strings.Repeat("..\r\n", 1000) + "."
	for _, addr := range []string{dovecot.Addr, dovecot.Socket} {
		d, greeting := testkit.Dial(t, addr, "")
		replies := []string{greeting[:3]}
		for _, line := range []string{
			"LHLO client.test", "MAIL FROM:<a@b.example>", "RCPT TO:<bob@contoso.com>", "RCPT TO:<nobody@contoso.com>",
			"RCPT TO:<full@contoso.com>", "RCPT TO:<carol@contoso.com>", "DATA", content,
		} {
			replies = append(replies, d.Say("%s", line)[:3])
		}
		full, carol := d.Reply(), d.Reply()
		replies = append(replies, full[:9], carol[:3], d.Say("QUIT")[:3])
		want := []string{"220", "250", "250", "250", "550", "250", "250", "354", "250", "552 5.2.2", "250", "221"}
		if diff := cmp.Diff(want, replies); diff != "" {
			t.Errorf("replies at %s (-want +got):\n%s", addr, diff)
		}
	}
	for user, want := range map[string]int{"bob@contoso.com": 2, "carol@contoso.com": 2, "full@contoso.com": 0} {
		got := dovecot.Mailbox(user)
		if len(got) != want {
			t.Errorf("%s has %d messages, want %d", user, len(got), want)
		}
		for _, m := range got {
			if !strings.HasSuffix(m, "\r\nSubject: x\r\n\r\n"+strings.Repeat(".\r\n", 1000)) {
				t.Errorf("the message of %s was changed:\n%.300q", user, m)
			}
		}
	}
}
