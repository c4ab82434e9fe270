package queue_test

import (
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/queue"
)

// Arrival is told before delivery can begin, however long telling takes, once,
// and never of a message that is not durable.
func TestArrivalIsToldFirst(t *testing.T) {
	f := newFixture(t)
	var told atomic.Int32
	var early atomic.Bool
	m := &queue.Message{OnDurable: func(m *queue.Message) {
		told.Add(1)
		// A delivery that did not wait would be seen well within this time.
		deadline := time.Now().Add(50 * time.Millisecond)
		for time.Now().Before(deadline) && !early.Load() {
			early.Store(m.ID == 0 || len(f.sink.seen()) > 0)
			time.Sleep(time.Millisecond)
		}
	}}
	f.acceptFor(m, "Subject: x\r\n\r\nx\r\n", "b@b.example")
	if told.Load() != 1 || early.Load() {
		t.Errorf("told %d times; without ID or after the delivery began: %t", told.Load(), early.Load())
	}
	until(t, "the message is delivered", func() bool { return len(f.sink.seen()) == 1 })
	if m.OnDurable != nil {
		t.Error("the queue keeps what it has told")
	}
}
