package queue_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
)

func (f *fixture) suspend(identity string) queue.QueueRow {
	f.t.Helper()
	r, err := f.queue.SuspendQueue(context.Background(), identity)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *fixture) resume(identity string) queue.QueueRow {
	f.t.Helper()
	r, err := f.queue.ResumeQueue(context.Background(), identity)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *fixture) row(identity string) queue.QueueRow {
	f.t.Helper()
	r, err := f.queue.Queue(identity)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// statuses are those of the messages, in order.
func (f *fixture) statuses() []queue.Status {
	f.t.Helper()
	rows, err := f.queue.Messages(context.Background(), queue.MessageFilter{})
	if err != nil {
		f.t.Fatal(err)
	}
	out := []queue.Status{}
	for _, r := range rows {
		out = append(out, r.Status)
	}
	return out
}

// contents are those of the messages that were tried, in order.
func (f *fixture) contents() []string {
	out := []string{}
	for _, a := range f.sink.seen() {
		out = append(out, a.Content)
	}
	return out
}

// TestSuspendedQueue: what is under way ends, new messages come in, nothing
// leaves until it is resumed, and other queues go on.
func TestSuspendedQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		f := newFixture(t, func(f *fixture) {
			f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
				if d.Message.Subject == "Hello" && d.Key.NextHopDomain == "b.example" {
					<-release
				}
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
		})
		f.accept("a@a.example", "under way", "1@b.example")
		synctest.Wait()
		if got := f.row("b.example").Status; got != queue.StatusConnecting {
			t.Errorf("before anything was answered the status is %s", got)
		}
		if r := f.suspend("b.example"); r.Status != queue.StatusSuspended || r.ActiveCount != 1 {
			t.Errorf("suspended: %+v", r)
		}
		f.suspend("b.example") // is already
		f.accept("a@a.example", "comes in", "2@b.example")
		f.accept("a@a.example", "elsewhere", "3@c.example")
		time.Sleep(time.Second)
		if diff := cmp.Diff([]queue.Status{queue.StatusActive, queue.StatusSuspended}, f.statuses()); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		close(release)
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"under way", "elsewhere"}, f.contents()); diff != "" {
			t.Errorf("attempts while suspended (-want +got):\n%s", diff)
		}
		if _, err := f.queue.Retry("b.example", true); !errors.Is(err, queue.ErrSuspended) {
			t.Errorf("retrying a suspended queue: %v", err)
		}
		r := f.row("b.example")
		if r.Status != queue.StatusSuspended || r.MessageCount != 1 {
			t.Errorf("row %+v", r)
		}
		if r := f.resume("b.example"); r.Status == queue.StatusSuspended {
			t.Errorf("resumed: %+v", r)
		}
		time.Sleep(time.Second)
		if got := f.stored(); got != 0 || len(f.sink.seen()) != 3 {
			t.Errorf("%d messages are left, %d attempts", got, len(f.sink.seen()))
		}
		f.resume("b.example") // is not suspended
		for _, change := range []func(context.Context, string) (queue.QueueRow, error){f.queue.SuspendQueue, f.queue.ResumeQueue} {
			if _, err := change(context.Background(), "nowhere.example"); !errors.Is(err, queue.ErrNoQueue) {
				t.Errorf("an unknown queue: %v", err)
			}
		}
	})
}

// TestSuspensionSurvives restarts, also of an empty queue.
func TestSuspensionSurvives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(later), func(f *fixture) { f.settings.DelayNotification = directory.Unlimited })
		f.accept("a@a.example", "one", "1@b.example")
		f.accept("a@a.example", "two", "1@c.example")
		synctest.Wait()
		f.suspend("b.example")
		f.suspend("c.example")
		f.change(queue.Selection{Queue: "c.example"}, queue.Remove)
		time.Sleep(time.Hour)
		for range 2 {
			f.restart()
			time.Sleep(time.Hour)
			if got := len(f.sink.seen()); got != 2 {
				t.Fatalf("%d attempts, want the first two alone", got)
			}
			for _, identity := range []string{"b.example", "c.example"} {
				if r := f.row(identity); r.Status != queue.StatusSuspended {
					t.Errorf("after a restart: %+v", r)
				}
			}
		}
		f.accept("a@a.example", "three", "1@c.example")
		time.Sleep(time.Hour)
		f.sink.deliverNow()
		f.resume("c.example")
		f.resume("b.example")
		time.Sleep(time.Second)
		got := f.contents()[2:]
		slices.Sort(got)
		if diff := cmp.Diff([]string{"one", "three"}, got); diff != "" {
			t.Errorf("after resuming (-want +got):\n%s", diff)
		}
		f.restart()
		f.accept("a@a.example", "four", "1@b.example")
		time.Sleep(time.Second)
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left: the end of a suspension did not last", got)
		}
	})
}

