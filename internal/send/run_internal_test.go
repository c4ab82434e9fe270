package send

import (
	"testing"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// The queue shares one retry among all messages of a destination that cannot be
// used; it learns from ConnectionFailed that this is the case.
func TestDeferAllSaysThatTheConnectionFailed(t *testing.T) {
	r := deferAll(job{recipients: make([]smtp.ForwardPath, 2)}, &failure{reply: smtp.NewReply(421, smtp.EnhancedCode{4, 4, 1}, "Connection timed out"), remote: "mail.example [192.0.2.1]:25"})
	for i, o := range r.outcomes {
		if o.Disposition != queue.Deferred || !o.ConnectionFailed {
			t.Errorf("recipient %d: %+v, want deferred for the connection", i, o)
		}
	}
	if len(r.outcomes) != 2 {
		t.Errorf("%d outcomes for 2 recipients", len(r.outcomes))
	}
}
