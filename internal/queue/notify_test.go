package queue_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// acceptFor queues a message for recipients with what they want to be told.
func (f *fixture) acceptFor(m *queue.Message, content string, to ...string) {
	f.t.Helper()
	c, err := f.queue.NewContent(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Discard()
	if _, err := io.WriteString(c, content); err != nil {
		f.t.Fatal(err)
	}
	if m.From == (smtp.ReversePath{}) {
		m.From.Mailbox = mailbox("a@a.example")
	}
	for _, a := range to {
		m.Recipients = append(m.Recipients, smtp.ForwardPath{Mailbox: mailbox(a)})
	}
	if err := f.queue.Accept(context.Background(), m, c); err != nil {
		f.t.Fatal(err)
	}
}

// told is what the sender was told, "kind recipient" in order of words.
func (f *fixture) told() []string {
	names := map[queue.ReportKind]string{
		queue.ReportFailed: "failed", queue.ReportDelayed: "delayed", queue.ReportRelayed: "relayed", queue.ReportDelivered: "delivered",
	}
	var out []string
	for _, r := range f.reporter.seen() {
		for _, to := range r.Recipients {
			out = append(out, fmt.Sprintf("%s %s %s", names[r.Kind], to.To.Mailbox.LocalPart, to.Parameters.Notify))
		}
	}
	slices.Sort(out)
	return out
}

// A recipient of each NOTIFY, by what becomes of the message (RFC 3461, section 5.2).
func TestNotify(t *testing.T) {
	const (
		success = smtp.NotifySuccess
		failure = smtp.NotifyFailure
		delay   = smtp.NotifyDelay
	)
	notify := []smtp.RecipientParameters{
		{}, {Notify: smtp.NotifyNever}, {Notify: success}, {Notify: failure}, {Notify: delay}, {Notify: success | failure | delay, OriginalRecipient: "rfc822;F@b.example"},
	}
	to := []string{"unset@b.example", "never@b.example", "success@b.example", "failure@b.example", "delay@b.example", "all@b.example"}
	delivered := func(x queue.Transfer) func(*queue.Delivery) []queue.Outcome {
		return func(d *queue.Delivery) []queue.Outcome {
			return all(d, queue.Outcome{Disposition: queue.Delivered, Transfer: x})
		}
	}
	tests := []struct {
		name   string
		answer func(*queue.Delivery) []queue.Outcome
		after  time.Duration
		want   []string
	}{
		{"relayed", delivered(queue.TransferRelayed), time.Second, []string{"relayed all SUCCESS,FAILURE,DELAY", "relayed success SUCCESS"}},
		{"delivered", delivered(queue.TransferFinal), time.Second, []string{"delivered all SUCCESS,FAILURE,DELAY", "delivered success SUCCESS"}},
		{"passed on", delivered(queue.TransferPassedOn), time.Second, nil},
		{"failed", refused, time.Second, []string{"failed all SUCCESS,FAILURE,DELAY", "failed failure FAILURE", "failed unset "}},
		{"delayed", later, 5 * time.Hour, []string{"delayed all SUCCESS,FAILURE,DELAY", "delayed delay DELAY", "delayed unset "}},
		{"expired", later, 49 * time.Hour, []string{
			"delayed all SUCCESS,FAILURE,DELAY", "delayed delay DELAY", "delayed unset ",
			"failed all SUCCESS,FAILURE,DELAY", "failed failure FAILURE", "failed unset ",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
					if d.Message.From.Null() {
						return all(d, queue.Outcome{Disposition: queue.Delivered})
					}
					return tt.answer(d)
				}))
				f.acceptFor(&queue.Message{RecipientParameters: notify}, "Subject: x\r\n\r\n", to...)
				time.Sleep(tt.after)
				if diff := cmp.Diff(tt.want, f.told()); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				for _, r := range f.reporter.seen() {
					if len(f.sink.seen()) < 2 {
						t.Errorf("the report of kind %d was not sent", r.Kind)
					}
				}
			})
		})
	}
}