// TestLadderOverASuspension: a destination that is down, suspended in between.
func TestLadderOverASuspension(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(down))
		start := time.Now()
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(2*time.Minute + 30*time.Second)
		f.suspend("b.example")
		time.Sleep(17 * time.Minute) // 19:30
		if r := f.row("b.example"); !r.NextRetryTime.IsZero() || r.LastError != "451 4.4.0 connection refused" {
			t.Errorf("suspended: %+v", r)
		}
		f.resume("b.example") // the next attempt was due at 3
		time.Sleep(time.Minute + 30*time.Second)
		if diff := cmp.Diff([]int{0, 1, 2, 19, 20}, minutes(start, f.sink.seen())); diff != "" {
			t.Errorf("attempts at minutes (-want +got):\n%s", diff)
		}
		if r := f.row("b.example"); r.Status != queue.StatusRetry {
			t.Errorf("resumed: %+v", r)
		}
	})
}

// TestSuspendedDoesNotExpire: the sender of a suspended message is told of the
// delay, once; it does not expire, and has an attempt when it is resumed.
func TestSuspendedDoesNotExpire(t *testing.T) {
	for _, tt := range []struct {
		name            string
		suspend, resume func(f *fixture)
		answer          func(d *queue.Delivery) []queue.Outcome
	}{
		{"queue, ready", func(f *fixture) { f.suspend("b.example") }, func(f *fixture) { f.resume("b.example") }, down},
		{"queue, waiting", func(f *fixture) { f.suspend("b.example") }, func(f *fixture) { f.resume("b.example") }, later},
		{
			"message", func(f *fixture) { f.change(queue.Selection{ID: 1}, queue.Suspend) },
			func(f *fixture) { f.change(queue.Selection{ID: 1}, queue.Resume) }, down,
		},
		{
			"message and queue",
			func(f *fixture) { f.change(queue.Selection{ID: 1}, queue.Suspend); f.suspend("b.example") },
			func(f *fixture) { f.resume("b.example"); f.change(queue.Selection{ID: 1}, queue.Resume) }, later,
		},
	} {
		for _, restart := range []string{"", ", restarted"} {
			t.Run(tt.name+restart, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFixture(t, inMemory(t), answering(tt.answer), func(f *fixture) {
						f.router.set("a.example", queue.Key{DeliveryType: "X"}, "reports wait")
					})
					f.accept("a@a.example", "x", "b@b.example")
					time.Sleep(30 * time.Second)
					tt.suspend(f)
					time.Sleep(time.Hour)
					if restart != "" {
						f.restart()
					}
					time.Sleep(2*time.Hour + 59*time.Minute)
					if got := len(f.reporter.seen()); got != 0 {
						t.Fatalf("%d reports before the time", got)
					}
					time.Sleep(100 * time.Hour)
					reports := f.reporter.seen()
					if len(reports) != 1 || reports[0].Kind != queue.ReportDelayed {
						t.Fatalf("reports %+v, want one of the delay", reports)
					}
					if got := len(f.sink.seen()); got != 1 {
						t.Errorf("%d attempts, want the first alone", got)
					}
					tt.resume(f)
					time.Sleep(time.Second)
					if got := len(f.sink.seen()); got != 2 {
						t.Errorf("%d attempts after resuming, want one more", got)
					}
					time.Sleep(time.Hour)
					reports = f.reporter.seen()
					if len(reports) != 2 || reports[1].Kind != queue.ReportFailed {
						t.Errorf("reports %+v, want another that it has expired", reports)
					}
				})
			})
		}
	}
}

// TestStatuses that only suspending or waiting brings about.
func TestStatuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			switch d.Key.NextHopDomain {
			case "down.example":
				return down(d)
			case "slow.example":
				time.Sleep(time.Minute)
			}
			return later(d)
		}), func(f *fixture) { f.settings.DelayNotification = directory.Unlimited })
		for _, to := range []string{"1@later.example", "2@down.example", "3@slow.example", "4@apart.example", "5@closed.example"} {
			f.accept("a@a.example", "x", to)
		}
		time.Sleep(time.Second)
		f.change(queue.Selection{ID: 4}, queue.Suspend)
		f.suspend("closed.example")
		got := map[string]queue.Status{}
		for _, r := range f.queue.Queues() {
			got[r.NextHopDomain] = r.Status
		}
		want := map[string]queue.Status{
			"later.example": queue.StatusRetry, "down.example": queue.StatusRetry, "slow.example": queue.StatusConnecting,
			"apart.example": queue.StatusSuspended, "closed.example": queue.StatusSuspended,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("queues (-want +got):\n%s", diff)
		}
		messages := []queue.Status{queue.StatusRetry, queue.StatusRetry, queue.StatusActive, queue.StatusSuspended, queue.StatusSuspended}
		if diff := cmp.Diff(messages, f.statuses()); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Minute)
		if got := f.row("slow.example").Status; got != queue.StatusActive {
			t.Errorf("a destination that has answered once, and is busy: %s", got)
		}
	})
}

// TestSuspensionThatCannotBeStored changes nothing.
func TestSuspensionThatCannotBeStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := &faulty{}
		f := newFixture(t, withFaults(t, x), answering(later))
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(time.Second)
		x.suspend.Store(true)
		if _, err := f.queue.SuspendQueue(context.Background(), "b.example"); !errors.Is(err, errDisk) {
			t.Errorf("suspending: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if got := len(f.sink.seen()); got != 3 {
			t.Errorf("%d attempts, want 3: it is not suspended", got)
		}
	})
}
