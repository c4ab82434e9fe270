package send_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
)

func mustAddr(t *testing.T, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestFarSideMisbehaves has one row for each way. The first host misbehaves,
// the second is good; next says whether the message goes there.
func TestFarSideMisbehaves(t *testing.T) {
	const wrapped = `451 4.4.0 Primary target IP address responded with: "`
	tests := []struct {
		name   string
		manner manner
		next   bool
		want   queue.Disposition // when there is no second host
		last   string            // how LastError begins then
	}{
		{"greeting 4yz", manner{greeting: "421 4.3.2 not now"}, true, queue.Deferred, wrapped + `421 4.3.2 not now"`},
		{"greeting 5yz", manner{greeting: "554 5.7.1 go away"}, true, queue.Deferred, wrapped + `554 5.7.1 go away"`},
		{"greeting nonsense", manner{greeting: "hello there"}, true, queue.Deferred, wrapped + "421 4.4.2 Connection dropped"},
		{"EHLO 4yz", manner{ehlo: "450 4.3.2 not now"}, true, queue.Deferred, wrapped + "450 4.3.2 not now"},
		{"EHLO and HELO 5yz", manner{ehlo: "550 5.7.1 no", replies: map[string]string{"HELO": "550 5.7.1 no"}}, true, queue.Deferred, wrapped + "550 5.7.1 no"},
		{"closes at EHLO", manner{closeAt: "EHLO"}, true, queue.Deferred, wrapped + "421 4.4.2 Connection dropped"},
		{"closes at MAIL", manner{closeAt: "MAIL"}, true, queue.Deferred, wrapped + "421 4.4.2 Connection dropped"},
		{"421 to MAIL", manner{replies: map[string]string{"MAIL": "421 4.3.2 closing"}}, true, queue.Deferred, wrapped + "421 4.3.2 closing"},
		{"MAIL 4yz", manner{replies: map[string]string{"MAIL": "451 4.7.1 greylisted"}}, false, queue.Deferred, "451 4.7.1 greylisted"},
		{"MAIL 5yz", manner{replies: map[string]string{"MAIL": "550 5.7.1 not you"}}, false, queue.Failed, "550 5.7.1 not you"},
		{"RCPT 4yz", manner{replies: map[string]string{"RCPT": "450 4.2.1 busy"}}, false, queue.Deferred, "450 4.2.1 busy"},
		{"RCPT 5yz", manner{replies: map[string]string{"RCPT": "550 5.1.1 nobody"}}, false, queue.Failed, "550 5.1.1 nobody"},
		{"DATA 4yz", manner{replies: map[string]string{"DATA": "451 4.3.0 no space"}}, false, queue.Deferred, "451 4.3.0 no space"},
		{"DATA 5yz", manner{replies: map[string]string{"DATA": "554 5.3.0 no"}}, false, queue.Failed, "554 5.3.0 no"},
		{"end of data 4yz", manner{replies: map[string]string{"EOD": "452 4.3.1 disk full"}}, false, queue.Deferred, "452 4.3.1 disk full"},
		{"end of data 5yz", manner{replies: map[string]string{"EOD": "554 5.7.1 spam"}}, false, queue.Failed, "554 5.7.1 spam"},
		{"closes at the end of data", manner{closeAt: "EOD"}, false, queue.Deferred, "421 4.4.2 Connection dropped"},
		{"too large", manner{keywords: []string{"SIZE 20"}}, false, queue.Failed, "552 5.3.4 "},
	}
	for _, tt := range tests {
		// With CHUNKING the message leaves with its envelope.
		chunking := tt
		chunking.name += ", CHUNKING"
		chunking.manner.keywords = append([]string{"CHUNKING"}, tt.manner.keywords...)
		if _, ok := tt.manner.replies["DATA"]; !ok {
			tests = append(tests, chunking)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			bad, good := newPeer(t, tt.manner), newPeer(t, manner{})
			w.at(stranger, bad.host("mail1.unlisted.example", 10))
			got := w.deliver("x@unlisted.example")
			if got[0].Disposition != tt.want || !strings.HasPrefix(got[0].LastError, tt.last) {
				t.Errorf("alone: %s", show(got))
			}
			if !strings.HasPrefix(got[0].RemoteHost, "mail1.unlisted.example [127.0.0.1]:") {
				t.Errorf("remote host %q", got[0].RemoteHost)
			}
			w.at(stranger, bad.host("mail1.unlisted.example", 10), good.host("mail2.unlisted.example", 20))
			got = w.deliver("x@unlisted.example")
			if delivered := got[0].Disposition == queue.Delivered; delivered != tt.next || len(good.received()) > 0 != tt.next {
				t.Errorf("with a second host: %s", show(got))
			}
		})
	}
}

