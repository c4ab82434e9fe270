package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of the write-ahead log in frames, each of about a page.
const (
	passiveFrames = 16 << 20 / pageBytes // written since the last checkpoint: checkpoint
	restartFrames = 64 << 20 / pageBytes // in the log: begin it anew
	// idleCheckpoint copies the log when little comes in.
	idleCheckpoint = 5 * time.Second
)

// walKeeper keeps the write-ahead log from growing (see the package comment).
type walKeeper struct {
	logger *slog.Logger
	space  *space
	conn   conn // of run alone

	restarting sparing // lines of the committer
	passing    sparing // lines of run

	restart   atomic.Bool
	unchecked atomic.Int64 // frames written since the last checkpoint
	ring      chan struct{}
	stop      chan struct{}
	end       chan struct{}
	once      sync.Once
}

func newWALKeeper(c conn, s *space, logger *slog.Logger) *walKeeper {
	return &walKeeper{conn: c, space: s, logger: logger, ring: make(chan struct{}, 1), stop: make(chan struct{}), end: make(chan struct{})}
}

// afterCommit is called by the committer between two groups.
func (k *walKeeper) afterCommit(w *writer) {
	if k.restart.Swap(false) && !k.space.isCondemned() {
		if _, err := checkpoint(w.conn, "RESTART"); err != nil {
			k.failed("restarting the write-ahead log", err, &k.restarting)
		}
	}
	n, err := w.conn.framesWritten()
	if err != nil {
		n = 1
	}
	if k.unchecked.Add(int64(n)) >= passiveFrames {
		select {
		case k.ring <- struct{}{}:
		default:
		}
	}
}

// run checkpoints beside the committer until close is called.
func (k *walKeeper) run() {
	defer close(k.end)
	tick := time.NewTicker(idleCheckpoint)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-k.ring:
		case <-tick.C:
		}
		if k.unchecked.Swap(0) == 0 || k.space.isCondemned() {
			continue
		}
		frames, err := checkpoint(k.conn, "PASSIVE")
		if err != nil {
			k.failed("checkpointing the queue", err, &k.passing)
			continue
		}
		if frames >= restartFrames {
			k.restart.Store(true)
		}
	}
}

// failed deals with the error of a checkpoint.
func (k *walKeeper) failed(doing string, err error, lines *sparing) {
	if lastingFault(err) {
		k.space.condemn(err)
		return
	}
	if lines.allow(time.Now()) {
		k.logger.Warn(doing, "error", err)
	}
}

func (k *walKeeper) close() {
	k.once.Do(func() { close(k.stop) })
	<-k.end
}

// checkpoint copies the write-ahead log into the file, as far as the mode and
// the readers let it, and returns the number of frames in the log.
func checkpoint(c conn, mode string) (frames int64, err error) {
	row, err := c.row(context.Background(), "PRAGMA wal_checkpoint("+mode+")")
	if err != nil {
		return 0, err
	}
	if len(row) != 3 {
		return 0, fmt.Errorf("checkpoint returned %d columns", len(row))
	}
	frames, _ = row[1].(int64)
	return frames, nil
}
