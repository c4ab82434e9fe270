package sqlite

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"mailpact/internal/store"
)

// settleWait is the longest that a settlement waits for company (design.md, section 9).
const settleWait = 20 * time.Millisecond

// request is one unit of a group: all of it is applied, or nothing. Exactly one
// of its kinds is set.
type request struct {
	messages    []*store.Message   // append
	settlements []store.Settlement // settle
	staging     *store.Staging     // store row, or forget the staging when row is nil
	row         []byte
	adopt       *adoption
	suspension  *suspension

	done func(error) // called once, by the committer; must not block
}

// adoption makes the messages with after < id <= last this node's own.
type adoption struct{ after, last int64 }

// suspension says whether a queue is suspended from now on.
type suspension struct {
	queue     []byte
	suspended bool
}

// committer applies requests in groups, each with one fsync.
type committer struct {
	w      *writer
	logger *slog.Logger
	log    *walKeeper
	space  *space

	mu      sync.Mutex
	pending []*request
	urgent  bool
	since   time.Time // when the oldest of pending came
	closed  bool

	wake chan struct{} // capacity 1
	end  chan struct{}
}

// submit adds r to the next group. A lazy request waits for others, settleWait at most.
func (c *committer) submit(r *request, lazy bool) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return store.ErrClosed
	}
	first := len(c.pending) == 0
	if first && lazy {
		c.since = time.Now()
	}
	ring := first || (!lazy && !c.urgent)
	c.pending = append(c.pending, r)
	c.urgent = c.urgent || !lazy
	c.mu.Unlock()
	if ring {
		c.ring()
	}
	return nil
}

func (c *committer) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close lets the committer finish what is pending and waits for its end.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.ring()
	<-c.end
}

func (c *committer) run() {
	defer close(c.end)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var group []*request
	for {
		next, wait, over := c.take(group[:0])
		group = next
		if over {
			return
		}
		if len(group) == 0 {
			if wait < 0 {
				<-c.wake
				// Others that are ready to run may have something for
				// this group, too; they get one turn.
				runtime.Gosched()
				continue
			}
			timer.Reset(wait)
			select {
			case <-c.wake:
			case <-timer.C:
			}
			continue
		}
		c.commit(group)
		clear(group)
		c.log.afterCommit(c.w)
	}
}

// take moves what is due into group. When nothing is, wait says for how long
// (negative: until somebody rings).
func (c *committer) take(group []*request) (_ []*request, wait time.Duration, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return group, -1, c.closed
	}
	if !c.urgent && !c.closed {
		if wait := settleWait - time.Since(c.since); wait > 0 {
			return group, wait, false
		}
	}
	group, c.pending = c.pending, group
	c.urgent = false
	return group, 0, false
}

// commit applies a group and tells everybody how it went.
func (c *committer) commit(group []*request) {
	if group = c.space.admit(group); len(group) == 0 {
		return
	}
	err := c.w.transaction(group)
	if err == nil {
		c.space.note(nil)
		answer(group, nil)
		return
	}
	if fault := diskFault(err); fault != nil {
		c.commitOutcomes(group, fault)
		return
	}
	if len(group) == 1 {
		c.logger.Error("commit failed", "error", err)
		group[0].done(err)
		return
	}
	c.logger.Warn("group commit failed, each request gets a transaction of its own", "requests", len(group), "error", err)
	for i, r := range group {
		err := c.w.transaction(group[i : i+1])
		if err != nil {
			c.logger.Error("commit failed", "error", err)
		}
		r.done(err)
	}
}

// commitOutcomes is for a group that the disk has failed. What asks for room is
// refused; the rest gets one more chance without it. The fault is noted before
// anybody is told of it, so that who was refused finds the engine not ready.
func (c *committer) commitOutcomes(group []*request, fault error) {
	c.space.note(fault)
	all := len(group)
	group = partition(group, func(r *request) bool {
		if r.growth() == 0 {
			return true
		}
		r.done(fault)
		return false
	})
	if 0 < len(group) && len(group) < all {
		if err := c.w.transaction(group); err == nil {
			answer(group, nil)
			group = nil
		}
	}
	answer(group, fault)
}

func answer(group []*request, err error) {
	for _, r := range group {
		r.done(err)
	}
}

// transaction applies requests in one transaction.
func (w *writer) transaction(group []*request) error {
	if _, err := w.begin.run(); err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	err := w.applyAll(group)
	if err == nil {
		if _, err = w.commit.run(); err == nil {
			w.reserved = w.reserving
			return nil
		}
		err = fmt.Errorf("committing: %w", err)
	}
	w.reserving = w.reserved
	// The engine may have rolled back by itself (disk full), then there is
	// no transaction and this fails, which is as good.
	_, _ = w.rollback.run()
	return err
}

func (w *writer) applyAll(group []*request) error {
	for _, r := range group {
		if err := w.apply(r); err != nil {
			return err
		}
	}
	return nil
}
