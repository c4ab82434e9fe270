package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/queue"
)

// change makes a change, page after page, and returns the sum.
func (f *fixture) change(s queue.Selection, c queue.Change) queue.Changes {
	f.t.Helper()
	return changed(f.t, f.queue.ChangeMessages, s, c)
}

func changed(t testing.TB, do func(context.Context, queue.Selection, queue.Change) (queue.Changes, error), s queue.Selection, c queue.Change) (sum queue.Changes) {
	t.Helper()
	for {
		x, err := do(context.Background(), s, c)
		if err != nil {
			t.Fatal(err)
		}
		sum.Messages += x.Messages
		sum.Pending += x.Pending
		sum.Failed += x.Failed
		if !x.More {
			return sum
		}
		s.After = x.Last
	}
}

// TestChangesOfWaitingMessages in each of the places where a message can wait.
func TestChangesOfWaitingMessages(t *testing.T) {
	places := []struct {
		name  string
		setup func(f *fixture)
	}{
		{"deferred", answering(later)},
		{"destination down", answering(down)},
		{"held", func(f *fixture) { f.router.set("b.example", queue.Key{DeliveryType: queue.Unreachable}, "no route") }},
	}
	changes := []struct {
		name              string
		changes           []queue.Change
		attempts, reports int // afterwards
		left              int
		last              string // event
	}{
		{"suspend", []queue.Change{queue.Suspend}, 0, 0, 1, ""},
		{"suspend twice", []queue.Change{queue.Suspend, queue.Suspend}, 0, 0, 1, ""},
		{"suspend and resume", []queue.Change{queue.Suspend, queue.Resume}, 1, 0, 0, "delivered b@b.example"},
		{"remove", []queue.Change{queue.Remove}, 0, 0, 0, "removed b@b.example"},
		{"suspend and remove", []queue.Change{queue.Suspend, queue.Remove}, 0, 0, 0, "removed b@b.example"},
		{"remove and report", []queue.Change{queue.RemoveAndReport}, 1, 1, 0, "delivered a@a.example"},
	}
	for _, p := range places {
		for _, c := range changes {
			for _, restart := range []string{"", ", restarted"} {
				t.Run(p.name+", "+c.name+restart, func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						f := newFixture(t, inMemory(t), p.setup)
						f.accept("a@a.example", "Subject: x\r\n\r\n", "b@b.example")
						time.Sleep(time.Second)
						before := len(f.sink.seen())
						f.sink.deliverNow()
						for i, change := range c.changes {
							want := queue.Changes{Messages: 1}
							if i == 1 && change == queue.Suspend {
								want.Messages = 0
							}
							if diff := cmp.Diff(want, f.change(queue.Selection{ID: 1}, change)); diff != "" {
								t.Errorf("change %d (-want +got):\n%s", i, diff)
							}
							if restart != "" {
								f.restart()
							}
						}
						f.router.set("b.example", dns("b.example", ""), "")
						time.Sleep(time.Hour)
						if got := len(f.sink.seen()) - before; got != c.attempts {
							t.Errorf("%d attempts afterwards, want %d", got, c.attempts)
						}
						if got := f.stored(); got != c.left {
							t.Errorf("%d messages are left, want %d", got, c.left)
						}
						if got := len(f.reporter.seen()); got != c.reports {
							t.Errorf("%d reports, want %d", got, c.reports)
						}
						// A report and what it is about may be told in either order.
						if words := f.events.seen(); c.last != "" && !slices.Contains(words, c.last) {
							t.Errorf("events %q, want %q among them", words, c.last)
						}
					})
				})
			}
		}
	}
}

// TestReportOfARemoval says who has removed the message.
func TestReportOfARemoval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(later))
		f.accept("a@a.example", "Subject: x\r\n\r\nbody", "b@b.example", "c@b.example")
		f.accept("", "null reverse-path", "b@b.example")
		time.Sleep(time.Second)
		f.change(queue.Selection{Queue: "b.example"}, queue.RemoveAndReport)
		reports := f.reporter.seen()
		if len(reports) != 1 {
			t.Fatalf("%d reports, want one: none for a null reverse-path", len(reports))
		}
		r := reports[0]
		if r.Kind != queue.ReportFailed || len(r.Recipients) != 2 || string(r.Header) != "Subject: x\r\n" {
			t.Errorf("report %+v", r)
		}
		if got := r.Recipients[1].Reply.String(); got != "550 5.3.0 QUEUE.Admin;message removed by an administrator" {
			t.Errorf("the reply reads %q", got)
		}
		if r.Recipients[1].RemoteHost != "" || r.Recipients[1].LastError != "450 4.7.1 Greylisted" {
			t.Errorf("recipient %+v", r.Recipients[1])
		}
	})
}

