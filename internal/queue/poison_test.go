package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/store/storetest"
)

// hanging makes attempts for b.example last until the queue is stopped or the
// test is over; others succeed.
func hanging(f *fixture) {
	over := make(chan struct{})
	f.over = over
	f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
		if d.Key.NextHopDomain != "b.example" {
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}
		select {
		case <-ctx.Done():
		case <-over:
		}
		return all(d, queue.Outcome{LastError: "cut", RemoteHost: "x"})
	}
}

// tried is how many attempts there were for a recipient.
func (f *fixture) tried(to string) (n int) {
	for _, a := range f.sink.seen() {
		if a.To == to {
			n++
		}
	}
	return n
}

// afterCrash returns a fixture over what a kill would leave of f's store now.
func afterCrash(t *testing.T, f *fixture, with ...func(*fixture)) *fixture {
	t.Helper()
	path := storetest.CopyFiles(t, f.path, "", "-wal")
	return newFixture(t, append(with, func(g *fixture) { g.path = path })...)
}

// TestPoison: a message that is being delivered whenever the process dies is set
// aside, and nothing else is.
func TestPoison(t *testing.T) {
	f := newFixture(t, hanging)
	for range 5 {
		f.accept("a@a.example", "poison", "b@b.example", "c@c.example")
	}
	until(t, "all are under way", func() bool { return f.tried("b@b.example") == 5 && f.events.count("delivered c@c.example") == 5 })

	// The first crash: nobody knew what was under way.
	g := afterCrash(t, f, hanging)
	until(t, "all are under way again", func() bool { return g.tried("b@b.example") == 5 })
	// The second: those that were under way are known, and tried one by one.
	h := afterCrash(t, g, hanging)
	until(t, "one is under way", func() bool { return h.tried("b@b.example") == 1 })
	// The third.
	i := afterCrash(t, h)
	until(t, "the others are delivered", func() bool { return i.stored() == 1 })
	var row queue.QueueRow
	until(t, "one is set aside", func() bool {
		var err error
		row, err = i.queue.Queue(queue.Poison)
		return err == nil && row.MessageCount == 1
	})
	if row.Status != queue.StatusSuspended || row.DeliveryType != queue.Poison {
		t.Errorf("the queue: %+v", row)
	}
	poison := h.sink.seen()[0].MessageID
	if got, err := i.queue.Message(context.Background(), poison); err != nil || got.Status != queue.StatusSuspended || got.Queue != row.Identity {
		t.Errorf("the message that was under way at the last crash: %+v, %v", got, err)
	}
	if got := i.events.count("poisoned b@b.example"); got != 1 {
		t.Errorf("%d events, want 1", got)
	}
	for _, a := range i.sink.seen() {
		if a.MessageID == poison {
			t.Error("what is set aside was tried")
		}
	}

	// It stays there, without any of it being tried.
	j := afterCrash(t, i)
	if _, err := j.queue.Retry(queue.Poison, true); !errors.Is(err, queue.ErrSuspended) {
		t.Errorf("retrying the queue: %v", err)
	}
	if r, err := j.queue.SuspendQueue(context.Background(), queue.Poison); err != nil || r.MessageCount != 1 {
		t.Errorf("suspending the queue: %+v, %v", r, err)
	}
	if got := len(j.sink.seen()); got != 0 {
		t.Errorf("%d attempts after a restart", got)
	}
	// Until it is resumed: it is routed anew, and one more crash brings it back.
	k := afterCrash(t, j, hanging)
	k.resume(queue.Poison)
	until(t, "it is tried", func() bool { return len(k.sink.seen()) == 1 })
	l := afterCrash(t, k)
	until(t, "it is back", func() bool { r, err := l.queue.Queue(queue.Poison); return err == nil && r.MessageCount == 1 })
	if got := l.change(queue.Selection{ID: poison}, queue.Resume); got.Messages != 1 {
		t.Errorf("resuming the message: %+v", got)
	}
	until(t, "it is delivered", func() bool { return l.stored() == 0 })
}

// TestStopIsNoCrash: however often the server is stopped while a message is
// being delivered, the message is innocent.
func TestStopIsNoCrash(t *testing.T) {
	f := newFixture(t, hanging)
	f.accept("a@a.example", "x", "b@b.example")
	for i := range 5 {
		until(t, "it is tried", func() bool { return len(f.sink.seen()) > i })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := f.queue.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		f.restart()
	}
	if _, err := f.queue.Queue(queue.Poison); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("the queue of what is set aside: %v", err)
	}
	// Two kills, each followed by an attempt that ends, are no poison either.
	f = afterCrash(t, f, answering(later))
	until(t, "it is deferred", func() bool { return f.row("b.example").Status == queue.StatusRetry })
	f = afterCrash(t, f, hanging, func(f *fixture) { f.settings.GlitchRetryInterval = time.Millisecond })
	if _, err := f.queue.Retry("b.example", false); err != nil {
		t.Fatal(err)
	}
	until(t, "it is tried", func() bool { return len(f.sink.seen()) == 1 })
	f = afterCrash(t, f)
	until(t, "it is delivered", func() bool { return f.stored() == 0 })
}

