package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// Status is what a queue or a message does at the moment (reference, section 4.6).
type Status string

// The statuses. A queue that makes attempts is Connecting until one of them has
// reached the destination. A message is Suspended also when its queue is.
const (
	StatusActive         Status = "Active"         // an attempt is being made
	StatusConnecting     Status = "Connecting"     // of queues only
	StatusReady          Status = "Ready"          // nothing stands in the way of the next attempt
	StatusRetry          Status = "Retry"          // waits for the next retry
	StatusSuspended      Status = "Suspended"      // waits for an administrator
	StatusPendingSuspend Status = "PendingSuspend" // of messages only: an attempt is being made, suspended after it
	StatusPendingRemove  Status = "PendingRemove"  // of messages only: an attempt is being made, removed after it
)

// precedence is the order in which a message shows the statuses of its recipients.
func (s Status) precedence() int {
	return slices.Index([]Status{
		StatusPendingRemove, StatusPendingSuspend, StatusActive, StatusReady, StatusRetry, StatusSuspended,
	}, s)
}

// QueueRow is one queue as the queue listing shows it.
type QueueRow struct { //nolint:revive // stands beside MessageRow and RecipientRow
	Identity         string // a number that holds until the queue has been empty for 3 minutes or the server stops
	DeliveryType     string
	NextHopDomain    string
	TLSDomain        smtp.Domain
	NextHopConnector string
	Status           Status
	MessageCount     int64
	ActiveCount      int64     // messages among them that are being delivered
	NextRetryTime    time.Time // zero: none is waited for
	LastError        string
}

// MessageRow is one message as the message listing shows it.
type MessageRow struct {
	Message    *Message
	Recipients []RecipientRow // those still to be delivered
	Status     Status
	LastError  string    // the first recipient's that has one
	Queue      string    // identity of the first recipient's queue
	Expires    time.Time // zero: never
}

// RecipientRow is one recipient of a MessageRow.
type RecipientRow struct {
	Address    smtp.ForwardPath
	Queue      string // the identity of its queue
	Key        Key
	Status     Status
	LastError  string
	RetryCount int
	NextRetry  time.Time // zero: as soon as possible
}

// MessageFilter selects messages.
type MessageFilter struct {
	Queue string    // identity; "": all
	After MessageID // those with greater ids
	Limit int       // 0: 1000
}

// defaultResultSize is the ResultSize of the listing cmdlets.
const defaultResultSize = 1000

// Queues lists the queues in order of their numbers.
func (q *Queue) Queues() []QueueRow {
	q.mu.Lock()
	defer q.mu.Unlock()
	rows := make([]QueueRow, 0, len(q.lanes))
	for _, l := range q.lanes {
		rows = append(rows, l.row(q.o.Now()))
	}
	slices.SortFunc(rows, func(a, b QueueRow) int {
		return cmp.Or(cmp.Compare(len(a.Identity), len(b.Identity)), cmp.Compare(a.Identity, b.Identity))
	})
	return rows
}

// Queue returns the queue with an identity: its number, or the next hop's
// domain, "Unreachable" or "Poison" where exactly one queue has it. Errors are ErrNoQueue
// and ErrAmbiguous.
func (q *Queue) Queue(identity string) (QueueRow, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l, err := q.find(identity)
	if err != nil {
		return QueueRow{}, err
	}
	return l.row(q.o.Now()), nil
}

// identity is the lane's number as text.
func (l *lane) identity() string { return strconv.FormatInt(l.number, 10) }

func (l *lane) row(now time.Time) QueueRow {
	r := QueueRow{
		Identity: l.identity(), DeliveryType: l.key.DeliveryType, NextHopDomain: l.key.NextHopDomain,
		TLSDomain: l.key.TLSDomain, NextHopConnector: l.key.Connector,
		Status: StatusReady, MessageCount: int64(l.count()), ActiveCount: int64(len(l.active)), LastError: l.lastError,
	}
	if r.MessageCount == 0 {
		r.LastError = ""
	}
	switch {
	case l.suspended:
		r.Status = StatusSuspended
	case len(l.active) > 0 && l.reached:
		r.Status = StatusActive
	case len(l.active) > 0:
		r.Status = StatusConnecting
	case l.ready.len()+len(l.waiting) == 0:
		if len(l.parked) > 0 {
			r.Status = StatusSuspended
		}
	case l.failures > 0 && now.Before(l.holdUntil):
		r.Status, r.NextRetryTime = StatusRetry, l.holdUntil
	case l.ready.len() == 0:
		r.Status, r.NextRetryTime = StatusRetry, l.waiting[0].due
	}
	return r
}