// TestChangesOfAMessageUnderWay: its attempt is not interrupted, and what is
// left afterwards is changed.
func TestChangesOfAMessageUnderWay(t *testing.T) {
	delivered := func(d *queue.Delivery) []queue.Outcome { return all(d, queue.Outcome{Disposition: queue.Delivered}) }
	half := func(d *queue.Delivery) []queue.Outcome {
		o := later(d)
		o[0] = queue.Outcome{Disposition: queue.Delivered}
		return o
	}
	for _, tt := range []struct {
		name    string
		answer  func(d *queue.Delivery) []queue.Outcome
		changes []queue.Change
		status  queue.Status
		after   queue.Status // "": it is gone
		reports int
		events  []string
	}{
		{"removed, delivered", delivered, []queue.Change{queue.RemoveAndReport}, queue.StatusPendingRemove, "", 0, []string{"delivered 1@b.example", "delivered 2@b.example"}},
		{"removed, half delivered", half, []queue.Change{queue.Remove}, queue.StatusPendingRemove, "", 0, []string{"delivered 1@b.example", "deferred 2@b.example", "removed 2@b.example"}},
		{"removed, deferred", later, []queue.Change{queue.RemoveAndReport}, queue.StatusPendingRemove, "", 1, []string{"deferred 1@b.example", "deferred 2@b.example", "removed 1@b.example", "removed 2@b.example"}},
		{"removed, destination down", down, []queue.Change{queue.Remove}, queue.StatusPendingRemove, "", 0, []string{"deferred 1@b.example", "deferred 2@b.example", "removed 1@b.example", "removed 2@b.example"}},
		{"removed, refused", refused, []queue.Change{queue.RemoveAndReport}, queue.StatusPendingRemove, "", 1, []string{"failed 1@b.example", "failed 2@b.example"}},
		{"suspended, delivered", delivered, []queue.Change{queue.Suspend}, queue.StatusPendingSuspend, "", 0, []string{"delivered 1@b.example", "delivered 2@b.example"}},
		{"suspended, deferred", later, []queue.Change{queue.Suspend}, queue.StatusPendingSuspend, queue.StatusSuspended, 0, []string{"deferred 1@b.example", "deferred 2@b.example"}},
		{"suspended, destination down", down, []queue.Change{queue.Suspend}, queue.StatusPendingSuspend, queue.StatusSuspended, 0, []string{"deferred 1@b.example", "deferred 2@b.example"}},
		{"suspended and resumed", later, []queue.Change{queue.Suspend, queue.Resume}, queue.StatusActive, queue.StatusRetry, 0, []string{"deferred 1@b.example", "deferred 2@b.example"}},
		{"suspended and removed", later, []queue.Change{queue.Suspend, queue.Remove}, queue.StatusPendingRemove, "", 0, []string{"deferred 1@b.example", "deferred 2@b.example", "removed 1@b.example", "removed 2@b.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				f := newFixture(t, inMemory(t), func(f *fixture) {
					f.router.set("a.example", queue.Key{DeliveryType: "X"}, "reports wait")
				}, answering(func(d *queue.Delivery) []queue.Outcome {
					<-release
					return tt.answer(d)
				}))
				f.accept("a@a.example", "Subject: x\r\n\r\n", "1@b.example", "2@b.example")
				synctest.Wait()
				for _, c := range tt.changes {
					want := queue.Changes{Pending: 1}
					if c == queue.Resume {
						want = queue.Changes{Messages: 1}
					}
					if diff := cmp.Diff(want, f.change(queue.Selection{ID: 1}, c)); diff != "" {
						t.Errorf("changes (-want +got):\n%s", diff)
					}
				}
				if got := f.statuses(); !slices.Equal(got, []queue.Status{tt.status}) {
					t.Errorf("status %v, want %s", got, tt.status)
				}
				close(release)
				time.Sleep(time.Second)
				row, err := f.queue.Message(context.Background(), 1)
				if gone := errors.Is(err, queue.ErrNoQueue); gone != (tt.after == "") || !gone && row.Status != tt.after {
					t.Errorf("afterwards: %s, %v; want %q", row.Status, err, tt.after)
				}
				if got := len(f.reporter.seen()); got != tt.reports {
					t.Errorf("%d reports, want %d", got, tt.reports)
				}
				var words []string
				for _, w := range f.events.seen() {
					if strings.HasSuffix(w, "b.example") {
						words = append(words, w)
					}
				}
				if diff := cmp.Diff(tt.events, words); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if got := len(f.sink.seen()); got != 1 {
					t.Errorf("%d attempts, want 1", got)
				}
			})
		})
	}
}

