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
	active  map[*delivery]struct{} // with a worker or a settlement
	workers int
	starved bool // waits in Queue.crew

	// failures counts the failed connections since the last good one. While
	// there are any, nothing is tried before holdUntil, and then one delivery
	// before the others.
	failures  int
	failedAt  time.Time
	holdUntil time.Time
	deadline  time.Time // no later than the first of ready has to be looked at for its age; zero: none
	lastError string    // of the last deferral since the last success

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
	return &lane{key: k, number: number, active: map[*delivery]struct{}{}}
}

// count is the number of deliveries in the lane.
func (l *lane) count() int { return l.ready.len() + len(l.waiting) + len(l.active) }

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
	if l.failures > 0 || l.ready.len() >= keepEnvelopes {
		d.forget()
	}
	q.makeReady(d)
}

// makeReady puts a delivery at the end of its lane.
func (q *Queue) makeReady(d *delivery) {
	l := d.lane
	l.ready.push(d)
	q.dispatch(l)
	if l.failures > 0 {
		l.deadline = earliest(l.deadline, q.lookAt(d))
		q.rearm(l)
	}
}

// wait puts a delivery into its lane until due.
func (q *Queue) wait(d *delivery, due time.Time) {
	d.due = due
	d.forget()
	heap.Push(&d.lane.waiting, d)
	q.rearm(d.lane)
}

// limit is how many workers the lane may have now.
func (q *Queue) limit(l *lane) int {
	if l.failures > 0 {
		return 1
	}
	return min(max(q.o.WorkersPerQueue, l.ready.len()/4), q.o.MaxWorkersPerQueue)
}

// dispatch starts as many workers as the lane's demand and the limits allow.
func (q *Queue) dispatch(l *lane) {
	if !q.started {
		return
	}
	now := time.Time{}
	if l.failures > 0 {
		now = q.o.Now()
	}
	for l.ready.len() > 0 && l.workers < q.limit(l) && (l.failures == 0 || !now.Before(l.holdUntil)) {
		if !q.crew.free(l.kind()) {
			q.crew.starve(l)
			return
		}
		q.crew.begin(l.kind())
		l.workers++
		go q.worker(l, q.begin(l))
	}
}

// begin takes the lane's first delivery for an attempt.
func (q *Queue) begin(l *lane) *delivery {
	d := l.ready.pop()
	d.lane.active[d] = struct{}{} // of the aside lane's, too
	return d
}

// next returns what a worker of the lane shall do now, or nil when it shall end.
func (q *Queue) next(l *lane) *delivery {
	if !q.started || l.ready.len() == 0 || l.workers > q.limit(l) {
		return nil
	}
	if l.failures > 0 && q.o.Now().Before(l.holdUntil) {
		return nil
	}
	if q.crew.wanted(l.kind()) {
		return nil // others wait for a worker: lanes take turns
	}
	return q.begin(l)
}

// worker makes attempts for a lane as long as there is something to do.
func (q *Queue) worker(l *lane, d *delivery) {
	for d != nil {
		q.attempt(d)
		q.mu.Lock()
		d = q.next(l)
		if d == nil {
			l.workers--
			q.crew.running[l.kind()]--
			q.ended(&q.crew.total)
			q.feed()
			q.dispatch(l)
			if l.failures > 0 {
				q.rearm(l)
			}
		}
		q.mu.Unlock()
	}
}

// feed gives free workers to lanes that wait for one.
func (q *Queue) feed() {
	for l := q.crew.fed(); l != nil; l = q.crew.fed() {
		q.dispatch(l)
	}
}

// ripen moves what is due from waiting to ready and, while the destination is
// down, sets aside what has to be looked at for its age.
func (q *Queue) ripen(l *lane, now time.Time) {
	for len(l.waiting) > 0 && !l.waiting[0].due.After(now) {
		l.ready.push(heap.Pop(&l.waiting).(*delivery))
	}
	if l.failures > 0 {
		q.sweep(l, now)
	}
}

// sweep sets aside the deliveries of a failing lane that have expired, or whose
// senders are to be told of the delay: their turn to be tried may be far off.
func (q *Queue) sweep(l *lane, now time.Time) {
	l.deadline = time.Time{}
	kept := l.ready.all()[:0]
	for _, d := range l.ready.all() {
		at := q.lookAt(d)
		if at.IsZero() || at.After(now) {
			l.deadline = earliest(l.deadline, at)
			kept = append(kept, d)
			continue
		}
		d.chore = true
		l.active[d] = struct{}{}
		q.aside.ready.push(d)
	}
	clear(l.ready.all()[len(kept):])
	l.ready.replace(kept)
	q.dispatch(q.aside)
}

// lookAt is when a delivery that is not tried has to be looked at; zero: never.
func (q *Queue) lookAt(d *delivery) time.Time {
	s := q.settings()
	at := directory.Deadline(d.m.received, s.Expiration)
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
	if l.failures > 0 {
		l.failures, l.holdUntil = 0, time.Time{}
		q.dispatch(l)
		q.rearm(l)
	}
}

// rearm computes when the scheduler has to look at the lane next.
func (q *Queue) rearm(l *lane) {
	var wake time.Time
	if l.failures > 0 && l.ready.len() > 0 && l.workers == 0 && !l.starved {
		// While one tries, or waits for a worker, its end will rearm.
		wake = earliest(l.holdUntil, l.deadline)
	}
	if len(l.waiting) > 0 {
		wake = earliest(wake, l.waiting[0].due)
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
		case l.count() > 0 || l.workers > 0:
			l.idleSince = time.Time{}
		case l.idleSince.IsZero():
			l.idleSince = now
		case now.Sub(l.idleSince) >= laneIdleTime:
			delete(q.lanes, k)
		}
	}
}

// fifo is a queue of deliveries that gives its memory back.
type fifo struct {
	items []*delivery
	head  int
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) push(d *delivery) { f.items = append(f.items, d) }

func (f *fifo) pop() *delivery {
	d := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
		if cap(f.items) > 4096 {
			f.items = nil
		}
	} else if f.head >= 1024 && f.head*2 >= len(f.items) {
		f.items = slices.Delete(f.items, 0, f.head)
		f.head = 0
	}
	return d
}

// all returns the deliveries in order.
func (f *fifo) all() []*delivery { return f.items[f.head:] }

// replace puts others in the place of all.
func (f *fifo) replace(items []*delivery) { f.items, f.head = items, 0 }

// deliveries is a heap by due time.
type deliveries []*delivery

func (h deliveries) Len() int           { return len(h) }
func (h deliveries) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h deliveries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *deliveries) Push(x any) { *h = append(*h, x.(*delivery)) }

// Pop is heap.Interface's.
func (h *deliveries) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}

// timers is a heap of lanes by the time they want to be looked at.
type timers []*lane

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer, h[j].timer = i+1, j+1
}

// Push is heap.Interface's.
func (h *timers) Push(x any) {
	l := x.(*lane)
	*h = append(*h, l)
	l.timer = len(*h)
}

// Pop is heap.Interface's.
func (h *timers) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.timer = 0
	return l
}