// find returns the lane with an identity; mu is held. A lane that has been
// emptied lately does not stand in the way of one with messages.
func (q *Queue) find(identity string) (*lane, error) {
	var full, empty []*lane
	for _, l := range q.lanes {
		switch {
		case l.identity() == identity:
			return l, nil
		case l.key.NextHopDomain != identity && (l.key.DeliveryType != identity || identity != Unreachable && identity != Poison):
		case l.count() > 0:
			full = append(full, l)
		default:
			empty = append(empty, l)
		}
	}
	found := full
	if len(full) == 0 {
		found = empty
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("queue %q: %w", identity, ErrNoQueue)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("queue %q: %w", identity, ErrAmbiguous)
}

// Messages lists queued messages in order of their ids. To go on, ask again
// with After set to the last id; an answer shorter than the limit is the last.
func (q *Queue) Messages(ctx context.Context, f MessageFilter) ([]MessageRow, error) {
	o := store.ListOptions{After: int64(f.After), Limit: f.Limit}
	if o.Limit <= 0 {
		o.Limit = defaultResultSize
	}
	if f.Queue != "" {
		q.mu.Lock()
		l, err := q.find(f.Queue)
		q.mu.Unlock()
		if err != nil {
			return nil, err
		}
		o.Queue = encodeKey(l.key)
	}
	rows, err := q.o.Engine.List(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("listing messages: %w", err)
	}
	return q.messageRows(rows)
}

// Message returns one queued message, or ErrNoQueue.
func (q *Queue) Message(ctx context.Context, id MessageID) (MessageRow, error) {
	row, err := q.o.Engine.Load(ctx, int64(id))
	if errors.Is(err, store.ErrNotFound) {
		return MessageRow{}, fmt.Errorf("message %d: %w", id, ErrNoQueue)
	}
	if err != nil {
		return MessageRow{}, fmt.Errorf("reading message %d: %w", id, err)
	}
	rows, err := q.messageRows([]store.Message{*row})
	if err != nil {
		return MessageRow{}, err
	}
	return rows[0], nil
}

// messageRows joins stored rows with what the schedule knows of them.
func (q *Queue) messageRows(rows []store.Message) ([]MessageRow, error) {
	out := make([]MessageRow, 0, len(rows))
	view := q.view()
	for i := range rows {
		m, err := messageOf(&rows[i])
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", rows[i].ID, err)
		}
		r := MessageRow{Message: m, Status: StatusSuspended, Expires: directory.Deadline(m.Received, q.settings().Expiration)}
		for j := range rows[i].Deliveries {
			if err := view.add(&r, rows[i].ID, &rows[i].Deliveries[j]); err != nil {
				return nil, fmt.Errorf("message %d: %w", rows[i].ID, err)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// view is the schedule at one moment, as far as listings need it.
type view struct {
	now    time.Time
	active map[deliveryID]Change // those that are being tried, with the wish for them
	lanes  map[Key]QueueRow
}

// deliveryID names a delivery in the store.
type deliveryID struct {
	message int64
	seq     uint32
}

func (q *Queue) view() *view {
	q.mu.Lock()
	defer q.mu.Unlock()
	v := &view{now: q.o.Now(), active: map[deliveryID]Change{}, lanes: make(map[Key]QueueRow, len(q.lanes))}
	for k, l := range q.lanes {
		v.lanes[k] = l.row(v.now)
		for d := range l.active {
			v.active[deliveryID{d.m.id, d.seq}] = d.wish
		}
	}
	return v
}

// add adds a stored delivery's recipients to a message's row.
func (v *view) add(r *MessageRow, id int64, d *store.Delivery) error {
	key, err := decodeKey(d.Queue)
	if err != nil {
		return err
	}
	s, err := decodeState(d.State)
	if err != nil {
		return err
	}
	lane := v.lanes[key]
	to := RecipientRow{Queue: lane.Identity, Key: key, Status: StatusReady, LastError: s.lastError, RetryCount: max(0, s.attempts-1)}
	wish, active := v.active[deliveryID{id, d.Seq}]
	due := fromMilliseconds(d.Due)
	switch {
	case active:
		to.Status = pending(wish)
	case s.suspended, lane.Status == StatusSuspended:
		to.Status = StatusSuspended
	case due.After(v.now):
		to.Status, to.NextRetry = StatusRetry, due
	case lane.Status == StatusRetry:
		to.Status, to.NextRetry = StatusRetry, lane.NextRetryTime
		to.LastError = cmp.Or(to.LastError, lane.LastError)
	}
	for _, a := range s.recipients {
		to.Address = a
		r.Recipients = append(r.Recipients, to)
	}
	r.Queue = cmp.Or(r.Queue, to.Queue)
	r.LastError = cmp.Or(r.LastError, to.LastError)
	if to.Status.precedence() < r.Status.precedence() {
		r.Status = to.Status
	}
	return nil
}

// pending is the status of what is being tried, with a wish for afterwards.
func pending(wish Change) Status {
	switch wish {
	case Suspend, poisoned:
		return StatusPendingSuspend
	case Remove, RemoveAndReport:
		return StatusPendingRemove
	default:
		return StatusActive
	}
}

// Retry makes a queue's messages due now and returns how many there are,
// without those that are being tried already. With resubmit they are routed
// anew first, and a requirement that has been lifted meanwhile is lifted for
// them. The identity is as for Queue. A queue that is suspended gives
// ErrSuspended, and messages that are stay so.
func (q *Queue) Retry(identity string, resubmit bool) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l, err := q.find(identity)
	if err != nil {
		return 0, err
	}
	if l.suspended {
		return 0, fmt.Errorf("queue %q: %w", identity, ErrSuspended)
	}
	for _, d := range l.waiting {
		l.ready.push(d)
	}
	clear(l.waiting)
	l.waiting = l.waiting[:0]
	for _, d := range l.ready.all() {
		d.resubmit = d.resubmit || resubmit
	}
	n := l.ready.len()
	if l.failures > 0 {
		l.holdUntil = q.o.Now()
	}
	q.dispatch(l)
	q.rearm(l)
	return n, nil
}