func TestUnreachableHost(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{})
	gone := newPeer(t, manner{})
	host := gone.host("gone.example", 10)
	_ = gone.listener.Close()
	w.at(stranger, host)
	got := w.deliver("x@unlisted.example")
	if got[0].Disposition != queue.Deferred || !strings.Contains(got[0].LastError, `"421 4.2.1 Unable to connect"`) {
		t.Errorf("alone: %s", show(got))
	}
	// A further address of the same host, then a further host.
	host.Addrs = append(host.Addrs, p.host("", 0).Addrs...)
	w.at(stranger, host)
	if got := w.deliver("x@unlisted.example"); got[0].Disposition != queue.Delivered {
		t.Errorf("second address: %s", show(got))
	}
}

func TestRoutingErrors(t *testing.T) {
	w := newWorld(t, worldOptions{})
	tests := []struct {
		reply smtp.Reply
		want  queue.Disposition
	}{
		{smtp.NewReply(556, smtp.EnhancedCode{5, 1, 10}, "null MX"), queue.Failed},
		{smtp.NewReply(554, smtp.EnhancedCode{5, 4, 6}, "loop"), queue.Failed},
		{smtp.NewReply(451, smtp.EnhancedCode{4, 4, 3}, "DNS"), queue.Deferred},
	}
	for _, tt := range tests {
		w.router.errs[string(stranger)] = fmt.Errorf("wrapped: %w", &routing.Error{Reply: tt.reply})
		got := w.deliver("x@unlisted.example")
		if got[0].Disposition != tt.want || got[0].Reply.String() != tt.reply.String() {
			t.Errorf("%s: %s", tt.reply, show(got))
		}
	}
}

func TestOutcomePerRecipient(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{replies: map[string]string{
		"RCPT TO:<no@unlisted.example>":    "550 5.1.1 nobody",
		"RCPT TO:<later@unlisted.example>": "452 4.2.2 full",
	}})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	got := w.deliver("no@unlisted.example", "yes@unlisted.example", "x@[192.0.2.1]", "later@unlisted.example", "z@elsewhere.example")
	want := []queue.Disposition{queue.Failed, queue.Delivered, queue.Failed, queue.Deferred, queue.Failed}
	for i, o := range got {
		if o.Disposition != want[i] {
			t.Errorf("recipient %d: %s", i, show(got[i:i+1]))
		}
	}
	if m := p.received(); len(m) != 1 || len(m[0].to) != 1 {
		t.Errorf("received %+v", m)
	}
}

func TestBodyAndSizeAreDeclared(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{keywords: []string{"SIZE 1000000"}})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	d := w.delivery("x@unlisted.example")
	d.Message.Body = smtp.Body8BitMIME
	w.sender.Deliver(t.Context(), d)
	want := fmt.Sprintf("MAIL FROM:<a@contoso.com> SIZE=%d BODY=8BITMIME", len(body))
	if m := p.received(); len(m) != 1 || m[0].from != want {
		t.Errorf("received %+v, want %q", m, want)
	}
}

func TestConnectorSizeLimit(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].MaxMessageSize = 10 }})
	got := w.deliver("x@unlisted.example")
	if got[0].Disposition != queue.Failed || got[0].Reply.Code != 552 {
		t.Errorf("outcome %s", show(got))
	}
}

func TestContentThatCannotBeRead(t *testing.T) {
	fault := errors.New("disk")
	opens := map[string]func(context.Context) (io.ReadCloser, error){
		"open": func(context.Context) (io.ReadCloser, error) { return nil, fault },
		"read": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("Subject: x\r\n\r\nhalf"), failing{fault})), nil
		},
	}
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			p := newPeer(t, manner{})
			w.at(stranger, p.host("mail.unlisted.example", 10))
			d := w.delivery("x@unlisted.example")
			d.Open = open
			got := w.sender.Deliver(t.Context(), d)
			if got[0].Disposition != queue.Deferred || !strings.Contains(got[0].LastError, "disk") || len(p.received()) != 0 {
				t.Errorf("outcome %s, %d messages", show(got), len(p.received()))
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestCancelledDeliveryDefers(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := w.sender.Deliver(ctx, w.delivery("x@unlisted.example", "x@woodgrovebank.com"))
	for _, o := range got {
		if o.Disposition != queue.Deferred {
			t.Errorf("outcome %s", show(got))
		}
	}
	if len(p.received()) != 0 {
		t.Error("a message was sent")
	}
}
