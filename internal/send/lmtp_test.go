package send_test

import (
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
)

// A hand-off by LMTP has an outcome for each recipient, keeps our own fields, and
// goes on over the same session.
func TestHandOffByLMTP(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, keywords := range [][]string{nil, {"CHUNKING"}} {
			t.Run(network+" "+strings.Join(keywords, " "), func(t *testing.T) {
				address := "127.0.0.1:0"
				if network == "unix" {
					address = filepath.Join(t.TempDir(), "lmtp")
				}
				w := newWorld(t, worldOptions{})
				p := newPeerAt(t, network, address, manner{lmtp: true, keywords: keywords, tls: w.serverTLS(named("box.contoso.com")), replies: map[string]string{
					"RCPT TO:<nobody@contoso.com>":   "550 5.1.1 Who?",
					"EOD RCPT TO:<full@contoso.com>": "452 4.2.2 Full",
					"EOD RCPT TO:<gone@contoso.com>": "550 5.2.1 Gone",
				}})
				prefix := directory.HandOffLMTP
				if network == "unix" {
					prefix = directory.HandOffLMTPSocket
				}
				w.config.AcceptedDomains[0].HandOff = prefix + p.listener.Addr().String()
				for range 2 {
					got := w.deliver("a@contoso.com", "nobody@contoso.com", "full@contoso.com", "gone@contoso.com", "b@contoso.com")
					want := []queue.Disposition{queue.Delivered, queue.Failed, queue.Deferred, queue.Failed, queue.Delivered}
					for i, o := range got {
						if o.Disposition != want[i] || o.ConnectionFailed {
							t.Errorf("recipient %d: %s", i, show(got))
						}
					}
				}
				mails := p.received()
				if len(mails) != 2 || mails[0].data != body || mails[1].data != body {
					t.Errorf("received %+v", mails)
				}
				if said := p.said(); p.sessionCount() != 1 || strings.Contains(said, "EHLO") || strings.Contains(said, "STARTTLS") != (network == "tcp") {
					t.Errorf("%d sessions; we said %s", p.sessionCount(), said)
				}
			})
		}
	}
}

// A socket that is not there defers, whatever else is wrong.
func TestHandOffToNoSocket(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.config.AcceptedDomains[0].HandOff = directory.HandOffLMTPSocket + filepath.Join(t.TempDir(), "none")
	got := w.deliver("a@contoso.com")
	if got[0].Disposition != queue.Deferred || !got[0].ConnectionFailed || !strings.Contains(got[0].LastError, "none") {
		t.Errorf("outcome %s", show(got))
	}
}
