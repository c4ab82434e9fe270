package sqlite

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	driverpkg "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mailpact/internal/store"
)

// DefaultReserve is the room on the disk, in octets, that messages leave free:
// 192 MB. The log may grow to its limit once more, all its pages may go to the
// end of the file, and a third as much is for reports and for the records that
// lie on the same disk.
const DefaultReserve = 3 * restartFrames * pageBytes

const (
	// roomAge is how long Ready believes what was measured.
	roomAge = time.Second
	// faultAge is how long Ready refuses messages after a failed commit.
	faultAge = time.Second
	// faultLine is the least time between two lines in the log about faults of one kind.
	faultLine = 10 * time.Second
)

// Condition is how the engine's disk fares.
type Condition struct {
	Free    int64 // octets that this process may still use; math.MaxInt64: the file system does not say
	Reserve int64 // octets that messages leave free
	// Fault is what the last commit failed of; nil: it succeeded.
	Fault error
	// Condemned: a checkpoint has failed, and no message is taken until the file
	// is opened anew. Fault says why.
	Condemned bool
}

// space knows how much room the disk has and whether commits succeed. Messages
// have to leave a reserve, so that what became of them can always be stored: a
// queue that can neither take nor forget would be stuck.
type space struct {
	directory string
	reserve   int64
	free      func(directory string) (int64, error)
	logger    *slog.Logger

	mu       sync.Mutex
	measured time.Time
	last     int64
	fault    error // until a commit succeeds
	faultAt  time.Time
	lines    sparing
	told     bool // the log knows of fault

	condemned error // see condemn
}

// sparing bounds the lines in the log about a fault that comes again and again.
// It is not safe for concurrent use.
type sparing struct{ last time.Time }

// allow reports whether a line may be written now.
func (s *sparing) allow(now time.Time) bool {
	if d := now.Sub(s.last); d >= 0 && d < faultLine {
		return false
	}
	s.last = now
	return true
}

func newSpace(o Options) *space {
	s := &space{directory: filepath.Dir(o.Path), reserve: o.Reserve, free: o.free, logger: o.Logger, last: math.MaxInt64}
	if s.reserve <= 0 {
		s.reserve = DefaultReserve
	}
	if s.free == nil {
		s.free = freeOctets
	}
	return s
}

// freeOctets asks the file system how much a process without privileges may
// still write.
func freeOctets(directory string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(directory, &st); err != nil {
		return 0, fmt.Errorf("asking for the room on the disk: %w", err)
	}
	return int64(min(st.Bavail, math.MaxInt64/uint64(max(st.Bsize, 1)))) * st.Bsize, nil
}

// measure brings last up to date if it is older than age. Where the file system
// cannot tell, what it said before stands: commits fail of themselves then. mu
// is held.
func (s *space) measure(now time.Time, age time.Duration) {
	if d := now.Sub(s.measured); d < age && d >= 0 && !s.measured.IsZero() {
		return
	}
	s.measured = now
	if free, err := s.free(s.directory); err == nil {
		s.last = free
	}
}

// ready says why no message can be stored now; nil: one can.
func (s *space) ready() error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.condemned != nil:
		return s.condemned
	case s.fault != nil && now.Sub(s.faultAt) < faultAge:
		return s.fault
	}
	s.measure(now, roomAge)
	if s.last < s.reserve {
		return store.ErrFull
	}
	return nil
}

func (s *space) condition() Condition {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measure(now, roomAge)
	c := Condition{Free: s.last, Reserve: s.reserve, Fault: s.fault}
	if s.condemned != nil {
		c.Fault, c.Condemned = s.condemned, true
	}
	return c
}

// admit takes out of a group, and answers, the requests that would make use of
// the reserve. What ends messages always stays.
func (s *space) admit(group []*request) []*request {
	var need int64
	for _, r := range group {
		need += r.growth()
	}
	if need == 0 {
		return group
	}
	s.mu.Lock()
	s.measure(time.Now(), 0)
	room, fault := s.last-s.reserve, store.ErrFull
	if s.condemned != nil {
		room, fault = 0, s.condemned
	}
	s.mu.Unlock()
	if need <= room {
		return group
	}
	return partition(group, func(r *request) bool {
		n := r.growth()
		if n > room && n > 0 {
			r.done(fault)
			return false
		}
		room -= n
		return true
	})
}

// partition keeps the requests that keep approves of, in order.
func partition(group []*request, keep func(*request) bool) []*request {
	kept := group[:0]
	for _, r := range group {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	clear(group[len(kept):])
	return kept
}

// growth is how much of the disk a request may take for good, in octets: in the
// log, and once more in the file. It is 0 for what must always be possible.
func (r *request) growth() int64 {
	var n int64
	for _, m := range r.messages {
		n += int64(len(m.Content)+len(m.Envelope)) + pageBytes
	}
	if r.row != nil {
		n += int64(len(r.row)) + pageBytes
	}
	return 2 * n
}

// note remembers how a commit went, and tells the log when that changes, but
// not more often than every faultLine.
func (s *space) note(err error) {
	if err == nil {
		s.succeeded()
		return
	}
	now := time.Now()
	s.mu.Lock()
	s.fault, s.faultAt = err, now
	tell := s.lines.allow(now)
	s.told = s.told || tell
	s.mu.Unlock()
	if tell {
		s.logger.Error("commits fail; no message is taken until one succeeds", "error", err)
	}
}

func (s *space) succeeded() {
	s.mu.Lock()
	tell := s.told
	s.fault, s.told = nil, false
	s.mu.Unlock()
	if tell {
		s.logger.Info("commits succeed again")
	}
}

// condemn is for a checkpoint that the disk has failed. SQLite takes the pages
// that an earlier part of it wrote for copied, but where a sync has failed, what
// was written before it may never reach the disk, and the next sync does not
// tell. So there is no checkpoint any more that could let the log be overwritten:
// whoever opens the file next copies all of it again. Outcomes still go into the
// log; messages would only make it longer.
func (s *space) condemn(err error) {
	s.mu.Lock()
	first := s.condemned == nil
	if first {
		s.condemned = fmt.Errorf("a checkpoint has failed: %w", err)
	}
	s.mu.Unlock()
	if first {
		s.logger.Error("a checkpoint has failed; no message is taken until the server is started anew", "error", err)
	}
}

func (s *space) isCondemned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.condemned != nil
}

// lastingFault reports whether a checkpoint's error is the disk's. That it is
// full is none: what could not be written is still to be written then.
func lastingFault(err error) bool {
	var e *driverpkg.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_IOERR || e.Code()&0xff == sqlite3.SQLITE_CORRUPT)
}

// diskFault returns err, marked where the disk is full, if it is the disk's or
// the file's fault and not that of one request. Other errors give nil.
func diskFault(err error) error {
	var e *driverpkg.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL:
		return err
	}
	return nil
}

// Ready says why no message can be stored at the moment, so that nobody sends
// one in vain; nil: one can. The error is store.ErrFull when there is no room.
func (e *Engine) Ready() error { return e.committer.space.ready() }

// Condition returns how the disk fares.
func (e *Engine) Condition() Condition { return e.committer.space.condition() }
