package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A failed sync is told, and not hidden by a second one that succeeds; the
// first of a new file goes to SQLite, which syncs its directory.
func TestSyncFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tls := libc.NewTLS()
	defer tls.Close()
	tests := []struct {
		name  string
		fd    int
		flags uint16
		whole int // calls of SQLite's own
		want  int32
	}{
		{"a file", int(f.Fd()), 0, 0, sqlite3.SQLITE_OK},
		{"a file that fails", -1, 0, 0, sqlite3.SQLITE_IOERR_FSYNC},
		{"a new file", -1, sqlite3.UNIXFILE_DIRSYNC, 1, sqlite3.SQLITE_OK},
	}
	for _, tt := range tests {
		file := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.TunixFile{})))
		x := at[sqlite3.TunixFile](file)
		x.Fh, x.FctrlFlags = int32(tt.fd), tt.flags
		called := 0
		got := syncFile(tls, file, 0, func(*libc.TLS, uintptr, int32) int32 { called++; return sqlite3.SQLITE_OK })
		if got != tt.want || called != tt.whole {
			t.Errorf("%s: %d, SQLite's own called %d times; want %d and %d", tt.name, got, called, tt.want, tt.whole)
		}
		libc.Xfree(tls, file)
	}
}

// Every file that an engine opens syncs so.
func TestFilesSyncDataAlone(t *testing.T) {
	d := dataSyncOnce()
	e, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "queue.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.methods) == 0 || len(d.syncs) != len(d.methods) {
		t.Errorf("%d kinds of files are known, %d of them with a sync of ours", len(d.methods), len(d.syncs))
	}
}
