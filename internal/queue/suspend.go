package queue

import (
	"context"
	"fmt"

	"mailpact/internal/directory"
)

// SuspendQueue suspends a queue: attempts under way end, messages still come in,
// and no other attempt is made until the queue is resumed, also after a restart.
// Meanwhile its messages do not expire; their senders are told of the delay. The
// identity is as for Queue.
func (q *Queue) SuspendQueue(ctx context.Context, identity string) (QueueRow, error) {
	return q.suspendQueue(ctx, identity, true)
}

// ResumeQueue ends the suspension of a queue. What should have expired meanwhile
// has an attempt first. Of the queue "Poison" every message is resumed.
func (q *Queue) ResumeQueue(ctx context.Context, identity string) (QueueRow, error) {
	return q.suspendQueue(ctx, identity, false)
}

func (q *Queue) suspendQueue(ctx context.Context, identity string, suspended bool) (QueueRow, error) {
	q.suspending.Lock()
	defer q.suspending.Unlock()
	if !q.running.Load() {
		return QueueRow{}, ErrStopped
	}
	q.mu.Lock()
	l, err := q.find(identity)
	if err != nil {
		q.mu.Unlock()
		return QueueRow{}, err
	}
	key := l.key
	q.mu.Unlock()
	if key.DeliveryType == Poison {
		if !suspended {
			return q.resumePoison(ctx, identity)
		}
		return q.Queue(identity)
	}
	if err := q.o.Engine.SuspendQueue(ctx, encodeKey(key), suspended); err != nil {
		return QueueRow{}, fmt.Errorf("storing the suspension of queue %q: %w", identity, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l = q.lane(key)
	q.setSuspended(l, suspended)
	q.o.Logger.Info(map[bool]string{true: "queue suspended", false: "queue resumed"}[suspended],
		"queue", l.identity(), "nextHop", key.NextHopDomain, "tlsDomain", key.TLSDomain, "connector", key.Connector, "messages", l.count())
	return l.row(q.o.Now()), nil
}

// setSuspended suspends or resumes a lane; mu is held.
func (q *Queue) setSuspended(l *lane, suspended bool) {
	now := q.o.Now()
	if l.suspended && !suspended {
		for _, all := range [][]*delivery{l.ready.all(), l.waiting} {
			for _, d := range all {
				q.spare(d, Resume)
			}
		}
	}
	l.suspended = suspended
	q.ripen(l, now)
	q.dispatch(l)
	q.rearm(l)
}

// spare lets a delivery that is resumed have an attempt, however old it is.
func (q *Queue) spare(d *delivery, c Change) {
	at := directory.Deadline(d.m.received, q.settings().Expiration)
	d.spared = d.spared || c == Resume && !at.IsZero() && !q.o.Now().Before(at)
}

// resumePoison resumes every message of a queue that holds what was set aside.
func (q *Queue) resumePoison(ctx context.Context, identity string) (QueueRow, error) {
	for s := (Selection{Queue: identity}); ; {
		c, err := q.ChangeMessages(ctx, s, Resume)
		if err != nil {
			return QueueRow{}, err
		}
		if !c.More {
			return q.Queue(identity)
		}
		s.After = c.Last
	}
}
