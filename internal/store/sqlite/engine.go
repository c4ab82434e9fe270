package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"mailpact/internal/store"
)

// pageBytes is the page size of the file. With SQLite's 4 KB a message of 1 MB
// costs twice the CPU.
const pageBytes = 16 << 10

// readConnections is how many readers work at the same time.
const readConnections = 4

// Options configure an Engine.
type Options struct {
	Path string // of the database file; its directory exists
	// Node is the name under which this node owns messages. Empty: "local".
	Node string
	// Logger is told of faults that do not reach a caller; nil: nobody is.
	Logger *slog.Logger
	// Reserve is the room on the disk, in octets, that messages leave free; 0: DefaultReserve.
	Reserve int64

	free func(directory string) (int64, error) // nil: the file system is asked
	// unattended: no checkpoint is made beside the commits, however long it takes.
	unattended bool
}

// Engine keeps messages in an SQLite file. It is safe for concurrent use.
type Engine struct {
	node      int64
	committer *committer
	log       *walKeeper
	readers   *sql.DB
	statement readStatements
	closeOnce sync.Once
	closeErr  error
}

// Open opens the file, which it makes when there is none, brings its schema up
// to date and removes what nobody finished. The caller makes sure that no other
// process has the file open. Close ends the engine.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if o.Node == "" {
		o.Node = "local"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := private(o.Path); err != nil {
		return nil, err
	}
	syncData()
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	c, err := openWriter(ctx, o.Path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", o.Path, err)
	}
	undo = append(undo, c.close)
	node, err := prepareFile(ctx, c, o.Node)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", o.Path, err)
	}
	w, err := newWriter(ctx, c, node)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", o.Path, err)
	}
	undo = append(undo, w.closeStatements)
	second, err := connect(ctx, o.Path, "busy_timeout(1000)", "synchronous(FULL)")
	if err != nil {
		return nil, fmt.Errorf("opening %s for checkpoints: %w", o.Path, err)
	}
	undo = append(undo, second.close)
	room := newSpace(o)
	e := &Engine{node: node, log: newWALKeeper(second, room, o.Logger)}
	if err := e.openReaders(ctx, o.Path); err != nil {
		return nil, fmt.Errorf("opening %s for reading: %w", o.Path, err)
	}
	e.committer = &committer{w: w, logger: o.Logger, log: e.log, space: room, wake: make(chan struct{}, 1), end: make(chan struct{})}
	go e.committer.run()
	if o.unattended {
		close(e.log.end)
	} else {
		go e.log.run()
	}
	return e, nil
}

// private makes the file, if there is none, so that nobody else can read it:
// it holds mail. SQLite gives the files beside it the same permissions.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("making the queue's file: %w", err)
	}
	return f.Close()
}

// openWriter opens the writing connection by the rules of design.md, section 9.
func openWriter(ctx context.Context, path string) (conn, error) {
	c, err := connect(ctx, path)
	if err != nil {
		return conn{}, err
	}
	fail := func(err error) (conn, error) { return conn{}, errors.Join(err, c.close()) }
	// The page size takes effect only before the file has a first page, and so before WAL.
	if err := c.exec(ctx, fmt.Sprintf("PRAGMA busy_timeout=1000; PRAGMA page_size=%d", pageBytes)); err != nil {
		return fail(err)
	}
	row, err := c.row(ctx, "PRAGMA journal_mode=WAL")
	if err != nil {
		return fail(fmt.Errorf("switching to WAL: %w", err))
	}
	if len(row) != 1 || fmt.Sprint(row[0]) != "wal" {
		return fail(fmt.Errorf("switching to WAL: the journal mode stayed %v; the file system may lack shared memory", row))
	}
	size, err := c.integer(ctx, "PRAGMA page_size")
	if err != nil {
		return fail(err)
	}
	if size != pageBytes {
		return fail(fmt.Errorf("the file has pages of %d octets, not %d", size, pageBytes))
	}
	// A restart of the log must not wait long for a reader; the next one will do.
	// The limit lets the log keep its blocks: what it has grown to is overwritten, not given back.
	return c, c.exec(ctx, fmt.Sprintf("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=%d; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY; PRAGMA busy_timeout=20",
		2*restartFrames*pageBytes))
}

// prepareFile migrates the schema, removes staged content that nobody finished
// and returns this node's number.
func prepareFile(ctx context.Context, c conn, node string) (int64, error) {
	if err := migrate(ctx, c); err != nil {
		return 0, err
	}
	const cleanup = `BEGIN IMMEDIATE;
DELETE FROM content WHERE id IN (SELECT c.id FROM staged s JOIN content c ON c.id>=s.id<<20 AND c.id<(s.id+1)<<20);
DELETE FROM staged;
COMMIT`
	if err := c.exec(ctx, cleanup); err != nil {
		_ = c.exec(ctx, "ROLLBACK")
		return 0, fmt.Errorf("removing unfinished content: %w", err)
	}
	return nodeID(ctx, c, node)
}

// Append makes messages durable, all of them or none, and gives them ids. This
// node owns them. It waits for the commit even when ctx ends, because nobody
// could say what became of them otherwise.
func (e *Engine) Append(_ context.Context, messages []*store.Message) error {
	if len(messages) == 0 {
		return nil
	}
	return e.wait(&request{messages: messages})
}

// Stage stores one row of content ahead of its message. The row has
// store.ContentRowBytes octets and may be used again when Stage has returned. A
// staging is used by one goroutine at a time and ends with Append or Unstage.
func (e *Engine) Stage(_ context.Context, s *store.Staging, row []byte) error {
	if len(row) != store.ContentRowBytes {
		return fmt.Errorf("staging a row of %d octets", len(row))
	}
	if err := e.wait(&request{staging: s, row: row}); err != nil {
		return err
	}
	s.Rows++
	return nil
}

// Unstage forgets the rows of a staging. What it cannot remove is removed by the next Open.
func (e *Engine) Unstage(s *store.Staging) {
	if s.Rows == 0 {
		return
	}
	// An error means that the engine is closed or that the store failed,
	// which the committer has logged; either way Open removes the rows.
	_ = e.committer.submit(&request{staging: &store.Staging{ID: s.ID}, done: func(error) {}}, true)
}

// Settle applies settlements with the next group, all of them or none. done is
// called when they are durable or have failed, from a goroutine that must not
// be held up. It is called before Settle returns when the engine is closed.
func (e *Engine) Settle(settlements []store.Settlement, done func(error)) {
	if len(settlements) == 0 {
		done(nil)
		return
	}
	if err := e.committer.submit(&request{settlements: settlements, done: done}, true); err != nil {
		done(err)
	}
}

// SuspendQueue makes durable that a queue is suspended, or that it no longer is.
func (e *Engine) SuspendQueue(_ context.Context, queue []byte, suspended bool) error {
	return e.wait(&request{suspension: &suspension{queue: queue, suspended: suspended}})
}

// wait submits a request and waits for its commit.
func (e *Engine) wait(r *request) error {
	result := make(chan error, 1)
	r.done = func(err error) { result <- err }
	if err := e.committer.submit(r, false); err != nil {
		return err
	}
	return <-result
}

// Close commits what is pending and closes the file. Content readers must have
// been closed.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		e.committer.close()
		e.log.close()
		var kept error
		if e.log.space.isCondemned() {
			kept = e.committer.w.conn.keepLog()
		}
		e.closeErr = errors.Join(kept, e.closeReaders(), e.log.conn.close(), e.committer.w.closeStatements(), e.committer.w.conn.close())
	})
	return e.closeErr
}
