package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// attempt looks at a delivery that its lane has handed to a worker, and makes
// the attempt unless it has expired, has to wait, or goes elsewhere now.
func (q *Queue) attempt(d *delivery) {
	started := q.o.Now()
	chore := d.chore
	d.chore = false
	switch {
	case d.wished:
		q.fulfil(d, started)
		return
	case q.expired(d, started):
		q.expire(d, started)
		return
	case chore && q.delayDue(d, started):
		q.tellDelay(d, started)
		return
	case chore, d.stopped:
		q.giveBack(d)
		return
	}
	key, hold, moves := q.reroute(d)
	switch {
	case moves:
		q.move(d, started)
		return
	case hold != "":
		q.hold(d, hold, started)
		return
	}
	if err := q.load(d); err != nil {
		q.unread(d, err, started)
		return
	}
	before := d.state.trials
	if d.restored || before > 0 {
		if err := q.watch(d); err != nil {
			q.unread(d, err, started)
			return
		}
	}
	outcomes, panicked := q.deliver(d, key)
	r := round{started: started, now: q.o.Now(), cancelled: q.work.Err() != nil, panicked: panicked}
	switch {
	case panicked:
		r.trials = before + 1
	case r.cancelled:
		r.trials = before
	}
	q.conclude(d, outcomes, r)
}

