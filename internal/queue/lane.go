package queue

import (
	"container/heap"
	"slices"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// laneIdleTime is how long an empty lane stays (reference, section 7).
const laneIdleTime = 3 * time.Minute

// idleCheck is how often lanes are looked through for empty ones.
const idleCheck = time.Minute

// keepEnvelopes is the backlog of a lane up to which envelope and content of a
// message wait in memory. What is further back is read from the store.
const keepEnvelopes = 1000

// message is what the schedule knows of a message. Its fields are guarded by
// Queue.mu, but for those that never change.
type message struct {
	id       int64
	received time.Time
	nextSeq  uint32 // of the next delivery that is split off
}

// delivery is a message towards the recipients that share a key. While a worker
// or a settlement has it, it belongs to them; otherwise Queue.mu guards it.
type delivery struct {
	m       *message
	seq     uint32
	lane    *lane
	domains []smtp.Domain // of the recipients, each once
	due     time.Time     // of one that waits

	// state.recipients is nil, and so is envelope, when they are to be read
	// from the store.
	state    state
	envelope *Message
	body     *body // nil: the content is in the store only

	held     bool // the router's reason to wait is state.lastError
	resubmit bool // the next route replaces the key, whatever it demands
	chore    bool // no attempt: see whether it has expired or its sender is to be told of the delay
	spared   bool // resumed: has an attempt before it may expire
	restored bool // comes from an earlier run of the server and has not been tried in this one

	// wish is what is to become of it when the attempt that is being made
	// does not end it. Queue.mu guards it also while a worker has the rest.
	wish    Change
	wished  bool // there was a wish when the worker took it
	stopped bool // its lane was suspended when the worker took it
}

// forget drops what can be read again from the store.
func (d *delivery) forget() {
	d.body.release()
	d.body, d.envelope, d.state.recipients = nil, nil, nil
}

// domainsOf returns the recipients' domains, each once.
func domainsOf(recipients []smtp.ForwardPath) []smtp.Domain {
	if len(recipients) == 1 {
		return []smtp.Domain{recipients[0].Mailbox.Domain}
	}
	domains := make([]smtp.Domain, len(recipients))
	for i := range recipients {
		domains[i] = recipients[i].Mailbox.Domain
	}
	slices.Sort(domains)
	return slices.Clip(slices.Compact(domains))
}

// lane is the queue of one key. Queue.mu guards it.
type lane struct {
	key    Key
	number int64 // its identity

	ready   fifo                   // to be tried when a worker and the destination are free
	waiting deliveries             // by due time: deferred on their own account, or held
	parked  deliveries             // suspended themselves; due when the sender is to be told of the delay
	active  map[*delivery]struct{} // with a worker or a settlement
	workers int
	starved bool // waits in Queue.crew

	// suspended lanes make no attempt. What is under way ends.
	suspended bool

	// failures counts the failed connections since the last good one. While
	// there are any, nothing is tried before holdUntil, and then one delivery
	// before the others.
	failures  int
	failedAt  time.Time
	holdUntil time.Time
	deadline  time.Time // no later than the first of ready has to be looked at for its age; zero: none
	lastError string    // of the last deferral since the last success
	reached   bool      // a session could be used since the last failed connection

	wake      time.Time // when the scheduler looks at it
	timer     int       // place in Queue.timers plus 1; 0: none
	idleSince time.Time
}

// lane returns the lane of a key and makes it if need be.
func (q *Queue) lane(k Key) *lane {
	l := q.lanes[k]
	if l == nil {
		q.lastLane++
		l = newLane(k, q.lastLane)
		q.lanes[k] = l
	}
	l.idleSince = time.Time{}
	return l
}

func newLane(k Key, number int64) *lane {
	return &lane{key: k, number: number, active: map[*delivery]struct{}{}, suspended: k.DeliveryType == Poison}
}

// count is the number of deliveries in the lane.
func (l *lane) count() int { return l.ready.len() + len(l.waiting) + len(l.parked) + len(l.active) }

// idle lanes try nothing of what is ready for the time being, so that its age
// has to be watched.
func (l *lane) idle() bool { return l.failures > 0 || l.suspended }

// place puts a delivery that is stored into a lane: to be tried at once, or,
// with a reason to hold, to be looked at later.
func (q *Queue) place(d *delivery, l *lane, hold string, now time.Time) {
	d.lane, d.held, d.resubmit = l, hold != "", false
	if d.held {
		d.state.lastError, l.lastError = hold, hold
		d.due = later(now, holdDelay(q.settings()))
		d.forget()
		heap.Push(&l.waiting, d)
		q.rearm(l)
		return
	}
	if l.idle() || l.ready.len() >= keepEnvelopes {
		d.forget()
	}
	q.makeReady(d)
}

// makeReady puts a delivery at the end of its lane, or where it belongs before.
func (q *Queue) makeReady(d *delivery) {
	l := d.lane
	switch {
	case d.state.suspended:
		q.park(d)
		return
	case d.state.trials > 0 && !l.idle():
		q.isolate(d)
		return
	}
	l.ready.push(d)
	q.dispatch(l)
	if l.idle() {
		l.deadline = earliest(l.deadline, q.lookAt(d))
		q.rearm(l)
	}
}

// wait puts a delivery into its lane until due.
func (q *Queue) wait(d *delivery, due time.Time) {
	if d.state.suspended {
		q.park(d)
		return
	}
	d.due = due
	d.forget()
	heap.Push(&d.lane.waiting, d)
	q.rearm(d.lane)
}

// park keeps a suspended delivery until it is resumed.
func (q *Queue) park(d *delivery) {
	d.due = later(q.o.Now(), directory.Unlimited)
	if at := q.lookAt(d); !at.IsZero() {
		d.due = at
	}
	d.forget()
	heap.Push(&d.lane.parked, d)
	q.rearm(d.lane)
}

// returned notes that an attempt has given the delivery back. It reports whether
// a wish is to be fulfilled first; the delivery is no longer the caller's then.
func (q *Queue) returned(d *delivery) bool {
	if d.wish == 0 {
		delete(d.lane.active, d)
		return false
	}
	q.wishes.ready.push(d)
	q.dispatch(q.wishes)
	return true
}

// ripen moves what is due from waiting to ready and, while nothing is tried,
// sets aside what has to be looked at for its age.
func (q *Queue) ripen(l *lane, now time.Time) {
	for len(l.waiting) > 0 && !l.waiting[0].due.After(now) {
		l.ready.push(heap.Pop(&l.waiting).(*delivery))
	}
	for len(l.parked) > 0 && !l.parked[0].due.After(now) {
		q.setAside(heap.Pop(&l.parked).(*delivery))
	}
	if l.idle() {
		q.sweep(l, now)
	}
}

// setAside has a delivery looked at without an attempt.
func (q *Queue) setAside(d *delivery) {
	d.chore = true
	d.lane.active[d] = struct{}{}
	q.aside.ready.push(d)
	q.dispatch(q.aside)
}

// sweep sets aside the deliveries of an idle lane that have expired, or whose
// senders are to be told of the delay: their turn to be tried may be far off.
func (q *Queue) sweep(l *lane, now time.Time) {
	l.deadline = time.Time{}
	l.ready.keep(func(d *delivery) bool {
		at := q.lookAt(d)
		if at.IsZero() || at.After(now) {
			l.deadline = earliest(l.deadline, at)
			return true
		}
		q.setAside(d)
		return false
	})
}

// lookAt is when a delivery that is not tried has to be looked at; zero: never.
// What an administrator has suspended does not expire, but its sender is told;
// what has been set aside as poison is not touched at all.
func (q *Queue) lookAt(d *delivery) (at time.Time) {
	if d.lane.key.DeliveryType == Poison {
		return time.Time{}
	}
	s := q.settings()
	if !d.state.suspended && !d.lane.suspended {
		at = directory.Deadline(d.m.received, s.Expiration)
	}
	if !d.state.delayTold {
		at = earliest(at, directory.Deadline(d.m.received, s.DelayNotification))
	}
	return at
}

// earliest returns the earlier of two times, where zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// fail notes that the destination could not be reached by an attempt that began
// at started. Attempts that were under way together count as one failure.
func (q *Queue) fail(l *lane, started, now time.Time) {
	l.reached = false
	if l.failures == 0 || started.After(l.failedAt) {
		l.failures++
		l.failedAt = now
		l.holdUntil = later(now, retryDelay(q.settings(), l.failures))
	}
	q.sweep(l, now)
	q.rearm(l)
}

// recovered notes that the destination could be reached.
func (q *Queue) recovered(l *lane) {
	l.reached = true
	if l.failures > 0 {
		l.failures, l.holdUntil = 0, time.Time{}
		q.dispatch(l)
		q.rearm(l)
	}
}

// rearm computes when the scheduler has to look at the lane next.
func (q *Queue) rearm(l *lane) {
	var wake time.Time
	if l.idle() && l.ready.len() > 0 && l.workers == 0 && !l.starved {
		// While one tries, or waits for a worker, its end will rearm.
		wake = l.deadline
		if !l.suspended {
			wake = earliest(l.holdUntil, wake)
		}
	}
	if len(l.waiting) > 0 {
		wake = earliest(wake, l.waiting[0].due)
	}
	if len(l.parked) > 0 {
		wake = earliest(wake, l.parked[0].due)
	}
	if l == q.suspects && l.ready.len() > 0 && !l.starved {
		wake = earliest(wake, l.holdUntil)
	}
	l.wake = wake
	switch {
	case wake.IsZero() && l.timer > 0:
		heap.Remove(&q.timers, l.timer-1)
	case wake.IsZero():
	case l.timer > 0:
		heap.Fix(&q.timers, l.timer-1)
	default:
		heap.Push(&q.timers, l)
	}
	if l.timer == 1 {
		q.poke()
	}
}

// forgetIdle drops lanes that have been empty for a while.
func (q *Queue) forgetIdle(now time.Time) {
	for k, l := range q.lanes {
		switch {
		case l.count() > 0 || l.workers > 0 || l.suspended && k.DeliveryType != Poison:
			l.idleSince = time.Time{}
		case l.idleSince.IsZero():
			l.idleSince = now
		case now.Sub(l.idleSince) >= laneIdleTime:
			delete(q.lanes, k)
		}
	}
}
