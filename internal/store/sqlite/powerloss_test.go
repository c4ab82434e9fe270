package sqlite

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// disk watches what SQLite writes and syncs, and knows what would be left of its
// files if the power failed now. A sync that fails behaves as Linux's do: what
// was written before it counts as clean afterwards and never reaches the disk;
// each open file is told of the fault once, and the next sync succeeds.
type disk struct {
	openIt vfsOpen
	kept   []any // functions that only C knows

	mu      sync.Mutex
	methods map[uintptr]uintptr    // patched io methods by the original ones
	files   map[uintptr]*openFile  // by SQLite's own
	durable map[string][]byte      // what the disk has
	dirty   map[string][][2]int64  // ranges written since the last sync
	faults  map[string]int         // of syncs, so far
	fails   func(path string) bool // whether a sync fails
}

// openFile is a file as SQLite has it open; each connection opens it anew.
type openFile struct {
	path string
	told int // of disk.faults
}

type (
	vfsWrite = func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	vfsCut   = func(*libc.TLS, uintptr, int64) int32
)

// keep returns the C pointer to a function, which d keeps alive.
func keep[F any](d *disk, f F) uintptr {
	d.kept = append(d.kept, f)
	return pointer(f)
}

func (d *disk) file(p uintptr) *openFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[p]
}

// newDisk puts itself below SQLite until the test ends.
func newDisk(t *testing.T) *disk {
	t.Helper()
	tls := libc.NewTLS()
	vfs := at[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
	d := &disk{
		openIt: function[vfsOpen](vfs.FxOpen), methods: map[uintptr]uintptr{}, files: map[uintptr]*openFile{},
		durable: map[string][]byte{}, dirty: map[string][][2]int64{}, faults: map[string]int{}, fails: func(string) bool { return false },
	}
	before := vfs.FxOpen
	vfs.FxOpen = keep[vfsOpen](d, d.open)
	t.Cleanup(func() {
		vfs.FxOpen = before
		tls.Close()
		runtime.KeepAlive(d) // until here SQLite alone holds it, where the collector does not look
	})
	return d
}

func (d *disk) open(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	rc := d.openIt(tls, vfs, name, file, flags, out)
	f := at[sqlite3.Tsqlite3_file](file)
	if rc != 0 || name == 0 || f.FpMethods == 0 {
		return rc
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	path := libc.GoString(name)
	d.files[file] = &openFile{path: path, told: d.faults[path]}
	original := f.FpMethods
	patched, ok := d.methods[original]
	if !ok {
		patched = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
		m := at[sqlite3.Tsqlite3_io_methods](patched)
		*m = *at[sqlite3.Tsqlite3_io_methods](original)
		write, cut := function[vfsWrite](m.FxWrite), function[vfsCut](m.FxTruncate)
		m.FxWrite = keep[vfsWrite](d, func(tls *libc.TLS, file, b uintptr, n int32, offset int64) int32 {
			rc := write(tls, file, b, n, offset)
			d.written(d.file(file).path, offset, int64(n))
			return rc
		})
		m.FxTruncate = keep[vfsCut](d, func(tls *libc.TLS, file uintptr, size int64) int32 {
			rc := cut(tls, file, size)
			d.cut(d.file(file).path, size)
			return rc
		})
		m.FxSync = keep[vfsSync](d, func(_ *libc.TLS, file uintptr, _ int32) int32 {
			if !d.sync(d.file(file)) {
				return sqlite3.SQLITE_IOERR_FSYNC
			}
			return sqlite3.SQLITE_OK
		})
		d.methods[original] = patched
	}
	f.FpMethods = patched
	return rc
}

func (d *disk) written(path string, offset, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirty[path] = append(d.dirty[path], [2]int64{offset, n})
}

// cut cuts the file on the disk at once, as a journal of the file system may.
func (d *disk) cut(path string, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b := d.durable[path]; int64(len(b)) > size {
		d.durable[path] = b[:size]
	}
}

// sync makes durable what is dirty, or forgets that it is. It reports whether
// all is well as far as this file knows.
func (d *disk) sync(o *openFile) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails(o.path) {
		d.faults[o.path]++
		delete(d.dirty, o.path)
	} else if !d.flush(o.path) {
		return false
	}
	if o.told != d.faults[o.path] {
		o.told = d.faults[o.path]
		return false
	}
	return true
}

// flush makes durable what is dirty.
func (d *disk) flush(path string) bool {
	ranges := d.dirty[path]
	delete(d.dirty, path)
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, r := range ranges {
		b := make([]byte, r[1])
		n, err := f.ReadAt(b, r[0])
		if err != nil && !errors.Is(err, io.EOF) {
			return false
		}
		all := d.durable[path]
		if missing := r[0] + int64(n) - int64(len(all)); missing > 0 {
			all = append(all, make([]byte, missing)...)
		}
		copy(all[r[0]:], b[:n])
		d.durable[path] = all
	}
	return true
}

// left writes what the disk has of the database at path to a new place.
func (d *disk) left(t *testing.T, path string) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	for _, suffix := range []string{"", "-wal"} {
		if b, ok := d.durable[path+suffix]; ok {
			if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}

// TestFailedSyncsLoseNothing: whatever syncs fail, of commits and of
// checkpoints, what was acknowledged survives a power failure, and what was
// settled does not come back.
func TestFailedSyncsLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("opens many databases")
	}
	for _, tt := range []struct {
		name   string
		suffix string // of the files whose syncs fail
		chance int    // one in so many
	}{
		{"some commits", "-wal", 10},
		{"most commits", "-wal", 2},
		{"a checkpoint", ".db", 10},
		{"every other checkpoint", ".db", 2},
		{"anything", "", 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(rides) {
				random := rand.New(rand.NewPCG(seed, 1))
				var mu sync.Mutex
				roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
				(&bumpyRide{t: t, roll: roll, suffix: tt.suffix, chance: tt.chance}).run()
			}
		})
	}
}

