package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

func dns(d, tls smtp.Domain) queue.Key {
	return queue.Key{DeliveryType: "DnsConnectorDelivery", NextHopDomain: string(d), TLSDomain: tls, Connector: "Internet"}
}

func TestBifurcation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(func(d *queue.Delivery) []queue.Outcome {
			if d.Key.NextHopDomain == "down.example" {
				return down(d)
			}
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}))
		smart := queue.Key{DeliveryType: "SmartHostConnectorDelivery", NextHopDomain: "relay.example", Connector: "Smart"}
		f.router.set("x.example", smart, "")
		f.router.set("y.example", smart, "")
		f.router.set("z.example", smart, "held for a reason")
		f.router.set("secure.example", dns("secure.example", "secure.example"), "")
		f.accept("a@a.example", "x", "1@x.example", "2@secure.example", "3@y.example", "4@x.example", "5@down.example", "6@z.example")
		time.Sleep(time.Second)
		got := map[string]string{}
		for _, a := range f.sink.seen() {
			got[a.Key.NextHopDomain] = a.To
			if a.Content != "x" {
				t.Errorf("content %q for %s", a.Content, a.To)
			}
		}
		want := map[string]string{
			"relay.example": "1@x.example,3@y.example,4@x.example", "secure.example": "2@secure.example", "down.example": "5@down.example",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("deliveries (-want +got):\n%s", diff)
		}
		rows, err := f.queue.Messages(context.Background(), queue.MessageFilter{})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d messages, %v", len(rows), err)
		}
		var left []string
		for _, r := range rows[0].Recipients {
			left = append(left, address(r.Address.Mailbox)+" "+string(r.Status)+" "+r.LastError)
		}
		slices.Sort(left)
		if diff := cmp.Diff([]string{"5@down.example Retry 451 4.4.0 connection refused", "6@z.example Retry held for a reason"}, left); diff != "" {
			t.Errorf("recipients left (-want +got):\n%s", diff)
		}
	})
}

func TestRerouting(t *testing.T) {
	plain, secured := dns("b.example", ""), dns("b.example", "b.example")
	unreachable := queue.Key{DeliveryType: queue.Unreachable}
	unreachableSecured := queue.Key{DeliveryType: queue.Unreachable, TLSDomain: "b.example"}
	other := queue.Key{DeliveryType: "SmartHostConnectorDelivery", NextHopDomain: "relay.example", Connector: "Smart"}
	for _, tt := range []struct {
		name         string
		before       queue.Key
		beforeReason string
		after        queue.Key
		afterReason  string
		resubmit     bool
		want         []queue.Key // of the attempts after the change
		lastError    string
	}{
		{"a rise applies at the next attempt", plain, "", secured, "", false, []queue.Key{secured}, ""},
		{"a fall does not", secured, "", plain, "", false, []queue.Key{secured}, ""},
		{"a fall applies on resubmission", secured, "", plain, "", true, []queue.Key{plain}, ""},
		{"another connector does not take it", plain, "", other, "", false, []queue.Key{plain}, ""},
		{"another connector takes it on resubmission", plain, "", other, "", true, []queue.Key{other}, ""},
		{"a hold of its own key applies", plain, "", plain, "disabled", false, nil, "disabled"},
		{"a rise into a hold", plain, "", secured, "not conforming", false, nil, "not conforming"},
		{"what was unreachable goes", unreachable, "no connector", plain, "", false, []queue.Key{plain}, ""},
		{"what was unreachable stays so", unreachable, "no connector", unreachable, "still none", false, nil, "still none"},
		{"what was unreachable and secured stays secured", unreachableSecured, "no connector", secured, "", false, []queue.Key{secured}, ""},
		{
			"what was unreachable and secured does not fall", unreachableSecured, "no connector", plain, "", false, nil,
			"the message was queued as domain-secured for b.example, which is not required any more: resubmit its queue",
		},
		{"what was unreachable and secured falls on resubmission", unreachableSecured, "no connector", plain, "", true, []queue.Key{plain}, ""},
		{"a hold ends", plain, "disabled", plain, "", false, []queue.Key{plain}, ""},
	} {
		for _, restart := range []string{"", " after a restart"} {
			t.Run(tt.name+restart, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFixture(t, answering(down))
					f.router.set("b.example", tt.before, tt.beforeReason)
					f.accept("a@a.example", "the content", "b@b.example", "c@b.example")
					synctest.Wait()
					time.Sleep(30 * time.Second)
					if restart != "" {
						f.restart()
						synctest.Wait()
					}
					f.sink.mu.Lock()
					f.sink.attempts = nil
					f.sink.mu.Unlock()
					f.sink.deliverNow()
					f.router.set("b.example", tt.after, tt.afterReason)
					if tt.resubmit {
						if _, err := f.queue.Retry(f.queue.Queues()[0].Identity, true); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Second)
					} else {
						time.Sleep(2 * time.Minute)
					}
					var got []queue.Key
					for _, a := range f.sink.seen() {
						got = append(got, a.Key)
						if a.Content != "the content" || a.To != "b@b.example,c@b.example" {
							t.Errorf("attempt %+v", a)
						}
					}
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Errorf("attempts (-want +got):\n%s", diff)
					}
					if (f.stored() == 0) != (tt.want != nil) {
						t.Errorf("%d messages are left", f.stored())
					}
					if tt.lastError == "" {
						return
					}
					var reasons []string
					for _, r := range f.queue.Queues() {
						if r.MessageCount > 0 {
							reasons = append(reasons, r.LastError)
						}
					}
					if diff := cmp.Diff([]string{tt.lastError}, reasons); diff != "" {
						t.Errorf("last errors of the queues (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

func TestResubmissionSplits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(down))
		smart := queue.Key{DeliveryType: "SmartHostConnectorDelivery", NextHopDomain: "relay.example", Connector: "Smart"}
		for _, d := range []smtp.Domain{"x.example", "y.example", "z.example"} {
			f.router.set(d, smart, "")
		}
		f.accept("a@a.example", "x", "1@x.example", "2@y.example", "3@z.example")
		time.Sleep(time.Second)
		f.router.set("x.example", dns("x.example", ""), "")
		f.router.set("z.example", dns("z.example", "z.example"), "")
		if _, err := f.queue.Retry("relay.example", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		f.restart()
		f.sink.deliverNow()
		time.Sleep(2 * time.Minute)
		got := map[string]string{}
		for _, a := range f.sink.seen() {
			got[a.To] = a.Key.NextHopDomain
		}
		want := map[string]string{
			"1@x.example,2@y.example,3@z.example": "relay.example",
			"1@x.example":                         "x.example", "2@y.example": "relay.example", "3@z.example": "z.example",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left", got)
		}
	})
}

func TestIdentities(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(down))
		f.router.set("no.example", queue.Key{DeliveryType: queue.Unreachable}, "no connector")
		f.accept("a@a.example", "x", "1@x.example", "2@no.example")
		synctest.Wait()
		f.router.set("x.example", dns("x.example", "x.example"), "")
		f.accept("a@a.example", "x", "3@x.example")
		time.Sleep(time.Second)
		for identity, want := range map[string]string{"1": "", "2": "no connector", queue.Unreachable: "no connector"} {
			if r, err := f.queue.Queue(identity); err != nil || (want != "" && r.LastError != want) {
				t.Errorf("%s: %+v, %v", identity, r, err)
			}
		}
		if _, err := f.queue.Queue("x.example"); !errors.Is(err, queue.ErrAmbiguous) {
			t.Errorf("two queues of one domain: %v", err)
		}
		if _, err := f.queue.Retry("1", true); err != nil { // leaves queue 1 empty
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r, err := f.queue.Queue("x.example"); err != nil || r.TLSDomain != "x.example" || r.MessageCount != 2 {
			t.Errorf("one of the two is empty: %+v, %v", r, err)
		}
		if _, err := f.queue.Queue("17"); !errors.Is(err, queue.ErrNoQueue) {
			t.Errorf("no such queue: %v", err)
		}
		rows, err := f.queue.Messages(context.Background(), queue.MessageFilter{Queue: queue.Unreachable})
		if err != nil || len(rows) != 1 {
			t.Errorf("messages of one queue: %d, %v", len(rows), err)
		}
		if _, err := f.queue.Message(context.Background(), 4711); !errors.Is(err, queue.ErrNoQueue) {
			t.Errorf("no such message: %v", err)
		}
	})
}