// A delivery that failed for somebody who does not want to know is gone like any other.
func TestNeverNotified(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(refused))
		f.acceptFor(&queue.Message{RecipientParameters: []smtp.RecipientParameters{{Notify: smtp.NotifyNever}}}, "x", "b@b.example")
		time.Sleep(time.Second)
		if f.stored() != 0 || len(f.told()) != 0 {
			t.Errorf("%d messages left, told %q", f.stored(), f.told())
		}
	})
}

// The parameters survive a restart and follow their recipients through partial
// deliveries.
func TestNotifyAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			o := later(d)
			o[1] = queue.Outcome{Disposition: queue.Delivered}
			return o
		}))
		f.acceptFor(&queue.Message{
			EnvelopeID: "id+2B", Return: smtp.ReturnHeaders, UTF8: true,
			RecipientParameters: []smtp.RecipientParameters{{Notify: smtp.NotifySuccess}, {Notify: smtp.NotifyNever}, {Notify: smtp.NotifyFailure}},
		}, "Subject: x\r\n\r\n", "one@b.example", "two@b.example", "three@b.example")
		time.Sleep(time.Second)
		f.restart()
		f.sink.deliverNow()
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff([]string{"relayed one SUCCESS"}, f.told()); diff != "" {
			t.Fatal(diff)
		}
		m := f.reporter.seen()[0].Message
		if m.EnvelopeID != "id+2B" || m.Return != smtp.ReturnHeaders || !m.UTF8 {
			t.Errorf("message %+v", m)
		}
	})
}

// The whole message is given to a report of failure alone, and only where its
// sender has asked for it, it is small, and it was not domain-secured.
func TestReturnedContent(t *testing.T) {
	const content = "Subject: x\r\n\r\nbody\r\n"
	large := content + strings.Repeat("x", 64<<10)
	tests := []struct {
		name    string
		m       queue.Message
		content string
		whole   bool
	}{
		{"FULL", queue.Message{Return: smtp.ReturnFull}, content, true},
		{"HDRS", queue.Message{Return: smtp.ReturnHeaders}, content, false},
		{"unset", queue.Message{}, content, false},
		{"FULL, domain-secured", queue.Message{Return: smtp.ReturnFull, SecuredDomain: "a.example"}, content, false},
		{"FULL, binary", queue.Message{Return: smtp.ReturnFull, Body: smtp.BodyBinaryMIME}, content, false},
		{"FULL, large", queue.Message{Return: smtp.ReturnFull}, large, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
					if d.Message.From.Null() {
						return all(d, queue.Outcome{Disposition: queue.Delivered})
					}
					return refused(d)
				}))
				f.acceptFor(&tt.m, tt.content, "b@b.example")
				time.Sleep(time.Second)
				r := f.reporter.seen()
				if len(r) != 1 || string(r[0].Header) != "Subject: x\r\n" || (string(r[0].Content) == tt.content) != tt.whole || !tt.whole && r[0].Content != nil {
					t.Errorf("reports %+v", r)
				}
			})
		})
	}
}

// A report to an address beyond ASCII needs SMTPUTF8 on its way.
func TestReportNeedsSMTPUTF8(t *testing.T) {
	for _, from := range []string{"a@a.example", "\u00e4@a.example"} {
		bubble(t, func(t *testing.T) {
			reports := make(chan *queue.Message, 2)
			f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
				if d.Message.From.Null() {
					reports <- d.Message
					return all(d, queue.Outcome{Disposition: queue.Delivered})
				}
				return refused(d)
			}))
			f.acceptFor(&queue.Message{From: smtp.ReversePath{Mailbox: mailbox(from)}}, "x", "b@b.example")
			time.Sleep(time.Second)
			if m := <-reports; m.UTF8 != (from != "a@a.example") || m.Body != smtp.Body7Bit || len(reports) != 0 {
				t.Errorf("from %s: %+v", from, m)
			}
		})
	}
}