// TestSelections of many messages, in pages, planned and done.
func TestSelections(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    queue.Selection
		want int
	}{
		{"a message", queue.Selection{ID: 3}, 1},
		{"a message towards one queue", queue.Selection{ID: 1, Queue: "one.example"}, 1},
		{"a message that is not in the queue", queue.Selection{ID: 1, Queue: "two.example"}, 0},
		{"a message of another sender", queue.Selection{ID: 1, From: "x@a.example"}, 0},
		{"a queue", queue.Selection{Queue: "one.example"}, 20},
		{"a queue in small pages", queue.Selection{Queue: "both.example", Limit: 3}, 40},
		{"a sender", queue.Selection{From: "s1@a.example", Limit: 7}, 10},
		{"a sender in other letters", queue.Selection{From: "S1@A.Example"}, 10},
		{"a sender in a queue", queue.Selection{From: "s1@a.example", Queue: "two.example"}, 10},
		{"the null reverse-path", queue.Selection{From: "<>"}, 1},
		{"nobody", queue.Selection{From: "nobody@a.example"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, inMemory(t), answering(later), func(f *fixture) { f.settings.GlitchRetryInterval = 24 * time.Hour })
				for i := range 40 {
					to := "1@one.example"
					if i%2 == 1 {
						to = "2@two.example"
					}
					f.accept(fmt.Sprintf("s%d@a.example", i%4), "x", to, "3@both.example")
				}
				f.accept("", "x", "4@four.example")
				time.Sleep(time.Second)
				events := len(f.events.seen())
				if diff := cmp.Diff(queue.Changes{Messages: tt.want}, changed(t, f.queue.Plan().ChangeMessages, tt.s, queue.Remove)); diff != "" {
					t.Errorf("plan (-want +got):\n%s", diff)
				}
				if got := len(f.events.seen()); got != events || f.stored() != 41 {
					t.Fatal("planning has changed something")
				}
				if diff := cmp.Diff(queue.Changes{Messages: tt.want}, f.change(tt.s, queue.Remove)); diff != "" {
					t.Errorf("changes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(queue.Changes{}, f.change(withoutID(tt.s), queue.Remove)); tt.s.ID == 0 && diff != "" {
					t.Errorf("changes the second time (-want +got):\n%s", diff)
				}
				removed := 0
				for _, w := range f.events.seen()[events:] {
					if strings.HasPrefix(w, "removed ") {
						removed++
					}
				}
				if most := 2 * tt.want; removed < tt.want || removed > most {
					t.Errorf("%d recipients were removed with %d messages", removed, tt.want)
				}
			})
		})
	}
}

func withoutID(s queue.Selection) queue.Selection {
	if s.ID != 0 {
		return queue.Selection{From: "nobody@a.example"}
	}
	return s
}

func TestSelectionFaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(down))
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(time.Second)
		for _, tt := range []struct {
			name string
			s    queue.Selection
			want error // nil: some other
		}{
			{"nothing", queue.Selection{}, nil},
			{"no such message", queue.Selection{ID: 99}, queue.ErrNoQueue},
			{"no such queue", queue.Selection{Queue: "99"}, queue.ErrNoQueue},
			{"no such queue for the message", queue.Selection{ID: 1, Queue: "99"}, queue.ErrNoQueue},
		} {
			for which, do := range map[string]func(context.Context, queue.Selection, queue.Change) (queue.Changes, error){
				"queue": f.queue.ChangeMessages, "plan": f.queue.Plan().ChangeMessages,
			} {
				if _, err := do(context.Background(), tt.s, queue.Remove); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("%s, %s: %v", which, tt.name, err)
				}
			}
		}
		if got := f.stored(); got != 1 {
			t.Errorf("%d messages are left", got)
		}
		if err := f.queue.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.queue.ChangeMessages(context.Background(), queue.Selection{ID: 1}, queue.Remove); !errors.Is(err, queue.ErrStopped) {
			t.Errorf("after Stop: %v", err)
		}
		if _, err := f.queue.SuspendQueue(context.Background(), "b.example"); !errors.Is(err, queue.ErrStopped) {
			t.Errorf("suspending after Stop: %v", err)
		}
	})
}

// TestPlanChangesNothing: the plan of each change says what the change does.
func TestPlanChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(later))
		for range 3 {
			f.accept("a@a.example", "x", "b@b.example")
		}
		time.Sleep(time.Second)
		p := f.queue.Plan()
		before := f.queue.Queues()
		for range 2 {
			if n, err := p.Retry("b.example", true); n != 3 || err != nil {
				t.Errorf("Retry: %d, %v", n, err)
			}
			for _, change := range []func(context.Context, string) (queue.QueueRow, error){p.SuspendQueue, p.ResumeQueue} {
				if r, err := change(context.Background(), "b.example"); err != nil || r.MessageCount != 3 {
					t.Errorf("row %+v, %v", r, err)
				}
				if _, err := change(context.Background(), "c.example"); !errors.Is(err, queue.ErrNoQueue) {
					t.Errorf("an unknown queue: %v", err)
				}
			}
		}
		synctest.Wait()
		if diff := cmp.Diff(before, f.queue.Queues()); diff != "" {
			t.Errorf("queues (-before +after):\n%s", diff)
		}
		f.suspend("b.example")
		if _, err := p.Retry("b.example", false); !errors.Is(err, queue.ErrSuspended) {
			t.Errorf("Retry of a suspended queue: %v", err)
		}
		if _, err := p.Retry("c.example", false); !errors.Is(err, queue.ErrNoQueue) {
			t.Errorf("Retry of an unknown queue: %v", err)
		}
	})
}

