package send_test

import (
	"slices"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// Requests for reports go where they are taken, and elsewhere we are told to
// report ourselves (RFC 3461, section 5.2).
func TestDSNParameters(t *testing.T) {
	tests := []struct {
		name     string
		keywords []string
		lmtp     bool
		want     queue.Transfer
		mail     string
		rcpts    []string
	}{
		{"offered", []string{"DSN"}, false, queue.TransferPassedOn, " RET=HDRS ENVID=a+2Bb", []string{
			"RCPT TO:<one@contoso.com> NOTIFY=SUCCESS ORCPT=rfc822;One@contoso.com", "RCPT TO:<two@contoso.com>", "RCPT TO:<three@contoso.com> NOTIFY=NEVER",
		}},
		{"not offered", nil, false, queue.TransferRelayed, "", []string{"RCPT TO:<one@contoso.com>", "RCPT TO:<two@contoso.com>", "RCPT TO:<three@contoso.com>"}},
		{"by LMTP", nil, true, queue.TransferFinal, "", []string{"RCPT TO:<one@contoso.com>", "RCPT TO:<two@contoso.com>", "RCPT TO:<three@contoso.com>"}},
		{"by LMTP, offered", []string{"DSN"}, true, queue.TransferPassedOn, " RET=HDRS ENVID=a+2Bb", []string{
			"RCPT TO:<one@contoso.com> NOTIFY=SUCCESS ORCPT=rfc822;One@contoso.com", "RCPT TO:<two@contoso.com>", "RCPT TO:<three@contoso.com> NOTIFY=NEVER",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			p := newPeer(t, manner{keywords: tt.keywords, lmtp: tt.lmtp})
			w.config.AcceptedDomains[0].HandOff = p.listener.Addr().String()
			if tt.lmtp {
				w.config.AcceptedDomains[0].HandOff = directory.HandOffLMTP + p.listener.Addr().String()
			}
			d := w.delivery("one@contoso.com", "two@contoso.com", "three@contoso.com")
			m := d.Message
			m.Return, m.EnvelopeID = smtp.ReturnHeaders, "a+2Bb"
			m.Recipients = d.Recipients
			m.RecipientParameters = []smtp.RecipientParameters{
				{Notify: smtp.NotifySuccess, OriginalRecipient: "rfc822;One@contoso.com"}, {}, {Notify: smtp.NotifyNever},
			}
			for _, o := range w.sender.Deliver(t.Context(), d) {
				if o.Disposition != queue.Delivered || o.Transfer != tt.want {
					t.Errorf("transfer %d, want %d: %+v", o.Transfer, tt.want, o)
				}
			}
			got := p.received()
			if len(got) != 1 || !slices.Equal(got[0].to, tt.rcpts) || got[0].from != "MAIL FROM:<a@contoso.com>"+tt.mail {
				t.Errorf("received %+v", got)
			}
		})
	}
}

// What needs SMTPUTF8 goes nowhere else.
func TestUTF8Message(t *testing.T) {
	for _, offered := range []bool{false, true} {
		w := newWorld(t, worldOptions{})
		m := manner{}
		if offered {
			m.keywords = []string{"SMTPUTF8"}
		}
		p := newPeer(t, m)
		w.at(stranger, p.host("mail.unlisted.example", 10))
		d := w.delivery("x@unlisted.example")
		d.Message.UTF8 = true
		d.Recipients[0].Mailbox.LocalPart = "bj\u00f6rn"
		got := w.sender.Deliver(t.Context(), d)
		if offered {
			if mails := p.received(); len(mails) != 1 || mails[0].from != "MAIL FROM:<a@contoso.com> SMTPUTF8" || mails[0].to[0] != "RCPT TO:<bj\u00f6rn@unlisted.example>" {
				t.Errorf("received %+v, %s", mails, show(got))
			}
			continue
		}
		if got[0].Disposition != queue.Failed || !strings.HasPrefix(got[0].Reply.String(), "553 5.6.7 ") || len(p.received()) != 0 {
			t.Errorf("outcome %s", show(got))
		}
	}
}

// A mailbox that has answered has the message, even if the others never do.
func TestLMTPBreaksBetweenReplies(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{lmtp: true, replies: map[string]string{"EOD RCPT TO:<b@contoso.com>": "421 4.3.2 Bye"}})
	w.config.AcceptedDomains[0].HandOff = directory.HandOffLMTP + p.listener.Addr().String()
	got := w.deliver("a@contoso.com", "b@contoso.com", "c@contoso.com")
	if got[0].Disposition != queue.Delivered || got[1].Disposition != queue.Deferred || got[2].Disposition != queue.Deferred {
		t.Errorf("outcome %s", show(got))
	}
}
