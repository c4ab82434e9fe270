package send_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
)

func TestSessionsAreReused(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	for range 5 {
		if got := w.deliver("x@woodgrovebank.com"); !got[0].Secured {
			t.Fatalf("outcome %s", show(got))
		}
	}
	if p.sessionCount() != 1 || w.router.asked != 1 {
		t.Errorf("%d sessions, %d look-ups for 5 messages; want one", p.sessionCount(), w.router.asked)
	}
}

func TestReusedAfterRefusedRecipients(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{replies: map[string]string{"RCPT TO:<no@unlisted.example>": "550 5.1.1 nobody"}})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("no@unlisted.example")
	if got := w.deliver("yes@unlisted.example"); got[0].Disposition != queue.Delivered || p.sessionCount() != 1 {
		t.Errorf("outcome %s in %d sessions", show(got), p.sessionCount())
	}
}

func TestMessagesPerConnection(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].SMTPMaxMessagesPerConnection = 2 }})
	p := newPeer(t, manner{})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	for range 5 {
		w.deliver("x@unlisted.example")
	}
	if p.sessionCount() != 3 || strings.Count(p.said(), "QUIT") != 2 {
		t.Errorf("%d sessions; we said %q", p.sessionCount(), p.said())
	}
}

func TestIdleSessionThatTheHostClosed(t *testing.T) {
	for _, secured := range []bool{false, true} {
		w := newWorld(t, worldOptions{})
		p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
		w.at(stranger, p.host("mail.unlisted.example", 10))
		w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
		to := "x@unlisted.example"
		if secured {
			to = "x@woodgrovebank.com"
		}
		w.deliver(to)
		p.dropIdle()
		got := w.deliver(to)
		if got[0].Disposition != queue.Delivered || got[0].Secured != secured || len(p.received()) != 2 {
			t.Errorf("secured %v: outcome %s", secured, show(got))
		}
		if n := w.counters.Snapshot().DomainSecuredOutboundSessionFailures; n != 0 {
			t.Errorf("%d session failures for a session that had grown old", n)
		}
	}
}

func TestClosesAfterEachMessage(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{perSession: 1})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	for range 3 {
		if got := w.deliver("x@unlisted.example"); got[0].Disposition != queue.Delivered {
			t.Fatalf("outcome %s", show(got))
		}
	}
	if len(p.received()) != 3 || p.sessionCount() != 3 {
		t.Errorf("%d messages in %d sessions", len(p.received()), p.sessionCount())
	}
}

func TestConcurrentDeliveriesShareSessions(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com"))})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if got := w.sender.Deliver(t.Context(), w.delivery("x@woodgrovebank.com")); !got[0].Secured {
					t.Errorf("outcome %s", show(got))
				}
			}
		})
	}
	wg.Wait()
	if n := len(p.received()); n != 80 || p.sessionCount() > 8 {
		t.Errorf("%d messages in %d sessions", n, p.sessionCount())
	}
}

func TestStopSaysQuit(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("x@unlisted.example")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	w.sender.Stop(ctx)
	if !strings.HasSuffix(p.said(), "QUIT") {
		t.Errorf("we said %q", p.said())
	}
	// What is delivered after Stop leaves nothing behind.
	w.deliver("x@unlisted.example")
	if strings.Count(p.said(), "QUIT") != 2 {
		t.Errorf("we said %q", p.said())
	}
}

func TestStopDoesNotWaitForAHostThatHangs(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{replies: map[string]string{"QUIT": "250-never ends"}})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("x@unlisted.example")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() { defer close(done); w.sender.Stop(ctx) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Stop hangs")
	}
}

func TestIdleSessionsEndWithTheInactivityTimeout(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].ConnectionInactivityTimeout = time.Millisecond }})
	p := newPeer(t, manner{})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("x@unlisted.example")
	select {
	case <-p.quit:
	case <-time.After(10 * time.Second):
		t.Fatal("the idle session was not ended")
	}
}
