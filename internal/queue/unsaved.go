package queue

import (
	"log/slog"
	"time"
)

const (
	// settleAgain is the wait before settlements that the engine could not take are tried again.
	settleAgain = time.Second
	// unsavedLine is the least time between two lines in the log about them.
	unsavedLine = 10 * time.Second
)

// unsaved is the settlements that the engine could not take. They are tried
// again together, so that they share a commit, for as long as it takes. Queue.mu
// guards it.
type unsaved struct {
	list    []*settlement
	again   time.Time // when list is tried
	waiting int       // settlements that have failed and are not stored yet, those under way included
	told    bool      // the log knows of them
	line    time.Time // of the log's last one
}

// add keeps a settlement that has failed.
func (u *unsaved) add(t *settlement, now time.Time) {
	if !t.failed {
		t.failed = true
		u.waiting++
	}
	if len(u.list) == 0 {
		u.again = now.Add(settleAgain)
	}
	u.list = append(u.list, t)
}

// stored notes that a settlement is stored.
func (u *unsaved) stored(t *settlement) {
	if t.failed {
		u.waiting--
	}
}

// due returns the settlements to be tried now, or how long that has time; both
// are zero when there are none.
func (u *unsaved) due(now time.Time) (again []*settlement, wait time.Duration) {
	if len(u.list) == 0 {
		return nil, 0
	}
	if wait := u.again.Sub(now); wait > 0 {
		return nil, wait
	}
	again, u.list = u.list, nil
	return again, 0
}

// say returns what the log is to be told after a settlement has ended with err;
// nil: nothing.
func (u *unsaved) say(err error, now time.Time) func(*slog.Logger) {
	waiting := u.waiting
	switch d := now.Sub(u.line); {
	case err != nil && (d >= unsavedLine || d < 0):
		u.told, u.line = true, now
		return func(l *slog.Logger) {
			l.Error("outcomes cannot be stored; they are kept and tried again", "waiting", waiting, "error", err)
		}
	case err == nil && waiting == 0 && u.told:
		u.told = false
		return func(l *slog.Logger) { l.Info("all outcomes are stored again") }
	}
	return nil
}