// TestSuspectsBeginOneByOne, and a slow one does not hold up the others for long.
func TestSuspectsBeginOneByOne(t *testing.T) {
	f := newFixture(t, hanging)
	for i := range 4 {
		f.accept("a@a.example", fmt.Sprint(i), "b@b.example")
	}
	until(t, "all are under way", func() bool { return len(f.sink.seen()) == 4 })
	f = afterCrash(t, f, hanging)
	until(t, "all are under way again", func() bool { return len(f.sink.seen()) == 4 })
	path := storetest.CopyFiles(t, f.path, "", "-wal")
	bubble(t, func(t *testing.T) {
		g := newFixture(t, hanging, func(g *fixture) { g.path = path })
		g.accept("a@a.example", "new", "b@b.example")
		for want := 2; want <= 5; want++ { // the new one is no suspect
			time.Sleep(time.Second)
			if got := len(g.sink.seen()); got != want {
				t.Errorf("%d attempts under way, want %d", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestPanicsSetAside: two panics in a row are enough, and what was demanded for
// the message stays demanded when it is resumed.
func TestPanicsSetAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calm atomic.Bool
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if !calm.Load() {
				panic("poison")
			}
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}), func(f *fixture) { f.settings.DelayNotification = directory.Unlimited })
		f.router.set("b.example", dns("b.example", "b.example"), "")
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(100 * time.Hour)
		if got := len(f.sink.seen()); got != 2 || f.events.count("poisoned b@b.example") != 1 {
			t.Fatalf("%d attempts, events %q", got, f.events.seen())
		}
		if got := f.reporter.seen(); len(got) != 0 {
			t.Errorf("reports %+v about what is set aside", got)
		}
		f.resume(queue.Poison)
		time.Sleep(time.Hour)
		if got := len(f.sink.seen()); got != 3 || f.events.count("poisoned b@b.example") != 2 {
			t.Fatalf("resumed once: %d attempts, events %q", got, f.events.seen())
		}
		calm.Store(true)
		f.router.set("b.example", dns("b.example", ""), "")
		f.resume(queue.Poison)
		time.Sleep(time.Hour)
		if got := len(f.sink.seen()); got != 3 {
			t.Fatalf("%d attempts: the message went without the proof that was demanded", got)
		}
		row := f.row(queue.Unreachable)
		if row.TLSDomain != "b.example" || row.MessageCount != 1 {
			t.Errorf("row %+v", row)
		}
		if _, err := f.queue.Retry(queue.Unreachable, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left after the resubmission", got)
		}
	})
}

// TestPanicsOfTheReporterSetAside, at a failure and at the end of its time.
func TestPanicsOfTheReporterSetAside(t *testing.T) {
	for name, answer := range map[string]func(*queue.Delivery) []queue.Outcome{"failed": refused, "expired": down} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, answering(answer))
				f.reporter.mu.Lock()
				f.reporter.panics = true
				f.reporter.mu.Unlock()
				f.accept("a@a.example", "x", "b@b.example")
				time.Sleep(100 * time.Hour)
				if got := f.events.count("poisoned b@b.example"); got != 1 || !slices.Equal(f.statuses(), []queue.Status{queue.StatusSuspended}) {
					t.Errorf("%d events, messages %v", got, f.statuses())
				}
				// It can be removed, without a report.
				if got := f.change(queue.Selection{Queue: queue.Poison}, queue.RemoveAndReport); got.Failed != 1 {
					t.Errorf("removing with a report: %+v", got)
				}
				if got := f.change(queue.Selection{Queue: queue.Poison}, queue.Remove); got.Messages != 1 || f.stored() != 0 {
					t.Errorf("removing: %+v", got)
				}
			})
		})
	}
}

// TestWatchThatCannotBeStored: no attempt is made that could not be noted.
func TestWatchThatCannotBeStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := &faulty{}
		f := newFixture(t, withFaults(t, x), answering(later))
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(time.Second)
		f.restart()
		x.settle.Store(true)
		f.sink.deliverNow()
		time.Sleep(10 * time.Minute)
		if got := len(f.sink.seen()); got != 1 {
			t.Errorf("%d attempts, want the first alone", got)
		}
		x.settle.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"x", "x"}, f.contents()); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}
