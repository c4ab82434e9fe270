package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// bubble runs a test with fake time.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// minutes returns when the attempts were made, in whole minutes since start.
func minutes(start time.Time, seen []attempt) []int {
	var out []int
	for _, a := range seen {
		out = append(out, int(a.At.Sub(start)/time.Minute))
	}
	return out
}

// answering makes a fixture's sink answer with fn.
func answering(fn func(d *queue.Delivery) []queue.Outcome) func(*fixture) {
	return func(f *fixture) {
		f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome { return fn(d) }
	}
}

func TestLadderOfADownDestination(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(down))
		start := time.Now()
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(3 * time.Hour)
		want := []int{0, 1, 2, 3, 4, 14, 24, 34, 44, 54, 64, 94, 124, 154}
		if diff := cmp.Diff(want, minutes(start, f.sink.seen())); diff != "" {
			t.Errorf("attempts at minutes (-want +got):\n%s", diff)
		}
		for i, a := range f.sink.seen() {
			if a.Attempt != i+1 {
				t.Errorf("attempt %d has number %d", i+1, a.Attempt)
			}
		}
	})
}

func TestLadderOfAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(later))
		start := time.Now()
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(30 * time.Second)
		f.accept("c@a.example", "y", "d@b.example") // does not wait for the first
		time.Sleep(10 * time.Minute)
		var first, second []attempt
		for _, a := range f.sink.seen() {
			if a.Content == "x" {
				first = append(first, a)
			} else {
				second = append(second, a)
			}
		}
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, minutes(start, first)); diff != "" {
			t.Errorf("first message (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, minutes(start.Add(30*time.Second), second)); diff != "" {
			t.Errorf("second message (-want +got):\n%s", diff)
		}
	})
}

func TestOneDownHostIsNotHammered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var up atomic.Bool
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if up.Load() {
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
			return down(d)
		}))
		f.accept("a@a.example", "x", "b@b.example")
		synctest.Wait()
		for range 100 {
			f.accept("a@a.example", "x", "b@b.example")
		}
		time.Sleep(4*time.Minute + time.Second)
		if got := len(f.sink.seen()); got != 5 {
			t.Errorf("%d attempts in four minutes for 101 messages, want 5", got)
		}
		row, err := f.queue.Queue("b.example")
		if err != nil {
			t.Fatal(err)
		}
		row.NextRetryTime = row.NextRetryTime.Truncate(time.Minute)
		want := queue.QueueRow{
			Identity: "1", DeliveryType: "DnsConnectorDelivery", NextHopDomain: "b.example", NextHopConnector: "Internet",
			Status: queue.StatusRetry, MessageCount: 101, NextRetryTime: time.Now().Truncate(time.Minute).Add(10 * time.Minute), LastError: "451 4.4.0 connection refused",
		}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Errorf("queue row (-want +got):\n%s", diff)
		}
		up.Store(true)
		time.Sleep(10 * time.Minute)
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left after the host came back", got)
		}
	})
}

func TestRetryNow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(d *queue.Delivery) []queue.Outcome
	}{{"destination down", down}, {"message deferred", later}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, answering(tt.answer))
				start := time.Now()
				f.accept("a@a.example", "x", "b@b.example")
				time.Sleep(5 * time.Minute)
				n, err := f.queue.Retry("b.example", false)
				if err != nil || n != 1 {
					t.Fatalf("Retry returned %d, %v", n, err)
				}
				time.Sleep(time.Second)
				if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5}, minutes(start, f.sink.seen())); diff != "" {
					t.Errorf("attempts at minutes (-want +got):\n%s", diff)
				}
				if _, err := f.queue.Retry("c.example", false); !errors.Is(err, queue.ErrNoQueue) {
					t.Errorf("retrying an unknown queue: %v", err)
				}
			})
		})
	}
}

func TestExpiry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(d *queue.Delivery) []queue.Outcome
		want   string // last error in the report
	}{
		{"destination down", down, "451 4.4.0 connection refused"},
		{"message deferred", later, "450 4.7.1 Greylisted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
					if d.Message.From.Mailbox == (smtp.Mailbox{}) {
						return all(d, queue.Outcome{Disposition: queue.Delivered})
					}
					return tt.answer(d)
				}), func(f *fixture) { f.settings.DelayNotification = directory.Unlimited })
				start := time.Now()
				for i := range 3 { // the second and third never get a turn of their own when the host is down
					f.accept("a@a.example", fmt.Sprintf("Subject: %d\r\nX: y\r\n\r\nbody", i), "b@b.example")
					synctest.Wait()
				}
				time.Sleep(48*time.Hour - time.Second)
				if got := f.stored(); got != 3 || len(f.reporter.seen()) != 0 {
					t.Fatalf("before its time: %d messages, %d reports", got, len(f.reporter.seen()))
				}
				time.Sleep(2 * time.Second)
				if got := f.stored(); got != 0 {
					t.Fatalf("%d messages are left", got)
				}
				reports := f.reporter.seen()
				if len(reports) != 3 {
					t.Fatalf("%d reports, want 3", len(reports))
				}
				r := reports[0]
				want := queue.ReportRecipient{
					To:         smtp.ForwardPath{Mailbox: mailbox("b@b.example")},
					Reply:      smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{4, 4, 7}, Lines: []string{"QUEUE.Expired;message expired"}},
					LastError:  tt.want,
					RemoteHost: r.Recipients[0].RemoteHost, LastAttempt: r.Recipients[0].LastAttempt,
				}
				if diff := cmp.Diff(want, r.Recipients[0]); diff != "" || r.Kind != queue.ReportFailed {
					t.Errorf("report kind %d, recipient (-want +got):\n%s", r.Kind, diff)
				}
				if got := want.Reply.String(); got != "550 4.4.7 QUEUE.Expired;message expired" {
					t.Errorf("reply reads %q", got)
				}
				var headers []string
				for _, r := range reports {
					headers = append(headers, string(r.Header))
				}
				slices.Sort(headers)
				if diff := cmp.Diff([]string{"Subject: 0\r\nX: y\r\n", "Subject: 1\r\nX: y\r\n", "Subject: 2\r\nX: y\r\n"}, headers); diff != "" {
					t.Errorf("headers given to the reports (-want +got):\n%s", diff)
				}
				last := f.sink.seen()[len(f.sink.seen())-1]
				if last.From != "<>" || last.To != "a@a.example" || last.At.Sub(start).Truncate(time.Second) != 48*time.Hour {
					t.Errorf("the last delivery was %+v", last)
				}
				if got := strings.Count(strings.Join(f.events.seen(), "\n"), "expired b@b.example"); got != 3 {
					t.Errorf("%d expired events, want 3", got)
				}
			})
		})
	}
}

func TestDelayIsToldOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(*fixture)
	}{
		{"destination down", answering(down)},
		{"message deferred", answering(later)},
		{"held by the router", func(f *fixture) { f.router.set("b.example", queue.Key{DeliveryType: "X"}, "say when") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, tt.setup)
				for range 2 {
					f.accept("a@elsewhere.example", "Subject: x\r\n\r\n", "b@b.example", "c@b.example")
					synctest.Wait()
				}
				f.router.set("elsewhere.example", queue.Key{DeliveryType: "Y"}, "nowhere") // where the reports go
				time.Sleep(4*time.Hour - time.Second)
				if n := len(f.reporter.seen()); n != 0 {
					t.Fatalf("%d reports before the time", n)
				}
				time.Sleep(40 * time.Minute)
				f.restart()
				time.Sleep(20 * time.Hour)
				reports := f.reporter.seen()
				if len(reports) != 2 {
					t.Fatalf("%d reports for two messages, want 2", len(reports))
				}
				for _, r := range reports {
					if r.Kind != queue.ReportDelayed || len(r.Recipients) != 2 || r.Recipients[0].LastError == "" {
						t.Errorf("report %+v", r)
					}
				}
			})
		})
	}
}

func TestNoReportForANullReversePath(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(d *queue.Delivery) []queue.Outcome
		wait   time.Duration
	}{{"failed", refused, time.Second}, {"expired", down, 49 * time.Hour}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, answering(tt.answer))
				f.accept("", "x", "b@b.example")
				time.Sleep(tt.wait)
				if n, left := len(f.reporter.seen()), f.stored(); n != 0 || left != 0 {
					t.Errorf("%d reports, %d messages left, want none", n, left)
				}
			})
		})
	}
}

func TestFailureReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if d.Message.From.Mailbox == (smtp.Mailbox{}) {
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
			o := refused(d)
			o[1] = queue.Outcome{Disposition: queue.Delivered}
			o[2] = later(d)[0]
			return o
		}))
		f.accept("a@a.example", "Subject: x\r\n\r\n", "one@b.example", "two@b.example", "three@b.example")
		time.Sleep(time.Second)
		seen := f.sink.seen()
		if len(seen) != 2 || seen[1].To != "a@a.example" || !strings.Contains(seen[1].Content, "550 5.1.1 No such user") {
			t.Fatalf("deliveries %+v", seen)
		}
		want := []string{
			"accepted from a@a.example", "delivered two@b.example", "failed one@b.example", "deferred three@b.example",
			"accepted from <>", "delivered a@a.example",
		}
		if diff := cmp.Diff(want, f.events.seen()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		f.sink.deliverNow()
		time.Sleep(time.Minute)
		if last := f.sink.seen()[2]; last.To != "three@b.example" || last.Attempt != 2 {
			t.Errorf("the retry was %+v", last)
		}
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left", got)
		}
	})
}

func TestReporterFaultLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if d.Message.From.Mailbox == (smtp.Mailbox{}) {
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
			return refused(d)
		}), func(f *fixture) { f.reporter.err = errors.New("no paper") })
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(time.Second)
		if got := f.stored(); got != 1 {
			t.Fatalf("%d messages are left, want the one whose report could not be made", got)
		}
		f.reporter.mu.Lock()
		f.reporter.err = nil
		f.reporter.mu.Unlock()
		time.Sleep(time.Minute)
		if got := f.stored(); got != 0 || len(f.reporter.seen()) != 1 {
			t.Errorf("%d messages are left and %d reports made, want 0 and 1", got, len(f.reporter.seen()))
		}
	})
}

func TestPanicDefers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls atomic.Int64
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if calls.Add(1) == 1 {
				panic("poison")
			}
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}))
		f.accept("a@a.example", "x", "b@b.example")
		time.Sleep(time.Minute + time.Second)
		if n, left := len(f.sink.seen()), f.stored(); n != 2 || left != 0 {
			t.Errorf("%d attempts, %d messages left", n, left)
		}
	})
}

func TestMissingOutcomesDefer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			return []queue.Outcome{{Disposition: queue.Delivered}}
		}))
		f.accept("a@a.example", "x", "one@b.example", "two@b.example")
		time.Sleep(2 * time.Minute)
		var got []string
		for _, a := range f.sink.seen() {
			got = append(got, a.To)
		}
		if diff := cmp.Diff([]string{"one@b.example,two@b.example", "two@b.example"}, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}
