package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"mailpact/internal/store"
)

// idBits is how far a message's id stands above its rows' numbers.
const idBits = 20

// reserveIDs is how many message ids are taken from the counter at a time. A
// crash skips what is left of them.
const reserveIDs = 1 << 16

// writer is the writing connection with its prepared statements. It belongs to
// the committer alone.
type writer struct {
	conn      conn
	node      int64
	nextID    int64
	reserved  int64 // ids below are reserved durably
	reserving int64 // the same, as the open transaction sees it

	begin, commit, rollback                   *statement
	insertMessage, insertDelivery, insertRow  *statement
	deleteDelivery, deleteMessage, deleteRows *statement
	insertStaged, deleteStaged                *statement
	reserve, adopt                            *statement
	suspend, resume                           *statement
	all                                       []*statement
}

func newWriter(ctx context.Context, c conn, node int64) (*writer, error) {
	w := &writer{conn: c, node: node}
	next, err := c.integer(ctx, "SELECT value FROM counters WHERE name='message'")
	if err != nil {
		return nil, fmt.Errorf("reading message counter: %w", err)
	}
	w.nextID, w.reserved, w.reserving = next, next, next
	for _, p := range []struct {
		to    **statement
		args  int
		query string
	}{
		{&w.begin, 0, "BEGIN IMMEDIATE"},
		{&w.commit, 0, "COMMIT"},
		{&w.rollback, 0, "ROLLBACK"},
		{&w.insertMessage, 5, "INSERT INTO messages (id, node, received, size, envelope) VALUES (?,?,?,?,?)"},
		{&w.insertDelivery, 4, "INSERT OR REPLACE INTO deliveries (id, due, queue, state) VALUES (?,?,?,?)"},
		{&w.insertRow, 2, "INSERT INTO content (id, data) VALUES (?,?)"},
		{&w.deleteDelivery, 1, "DELETE FROM deliveries WHERE id=?"},
		{&w.deleteMessage, 3, "DELETE FROM messages WHERE id=? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE id>=? AND id<?)"},
		{&w.deleteRows, 2, "DELETE FROM content WHERE id>=? AND id<?"},
		{&w.insertStaged, 1, "INSERT INTO staged (id) VALUES (?)"},
		{&w.deleteStaged, 1, "DELETE FROM staged WHERE id=?"},
		{&w.reserve, 1, "UPDATE counters SET value=? WHERE name='message'"},
		{&w.adopt, 3, "UPDATE messages SET node=? WHERE id>? AND id<=?"},
		{&w.suspend, 1, "INSERT INTO suspended (queue) VALUES (?) ON CONFLICT DO NOTHING"},
		{&w.resume, 1, "DELETE FROM suspended WHERE queue=?"},
	} {
		st, err := c.prepare(ctx, p.query, p.args)
		if err != nil {
			return nil, errors.Join(err, w.closeStatements())
		}
		*p.to = st
		w.all = append(w.all, st)
	}
	return w, nil
}

func (w *writer) closeStatements() error {
	var errs []error
	for _, st := range w.all {
		errs = append(errs, st.stop())
	}
	return errors.Join(errs...)
}

// apply executes one request within the open transaction.
func (w *writer) apply(r *request) error {
	switch {
	case r.messages != nil:
		return w.appendAll(r.messages)
	case r.settlements != nil:
		for i := range r.settlements {
			if err := w.settle(&r.settlements[i]); err != nil {
				return err
			}
		}
		return nil
	case r.staging != nil && r.row != nil:
		return w.stage(r.staging, r.row)
	case r.staging != nil:
		return w.forget(r.staging.ID)
	case r.adopt != nil:
		w.adopt.args[0].Value = w.node
		w.adopt.args[1].Value = r.adopt.after
		w.adopt.args[2].Value = r.adopt.last
		if _, err := w.adopt.run(); err != nil {
			return fmt.Errorf("adopting messages: %w", err)
		}
		return nil
	case r.suspension != nil:
		return w.setSuspended(r.suspension)
	}
	return nil
}

func (w *writer) setSuspended(s *suspension) error {
	st := w.resume
	if s.suspended {
		st = w.suspend
	}
	st.args[0].Value = blob(s.queue)
	if _, err := st.run(); err != nil {
		return fmt.Errorf("noting a queue's suspension: %w", err)
	}
	return nil
}

// id returns a new message id.
func (w *writer) id() (int64, error) {
	if w.nextID >= w.reserving {
		to := w.nextID + reserveIDs
		w.reserve.args[0].Value = to
		if _, err := w.reserve.run(); err != nil {
			return 0, fmt.Errorf("reserving message ids: %w", err)
		}
		w.reserving = to
	}
	id := w.nextID
	w.nextID++
	return id, nil
}

