package receive

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// heldJudge does not answer before it is told to, or its context ends.
type heldJudge struct {
	judge
	began  chan smtp.Domain
	answer chan struct{}
	cut    chan struct{} // gets one for each judgement whose context has ended
}

func newHeldJudge() *heldJudge {
	return &heldJudge{began: make(chan smtp.Domain, 100), answer: make(chan struct{}), cut: make(chan struct{}, 100)}
}

func (j *heldJudge) Judge(ctx context.Context, r trust.Request) *domainsec.PeerFacts {
	j.began <- r.Domain
	select {
	case <-j.answer:
	case <-ctx.Done():
		j.cut <- struct{}{}
	}
	return j.judge.Judge(ctx, r)
}

func withJudge(j Judge) func(*directory.Configuration, *Options) {
	return func(_ *directory.Configuration, o *Options) { o.Judge = j }
}

func TestJudgingAheadDelaysNothing(t *testing.T) {
	j := newHeldJudge()
	w := newWorld(t, withJudge(j))
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com")) // EHLO is answered meanwhile
	if d := <-j.began; d != "woodgrovebank.com" {
		t.Errorf("%s is judged", d)
	}
	if got := p.do("MAIL FROM:<carol@stranger.example>"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("a stranger's mail: %q", got)
	}
	p.do("RSET")
	close(j.answer)
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	if m := w.queue.only(t); m.SecuredDomain != "woodgrovebank.com" {
		t.Errorf("secured for %q", m.SecuredDomain)
	}
}

func TestWhoIsJudgedAhead(t *testing.T) {
	tests := []struct {
		name   string
		change func(*directory.ReceiveConnector)
		names  []string
		want   string
	}{
		{"a partner", nil, []string{"mail.woodgrovebank.com"}, "woodgrovebank.com"},
		{"a partner of two names", nil, []string{"mail.woodgrovebank.com", "mx.fabrikam.com"}, "fabrikam.com woodgrovebank.com"},
		{"a stranger", nil, []string{"mail.stranger.example"}, ""},
		{"nobody", nil, nil, ""},
		{"a partner elsewhere", func(c *directory.ReceiveConnector) { c.DomainSecureEnabled = false }, []string{"mail.woodgrovebank.com"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
				if tt.change != nil {
					tt.change(c)
				}
			}))
			p := w.dial()
			if tt.names == nil {
				p.startTLS(nil)
			} else {
				p.startTLS(partnerCertificate(t, "", tt.names...))
			}
			p.want("QUIT", "221 2.0.0 Service closing transmission channel")
			_ = w.recorder.session(t)
			waitFor(t, func() bool { return len(w.server.early) == 0 })
			var got []string
			for _, d := range w.judge.domains() {
				got = append(got, string(d))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%q are judged, want %q", s, tt.want)
			}
		})
	}
}

// waitFor waits for something that another goroutine is about to do.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestJudgementsAheadAreBounded(t *testing.T) {
	j := newHeldJudge()
	w := newWorld(t, withJudge(j), connectorWith(func(c *directory.ReceiveConnector) {
		c.ProtocolLoggingLevel = directory.LoggingNone
	}))
	leaf := partnerCertificate(t, "", "mail.woodgrovebank.com")
	for range maxEarlyJudgements + 3 {
		w.dial().startTLS(leaf)
	}
	waitFor(t, func() bool { return len(j.began) == maxEarlyJudgements })
	w.dial().startTLS(leaf)
	if n := len(j.began); n != maxEarlyJudgements {
		t.Errorf("%d are judged at the same time", n)
	}
	close(j.answer)
	waitFor(t, func() bool { return len(w.server.early) == 0 })
}

// A server that stops does not wait for an answer that nobody has asked for.
func TestStopEndsJudgingAhead(t *testing.T) {
	j := newHeldJudge()
	w := newWorld(t, withJudge(j))
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com", "mx.fabrikam.com"))
	<-j.began
	if err := w.server.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	<-j.cut
	if n := len(j.began); n != 0 {
		t.Errorf("%d more are judged", n)
	}
}

// panickingJudge fails on what a client has shown.
type panickingJudge struct{ judge }

func (*panickingJudge) Judge(context.Context, trust.Request) *domainsec.PeerFacts {
	panic("spoiled by the test")
}

func TestPanicAheadEndsNothing(t *testing.T) {
	w := newWorld(t, withJudge(&panickingJudge{}))
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	waitFor(t, func() bool {
		return strings.Contains(w.log.String(), "judging a certificate ahead met an internal error")
	})
	p.want("NOOP", "250 2.0.0 OK")
	waitFor(t, func() bool { return len(w.server.early) == 0 })
}
