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
		d.forget()
		q.reschedule(d, now)
	}
}

// reschedule puts a restored delivery where it was.
func (q *Queue) reschedule(d *delivery, now time.Time) {
	l := d.lane
	if d.state.lastError != "" {
		l.lastError = d.state.lastError
	}
	switch {
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
	if l.failures > 0 {
		l.deadline = earliest(l.deadline, q.lookAt(d))
	}
}
