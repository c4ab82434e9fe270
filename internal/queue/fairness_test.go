package queue_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/queue/queuetest"
)

// inMemory gives a fixture an engine that needs no disk.
func inMemory(t *testing.T) func(*fixture) {
	return func(f *fixture) { f.options.Engine = queuetest.NewMemory().Open(t, "one") }
}

// TestHugeHangingDestination: a destination that answers nothing and has 100,000
// messages waiting delays nobody, and what waits takes little memory.
func TestHugeHangingDestination(t *testing.T) {
	backlog := 100_000
	if testing.Short() {
		backlog = 20_000
	}
	bubble(t, func(t *testing.T) {
		e := queuetest.NewMemory().Open(t, "one")
		f := newFixture(t, func(f *fixture) {
			f.options.Engine = e
			f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
				if strings.HasPrefix(d.Key.NextHopDomain, "hang") {
					select {
					case <-ctx.Done():
					case <-time.After(10 * time.Minute):
					}
					return down(d)
				}
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
		})
		content := strings.Repeat("x", 1<<10)
		before := heap()
		for range backlog {
			f.accept("sender@a.example", content, "recipient@hang.example")
		}
		synctest.Wait()
		// The content is the engine's here, and is not counted.
		if used := heap() - before - int64(backlog*len(content)); used/int64(backlog) > 2000 {
			t.Errorf("%d messages that wait take %d octets each", backlog, used/int64(backlog))
		}
		t.Logf("%d octets for each message", (heap()-before)/int64(backlog)-int64(len(content)))
		start := time.Now()
		for i := range 1000 {
			f.accept("sender@a.example", "x", fmt.Sprintf("r@fast%d.example", i%10))
		}
		synctest.Wait()
		if got := f.stored() - backlog; got != 0 {
			t.Errorf("%d of 1000 messages for others wait", got)
		}
		for _, a := range f.sink.seen() {
			if took := a.At.Sub(start); strings.Contains(a.To, "fast") && took > time.Second {
				t.Fatalf("an attempt for another destination was made %v late", took)
			}
		}
		if r := f.row("hang.example"); r.ActiveCount != queue.DefaultMaxConnections {
			t.Errorf("%d attempts for the hanging destination", r.ActiveCount)
		}
		time.Sleep(11 * time.Minute)
		if r := f.row("hang.example"); r.Status != queue.StatusRetry && r.ActiveCount > 1 {
			t.Errorf("after its attempts have failed: %+v", r)
		}
		// It can be emptied, page by page.
		f.suspend("hang.example")
		if got := f.change(queue.Selection{Queue: "hang.example", Limit: 1000}, queue.Remove); got.Messages+got.Pending != backlog {
			t.Errorf("removed %+v of %d", got, backlog)
		}
	})
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyHangingDestinations: however many destinations hang, up to the number
// of workers, another one is served at once.
func TestManyHangingDestinations(t *testing.T) {
	for _, lanes := range []int{1, 10, 16, 17, 50, 100, 300, 700} {
		t.Run(fmt.Sprint(lanes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, inMemory(t), func(f *fixture) {
					f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
						if strings.HasPrefix(d.Key.NextHopDomain, "hang") {
							<-ctx.Done()
							return down(d)
						}
						return all(d, queue.Outcome{Disposition: queue.Delivered})
					}
				})
				for n := range max(100*lanes, 2000) {
					f.accept("a@a.example", "x", fmt.Sprintf("r@hang%d.example", n%lanes))
				}
				synctest.Wait()
				for range 100 {
					f.accept("a@a.example", "x", "r@fast.example")
				}
				synctest.Wait()
				if r := f.row("fast.example"); r.MessageCount != 0 {
					t.Errorf("%d of 100 messages wait", r.MessageCount)
				}
				least := int64(1 << 20)
				for _, r := range f.queue.Queues() {
					if strings.HasPrefix(r.NextHopDomain, "hang") {
						least = min(least, r.ActiveCount)
					}
				}
				if want := min(64, int64(750/(lanes+1))/2); least < want {
					t.Errorf("a destination has %d workers, its fair share is twice %d", least, want)
				}
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if err := f.queue.Stop(ctx); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestLimitPerDestination follows the configuration, also when it changes.
func TestLimitPerDestination(t *testing.T) {
	for _, tt := range []struct{ limit, want int }{{1, 1}, {7, 7}, {64, 64}, {100, 100}, {0, queue.DefaultMaxConnections}} {
		t.Run(fmt.Sprint(tt.limit), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFixture(t, inMemory(t), func(f *fixture) {
					f.settings.MaxConnectionsPerDestination = tt.limit
					f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
						time.Sleep(time.Minute)
						return all(d, queue.Outcome{Disposition: queue.Delivered})
					}
				})
				for range 1000 {
					f.accept("a@a.example", "x", "b@b.example")
				}
				time.Sleep(time.Second)
				if r := f.row("b.example"); r.ActiveCount != int64(tt.want) {
					t.Errorf("%d attempts at a time, want %d", r.ActiveCount, tt.want)
				}
			})
		})
	}
}
