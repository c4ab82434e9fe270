package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	driverpkg "modernc.org/sqlite"
)

// conn is a driver connection that one goroutine uses. The driver is used
// without database/sql where writing is concerned, because that spares its
// locks, its copies of arguments and its connection bookkeeping.
type conn struct{ c driver.Conn }

// connectorFor returns the driver's connector for the file at path, with
// statements of PRAGMA run on each new connection.
func connectorFor(path string, pragmas ...string) (driver.Connector, error) {
	u := url.URL{Path: path}
	q := url.Values{"_pragma": pragmas}
	return driverpkg.NewConnector("file:" + u.EscapedPath() + "?" + q.Encode())
}

func connect(ctx context.Context, path string, pragmas ...string) (conn, error) {
	ct, err := connectorFor(path, pragmas...)
	if err != nil {
		return conn{}, err
	}
	c, err := ct.Connect(ctx)
	if err != nil {
		return conn{}, err
	}
	return conn{c}, nil
}

func (c conn) close() error { return c.c.Close() }

// exec runs a script.
func (c conn) exec(ctx context.Context, script string, args ...driver.NamedValue) error {
	_, err := c.c.(driver.ExecerContext).ExecContext(ctx, script, args)
	return err
}

// row returns the first row of a query's answer, and nil when there is none.
func (c conn) row(ctx context.Context, query string, args ...driver.NamedValue) (row []driver.Value, err error) {
	rows, err := c.c.(driver.QueryerContext).QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row = make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return row, nil
}

// integer returns the single integer of a query's answer.
func (c conn) integer(ctx context.Context, query string, args ...driver.NamedValue) (int64, error) {
	row, err := c.row(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	if len(row) == 0 {
		return 0, fmt.Errorf("%s: no row", query)
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%s: got %T", query, row[0])
	}
	return n, nil
}

// framesWritten returns how many pages the connection has written to the
// write-ahead log since the last call.
func (c conn) framesWritten() (int, error) {
	s, ok := c.c.(driverpkg.DBStatus)
	if !ok {
		return 0, errors.New("the driver does not count written pages")
	}
	n, _, err := s.Status(driverpkg.DBStatusCacheWrite, true)
	return n, err
}

// keepLog makes the connection leave the write-ahead log as it is when it is
// closed as the last one, although it checkpoints then.
func (c conn) keepLog() error {
	f, ok := c.c.(driverpkg.FileControl)
	if !ok {
		return errors.New("the driver does not keep the write-ahead log")
	}
	if _, err := f.FileControlPersistWAL("main", 1); err != nil {
		return fmt.Errorf("keeping the write-ahead log: %w", err)
	}
	return c.exec(context.Background(), "PRAGMA journal_size_limit=-1")
}

// statement is a prepared statement with its argument list, which is used again
// by each call.
type statement struct {
	s    driver.StmtExecContext
	stop func() error
	args []driver.NamedValue
}

func (c conn) prepare(ctx context.Context, query string, args int) (*statement, error) {
	s, err := c.c.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", query, err)
	}
	ec, ok := s.(driver.StmtExecContext)
	if !ok {
		return nil, errors.Join(fmt.Errorf("preparing %q: the driver's statements take no context", query), s.Close())
	}
	st := &statement{s: ec, stop: s.Close, args: make([]driver.NamedValue, args)}
	for i := range st.args {
		st.args[i].Ordinal = i + 1
	}
	return st, nil
}

// run executes the statement with st.args. The context has no Done channel:
// watching one costs a goroutine per statement, and the committer must not stop
// half-way.
func (st *statement) run() (driver.Result, error) {
	return st.s.ExecContext(context.Background(), st.args)
}
