package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// Change is what an administrator does to messages.
type Change uint8

// The changes.
const (
	Suspend         Change = iota + 1 // no attempt until it is resumed
	Resume                            // ends a suspension, and takes out of the queue "Poison"
	Remove                            // without a word to the sender
	RemoveAndReport                   // and the sender is told

	poisoned // set aside by the queue itself
)

// Selection names messages towards the queues they are in. It selects what
// fulfils all of ID, Queue and From, at least one of which is set.
type Selection struct {
	ID    MessageID // 0: any
	Queue string    // identity as for Queue.Queue; "": any
	From  string    // reverse-path without brackets, "<>" for the null one; "": any

	After MessageID // only greater ids, for the next page
	Limit int       // how many messages are looked at; 0: 500
}

// Changes says what a change did to a page of messages.
type Changes struct {
	Messages int // changed
	// Pending are being delivered: the change is made when their attempt has
	// ended, if there is anything left of them then. It is forgotten if the
	// process is killed before.
	Pending int
	Failed  int       // left alone, because their reports could not be made
	Seen    int       // looked at
	Last    MessageID // the last one looked at
	More    bool      // there may be others after Last
}

// changeAtOnce is how many messages are looked at unless the selection says.
const changeAtOnce = 500

// errSelection says that a change would concern every message.
var errSelection = errors.New("the selection names no message, queue or sender")

// ChangeMessages changes a page of the messages that s selects. It returns when
// what it says is durable. Errors are ErrNoQueue, ErrAmbiguous, ErrStopped and
// the store's; after one nothing of the page has been changed, but Pending ones
// may be later.
func (q *Queue) ChangeMessages(ctx context.Context, s Selection, c Change) (Changes, error) {
	g, err := q.gather(ctx, s)
	if err != nil {
		return Changes{}, err
	}
	q.mu.Lock()
	if !q.running.Load() {
		q.mu.Unlock()
		return Changes{}, ErrStopped
	}
	q.settling++ // Stop waits
	taken := q.choose(g, c, true)
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.ended(&q.settling)
	}()
	failed, err := q.changeTaken(taken, c)
	if err != nil {
		return Changes{}, err
	}
	g.changes.Messages -= failed
	g.changes.Failed = failed
	return g.changes, nil
}

// gathered is a page of messages that a selection names.
type gathered struct {
	lane    *lane // nil: deliveries of all lanes
	wanted  map[deliveryID]bool
	changes Changes
}

// gather reads a page.
func (q *Queue) gather(ctx context.Context, s Selection) (*gathered, error) {
	g := &gathered{wanted: map[deliveryID]bool{}}
	var key []byte
	if s.Queue != "" {
		q.mu.Lock()
		l, err := q.find(s.Queue)
		q.mu.Unlock()
		if err != nil {
			return nil, err
		}
		g.lane, key = l, encodeKey(l.key)
	}
	var rows []store.Message
	switch {
	case s.ID != 0:
		row, err := q.o.Engine.Load(ctx, int64(s.ID))
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("message %d: %w", s.ID, ErrNoQueue)
		}
		if err != nil {
			return nil, fmt.Errorf("reading message %d: %w", s.ID, err)
		}
		rows = []store.Message{*row}
	case s.Queue == "" && s.From == "":
		return nil, errSelection
	default:
		limit := s.Limit
		if limit <= 0 {
			limit = changeAtOnce
		}
		var err error
		if rows, err = q.o.Engine.List(ctx, store.ListOptions{After: int64(s.After), Limit: limit, Queue: key}); err != nil {
			return nil, fmt.Errorf("listing messages: %w", err)
		}
		g.changes.More = len(rows) == limit
	}
	g.changes.Seen = len(rows)
	for i := range rows {
		g.changes.Last = MessageID(rows[i].ID)
		if from, err := sentBy(&rows[i], s.From); err != nil || !from {
			continue // what cannot be read is not in the schedule either
		}
		for _, x := range rows[i].Deliveries {
			if key == nil || bytes.Equal(x.Queue, key) {
				g.wanted[deliveryID{rows[i].ID, x.Seq}] = true
			}
		}
	}
	return g, nil
}

