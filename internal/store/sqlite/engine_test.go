package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

func open(t *testing.T, path string) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// count counts the rows of a table through a reading connection.
func count(t *testing.T, e *Engine, table string) int {
	t.Helper()
	var n int
	if err := e.readers.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFileIsMadeByTheRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a directory with spaces & %20?#", "queue.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, round := range []string{"new", "again"} {
		e, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, p := range []string{"page_size", "synchronous", "wal_autocheckpoint", "journal_size_limit", "user_version"} {
			// Nothing has been asked of the committer yet.
			if got[p], err = e.committer.w.conn.integer(t.Context(), "PRAGMA "+p); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]int64{"page_size": 16384, "synchronous": 2, "wal_autocheckpoint": 0, "journal_size_limit": 128 << 20, "user_version": int64(len(migrations()))}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s file (-want +got):\n%s", round, diff)
		}
		for _, suffix := range []string{"", "-wal"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("queue.db%s has mode %v, mail may be read by others", suffix, info.Mode())
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	script := func(path, script string) error {
		c, err := connect(t.Context(), path)
		if err != nil {
			return err
		}
		return errors.Join(c.exec(t.Context(), script), c.close())
	}
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"other page size", func(p string) error { return script(p, "PRAGMA page_size=4096; CREATE TABLE x (y)") }, "pages of 4096 octets"},
		{"newer schema", func(p string) error { return script(p, "PRAGMA page_size=16384; PRAGMA user_version=4711") }, "schema version 4711"},
		{"no database", func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("rubbish ", 4096)), 0o600) }, "not a database"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "is a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), Options{Path: path})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestMigrateFromEveryVersion brings a file from each earlier version to the
