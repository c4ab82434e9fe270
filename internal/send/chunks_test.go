package send_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

func TestChunkingPeerGetsBDAT(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{keywords: []string{"CHUNKING"}})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	for range 2 {
		if got := w.deliver("x@unlisted.example"); got[0].Disposition != queue.Delivered {
			t.Fatal(show(got))
		}
	}
	if said := p.said(); said != "EHLO MAIL RCPT BDAT MAIL RCPT BDAT" {
		t.Errorf("we said %s", said)
	}
	const want = "From: <a@contoso.com>\r\nSubject: test\r\n\r\nHello\r\n.dot\r\n"
	for _, m := range p.received() {
		if m.data != want {
			t.Errorf("sent %q", m.data)
		}
	}
}

// A host that closes an idle session while a message is on its way in one write
// says nothing about the message, which goes over another session.
func TestIdleSessionThatAChunkingHostClosed(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{keywords: []string{"CHUNKING"}})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("x@unlisted.example")
	p.dropIdle()
	if got := w.deliver("x@unlisted.example"); got[0].Disposition != queue.Delivered || len(p.received()) != 2 {
		t.Errorf("outcome %s", show(got))
	}
}

// Content that cannot be read to its end is not sent at all.
func TestChunksOfContentThatCannotBeRead(t *testing.T) {
	for _, fault := range []error{errors.New("disk"), io.ErrUnexpectedEOF} {
		w := newWorld(t, worldOptions{})
		p := newPeer(t, manner{keywords: []string{"CHUNKING"}})
		w.at(stranger, p.host("mail.unlisted.example", 10))
		d := w.delivery("x@unlisted.example")
		d.Open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("Subject: x\r\n\r\nhalf"), failing{fault})), nil
		}
		got := w.sender.Deliver(t.Context(), d)
		if got[0].Disposition != queue.Deferred || !strings.Contains(got[0].LastError, fault.Error()) || len(p.received()) != 0 {
			t.Errorf("outcome %s, %d messages", show(got), len(p.received()))
		}
	}
}

// A BINARYMIME message leaves as it is or not at all.
func TestBinaryMessage(t *testing.T) {
	const binary = "MIME-Version: 1.0\r\n\r\n\n\r\x00.\r\n"
	tests := []struct {
		name     string
		keywords []string
		want     queue.Disposition
		reply    string
	}{
		{"offered", []string{"CHUNKING", "BINARYMIME"}, queue.Delivered, "250"},
		{"not offered", nil, queue.Failed, "554 5.6.3"},
		{"CHUNKING alone", []string{"CHUNKING"}, queue.Failed, "554 5.6.3"},
		{"BINARYMIME alone", []string{"BINARYMIME"}, queue.Failed, "554 5.6.3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			p := newPeer(t, manner{keywords: tt.keywords})
			w.at(stranger, p.host("mail.unlisted.example", 10))
			d := w.delivery("x@unlisted.example")
			d.Message.Body = smtp.BodyBinaryMIME
			d.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(binary)), nil }
			got := w.sender.Deliver(t.Context(), d)
			if got[0].Disposition != tt.want || !strings.HasPrefix(got[0].Reply.String(), tt.reply) {
				t.Errorf("outcome %s", show(got))
			}
			if m := p.received(); tt.want == queue.Delivered && (len(m) != 1 || m[0].data != binary || !strings.HasSuffix(m[0].from, " BODY=BINARYMIME")) {
				t.Errorf("received %+v", m)
			}
			// The session serves the next message.
			d = w.delivery("x@unlisted.example")
			if got := w.sender.Deliver(t.Context(), d); got[0].Disposition != queue.Delivered || p.sessionCount() != 1 {
				t.Errorf("next: %s, %d sessions", show(got), p.sessionCount())
			}
		})
	}
}
