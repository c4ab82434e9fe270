package queue

import (
	"slices"
	"time"

	"mailpact/internal/store"
)

// Poison is the DeliveryType of the queue of messages that are set aside. What
// is in it is not tried, does not expire and is not told of, until an
// administrator resumes or removes it.
const Poison = "Poison"

// maxTrials is how many attempts in a row may end the process or in a panic
// before a message is set aside.
const maxTrials = 2

// suspectPace is the least time between the beginnings of two attempts for
// messages that were being tried when the process died, as long as the first
// lasts: so the one that is at fault dies alone, as a rule.
const suspectPace = 2 * time.Second

// watch makes durable that an attempt begins, for a delivery that may have ended
// the process. What is found begun at the next start has ended it once more.
//
// What comes in is not watched at its first attempts, which would cost a commit
// for each message: a message that comes back from the store after a crash is.
func (q *Queue) watch(d *delivery) error {
	s := d.state
	s.trials++
	t := &settlement{row: store.Settlement{Message: d.m.id}}
	marked := *d
	marked.state = s
	q.put(t, &marked, time.Time{})
	done := make(chan error, 1)
	q.o.Engine.Settle([]store.Settlement{t.row}, func(err error) { done <- err })
	if err := <-done; err != nil {
		return err
	}
	d.state.trials = s.trials
	return nil
}

// isolate lets a delivery wait for an attempt apart from others of its like.
func (q *Queue) isolate(d *delivery) {
	d.lane.active[d] = struct{}{}
	q.suspects.ready.push(d)
	q.dispatch(q.suspects)
	q.rearm(q.suspects)
}

// suspectsAtOnce is how many suspects may be tried now.
func (q *Queue) suspectsAtOnce() int {
	l := q.suspects
	if l.workers > 0 && q.o.Now().Before(l.holdUntil) {
		return l.workers
	}
	return l.workers + 1
}

// poison is the settlement that sets a delivery aside.
func (q *Queue) poison(t *settlement, d *delivery, row *store.Delivery, now time.Time) (apply func(time.Time) bool) {
	key := Key{DeliveryType: Poison, TLSDomain: d.lane.key.TLSDomain}
	if d.lane.key.DeliveryType == Poison {
		key = d.lane.key
	}
	s := d.state
	s.trials = maxTrials
	t.row.Put = append(t.row.Put, store.Delivery{Seq: row.Seq, Queue: encodeKey(key), State: encodeState(nil, &s)})
	e := Event{
		Time: now, Message: d.envelope, Key: d.lane.key, Attempt: s.attempts, Recipients: s.recipients,
		Outcomes: slices.Repeat([]Outcome{{LastError: s.lastError, RemoteHost: s.remoteHost}}, len(s.recipients)),
	}
	t.told = func() {
		q.o.Logger.Error("a message is set aside: delivering it has ended the server, or in a panic, again and again",
			"message", e.Message.ID, "queue", Poison, "from", e.Message.From.Mailbox.String(), "session", e.Message.SessionID)
		q.o.Observer.Poisoned(e)
	}
	return func(time.Time) bool {
		d.state.trials = maxTrials
		d.lane = q.lane(key)
		return false
	}
}

// unpoison adds to a settlement that a delivery goes where the router sends it
// now, but not without what has been demanded for it. One more attempt that ends
// the process, and it is set aside again.
func (q *Queue) unpoison(t *settlement, d *delivery) (apply func(time.Time) bool) {
	d.state.trials, d.state.suspended = maxTrials-1, false
	q.spare(d, Resume)
	then := q.scatter(t, d)
	return func(now time.Time) bool {
		then(now)
		return true
	}
}