// newest and expects the same schema, and what was stored still there.
func TestMigrateFromEveryVersion(t *testing.T) {
	schema := func(e *Engine) []string {
		rows, err := e.readers.QueryContext(t.Context(), "SELECT name || ': ' || sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var out []string
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	want := schema(open(t, filepath.Join(t.TempDir(), "queue.db")))
	// What a file of each version holds; version 0 is an empty file.
	stored := map[int]string{
		0: "",
		1: `INSERT INTO nodes VALUES (1, 'local'); UPDATE counters SET value=66;
INSERT INTO messages VALUES (5, 1, 1700000000000, 3, x'0102'); INSERT INTO deliveries VALUES (5<<20|2, 7, x'03', x'04'); INSERT INTO content VALUES (5<<20, x'616263')`,
	}
	stored[2] = stored[1] + "; INSERT INTO suspended VALUES (x'03')"
	for version := range len(migrations()) + 1 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			rows, ok := stored[version]
			if !ok {
				t.Fatal("this version has no rows to migrate in the test")
			}
			path := filepath.Join(t.TempDir(), "queue.db")
			c, err := openWriter(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(migrateTo(t.Context(), c, version), c.exec(t.Context(), rows), c.close()); err != nil {
				t.Fatal(err)
			}
			e := open(t, path)
			if diff := cmp.Diff(want, schema(e)); diff != "" {
				t.Errorf("schema (-want +got):\n%s", diff)
			}
			if version == 0 {
				return
			}
			got, err := e.Load(t.Context(), 5)
			if err != nil {
				t.Fatal(err)
			}
			message := &store.Message{
				ID: 5, Received: 1700000000000, Size: 3, Envelope: []byte{1, 2},
				Deliveries: []store.Delivery{{Seq: 2, Due: 7, Queue: []byte{3}, State: []byte{4}}},
			}
			if diff := cmp.Diff(message, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			suspended, err := e.SuspendedQueues(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var held [][]byte
			if version >= 2 {
				held = [][]byte{{3}}
			}
			if diff := cmp.Diff(held, suspended); diff != "" {
				t.Errorf("suspended queues (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnfinishedContentIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	e, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	kept := storetest.Message(1, 1, 3*store.ContentRowBytes)
	if err := e.Append(t.Context(), []*store.Message{kept}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := &store.Staging{}
		for range 3 {
			if err := e.Stage(t.Context(), s, storetest.Octets(1, store.ContentRowBytes)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := count(t, e, "content"); got != 9 {
		t.Errorf("%d rows of content, want 9", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, path)
	if content, staged := count(t, e, "content"), count(t, e, "staged"); content != 3 || staged != 0 {
		t.Errorf("%d rows of content and %d of stagings, want 3 and 0", content, staged)
	}
}

// TestNothingIsLeft: settled messages leave no row anywhere.
func TestNothingIsLeft(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "queue.db"))
	for i := range 20 {
		m := storetest.Message(uint64(i), 1+i%3, i*50_000)
		if err := e.Append(t.Context(), []*store.Message{m}); err != nil {
			t.Fatal(err)
		}
		for n := range m.Deliveries {
			done := make(chan error, 1)
			e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{uint32(n)}}}, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, table := range []string{"messages", "deliveries", "content", "staged"} {
		if got := count(t, e, table); got != 0 {
			t.Errorf("%d rows are left in %s", got, table)
		}
	}
}

// TestDiskFull: what does not fit is refused and leaves nothing, and so may be
// the messages of its group; outcomes go on; and when there is room again, all is
// well.
func TestDiskFull(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "queue.db"))
	if err := e.Append(t.Context(), []*store.Message{storetest.Message(1, 1, 1000)}); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		if err := withWriter(e, func(c conn) error {
			return c.exec(context.Background(), fmt.Sprintf("PRAGMA max_page_count=%d", pages))
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(60)
	var wg sync.WaitGroup
	var mu sync.Mutex
	kept := map[int64]bool{1: true}
	refused := 0
	for i := range 16 {
		wg.Go(func() {
			size := 1000
			if i%2 == 0 {
				size = 2 << 20 // never fits
			}
			m := storetest.Message(uint64(i), 1, size)
			err := e.Append(context.Background(), []*store.Message{m})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				kept[m.ID] = true
			} else {
				refused++
			}
		})
	}
	wg.Wait()
	if refused < 8 || len(kept) != 17-refused {
		t.Errorf("%d were refused and %d kept, want 8 or more and the others", refused, len(kept))
	}
	s := &store.Staging{}
	for err := error(nil); err == nil; {
		err = e.Stage(t.Context(), s, storetest.Octets(1, store.ContentRowBytes))
	}
	e.Unstage(s)
	rows, err := e.List(t.Context(), store.ListOptions{Limit: 100})
	if err != nil || len(rows) != len(kept) {
		t.Errorf("%d messages are visible, want %d, %v", len(rows), len(kept), err)
	}
	for _, m := range rows {
		done := make(chan error, 1)
		e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0}}}, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Errorf("settling on a full disk: %v", err)
		}
	}
	limit(1 << 20)
	m := storetest.Message(99, 1, 2<<20)
	if err := e.Append(t.Context(), []*store.Message{m}); err != nil {
		t.Errorf("after the disk has room again: %v", err)
	}
	if got := count(t, e, "content"); got != 8 {
		t.Errorf("%d rows of content, want those of one message, 8", got)
	}
}

// TestLogIsOverwritten: the write-ahead log does not grow with what is written.
func TestLogIsOverwritten(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 400 MB")
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	e := open(t, path)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			content := storetest.Octets(uint64(w), store.ContentRowBytes)
			for range 200 {
				m := storetest.Message(uint64(w), 1, 0)
				m.Content, m.Size = content, int64(len(content))
				if err := e.Append(context.Background(), []*store.Message{m}); err != nil {
					t.Error(err)
					return
				}
				done := make(chan error, 1)
				e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0}}}, func(err error) { done <- err })
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the log has %d MB", info.Size()>>20)
	if info.Size() > 160<<20 {
		t.Errorf("the log has grown to %d MB", info.Size()>>20)
	}
}