func (w *writer) appendAll(messages []*store.Message) error {
	for _, m := range messages {
		if err := w.append(m); err != nil {
			return fmt.Errorf("appending message: %w", err)
		}
	}
	return nil
}

func (w *writer) append(m *store.Message) error {
	if len(m.Deliveries) == 0 {
		return errors.New("the message has no delivery")
	}
	first := 0
	if s := m.Staging; s != nil && s.Rows > 0 {
		m.ID, first = s.ID, s.Rows
		if err := execID(w.deleteStaged, s.ID, "unstaging"); err != nil {
			return err
		}
	} else {
		id, err := w.id()
		if err != nil {
			return err
		}
		m.ID = id
	}
	if err := w.rows(m.ID, first, m.Content); err != nil {
		return err
	}
	a := w.insertMessage.args
	a[0].Value, a[1].Value, a[2].Value, a[3].Value, a[4].Value = m.ID, w.node, m.Received, m.Size, blob(m.Envelope)
	if _, err := w.insertMessage.run(); err != nil {
		return fmt.Errorf("inserting envelope: %w", err)
	}
	return w.put(m.ID, m.Deliveries)
}

// rows stores content as the rows from number first on.
func (w *writer) rows(id int64, first int, content []byte) error {
	for n := first; len(content) > 0; n++ {
		row := content[:min(len(content), store.ContentRowBytes)]
		content = content[len(row):]
		if err := w.contentRow(id, n, row); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) contentRow(id int64, n int, row []byte) error {
	if n >= store.MaxDeliveries {
		return errors.New("the content has too many rows")
	}
	w.insertRow.args[0].Value = id<<idBits | int64(n)
	w.insertRow.args[1].Value = blob(row)
	_, err := w.insertRow.run()
	w.insertRow.args[1].Value = nil // the caller's buffer is not ours to keep
	if err != nil {
		return fmt.Errorf("inserting content: %w", err)
	}
	return nil
}

func (w *writer) put(id int64, deliveries []store.Delivery) error {
	for i := range deliveries {
		d := &deliveries[i]
		if d.Seq >= store.MaxDeliveries {
			return fmt.Errorf("the message has too many deliveries")
		}
		a := w.insertDelivery.args
		a[0].Value, a[1].Value, a[2].Value, a[3].Value = id<<idBits|int64(d.Seq), d.Due, blob(d.Queue), blob(d.State)
		if _, err := w.insertDelivery.run(); err != nil {
			return fmt.Errorf("inserting delivery: %w", err)
		}
	}
	return nil
}

func (w *writer) settle(s *store.Settlement) error {
	// What is added comes first, so that the message does not vanish in between.
	if err := w.put(s.Message, s.Put); err != nil {
		return fmt.Errorf("settling: %w", err)
	}
	if err := w.appendAll(s.Append); err != nil {
		return fmt.Errorf("settling: %w", err)
	}
	if len(s.Remove) == 0 {
		return nil
	}
	low := s.Message << idBits
	for _, seq := range s.Remove {
		if err := execID(w.deleteDelivery, low|int64(seq), "removing delivery"); err != nil {
			return err
		}
	}
	a := w.deleteMessage.args
	a[0].Value, a[1].Value, a[2].Value = s.Message, low, low+1<<idBits
	r, err := w.deleteMessage.run()
	if err != nil {
		return fmt.Errorf("removing message: %w", err)
	}
	if gone, err := r.RowsAffected(); err != nil || gone == 0 {
		return err
	}
	return w.removeContent(s.Message)
}

func (w *writer) removeContent(id int64) error {
	a := w.deleteRows.args
	a[0].Value, a[1].Value = id<<idBits, (id+1)<<idBits
	if _, err := w.deleteRows.run(); err != nil {
		return fmt.Errorf("removing content: %w", err)
	}
	return nil
}

// stage stores a row of content that no message shows yet.
func (w *writer) stage(s *store.Staging, row []byte) error {
	if s.Rows == 0 {
		id, err := w.id()
		if err != nil {
			return err
		}
		s.ID = id
		if err := execID(w.insertStaged, id, "staging"); err != nil {
			return err
		}
	}
	return w.contentRow(s.ID, s.Rows, row)
}

// forget removes a staging with its rows.
func (w *writer) forget(id int64) error {
	if err := execID(w.deleteStaged, id, "unstaging"); err != nil {
		return err
	}
	return w.removeContent(id)
}

func execID(st *statement, id int64, doing string) error {
	st.args[0].Value = id
	if _, err := st.run(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// blob returns b as a driver value that is never NULL.
func blob(b []byte) driver.Value {
	if b == nil {
		return []byte{}
	}
	return b
}
