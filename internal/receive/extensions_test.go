package receive

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// accepted sends an envelope and a message by BDAT and returns what the queue has.
func (p *peer) accepted(t *testing.T, w *world, envelope, content string) storedMessage {
	t.Helper()
	for line := range strings.SplitSeq(envelope, "\n") {
		if got := p.do(line); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("%s: %s", line, got)
		}
	}
	p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
	if got := p.read(); !strings.HasPrefix(got, "250 2.6.0 ") {
		t.Fatalf("BDAT: %s", got)
	}
	return w.queue.only(t)
}

// What was said in MAIL and RCPT goes with the message into the queue.
func TestParametersReachTheQueue(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	m := p.accepted(t, w, "MAIL FROM:<a@stranger.example> BODY=BINARYMIME RET=FULL ENVID=x+2By\n"+
		"RCPT TO:<one@contoso.com>\nRCPT TO:<two@contoso.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Two@contoso.com\n"+
		"RCPT TO:<two@contoso.com> NOTIFY=NEVER\nRCPT TO:<three@contoso.com>", "MIME-Version: 1.0\r\n\r\n\n\r\x00")
	if m.Body != smtp.BodyBinaryMIME || m.Return != smtp.ReturnFull || m.EnvelopeID != "x+2By" || m.UTF8 {
		t.Errorf("message %+v", m.Message)
	}
	want := []smtp.RecipientParameters{{}, {Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalRecipient: "rfc822;Two@contoso.com"}, {}}
	if diff := cmp.Diff(want, m.RecipientParameters); diff != "" || len(m.Recipients) != 3 {
		t.Errorf("recipients %v (-want +got):\n%s", m.Recipients, diff)
	}
	if !strings.HasSuffix(m.Content, "MIME-Version: 1.0\r\n\r\n\n\r\x00") {
		t.Errorf("content %q", m.Content)
	}
}

// A message without parameters carries none.
func TestNoParameters(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	m := p.accepted(t, w, "MAIL FROM:<a@stranger.example>\nRCPT TO:<one@contoso.com>\nRCPT TO:<two@contoso.com>", "Subject: x\r\n\r\n")
	if m.RecipientParameters != nil {
		t.Errorf("parameters %v", m.RecipientParameters)
	}
}

// SMTPUTF8 stays with a message only if its envelope or header needs it, and
// the trace says that it was said.
func TestSMTPUTF8(t *testing.T) {
	const (
		ascii = "From: a@stranger.example\r\n\r\n\u00fc in the body\r\n"
		utf8  = "From: a@stranger.example\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nx\r\n"
	)
	tests := []struct {
		name, envelope, content string
		want                    bool
		with                    string
	}{
		{"ASCII", "MAIL FROM:<a@stranger.example> SMTPUTF8\nRCPT TO:<b@contoso.com>", ascii, false, "UTF8SMTP"},
		{"sender", "MAIL FROM:<\u00e4@stranger.example> SMTPUTF8\nRCPT TO:<b@contoso.com>", ascii, true, "UTF8SMTP"},
		{"sender's domain", "MAIL FROM:<a@b\u00fccher.example> SMTPUTF8\nRCPT TO:<b@contoso.com>", ascii, false, "UTF8SMTP"},
		{"recipient", "MAIL FROM:<a@stranger.example> SMTPUTF8\nRCPT TO:<b@contoso.com>\nRCPT TO:<\u00f6@contoso.com>", ascii, true, "UTF8SMTP"},
		{"header", "MAIL FROM:<a@stranger.example> SMTPUTF8\nRCPT TO:<b@contoso.com>", utf8, true, "UTF8SMTP"},
		{"header, not said", "MAIL FROM:<a@stranger.example>\nRCPT TO:<b@contoso.com>", utf8, false, "ESMTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial()
			p.hello()
			m := p.accepted(t, w, tt.envelope, tt.content)
			if m.UTF8 != tt.want || !regexp.MustCompile(`^Received: [^;]*\swith\s+`+tt.with+`\s`).MatchString(m.Content) {
				t.Errorf("SMTPUTF8 %v, content\n%s", m.UTF8, m.Content)
			}
		})
	}
}

// A connector offers what its switches say.
func TestExtensionsOfAConnector(t *testing.T) {
	w := newWorld(t, connectorWith(func(rc *directory.ReceiveConnector) {
		rc.Withheld = smtp.KeywordCHUNKING | smtp.KeywordDSN
		rc.SizeWithoutValue = true
	}))
	got := w.dial().hello()
	for _, k := range []string{"CHUNKING", "BINARYMIME", "DSN", "SIZE 1"} {
		if strings.Contains(got, k) {
			t.Errorf("%s is offered:\n%s", k, got)
		}
	}
	for _, k := range []string{"SIZE", "SMTPUTF8", "8BITMIME", "PIPELINING"} {
		if !strings.Contains(got, k) {
			t.Errorf("%s is not offered:\n%s", k, got)
		}
	}
}