// bumpyRide is a time with an engine whose disk fails.
type bumpyRide struct {
	t      *testing.T
	roll   func(n int) int
	suffix string
	chance int

	disk   *disk
	engine *Engine
	stored map[int64]*store.Message // acknowledged and not settled
	unsure map[int64]bool           // their settlement has failed
}

func (b *bumpyRide) run() {
	t := b.t
	b.disk, b.stored, b.unsure = newDisk(t), map[int64]*store.Message{}, map[int64]bool{}
	path := filepath.Join(t.TempDir(), "queue.db")
	b.open(path)
	b.bumps(func(p string) bool {
		return strings.HasPrefix(p, path) && strings.HasSuffix(p, b.suffix) && b.roll(b.chance) == 0
	})
	for step := range 200 {
		b.step(step)
		if step%66 == 65 {
			b.checkLeft(path)
		}
	}
	b.bumps(func(string) bool { return false })
	if c := b.engine.Condition(); c.Condemned && (b.suffix == "-wal" || b.engine.Ready() == nil) {
		t.Errorf("the engine is condemned, %v, and ready: %v", c.Fault, b.engine.Ready())
	}
	// A new process begins with what the old one saw, not with what the disk has.
	if err := b.engine.Close(); err != nil {
		t.Error(err)
	}
	b.checkLeft(path)
	b.open(path)
	for step := range 20 {
		b.step(step)
	}
	if err := withWriter(b.engine, func(c conn) error { _, err := checkpoint(c, "RESTART"); return err }); err != nil {
		t.Error(err)
	}
	b.checkLeft(path)
	if err := b.engine.Ready(); err != nil {
		t.Errorf("after a new start: %v", err)
	}
	if err := b.engine.Close(); err != nil {
		t.Error(err)
	}
}

func (b *bumpyRide) open(path string) {
	e, err := Open(b.t.Context(), Options{Path: path, unattended: b.suffix == "-wal"}) // a checkpoint syncs the log, too
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine = e
}

func (b *bumpyRide) bumps(fails func(path string) bool) {
	b.disk.mu.Lock()
	defer b.disk.mu.Unlock()
	b.disk.fails = fails
}

// step appends or settles a message, and sometimes asks for a checkpoint.
func (b *bumpyRide) step(n int) {
	e := b.engine
	if ids := slices.Sorted(maps.Keys(b.stored)); b.roll(3) > 0 || len(ids) == 0 {
		sizes := []int{10, 20 << 10, 700 << 10}
		if b.suffix == "-wal" {
			sizes = sizes[:2] // a log that nothing copies must not grow long
		}
		m := storetest.Message(uint64(n), 1, sizes[b.roll(len(sizes))])
		if err := e.Append(b.t.Context(), []*store.Message{m}); err == nil {
			b.stored[m.ID] = m
		}
	} else {
		id := ids[b.roll(len(ids))]
		// There is no company that it could wait for.
		if err := e.wait(&request{settlements: []store.Settlement{{Message: id, Remove: []uint32{0}}}}); err != nil {
			b.unsure[id] = true
		} else {
			delete(b.stored, id)
			delete(b.unsure, id)
		}
	}
	if b.suffix == "-wal" {
		return
	}
	if b.roll(10) == 0 {
		e.log.restart.Store(true)
	}
	if b.roll(10) == 0 {
		e.log.unchecked.Add(1)
		select {
		case e.log.ring <- struct{}{}:
		default:
		}
	}
}

// checkLeft looks at what a power failure would leave now.
func (b *bumpyRide) checkLeft(path string) {
	t := b.t
	t.Helper()
	e, err := Open(t.Context(), Options{Path: b.disk.left(t, path)})
	if err != nil {
		t.Fatal("opening what the disk has:", err)
	}
	defer e.Close()
	rows, err := e.List(t.Context(), store.ListOptions{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	found, extra := map[int64]bool{}, 0
	for _, r := range rows {
		found[r.ID] = true
		m := b.stored[r.ID]
		if m == nil {
			extra++
			continue
		}
		if got, err := contentOf(t, e, r.ID); err != nil || got != string(m.Content) {
			t.Errorf("message %d: content differs, %v", r.ID, err)
		}
	}
	for id := range b.stored {
		if !found[id] && !b.unsure[id] {
			t.Errorf("message %d was acknowledged and is lost", id)
		}
	}
	if extra > 1 { // the last commit that failed may have reached the disk all the same
		t.Errorf("%d messages are there that were settled or refused", extra)
	}
	var answer string
	if err := e.readers.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Errorf("integrity: %.200s, %v", answer, err)
	}
}

func contentOf(t *testing.T, e *Engine, id int64) (string, error) {
	c, err := e.OpenContent(t.Context(), id)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}