func TestEmptyQueuesVanish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t)
		f.accept("a@a.example", "x", "1@x.example")
		time.Sleep(time.Second)
		if got := f.queue.Queues(); len(got) != 1 || got[0].MessageCount != 0 || got[0].Status != queue.StatusReady {
			t.Errorf("queues after the delivery: %+v", got)
		}
		time.Sleep(6 * time.Minute)
		if got := f.queue.Queues(); len(got) != 0 {
			t.Errorf("queues minutes later: %+v", got)
		}
	})
}

func TestSlowDestinationDelaysNobody(t *testing.T) {
	for _, workers := range []int{0, 30} { // 30: fewer than the slow ones want
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			var mu sync.Mutex
			running, most := 0, 0
			f := newFixture(t, func(f *fixture) {
				f.options.Workers = workers
				f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
					if strings.HasPrefix(d.Key.NextHopDomain, "slow") {
						mu.Lock()
						running++
						most = max(most, running)
						mu.Unlock()
						<-release
						mu.Lock()
						running--
						mu.Unlock()
					}
					return all(d, queue.Outcome{Disposition: queue.Delivered})
				}
			})
			for range 500 {
				f.accept("a@a.example", "x", "1@slow.example")
			}
			if workers == 0 {
				f.accept("a@a.example", "x", "1@fast.example")
				time.Sleep(time.Second)
				fast := 0
				for _, a := range f.sink.seen() {
					if a.To == "1@fast.example" {
						fast++
					}
				}
				mu.Lock()
				if fast != 1 || most != queue.DefaultMaxConnections {
					t.Errorf("%d fast deliveries, %d slow ones at the same time; want 1 and %d", fast, most, queue.DefaultMaxConnections)
				}
				mu.Unlock()
			} else {
				time.Sleep(time.Second)
				mu.Lock()
				// A quarter is for next hops of our own, and of the others as many are left for another destination.
				if want := workers * 3 / 4 / 2; most != want {
					t.Errorf("%d deliveries at the same time, want %d", most, want)
				}
				mu.Unlock()
			}
			close(release)
			time.Sleep(time.Second)
			if got := f.stored(); got != 0 {
				t.Errorf("%d messages are left", got)
			}
		})
	}
}

// TestStarvedQueueComesNext: when all workers are taken, the next to be free
// serves the queue that has none.
func TestStarvedQueueComesNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.options.Workers = 4
			f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
				time.Sleep(time.Minute)
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
		})
		start := time.Now()
		for range 40 {
			f.accept("a@a.example", "x", "1@slow.example")
		}
		f.accept("a@a.example", "x", "1@other.example")
		time.Sleep(time.Hour)
		for _, a := range f.sink.seen() {
			if a.To == "1@other.example" && a.At.Sub(start) > 61*time.Second {
				t.Errorf("the other queue was served after %v", a.At.Sub(start))
			}
		}
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left", got)
		}
	})
}
