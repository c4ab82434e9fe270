package queue_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// TestExactlyOnce lets many senders queue mail for destinations that deliver,
// refuse, defer and go down at random, with restarts in between. In the end
// each recipient has been delivered or reported, once.
func TestExactlyOnce(t *testing.T) {
	var mu sync.Mutex
	ended := map[string]int{} // recipient: deliveries and failures
	reported := 0
	f := newFixture(t, func(f *fixture) {
		f.settings.GlitchRetryInterval, f.settings.TransientRetryInterval, f.settings.RetryInterval = time.Millisecond, 2*time.Millisecond, 3*time.Millisecond
		f.options.Workers, f.options.WorkersPerQueue = 12, 3
		f.options.MemoryBudget = 4 << 20
		f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
			h := fnv.New64a()
			fmt.Fprint(h, d.Message.ID, d.Key, d.Attempt)
			dice := h.Sum64() % 100
			if d.Message.From.Mailbox == (smtp.Mailbox{}) {
				mu.Lock()
				reported++
				mu.Unlock()
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
			if dice < 10 {
				return down(d)
			}
			out := make([]queue.Outcome, len(d.Recipients))
			mu.Lock()
			defer mu.Unlock()
			for i := range out {
				switch who := address(d.Recipients[i].Mailbox); (dice + uint64(i)*7) % 10 {
				case 0, 1:
					out[i] = later(d)[i]
				case 2:
					out[i] = refused(d)[i]
					ended[who]++
				default:
					out[i] = queue.Outcome{Disposition: queue.Delivered}
					ended[who]++
				}
			}
			return out
		}
	})
	const rounds, senders, each = 3, 8, 40
	want := map[string]bool{}
	for round := range rounds {
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for n := range each {
					var to []string
					for r := range 1 + n%4 {
						to = append(to, fmt.Sprintf("r%d.s%d.n%d.%d@d%d.example", round, s, n, r, (n+r)%9))
					}
					size := 100
					if n%20 == 0 {
						size = 600 << 10
					}
					if _, err := f.tryAccept("a@a.example", "Subject: x\r\n\r\n"+strings.Repeat("x", size), to...); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, a := range to {
						want[a] = true
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		f.restart()
	}
	until(t, "the queue is empty", func() bool { return f.stored() == 0 })
	f.restart() // nothing comes back
	mu.Lock()
	defer mu.Unlock()
	failed := 0
	for a := range want {
		if ended[a] != 1 {
			t.Errorf("%s ended %d times", a, ended[a])
		}
	}
	if len(ended) != len(want) {
		t.Errorf("%d recipients ended, want %d", len(ended), len(want))
	}
	for _, r := range f.reporter.seen() {
		failed += len(r.Recipients)
	}
	if reported != len(f.reporter.seen()) || failed == 0 {
		t.Errorf("%d reports made about %d recipients, %d delivered", len(f.reporter.seen()), failed, reported)
	}
}
