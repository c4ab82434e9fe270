package sqlite

import (
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite syncs with fdatasync where it is built with HAVE_FDATASYNC, as Linux
// distributions build it, and with fsync otherwise, as the driver's is. fsync
// also waits for the file's times, which nobody needs: a journal commit of the
// file system for each group of messages, although the blocks of the log are
// there already. This file makes SQLite do what it does elsewhere: everything
// that is needed to read the data again, the size included, is on the disk when
// it returns (fdatasync(2)). When and what is synced stays SQLite's.

type (
	vfsOpen = func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	vfsSync = func(*libc.TLS, uintptr, int32) int32
)

// dataSync puts itself below SQLite's files. SQLite has one list of file systems
// for the process, so that there can be but one.
type dataSync struct {
	open vfsOpen
	// Functions that SQLite alone points at, where the collector does not look.
	opener vfsOpen
	syncs  []vfsSync

	mu      sync.Mutex
	methods map[uintptr]uintptr // with our xSync, by SQLite's own
}

// dataSyncOnce keeps what SQLite points at. It is the process's, as SQLite's list
// of file systems is, and never changes.
var dataSyncOnce = sync.OnceValue(func() *dataSync {
	tls := libc.NewTLS()
	defer tls.Close()
	vfs := at[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
	d := &dataSync{open: function[vfsOpen](vfs.FxOpen), methods: map[uintptr]uintptr{}}
	d.opener = d.opened
	vfs.FxOpen = pointer(d.opener)
	return d
})

// syncData makes SQLite sync data alone, in files that are opened from now on.
func syncData() { dataSyncOnce() }

// opened opens a file and gives it our xSync.
func (d *dataSync) opened(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	rc := d.open(tls, vfs, name, file, flags, out)
	f := at[sqlite3.Tsqlite3_file](file)
	if rc != sqlite3.SQLITE_OK || f.FpMethods == 0 {
		return rc
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	patched, known := d.methods[f.FpMethods]
	if !known {
		patched = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
		if patched == 0 {
			return rc // it syncs as it did
		}
		m := at[sqlite3.Tsqlite3_io_methods](patched)
		*m = *at[sqlite3.Tsqlite3_io_methods](f.FpMethods)
		whole := function[vfsSync](m.FxSync)
		own := func(tls *libc.TLS, file uintptr, flags int32) int32 { return syncFile(tls, file, flags, whole) }
		d.syncs = append(d.syncs, own)
		m.FxSync = pointer(own)
		d.methods[f.FpMethods] = patched
	}
	f.FpMethods = patched
	return rc
}

// syncFile syncs the data of a file. The first sync of a new one is left to
// SQLite: its directory has to be synced besides. A sync that has failed is not
// tried again in another way: Linux tells of a fault once, and the second would
// succeed although the data is lost.
func syncFile(tls *libc.TLS, file uintptr, flags int32, whole vfsSync) int32 {
	f := at[sqlite3.TunixFile](file)
	switch {
	case f.FctrlFlags&sqlite3.UNIXFILE_DIRSYNC != 0:
		return whole(tls, file, flags)
	case libc.Xfdatasync(tls, f.Fh) != 0:
		return sqlite3.SQLITE_IOERR_FSYNC
	default:
		return sqlite3.SQLITE_OK
	}
}

// pointer is the C pointer to a function, which somebody has to keep alive.
func pointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

// function is the one behind a C pointer.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

// at is the value at a C pointer.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }
