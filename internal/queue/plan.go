package queue

import (
	"context"
	"fmt"
)

// Plan has the methods of Queue that change something, but changes nothing: it
// says what they would do now.
type Plan struct{ q *Queue }

// Plan returns the queue's plan.
func (q *Queue) Plan() Plan { return Plan{q: q} }

// SuspendQueue returns the queue that would be suspended.
func (p Plan) SuspendQueue(_ context.Context, identity string) (QueueRow, error) {
	return p.q.Queue(identity)
}

// ResumeQueue returns the queue that would be resumed.
func (p Plan) ResumeQueue(_ context.Context, identity string) (QueueRow, error) {
	return p.q.Queue(identity)
}

// Retry returns how many messages would be made due.
func (p Plan) Retry(identity string, _ bool) (int, error) {
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	l, err := p.q.find(identity)
	if err != nil {
		return 0, err
	}
	if l.suspended {
		return 0, fmt.Errorf("queue %q: %w", identity, ErrSuspended)
	}
	return l.ready.len() + len(l.waiting), nil
}

// ChangeMessages returns what would become of a page of messages.
func (p Plan) ChangeMessages(ctx context.Context, s Selection, c Change) (Changes, error) {
	g, err := p.q.gather(ctx, s)
	if err != nil {
		return Changes{}, err
	}
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	p.q.choose(g, c, false)
	return g.changes, nil
}