// TestChangeThatCannotBeStored leaves every message where it was.
func TestChangeThatCannotBeStored(t *testing.T) {
	for name, answer := range map[string]func(*queue.Delivery) []queue.Outcome{"deferred": later, "destination down": down} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				x := &faulty{}
				f := newFixture(t, withFaults(t, x), answering(answer))
				start := time.Now()
				for range 3 {
					f.accept("a@a.example", "x", "b@b.example")
				}
				time.Sleep(2 * time.Second)
				for _, c := range []queue.Change{queue.Suspend, queue.Remove, queue.RemoveAndReport} {
					x.settle.Store(true)
					if _, err := f.queue.ChangeMessages(context.Background(), queue.Selection{Queue: "b.example"}, c); !errors.Is(err, errDisk) {
						t.Errorf("changing: %v", err)
					}
					x.settle.Store(false)
				}
				x.load.Store(true)
				if got := f.change(queue.Selection{Queue: "b.example"}, queue.Remove); got.Failed != 3 || got.Messages != 0 {
					t.Errorf("changing what cannot be read: %+v", got)
				}
				x.load.Store(false)
				f.sink.deliverNow()
				time.Sleep(90 * time.Second)
				if got := f.stored(); got != 0 {
					t.Errorf("%d messages are left", got)
				}
				for _, a := range f.sink.seen() {
					if at := a.At.Sub(start); a.Attempt > 1 && at < time.Minute {
						t.Errorf("an attempt %v after the first", at)
					}
				}
				if got := len(f.reporter.seen()); got != 3 {
					t.Logf("%d reports were made and not stored", got)
				}
			})
		})
	}
}

// TestRemovalNeedsItsReport: without one the message stays, and can be removed
// without.
func TestRemovalNeedsItsReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if d.Key.NextHopDomain == "busy.example" {
				<-release
			}
			return later(d)
		}), func(f *fixture) { f.reporter.err = errors.New("no paper") })
		f.accept("a@a.example", "x", "b@b.example")
		f.accept("a@a.example", "x", "b@busy.example")
		time.Sleep(time.Second)
		if got := f.change(queue.Selection{From: "a@a.example"}, queue.RemoveAndReport); got.Failed != 1 || got.Pending != 1 || got.Messages != 0 {
			t.Errorf("without paper: %+v", got)
		}
		close(release)
		time.Sleep(30 * time.Second)
		if got := f.stored(); got != 2 {
			t.Fatalf("%d messages are left, want both", got)
		}
		if got := f.change(queue.Selection{ID: 1}, queue.Remove); got.Messages != 1 {
			t.Errorf("without a report: %+v", got)
		}
		f.reporter.mu.Lock()
		f.reporter.err = nil
		f.reporter.mu.Unlock()
		time.Sleep(2 * time.Minute) // the wish has stayed
		if _, err := f.queue.Message(context.Background(), 2); !errors.Is(err, queue.ErrNoQueue) || len(f.reporter.seen()) != 1 {
			t.Errorf("the second message: %v, %d reports", err, len(f.reporter.seen()))
		}
	})
}

// TestStopFulfilsWishes: a stop ends the attempt, and then the wish holds.
func TestStopFulfilsWishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
				<-ctx.Done()
				return all(d, queue.Outcome{LastError: "cut", RemoteHost: "x"})
			}
		})
		f.accept("a@a.example", "removed", "1@b.example")
		f.accept("a@a.example", "suspended", "2@b.example")
		f.accept("a@a.example", "goes on", "3@b.example")
		synctest.Wait()
		f.change(queue.Selection{ID: 1}, queue.RemoveAndReport)
		f.change(queue.Selection{ID: 2}, queue.Suspend)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := f.queue.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		f.restart()
		f.sink.deliverNow()
		time.Sleep(time.Hour)
		got := f.contents()[3:]
		slices.Sort(got)
		if len(got) != 2 || got[1] != "goes on" || !strings.HasPrefix(got[0], "Subject: Report") {
			t.Errorf("after the restart: %q", got)
		}
		if diff := cmp.Diff([]queue.Status{queue.StatusSuspended}, f.statuses()); diff != "" {
			t.Errorf("messages left (-want +got):\n%s", diff)
		}
	})
}
