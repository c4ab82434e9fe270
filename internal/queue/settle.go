package queue

import (
	"errors"
	"time"

	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// settlement is what an attempt brought about, on its way into the store.
type settlement struct {
	row     store.Settlement
	reports []*prepared
	// told tells the observer once the settlement is durable; nil: nothing.
	// Queue.mu is not held.
	told func()
	// then moves the delivery on once the settlement is durable; Queue.mu is held.
	then   func(now time.Time)
	of     *delivery // that it changes; nil: nobody asks
	failed bool      // the engine could not take it at least once
}

// settle makes a settlement durable and moves its delivery on.
func (q *Queue) settle(t *settlement) {
	q.mu.Lock()
	q.settling++
	q.mu.Unlock()
	q.submit(t)
}

// submit hands a settlement to the engine; mu is not held.
func (q *Queue) submit(t *settlement) {
	q.o.Engine.Settle([]store.Settlement{t.row}, func(err error) { q.settled(t, err) })
}

// settled is called by the engine.
func (q *Queue) settled(t *settlement, err error) {
	now := q.o.Now()
	if err == nil {
		q.publish(t)
	}
	q.mu.Lock()
	if err != nil {
		// The delivery stays with the settlement: were it tried again
		// now, its outcomes could be stored in the wrong order.
		q.unsaved.add(t, now)
		q.poke()
	} else {
		q.unsaved.stored(t)
		t.then(now)
	}
	say := q.unsaved.say(err, now)
	q.ended(&q.settling)
	q.mu.Unlock()
	if say != nil {
		say(q.o.Logger)
	}
}

// publish lets everybody know of a durable settlement.
func (q *Queue) publish(t *settlement) {
	if t.told != nil {
		t.told()
	}
	for _, p := range t.reports {
		q.admit(p, nil)
	}
}

// round is the circumstances of an attempt.
type round struct {
	started, now time.Time
	cancelled    bool // the queue stops: a deferral does not count
	panicked     bool
	trials       int // what a deferral sets state.trials to
}

// sorted is the outcomes of an attempt by disposition.
type sorted struct{ delivered, failed, deferred group }

// group is some recipients with their outcomes.
type group struct {
	recipients []smtp.ForwardPath
	outcomes   []Outcome
	tried      time.Time // when the attempt ended, for reports
}

func (g *group) add(to smtp.ForwardPath, o Outcome) {
	g.recipients = append(g.recipients, to)
	g.outcomes = append(g.outcomes, o)
}

// sortOutcomes splits recipients by disposition. Where all fared alike, as
// nearly always, nothing is copied.
func sortOutcomes(recipients []smtp.ForwardPath, outcomes []Outcome) sorted {
	var s sorted
	same := true
	for i := range outcomes {
		same = same && outcomes[i].Disposition == outcomes[0].Disposition
	}
	of := func(d Disposition) *group {
		switch d {
		case Delivered:
			return &s.delivered
		case Failed:
			return &s.failed
		default:
			return &s.deferred
		}
	}
	if same {
		*of(outcomes[0].Disposition) = group{recipients: recipients, outcomes: outcomes}
		return s
	}
	for i := range outcomes {
		of(outcomes[i].Disposition).add(recipients[i], outcomes[i])
	}
	return s
}

// connectionFailed reports whether the attempt failed for the destination as a whole.
func (s *sorted) connectionFailed(r round) bool {
	if r.panicked || r.cancelled || len(s.delivered.outcomes)+len(s.failed.outcomes) > 0 {
		return false
	}
	for i := range s.deferred.outcomes {
		if o := &s.deferred.outcomes[i]; !o.ConnectionFailed && o.RemoteHost != "" {
			return false
		}
	}
	return true
}

// conclude settles an attempt: recipients that are done leave, the others wait.
func (q *Queue) conclude(d *delivery, outcomes []Outcome, r round) {
	s := sortOutcomes(d.state.recipients, outcomes)
	e := Event{Time: r.now, Message: d.envelope, Key: d.lane.key, Attempt: d.state.attempts + 1}
	t := &settlement{row: store.Settlement{Message: d.m.id}}
	if len(s.failed.recipients) > 0 {
		s.failed.tried = r.now
		if err := q.report(t, d, ReportFailed, s.failed, r.now); err != nil {
			// Without its report a failure would be a loss: they wait instead.
			q.o.Logger.Error("making a failure report", "message", d.m.id, "error", err)
			for i := range s.failed.outcomes {
				s.deferred.add(s.failed.recipients[i], Outcome{LastError: s.failed.outcomes[i].LastError, RemoteHost: s.failed.outcomes[i].RemoteHost})
			}
			s.failed = group{}
			if errors.Is(err, errPanic) && !r.panicked {
				r.trials = d.state.trials + 1
			}
			r.panicked = true
		}
	}
	q.reportSuccess(t, d, s.delivered, r.now)
	tell(q.o.Observer.Delivered, e, s.delivered)
	tell(q.o.Observer.Failed, e, s.failed)
	if len(s.deferred.recipients) == 0 {
		q.noteOutcome(d, &s, r)
		t.row.Remove = []uint32{d.seq}
		t.then = func(time.Time) {
			delete(d.lane.active, d)
		}
		d.forget()
		q.settle(t)
		return
	}
	if r.cancelled && len(s.deferred.recipients) == len(outcomes) && r.trials == d.state.trials {
		q.giveBack(d)
		return
	}
	q.deferral(t, d, &s, r, e)
}

// tell passes a group to an observer's method, if there is anybody in it.
func tell(method func(Event), e Event, g group) {
	if len(g.recipients) > 0 {
		e.Recipients, e.Outcomes = g.recipients, g.outcomes
		method(e)
	}
}

// noteOutcome lets the lane know how its destination fares, and returns when a
// deferred delivery is due, zero if its lane tells.
func (q *Queue) noteOutcome(d *delivery, s *sorted, r round) (due time.Time, connection bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := d.lane
	if r.cancelled {
		return time.Time{}, false
	}
	if len(s.deferred.outcomes) > 0 {
		l.lastError = s.deferred.outcomes[0].LastError
	} else {
		l.lastError = ""
	}
	if s.connectionFailed(r) {
		q.fail(l, r.started, r.now)
		return l.holdUntil, true
	}
	if !r.panicked {
		q.recovered(l)
	}
	return later(r.now, retryDelay(q.settings(), d.state.attempts+1)), false
}

// deferral settles an attempt after which some recipients have to wait.
func (q *Queue) deferral(t *settlement, d *delivery, s *sorted, r round, e Event) {
	due, connection := q.noteOutcome(d, s, r)
	remaining := state{
		recipients: s.deferred.recipients, attempts: d.state.attempts, connection: connection, delayTold: d.state.delayTold,
		trials: r.trials, lastError: s.deferred.outcomes[0].LastError, remoteHost: s.deferred.outcomes[0].RemoteHost, lastAttempt: r.now,
	}
	if !r.cancelled {
		remaining.attempts++
		e.NextRetry = due
		tell(q.o.Observer.Deferred, e, s.deferred)
	} else {
		remaining.lastError, remaining.remoteHost, remaining.lastAttempt = d.state.lastError, d.state.remoteHost, d.state.lastAttempt
	}
	next := *d // what the delivery will be
	next.state, next.held = remaining, false
	if q.delayDue(&next, r.now) {
		q.addDelayReport(t, &next, r.now)
	}
	q.put(t, &next, due)
	domains := domainsOf(remaining.recipients)
	t.then = func(time.Time) {
		l := d.lane
		d.state, d.held, d.spared, d.restored, d.domains = next.state, false, false, false, domains
		d.forget()
		if d.state.trials >= maxTrials && d.wish == 0 {
			d.wish = poisoned
		}
		if q.returned(d) {
			return
		}
		if r.cancelled || connection && l.failures > 0 {
			q.makeReady(d) // and its lane waits
			return
		}
		q.wait(d, q.notAfterExpiry(d, due))
	}
	q.settle(t)
}

// put adds the delivery's new state to a settlement.
func (q *Queue) put(t *settlement, d *delivery, due time.Time) {
	t.row.Put = []store.Delivery{{
		Seq: d.seq, Due: milliseconds(due), Queue: encodeKey(d.lane.key), State: encodeState(make([]byte, 0, 256), &d.state),
	}}
}
