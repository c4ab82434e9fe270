package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"mailpact/internal/queue/queuetest"
	"mailpact/internal/store/sqlite"
	"mailpact/internal/store/storetest"
)

// file is a store for the suite.
type file string

func (f file) Open(t *testing.T, node string) queuetest.Engine {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: string(f), Node: node})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Killed copies the file and its log as a kill would leave them. A read
// transaction keeps the log from being begun anew in between, so that it holds
// whatever a checkpoint writes into the file meanwhile.
func (f file) Killed(t *testing.T) queuetest.Store {
	t.Helper()
	db, err := sql.Open("sqlite", string(f))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var n int
	if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM nodes").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return file(storetest.CopyFiles(t, string(f), "", "-wal"))
}

func TestConformance(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Store {
		return file(filepath.Join(t.TempDir(), "queue.db"))
	})
}
