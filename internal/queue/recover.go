package queue

import (
	"container/heap"
	"context"
	"time"

	"mailpact/internal/store"
)

// claimAtOnce is how many messages are read from the store at a time.
const claimAtOnce = 500

// recover rebuilds the schedule from the store and returns the number of messages.
func (q *Queue) recover(ctx context.Context) (int, error) {
	if err := q.recoverSuspensions(ctx); err != nil {
		return 0, err
	}
	n := 0
	for after := int64(0); ; {
		rows, err := q.o.Engine.Claim(ctx, after, claimAtOnce)
		if err != nil || len(rows) == 0 {
			return n, err
		}
		now := q.o.Now()
		q.mu.Lock()
		for i := range rows {
			q.restore(&rows[i], now)
		}
		q.mu.Unlock()
		n += len(rows)
		after = rows[len(rows)-1].ID
	}
}

// restore schedules one stored message; mu is held.
func (q *Queue) restore(row *store.Message, now time.Time) {
	m := &message{id: row.ID, received: fromMilliseconds(row.Received)}
	for i := range row.Deliveries {
		m.nextSeq = max(m.nextSeq, row.Deliveries[i].Seq+1)
	}
	for i := range row.Deliveries {
		x := &row.Deliveries[i]
		key, err := decodeKey(x.Queue)
		var s *state
		if err == nil {
			s, err = decodeState(x.State)
		}
		if err != nil {
			// It stays in the store for whoever can read it.
			q.o.Logger.Error("a stored delivery cannot be read", "message", row.ID, "delivery", x.Seq, "error", err)
			continue
		}
		d := &delivery{m: m, seq: x.Seq, domains: domainsOf(s.recipients), state: *s, due: fromMilliseconds(x.Due)}
		d.lane = q.lane(key)
		d.held = s.attempts == 0 && s.lastError != "" // as far as one can tell; the router will
		d.restored = true
		d.forget()
		q.reschedule(d, now)
	}
}

// recoverSuspensions makes the lanes of suspended queues.
func (q *Queue) recoverSuspensions(ctx context.Context) error {
	keys, err := q.o.Engine.SuspendedQueues(ctx)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range keys {
		k, err := decodeKey(b)
		if err != nil {
			q.o.Logger.Error("a stored suspension cannot be read", "error", err)
			continue
		}
		q.lane(k).suspended = true
	}
	return nil
}

// reschedule puts a restored delivery where it was.
func (q *Queue) reschedule(d *delivery, now time.Time) {
	l := d.lane
	if d.state.lastError != "" {
		l.lastError = d.state.lastError
	}
	switch {
	case d.state.suspended:
		q.park(d)
		return
	case d.state.trials >= maxTrials && l.key.DeliveryType != Poison:
		d.wish = poisoned
		l.active[d] = struct{}{}
		q.wishes.ready.push(d) // Start dispatches
		return
	case !d.due.After(now) && d.state.trials > 0 && !l.idle():
		q.isolate(d)
		return
	case !d.due.After(now):
		l.ready.push(d)
	case d.state.connection:
		// The destination was down: its lane goes on waiting.
		l.failures = max(l.failures, d.state.attempts)
		if d.due.After(l.holdUntil) {
			l.holdUntil = d.due
		}
		l.ready.push(d)
	default:
		heap.Push(&l.waiting, d)
	}
	if l.idle() {
		l.deadline = earliest(l.deadline, q.lookAt(d))
	}
}