// sentBy reports whether a stored message has the reverse-path from; "": any.
// Letters count alike, because people type it.
func sentBy(row *store.Message, from string) (bool, error) {
	if from == "" {
		return true, nil
	}
	m, err := messageOf(row)
	if err != nil {
		return false, err
	}
	if m.From.Null() {
		return from == "<>", nil
	}
	return strings.EqualFold(from, m.From.Mailbox.String()), nil
}

// choose counts the deliveries of a page that a change concerns. With take it
// gives those that are being tried their wish, and takes the others out of their
// lanes for the caller. mu is held.
func (q *Queue) choose(g *gathered, c Change, take bool) (taken []*delivery) {
	changed, pending := map[int64]bool{}, map[int64]bool{}
	see := func(d *delivery) bool {
		if !g.wanted[deliveryID{d.m.id, d.seq}] || !d.concerned(c) {
			return true
		}
		changed[d.m.id] = true
		if take {
			taken = append(taken, d)
			d.wish = 0
		}
		return !take
	}
	for _, l := range q.lanes {
		if g.lane != nil && l != g.lane {
			continue
		}
		for d := range l.active {
			switch {
			case !g.wanted[deliveryID{d.m.id, d.seq}] || !d.concerned(c):
			case c == Resume && d.wish == Suspend:
				changed[d.m.id] = true
				if take {
					d.wish = 0
				}
			default:
				pending[d.m.id] = true
				if take {
					d.wish = c
				}
			}
		}
		l.ready.keep(see)
		l.waiting.keep(see)
		l.parked.keep(see)
	}
	for _, d := range taken {
		d.lane.active[d] = struct{}{}
	}
	for id := range pending {
		delete(changed, id)
	}
	g.changes.Messages, g.changes.Pending = len(changed), len(pending)
	return taken
}

// concerned reports whether a change makes a difference to the delivery.
func (d *delivery) concerned(c Change) bool {
	aside := d.wish == poisoned || d.lane.key.DeliveryType == Poison
	switch c {
	case Suspend:
		return !d.state.suspended && d.wish == 0 && !aside
	case Resume:
		return d.state.suspended || d.wish == Suspend || aside && d.wish == 0
	default:
		return d.wish != c
	}
}

