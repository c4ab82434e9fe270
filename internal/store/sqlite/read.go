package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"mailpact/internal/store"
)

// readStatements are the prepared statements of the reading connections.
type readStatements struct {
	content, size, message, deliveries, list, listQueue, foreign, suspended *sql.Stmt
}

func (e *Engine) openReaders(ctx context.Context, path string) error {
	ct, err := connectorFor(path, "busy_timeout(1000)", "query_only(1)", "cache_size(-4096)")
	if err != nil {
		return err
	}
	e.readers = sql.OpenDB(ct)
	e.readers.SetMaxOpenConns(readConnections)
	e.readers.SetMaxIdleConns(readConnections)
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&e.statement.content, "SELECT data FROM content WHERE id=?"},
		{&e.statement.size, "SELECT size FROM messages WHERE id=?"},
		{&e.statement.message, "SELECT id, received, size, envelope FROM messages WHERE id=?"},
		{&e.statement.deliveries, "SELECT id, due, queue, state FROM deliveries WHERE id>=? AND id<? ORDER BY id"},
		{&e.statement.list, "SELECT id, received, size, envelope FROM messages WHERE id>? ORDER BY id LIMIT ?"},
		{&e.statement.listQueue, `SELECT id, received, size, envelope FROM messages WHERE id IN
(SELECT DISTINCT id>>20 AS message FROM deliveries WHERE id>=(?1+1)<<20 AND queue=?3 ORDER BY message LIMIT ?2) ORDER BY id`},
		{&e.statement.foreign, "SELECT count(*) FROM messages WHERE id>? AND id<=? AND node<>?"},
		{&e.statement.suspended, "SELECT queue FROM suspended ORDER BY queue"},
	} {
		st, err := e.readers.PrepareContext(ctx, p.query)
		if err != nil {
			return errors.Join(err, e.readers.Close())
		}
		*p.to = st
	}
	return nil
}

func (e *Engine) closeReaders() error { return e.readers.Close() }

// Claim returns up to limit messages with ids greater than after, in order of
// their ids: those of this node, and those whose node is gone, which are made
// this node's own before it returns.
func (e *Engine) Claim(ctx context.Context, after int64, limit int) ([]store.Message, error) {
	messages, err := e.List(ctx, store.ListOptions{After: after, Limit: limit})
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	last := messages[len(messages)-1].ID
	var foreign int64
	if err := e.statement.foreign.QueryRowContext(ctx, after, last, e.node).Scan(&foreign); err != nil {
		return nil, fmt.Errorf("looking for messages of other nodes: %w", err)
	}
	if foreign > 0 {
		if err := e.wait(&request{adopt: &adoption{after: after, last: last}}); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// List returns messages in order of their ids, as they are at one moment.
func (e *Engine) List(ctx context.Context, o store.ListOptions) ([]store.Message, error) {
	if o.Queue == nil {
		return e.read(ctx, e.statement.list, o.After, o.Limit)
	}
	return e.read(ctx, e.statement.listQueue, o.After, o.Limit, o.Queue)
}

// read returns the messages that a statement selects, with their deliveries, in
// one short read transaction.
func (e *Engine) read(ctx context.Context, which *sql.Stmt, args ...any) (messages []store.Message, err error) {
	tx, err := e.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("reading messages: %w", err)
	}
	defer func() {
		if rollback := tx.Rollback(); !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
	}()
	err = scan(ctx, tx.StmtContext(ctx, which), func(rows *sql.Rows) error {
		var m store.Message
		err := rows.Scan(&m.ID, &m.Received, &m.Size, &m.Envelope)
		messages = append(messages, m)
		return err
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("reading messages: %w", err)
	}
	if len(messages) == 0 {
		return nil, nil
	}
	low, high := messages[0].ID<<idBits, (messages[len(messages)-1].ID+1)<<idBits
	at := 0
	err = scan(ctx, tx.StmtContext(ctx, e.statement.deliveries), func(rows *sql.Rows) error {
		var id int64
		var d store.Delivery
		if err := rows.Scan(&id, &d.Due, &d.Queue, &d.State); err != nil {
			return err
		}
		for at < len(messages) && messages[at].ID < id>>idBits {
			at++
		}
		if at < len(messages) && messages[at].ID == id>>idBits {
			d.Seq = uint32(id & (1<<idBits - 1))
			messages[at].Deliveries = append(messages[at].Deliveries, d)
		}
		return nil
	}, low, high)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return messages, nil
}

// scan calls each for every row of a query's answer.
func scan(ctx context.Context, st *sql.Stmt, each func(*sql.Rows) error, args ...any) (err error) {
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Load returns one message, or store.ErrNotFound.
func (e *Engine) Load(ctx context.Context, id int64) (*store.Message, error) {
	messages, err := e.read(ctx, e.statement.message, id)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, store.ErrNotFound
	}
	return &messages[0], nil
}

// SuspendedQueues returns the keys of the suspended queues.
func (e *Engine) SuspendedQueues(ctx context.Context) (queues [][]byte, err error) {
	err = scan(ctx, e.statement.suspended, func(rows *sql.Rows) error {
		var key []byte
		err := rows.Scan(&key)
		queues = append(queues, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the suspended queues: %w", err)
	}
	return queues, nil
}

// OpenContent returns the content of a message from its first octet. Rows are
// read one at a time, so that a slow reader holds up nobody; a message that is
// settled meanwhile ends in store.ErrNotFound.
func (e *Engine) OpenContent(ctx context.Context, id int64) (io.ReadCloser, error) {
	var size int64
	err := e.statement.size.QueryRowContext(ctx, id).Scan(&size)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading message %d: %w", id, err)
	}
	return &contentReader{ctx: ctx, e: e, id: id, left: size}, nil
}

// contentReader reads a content's rows. It keeps the context of the call that
// opened it, because it stands for the rest of that call.
type contentReader struct {
	ctx  context.Context
	e    *Engine
	id   int64
	row  int64
	left int64
	own  []byte // the current row
	buf  []byte // what is left of it
	err  error
}

// Read reads from the current row and fetches the next when it is used up.
func (r *contentReader) Read(p []byte) (int, error) {
	if len(r.buf) == 0 && r.err == nil {
		r.err = r.fetch()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func (r *contentReader) fetch() error {
	if r.left <= 0 {
		return io.EOF
	}
	found := false
	err := scan(r.ctx, r.e.statement.content, func(rows *sql.Rows) error {
		found = true
		var row sql.RawBytes // valid only here, and copied only once
		if err := rows.Scan(&row); err != nil {
			return err
		}
		r.own = append(r.own[:0], row...)
		return nil
	}, r.id<<idBits|r.row)
	if err != nil {
		return fmt.Errorf("reading content of message %d: %w", r.id, err)
	}
	if !found {
		return store.ErrNotFound
	}
	n := int64(len(r.own))
	if n != min(r.left, store.ContentRowBytes) {
		return fmt.Errorf("reading content of message %d: row %d has %d octets, %d of the content are left", r.id, r.row, n, r.left)
	}
	r.row, r.left, r.buf = r.row+1, r.left-n, r.own
	return nil
}

// Close ends the reader.
func (r *contentReader) Close() error {
	r.buf, r.err = nil, errors.New("the content has been closed")
	return nil
}