// expired reports whether the delivery's time is over. What has had no chance
// yet, because this server was down, gets one, and so does what was suspended.
func (q *Queue) expired(d *delivery, now time.Time) bool {
	at := directory.Deadline(d.m.received, q.settings().Expiration)
	if at.IsZero() || now.Before(at) {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.spared || d.state.suspended || d.lane.suspended {
		return false
	}
	return d.state.attempts > 0 || d.held || d.lane.failures > 0
}

// reroute asks the router about the delivery's domains. A key stays as it was
// stored until resubmission, except that a demand for security is followed at
// once and that what was unreachable goes where it can.
func (q *Queue) reroute(d *delivery) (key Key, hold string, moves bool) {
	key = d.lane.key
	for _, domain := range d.domains {
		now, reason := q.o.Router.Route(domain)
		switch {
		case d.resubmit:
			moves = moves || now != key
		case now == key:
		case key.TLSDomain == "" && now.TLSDomain != "":
			moves = true
			continue
		case key.TLSDomain != "" && now.TLSDomain == "" && key.DeliveryType == Unreachable:
			reason = lowered(key.TLSDomain)
		case key.DeliveryType == Unreachable:
			moves = true
			continue
		default:
			// The stored key stands; what the router holds is another one.
			reason = ""
		}
		if hold == "" {
			hold = reason
		}
	}
	return key, hold, moves
}

// load reads what is not in memory. Errors are store.ErrNotFound, damage, or the store's.
func (q *Queue) load(d *delivery) error {
	if d.envelope != nil {
		return nil
	}
	_, err := q.reload(q.work, d)
	return err
}

// reload reads envelope and recipients from the store and returns the stored delivery.
func (q *Queue) reload(ctx context.Context, d *delivery) (*store.Delivery, error) {
	row, err := q.o.Engine.Load(ctx, d.m.id)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(row.Deliveries, func(x store.Delivery) bool { return x.Seq == d.seq })
	if at < 0 {
		return nil, store.ErrNotFound
	}
	m, err := messageOf(row)
	if err != nil {
		return nil, err
	}
	s, err := decodeState(row.Deliveries[at].State)
	if err != nil {
		return nil, err
	}
	d.envelope, d.state.recipients = m, s.recipients
	return &row.Deliveries[at], nil
}

// messageOf is the envelope of a row.
func messageOf(row *store.Message) (*Message, error) {
	m, err := decodeEnvelope(row.Envelope)
	if err != nil {
		return nil, err
	}
	m.ID, m.Size, m.Received = MessageID(row.ID), row.Size, fromMilliseconds(row.Received)
	return m, nil
}

// unread deals with a delivery that could not be read from the store.
func (q *Queue) unread(d *delivery, err error, now time.Time) {
	if q.work.Err() != nil {
		q.giveBack(d)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(d.lane.active, d)
	if errors.Is(err, store.ErrNotFound) {
		q.o.Logger.Error("a message has vanished from the store", "message", d.m.id)
		d.forget()
		return
	}
	// A wish stays with it until the store can be used again.
	q.o.Logger.Error("using the stored form of a message", "message", d.m.id, "error", err)
	d.state.lastError = "using the stored form of the message: " + err.Error()
	q.wait(d, later(now, holdDelay(q.settings())))
}

// giveBack returns a delivery that was not tried to its lane.
func (q *Queue) giveBack(d *delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.returned(d) {
		q.makeReady(d)
	}
}

// open returns the content of a delivery's message.
func (q *Queue) open(ctx context.Context, d *delivery) (io.ReadCloser, error) {
	if d.body != nil {
		return d.body.open(), nil
	}
	return q.o.Engine.OpenContent(ctx, d.m.id)
}

// deliver lets the deliverer make the attempt and returns an outcome for each recipient.
func (q *Queue) deliver(d *delivery, key Key) (outcomes []Outcome, panicked bool) {
	n := len(d.state.recipients)
	call := func() (err error) {
		defer q.guard("delivery", d.envelope.ID, &err)
		outcomes = q.o.Deliverer.Deliver(q.work, &Delivery{
			Message: d.envelope, Key: key, Recipients: d.state.recipients, Attempt: d.state.attempts + 1,
			Open: func(ctx context.Context) (io.ReadCloser, error) { return q.open(ctx, d) },
		})
		return nil
	}
	if err := call(); err != nil {
		reply := smtp.NewReply(451, smtp.EnhancedCode{4, 3, 0}, "Internal error")
		outcomes = slices.Repeat([]Outcome{{Reply: reply, LastError: reply.String()}}, n)
		return outcomes, true
	}
	for len(outcomes) < n {
		outcomes = append(outcomes, Outcome{LastError: "the attempt ended without an outcome"})
	}
	return outcomes[:n], false
}

// hold lets a delivery wait for the router's next answer.
func (q *Queue) hold(d *delivery, reason string, now time.Time) {
	first := !d.held || d.state.lastError != reason
	d.held, d.state.lastError, d.resubmit = true, reason, false
	q.mu.Lock()
	d.lane.lastError = reason
	q.mu.Unlock()
	if first && q.load(d) == nil {
		q.o.Observer.Deferred(heldEvent(d.envelope, &part{key: d.lane.key, hold: reason, recipients: d.state.recipients}, now))
	}
	if q.delayDue(d, now) {
		q.tellDelay(d, now)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.returned(d) {
		q.wait(d, later(now, holdDelay(q.settings())))
	}
}

// tellHeld tells the observer that recipients of a new message have to wait.
func (q *Queue) tellHeld(m *Message, p *part) {
	q.o.Observer.Deferred(heldEvent(m, p, q.o.Now()))
}

func heldEvent(m *Message, p *part, now time.Time) Event {
	return Event{
		Time: now, Message: m, Key: p.key, Recipients: p.recipients,
		Outcomes: slices.Repeat([]Outcome{{LastError: p.hold}}, len(p.recipients)),
	}
}

// move splits a delivery anew by what the router says and gives the parts to their lanes.
func (q *Queue) move(d *delivery, now time.Time) {
	if err := q.load(d); err != nil {
		q.unread(d, err, now)
		return
	}
	t := &settlement{row: store.Settlement{Message: d.m.id}}
	t.then = q.scatter(t, d)
	q.settle(t)
}

// scatter adds to a settlement the parts of a delivery by what the router says,
// and returns what gives them to their lanes. The delivery is loaded.
func (q *Queue) scatter(t *settlement, d *delivery) (then func(now time.Time)) {
	parts := q.split(d.state.recipients)
	if d.lane.key.DeliveryType == Poison {
		keepDemand(parts, d.lane.key.TLSDomain)
	}
	moved := make([]*delivery, len(parts))
	q.mu.Lock()
	for i := range parts {
		part := &parts[i]
		seq := d.seq
		if i > 0 {
			seq = d.m.nextSeq
			d.m.nextSeq++
		}
		s := d.state
		s.recipients, s.connection = part.recipients, false
		if part.hold != "" {
			s.lastError = part.hold
		}
		moved[i] = &delivery{m: d.m, seq: seq, domains: domainsOf(part.recipients), state: s, spared: d.spared, restored: d.restored}
		t.row.Put = append(t.row.Put, store.Delivery{Seq: seq, Queue: encodeKey(part.key), State: encodeState(nil, &s)})
	}
	q.mu.Unlock()
	return func(now time.Time) {
		delete(d.lane.active, d)
		d.forget()
		for i, x := range moved {
			x.forget()
			if d.wish == 0 {
				q.place(x, q.lane(parts[i].key), parts[i].hold, now)
				continue
			}
			x.lane, x.wish = q.lane(parts[i].key), d.wish
			x.lane.active[x] = struct{}{}
			q.returned(x)
		}
	}
}

// lowered says why a delivery waits whose demand has gone.
func lowered(domain smtp.Domain) string {
	return fmt.Sprintf("the message was queued as domain-secured for %s, which is not required any more: resubmit its queue", domain)
}

// keepDemand holds parts that would go without what has been demanded for them.
func keepDemand(parts []part, domain smtp.Domain) {
	for i := range parts {
		if domain != "" && parts[i].key.TLSDomain == "" {
			parts[i].key = Key{DeliveryType: Unreachable, NextHopDomain: string(domain), TLSDomain: domain}
			parts[i].hold = lowered(domain)
		}
	}
}