// changeTaken makes the change to deliveries that have been taken out of their
// lanes, all of them or, after an error, none. It returns how many were left
// alone, because their reports could not be made.
func (q *Queue) changeTaken(taken []*delivery, c Change) (failed int, err error) {
	now := q.o.Now()
	var all []*settlement
	var rows []store.Settlement
	for _, d := range taken {
		t, err := q.altered(d, c, now)
		switch {
		case errors.Is(err, store.ErrNotFound):
			q.mu.Lock()
			delete(d.lane.active, d)
			q.mu.Unlock()
			continue
		case err != nil:
			q.o.Logger.Error("changing a message", "message", d.m.id, "error", err)
			q.putBack(d)
			failed++
			continue
		}
		all, rows = append(all, t), append(rows, t.row)
	}
	if len(rows) == 0 {
		return failed, nil
	}
	done := make(chan error, 1)
	q.o.Engine.Settle(rows, func(err error) { done <- err })
	if err := <-done; err != nil {
		for _, t := range all {
			q.putBack(t.of)
		}
		return 0, fmt.Errorf("storing the change: %w", err)
	}
	for _, t := range all {
		q.publish(t)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range all {
		t.then(now)
	}
	return failed, nil
}

// putBack returns a delivery that was taken out of its lane and not changed.
func (q *Queue) putBack(d *delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.forget()
	switch {
	case q.returned(d):
	case d.due.After(q.o.Now()):
		q.wait(d, d.due)
	default:
		q.makeReady(d)
	}
}

// fulfil makes the change that was wished for while the delivery was tried.
func (q *Queue) fulfil(d *delivery, now time.Time) {
	q.mu.Lock()
	c := d.wish
	d.wish = 0
	q.mu.Unlock()
	t, err := q.altered(d, c, now)
	if err == nil {
		q.settle(t)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(d.lane.active, d)
	if errors.Is(err, store.ErrNotFound) {
		d.forget()
		return
	}
	q.o.Logger.Error("changing a message after its attempt", "message", d.m.id, "error", err)
	if d.wish == 0 {
		d.wish = c // it stays, for the next time that somebody looks at the message
	}
	q.wait(d, later(now, holdDelay(q.settings())))
}

// altered returns the settlement that changes a delivery, which is the caller's.
func (q *Queue) altered(d *delivery, c Change, now time.Time) (*settlement, error) {
	d.forget()
	row, err := q.reload(context.WithoutCancel(q.work), d) // what has begun ends also when the queue stops
	if err != nil {
		return nil, err
	}
	t := &settlement{row: store.Settlement{Message: d.m.id}, of: d}
	// apply does in memory what has been stored, and reports whether the
	// delivery is no more.
	var apply func(now time.Time) (gone bool)
	switch {
	case c == poisoned:
		apply = q.poison(t, d, row, now)
	case c == Suspend || c == Resume && d.lane.key.DeliveryType != Poison:
		apply = d.suspend(t, row, c == Suspend)
	case c == Resume:
		apply = q.unpoison(t, d)
	default:
		if err := q.remove(t, d, c == RemoveAndReport, now); err != nil {
			return nil, err
		}
		apply = func(time.Time) bool { return true }
	}
	t.then = func(now time.Time) {
		delete(d.lane.active, d)
		gone := apply(now)
		d.forget()
		if gone {
			return
		}
		d.lane.active[d] = struct{}{}
		if !q.returned(d) {
			q.spare(d, c)
			q.makeReady(d)
		}
	}
	return t, nil
}

// suspend adds to a settlement that a delivery is suspended, or is not any more.
func (d *delivery) suspend(t *settlement, row *store.Delivery, suspended bool) (apply func(time.Time) bool) {
	s, due := d.state, row.Due
	s.suspended = suspended
	if !suspended {
		due = 0
	}
	t.row.Put = append(t.row.Put, store.Delivery{Seq: row.Seq, Due: due, Queue: row.Queue, State: encodeState(nil, &s)})
	return func(time.Time) bool {
		d.state.suspended, d.held = suspended, false
		return false
	}
}

// removedReply is what a sender reads when an administrator has removed a message.
func removedReply() smtp.Reply {
	return smtp.NewReply(550, smtp.EnhancedCode{5, 3, 0}, "QUEUE.Admin;message removed by an administrator")
}

// remove adds the end of a delivery to a settlement, with a report if the sender
// is to be told.
func (q *Queue) remove(t *settlement, d *delivery, report bool, now time.Time) error {
	n := len(d.state.recipients)
	if report {
		why := Outcome{Disposition: Failed, Reply: removedReply(), LastError: d.state.lastError}
		g := group{recipients: d.state.recipients, outcomes: slices.Repeat([]Outcome{why}, n), tried: d.state.lastAttempt}
		if err := q.report(t, d, ReportFailed, g, now); err != nil {
			return fmt.Errorf("making a report of a removed message: %w", err)
		}
	}
	t.row.Remove = append(t.row.Remove, d.seq)
	seen := Outcome{Disposition: Failed, Reply: removedReply()}
	if len(t.reports) == 0 {
		seen = Outcome{Disposition: Failed, LastError: "removed by an administrator without a report"}
	}
	e := Event{
		Time: now, Message: d.envelope, Key: d.lane.key, Attempt: d.state.attempts,
		Recipients: d.state.recipients, Outcomes: slices.Repeat([]Outcome{seen}, n),
	}
	t.told = func() { q.o.Observer.Removed(e) }
	return nil
}
