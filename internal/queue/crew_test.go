package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// TestStrangersCannotHoldAllWorkers: while the hosts of many domains let every
// attempt wait, hand-offs and smart hosts are served at once, and other domains
// when a worker is free.
func TestStrangersCannotHoldAllWorkers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tarpit := func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
			if d.Key.DeliveryType == "DnsConnectorDelivery" {
				select {
				case <-time.After(30 * time.Minute):
				case <-ctx.Done():
				}
			}
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}
		f := newFixture(t, func(f *fixture) {
			f.options.Workers = 16
			f.sink.answer = tarpit
		})
		f.router.set("contoso.com", queue.Key{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: "10.0.0.1:25"}, "")
		f.router.set("relayed.example", queue.Key{DeliveryType: "SmartHostConnectorDelivery", NextHopDomain: "smart.example"}, "")
		for i := range 100 {
			f.accept("a@contoso.com", "x", fmt.Sprintf("u@d%d.example", i))
		}
		time.Sleep(time.Second)
		if got := len(f.sink.seen()); got != 12 {
			t.Errorf("%d attempts for strangers' domains at a time, want 3/4 of 16", got)
		}
		ours := func() (n int) {
			for _, a := range f.sink.seen() {
				if a.Key.DeliveryType != "DnsConnectorDelivery" {
					n++
				}
			}
			return n
		}
		began := time.Now()
		for range 50 {
			f.accept("a@d.example", "x", "bob@contoso.com")
			f.accept("a@d.example", "x", "eve@relayed.example")
		}
		time.Sleep(time.Second)
		if got := ours(); got != 100 {
			t.Errorf("%d of 100 messages for next hops of ours were tried within a second", got)
		}
		time.Sleep(9 * 30 * time.Minute)
		if got, want := len(f.sink.seen()), 200; got != want {
			t.Errorf("%d attempts after %v, want %d: the domains take turns", got, time.Since(began), want)
		}
	})
}

// TestOursCannotStarveStrangers: DNS lanes get their turn while next hops of ours
// have more to do than there are workers.
func TestOursCannotStarveStrangers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.options.Workers = 8
			f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
				time.Sleep(time.Second)
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
		})
		for i := range 10 {
			f.router.set(smtp.Domain(fmt.Sprintf("inner%d.example", i)), queue.Key{DeliveryType: "SmtpRelayToHandOff", NextHopDomain: fmt.Sprint(i)}, "")
		}
		for i := range 400 {
			f.accept("a@a.example", "x", fmt.Sprintf("u@inner%d.example", i%10))
		}
		f.accept("a@a.example", "x", "u@far.example")
		time.Sleep(5 * time.Second)
		for _, a := range f.sink.seen() {
			if a.To == "u@far.example" {
				return
			}
		}
		t.Errorf("after %d other attempts the domain has not had its turn", len(f.sink.seen()))
	})
}
