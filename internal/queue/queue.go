package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// Unreachable is the DeliveryType of what has no route.
const Unreachable = "Unreachable"

// Queue is the durable queue. It is safe for concurrent use.
type Queue struct {
	o       Options
	memory  memory
	running atomic.Bool // between Start and Stop

	suspending sync.Mutex // held while a suspension of a queue is stored; taken before mu

	mu       sync.Mutex
	lanes    map[Key]*lane
	lastLane int64      // number of the youngest lane
	lastIdle time.Time  // when idle lanes were last looked for
	timers   timers     // lanes that wait for a time
	aside    *lane      // takes deliveries that need a look but no attempt, of all lanes
	wishes   *lane      // takes deliveries with a wish to fulfil, of all lanes
	suspects *lane      // takes deliveries that may have ended the process, of all lanes
	started  bool       // workers may run
	crew     crew       // that make attempts
	settling int        // settlements on their way
	unsaved  unsaved    // settlements that the engine could not take
	idle     *sync.Cond // over mu: crew.total or settling has become 0

	work       context.Context // of the workers; ends when Stop's patience does
	cancelWork context.CancelFunc
	wake       chan struct{} // capacity 1: the earliest timer has changed
	halt       chan struct{} // closed to end the scheduler
	end        chan struct{} // closed when the scheduler has ended
}

// Open makes a Queue. It takes messages between Start and Stop.
func Open(o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	q := &Queue{
		o: o, lanes: map[Key]*lane{}, aside: newLane(Key{}, 0), wishes: newLane(Key{}, 0), suspects: newLane(Key{}, 0),
		wake: make(chan struct{}, 1), end: make(chan struct{}), halt: make(chan struct{}),
	}
	q.memory.budget = o.MemoryBudget
	q.crew = newCrew(o.Workers)
	q.idle = sync.NewCond(&q.mu)
	q.work, q.cancelWork = context.WithCancel(context.Background())
	return q, nil
}

// Accept makes m with its content durable and takes over its delivery. When it
// returns nil, m.ID and m.Size are set and the message survives whatever
// happens to this process; when it returns an error, nothing of it remains.
// Either way c has ended. It waits for the commit even when ctx ends, because
// the outcome could not be told otherwise. m belongs to the queue afterwards
// and must not be changed.
func (q *Queue) Accept(ctx context.Context, m *Message, c Content) error {
	ct, ok := c.(*content)
	if !ok || ct.q != q || ct.buffer == nil {
		return errors.New("accepting message: the content is not this queue's, or has ended")
	}
	defer ct.Discard()
	switch {
	case !q.running.Load():
		return ErrStopped
	case ct.err != nil:
		return fmt.Errorf("accepting message: %w", ct.err)
	case len(m.Recipients) == 0:
		return errors.New("accepting message: it has no recipient")
	}
	m.Size = ct.size
	p := q.prepare(m)
	p.row.Content = *ct.buffer
	if ct.staging.Rows > 0 {
		p.row.Staging = &ct.staging
	}
	if err := q.o.Engine.Append(ctx, []*store.Message{p.row}); err != nil {
		return fmt.Errorf("accepting message: %w", err)
	}
	p.row.Content = nil
	q.admit(p, ct.take(len(p.parts)))
	return nil
}

// prepared is a message on its way into the store.
type prepared struct {
	m     *Message
	row   *store.Message
	parts []part
}

// part is the recipients of a message that share a key and a reason to wait.
type part struct {
	key        Key
	hold       string
	recipients []smtp.ForwardPath
}

// prepare splits m by key and makes its row, without content.
func (q *Queue) prepare(m *Message) *prepared {
	if m.Received.IsZero() {
		m.Received = q.o.Now()
	}
	p := &prepared{m: m, parts: q.split(m.Recipients)}
	p.row = &store.Message{
		Received: milliseconds(m.Received), Size: m.Size,
		Envelope:   encodeEnvelope(make([]byte, 0, 512), m),
		Deliveries: make([]store.Delivery, len(p.parts)),
	}
	for i := range p.parts {
		part := &p.parts[i]
		p.row.Deliveries[i] = store.Delivery{
			Seq: uint32(i), Queue: encodeKey(part.key),
			State: encodeState(make([]byte, 0, 128), &state{recipients: part.recipients, lastError: part.hold}),
		}
	}
	return p
}

// split groups recipients by what the router says of their domains. The order
// of recipients is kept within a group.
func (q *Queue) split(recipients []smtp.ForwardPath) []part {
	if len(recipients) == 1 {
		k, hold := q.o.Router.Route(recipients[0].Mailbox.Domain)
		return []part{{k, hold, recipients}}
	}
	type destination struct {
		key  Key
		hold string
	}
	var parts []part
	byDomain := map[smtp.Domain]int{}
	byDestination := map[destination]int{}
	for _, to := range recipients {
		d := to.Mailbox.Domain
		i, ok := byDomain[d]
		if !ok {
			k, hold := q.o.Router.Route(d)
			if i, ok = byDestination[destination{k, hold}]; !ok {
				i = len(parts)
				byDestination[destination{k, hold}] = i
				parts = append(parts, part{key: k, hold: hold})
			}
			byDomain[d] = i
		}
		parts[i].recipients = append(parts[i].recipients, to)
	}
	return parts
}

