//go:build interop

package interop

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

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

// TestHandOffToDovecot has the gateway hand mail off by LMTP, where each
// recipient has a reply of its own to the content:
//
//	woodgrovebank.com, mutual TLS  --.
//	                                  >  mailpact 127.20.0.1  --LMTP-->  Dovecot 127.20.0.4
//	stranger1.example 127.20.1.1  <--'        reports               by TCP, or by a Unix socket
func TestHandOffToDovecot(t *testing.T) {
	testkit.RequireDovecot(t)
	dovecot := testkit.StartDovecot(t, testkit.DovecotOptions{
		Host: dovecotHost, Full: []string{"full@contoso.com"},
		Users: []string{"bob@contoso.com", "carol@contoso.com", "tcp@contoso.com", "unix@contoso.com"},
	})
	for _, tt := range []struct{ name, handOff, later string }{
		{"TCP", "lmtp://" + dovecot.Addr, "tcp"},
		{"Unix socket", "lmtp+unix://" + dovecot.Socket, "unix"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := foundTownWith(t, tt.handOff)
			domain, host := stranger(1)
			reports := testkit.StartSinkAt(t, testkit.HostPort(host, w.port))
			alice, dora, partner := "alice-"+tt.later+"@"+domain, "dora-"+tt.later+"@"+domain, "alice-"+tt.later+"@woodgrovebank.com"
			arrive := func(user, from string) (found string) {
				t.Helper()
				testkit.Eventually(t, 30*time.Second, fmt.Sprintf("a message from %s reaches %s", from, user), func() bool {
					for _, m := range dovecot.Mailbox(user) {
						if strings.HasPrefix(m, "Return-Path: <"+from+">\r\n") {
							found = m
						}
					}
					return found != ""
				})
				return found
			}

			// A stranger writes to five, of whom two can be served, and one later.
			later := tt.later + "@contoso.com"
			dovecot.Break(later)
			d, _ := testkit.Dial(t, w.contoso(), "")
			d.Say("EHLO mail1.%s", domain)
			d.Say("MAIL FROM:<%s>", alice)
			for _, to := range []string{"bob", "nobody", tt.later, "full", "carol"} {
				if r := d.Say("RCPT TO:<%s@contoso.com>", to); !strings.HasPrefix(r, "250") {
					t.Fatalf("RCPT: %s", r)
				}
			}
			d.Say("DATA")
			content := "From: " + alice + "\r\nSubject: to five\r\nMessage-ID: <5@x.example>\r\n\r\n" + strings.Repeat("..dots\r\n", 20_000)
			d.Write([]byte(content + ".\r\n"))
			if r := d.Reply(); !strings.HasPrefix(r, "250") {
				t.Fatalf("end of data: %s", r)
			}
			for _, user := range []string{"bob@contoso.com", "carol@contoso.com"} {
				m := arrive(user, alice)
				if !strings.HasSuffix(m, strings.ReplaceAll(content, "\r\n..", "\r\n.")) {
					t.Errorf("the message of %s was changed:\n%.1000s", user, m)
				}
				if !strings.Contains(m, "with LMTP") {
					t.Errorf("%s: it did not come by LMTP:\n%.1000s", user, m)
				}
			}
			testkit.Eventually(t, 30*time.Second, "the sender learns of those who cannot be served", func() bool {
				text := ""
				for _, m := range reports.Messages() {
					text += unfolded(string(m.Data)) // Dovecot's texts are long
				}
				return strings.Contains(text, "Final-Recipient: rfc822; nobody@contoso.com") && strings.Contains(text, "550 5.1.1") &&
					strings.Contains(text, "Final-Recipient: rfc822; full@contoso.com") && strings.Contains(text, "552 5.2.2")
			})
			for _, m := range reports.Messages() {
				for _, user := range []string{"bob", "carol", tt.later} {
					if strings.Contains(string(m.Data), "Final-Recipient: rfc822; "+user+"@") {
						t.Errorf("%s is reported:\n%s", user, m.Data)
					}
				}
			}

			dovecot.Mend(later)
			arrive(later, alice)

			// Who wants to know learns that it lies in the mailbox.
			w.say(w.contoso(), "MAIL FROM:<"+dora+"> ENVID=QQ141421", "RCPT TO:<carol@contoso.com> NOTIFY=SUCCESS", "DATA", "Subject: tell me\r\n\r\n.")
			arrive("carol@contoso.com", dora)
			if m := w.waitReport(reports, "QQ141421"); !strings.Contains(m, "Final-Recipient: rfc822; carol@contoso.com\r\nAction: delivered\r\n") {
				t.Errorf("the report does not say delivered:\n%s", m)
			}

			// The mark reaches the mailbox.
			cert, key := w.woodgroveLeaf(townOptions{})
			d, _ = testkit.Dial(t, w.contoso(), "")
			d.Say("EHLO mail1.woodgrovebank.com")
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			d.StartTLS(&tls.Config{Certificates: []tls.Certificate{pair}})
			if r := d.Send(partner, "bob@contoso.com", []byte(fmt.Sprintf(note, "woodgrovebank.com", "contoso.com", "woodgrovebank.com"))); !strings.HasPrefix(r, "250") {
				t.Fatalf("end of data: %s", r)
			}
			if m := arrive("bob@contoso.com", partner); !strings.Contains(m, "Mailpact-Domain-Secured: domain=woodgrovebank.com;") {
				t.Errorf("the mark is missing:\n%s", m)
			}
		})
	}
	// Nobody has anything twice.
	want := map[string]int{"bob@contoso.com": 4, "carol@contoso.com": 4, "full@contoso.com": 0, "tcp@contoso.com": 1, "unix@contoso.com": 1}
	for user, n := range want {
		if got := len(dovecot.Mailbox(user)); got != n {
			t.Errorf("%s has %d messages, want %d", user, got, n)
		}
	}
}