// admit gives a durable message to its lanes. b may be nil.
func (q *Queue) admit(p *prepared, b *body) {
	p.m.ID = MessageID(p.row.ID)
	p.m.durable()
	q.o.Observer.Accepted(p.m)
	for i := range p.parts {
		if part := &p.parts[i]; part.hold != "" {
			q.tellHeld(p.m, part)
		}
	}
	m := &message{id: p.row.ID, received: p.m.Received, nextSeq: uint32(len(p.parts))}
	now := q.o.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range p.parts {
		part := &p.parts[i]
		d := &delivery{m: m, seq: uint32(i), domains: domainsOf(part.recipients), envelope: p.m, body: b}
		d.state.recipients = part.recipients
		q.place(d, q.lane(part.key), part.hold, now)
	}
}

// Start rebuilds the schedule from the store and begins to take and to deliver
// messages. It returns when everything stored is scheduled; ctx bounds that. It
// is called once.
func (q *Queue) Start(ctx context.Context) error {
	n, err := q.recover(ctx)
	if err != nil {
		return fmt.Errorf("reading the queue: %w", err)
	}
	if n > 0 {
		q.o.Logger.Info("queue read", "messages", n)
	}
	q.mu.Lock()
	q.started = true
	now := q.o.Now()
	for _, l := range q.lanes {
		q.ripen(l, now)
		q.dispatch(l)
		q.rearm(l)
	}
	q.dispatch(q.wishes)
	q.dispatch(q.suspects)
	q.mu.Unlock()
	go q.schedule()
	q.running.Store(true)
	return nil
}

// Stop ends the queue: it takes nothing any more, begins no attempt, and lets
// those under way end. When ctx ends, their context does. What is known of them
// is settled; the rest is tried again after the next start. It returns an error
// if outcomes could not be stored; these deliveries may be repeated. The engine
// is left open.
func (q *Queue) Stop(ctx context.Context) error {
	defer q.cancelWork()
	if !q.running.Swap(false) {
		return nil
	}
	q.mu.Lock()
	q.started = false
	q.mu.Unlock()
	close(q.halt)
	<-q.end
	cut := context.AfterFunc(ctx, q.cancelWork)
	defer cut()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.crew.total > 0 || q.settling > 0 {
		q.idle.Wait()
	}
	if n := q.unsaved.waiting; n > 0 {
		return fmt.Errorf("stopping queue: %d outcomes could not be stored, their deliveries will be repeated", n)
	}
	return nil
}

// ended notes the end of a worker or a settlement; mu is held.
func (q *Queue) ended(counter *int) {
	*counter--
	if *counter == 0 {
		q.idle.Broadcast()
	}
}

// schedule moves lanes on when their time has come, until halt is closed.
func (q *Queue) schedule() {
	defer close(q.end)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		q.mu.Lock()
		next, again := q.tick(q.o.Now())
		q.mu.Unlock()
		for _, t := range again {
			q.submit(t)
		}
		timer.Reset(next)
		select {
		case <-q.halt:
			return
		case <-q.wake:
		case <-timer.C:
		}
	}
}

// tick does what is due and returns the time until the next is, and the
// settlements to submit once mu, which is held, is free.
func (q *Queue) tick(now time.Time) (next time.Duration, again []*settlement) {
	next = idleCheck
	if !q.started {
		return next, nil
	}
	for len(q.timers) > 0 && !q.timers[0].wake.After(now) {
		l := q.timers[0]
		q.ripen(l, now)
		q.dispatch(l)
		q.rearm(l)
	}
	if len(q.timers) > 0 {
		next = min(next, q.timers[0].wake.Sub(now))
	}
	again, wait := q.unsaved.due(now)
	q.settling += len(again)
	if wait > 0 {
		next = min(next, wait)
	}
	if now.Sub(q.lastIdle) >= idleCheck {
		q.lastIdle = now
		q.forgetIdle(now)
	}
	return next, again
}

// poke makes the scheduler look at its timers again.
func (q *Queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// errPanic stands for a panic of a deliverer or reporter.
var errPanic = errors.New("internal error")

// guard turns a panic of a deliverer or reporter into an error with a stack in the log.
func (q *Queue) guard(what string, m MessageID, err *error) {
	if p := recover(); p != nil {
		q.o.Logger.Error("panic in "+what, "message", int64(m), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = fmt.Errorf("%w in %s", errPanic, what)
	}
}

// settings returns the retry ladder.
func (q *Queue) settings() directory.Queue { return q.o.Settings() }
