package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// smallDisk mounts a file system of some megabytes and returns its directory.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error("unmounting:", err)
		}
	})
	return dir
}

// log is a log that several goroutines write.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines returns the lines of a level.
func (l *log) lines(level string) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, "level="+level+" ") {
			out = append(out, line)
		}
	}
	return out
}

func openWith(t *testing.T, o Options) (*Engine, *log) {
	t.Helper()
	l := &log{}
	o.Logger = slog.New(slog.NewTextHandler(l, nil))
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, l
}

func appendOne(t *testing.T, e *Engine, octets int) (*store.Message, error) {
	m := storetest.Message(1, 1, octets)
	return m, e.Append(t.Context(), []*store.Message{m})
}

func settleAndWait(e *Engine, s ...store.Settlement) error {
	done := make(chan error, 1)
	e.Settle(s, func(err error) { done <- err })
	return <-done
}

// withWriter lets f use the writing connection, in the committer, whose it is.
func withWriter(e *Engine, f func(conn) error) error {
	done := make(chan error, 1)
	e.Settle([]store.Settlement{{Message: 4711, Remove: []uint32{0}}}, func(error) { done <- f(e.committer.w.conn) })
	return <-done
}

// TestOutcomesHaveRoomOnAFullDisk: messages stop at the reserve, and what is
// left is enough for every outcome and every checkpoint, for a long time.
func TestOutcomesHaveRoomOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, DefaultReserve>>20+32)
	e, l := openWith(t, Options{Path: filepath.Join(dir, "queue.db")})
	var stored []*store.Message
	for len(stored) < 10_000 {
		m, err := appendOne(t, e, 200<<10)
		if err != nil {
			if !errors.Is(err, store.ErrFull) {
				t.Fatalf("message %d: %v", len(stored)+1, err)
			}
			break
		}
		stored = append(stored, m)
	}
	if n := len(stored); n < 20 || n == 10_000 {
		t.Fatalf("%d messages were taken", n)
	}
	// More outcomes than the log may hold at once: it has to be begun anew
	// several times while there is no room for messages.
	state := storetest.Octets(7, 64<<10)
	for n := 0; n < 5*restartFrames*pageBytes; n += 16 * len(state) {
		var group []store.Settlement
		for i := range 16 {
			m := stored[(n/len(state)+i)%len(stored)]
			d := m.Deliveries[0]
			d.State, d.Due = state, int64(n)
			group = append(group, store.Settlement{Message: m.ID, Put: []store.Delivery{d}})
		}
		if err := settleAndWait(e, group...); err != nil {
			t.Fatalf("after %d MB deferrals could not be stored: %v", n>>20, err)
		}
	}
	for _, m := range stored {
		if err := settleAndWait(e, store.Settlement{Message: m.ID, Remove: []uint32{0}}); err != nil {
			t.Fatalf("an outcome could not be stored: %v", err)
		}
	}
	if got := append(l.lines("ERROR"), l.lines("WARN")...); len(got) != 0 {
		t.Errorf("the log complains: %s", got)
	}
}

// TestFullDisk: where the disk is full all the same, others having filled it, an
// outcome fails without a flood of lines and is stored when there is room again.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 24)
	e, l := openWith(t, Options{Path: filepath.Join(dir, "queue.db"), Reserve: 1})
	m, err := appendOne(t, e, 100<<10)
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	d := m.Deliveries[0]
	d.State = storetest.Octets(7, 1<<20)
	later := store.Settlement{Message: m.ID, Put: []store.Delivery{d}}
	for range 50 {
		if err := settleAndWait(e, later, later); err == nil {
			t.Fatal("an outcome was stored on a full disk")
		}
	}
	if err := e.Ready(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Ready: %v", err)
	}
	if c := e.Condition(); c.Fault == nil {
		t.Error("the condition shows no fault")
	}
	if lines := append(l.lines("ERROR"), l.lines("WARN")...); len(lines) == 0 || len(lines) > 2 { // one may be of a checkpoint
		t.Errorf("%d lines about one fault:\n%s", len(lines), lines)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := settleAndWait(e, later); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if c := e.Condition(); c.Fault != nil {
		t.Errorf("the condition still shows %v", c.Fault)
	}
	if _, err := appendOne(t, e, 100<<10); err != nil {
		t.Error(err)
	}
}

// TestOutcomesAreStoredWhereMessagesAreNot: an outcome in one group with a
// message that does not fit is stored.
func TestOutcomesAreStoredWhereMessagesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := openWith(t, Options{Path: filepath.Join(t.TempDir(), "queue.db")})
		m, err := appendOne(t, e, 1000)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		// done is called by the committer, whose connection this is.
		e.Settle([]store.Settlement{{Message: 4711, Remove: []uint32{0}}}, func(error) {
			done <- e.committer.w.conn.exec(context.Background(), "PRAGMA max_page_count=60")
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0}}}, func(err error) { done <- err })
		if _, err := appendOne(t, e, 2<<20); !errors.Is(err, store.ErrFull) { // takes the outcome along
			t.Errorf("a message that does not fit: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the outcome in its group: %v", err)
		}
		if err := e.Ready(); !errors.Is(err, store.ErrFull) {
			t.Errorf("right after the fault: Ready: %v", err)
		}
		time.Sleep(faultAge)
		if err := e.Ready(); err != nil {
			t.Errorf("a second after the fault: Ready: %v", err)
		}
		if got := l.lines("ERROR"); len(got) != 1 {
			t.Errorf("%d lines: %s", len(got), got)
		}
	})
}

// TestReserve: what is measured decides, message by message, and is measured
// again soon.
func TestReserve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		var broken atomic.Bool
		free.Store(1000 << 20)
		e, _ := openWith(t, Options{Path: path, Reserve: 100 << 20, free: func(string) (int64, error) {
			if broken.Load() {
				return 0, unix.EIO
			}
			return free.Load(), nil
		}})
		for _, step := range []struct {
			name      string
			free      int64
			broken    bool
			ready     bool
			small     bool // a message of 1 KB
			large     bool // a message of 1 MB
			staged    bool
			knownFree int64
		}{
			{"plenty", 1000 << 20, false, true, true, true, true, 1000 << 20},
			{"room for a little", 101 << 20, false, true, true, false, true, 101 << 20},
			{"at the reserve", 100 << 20, false, true, false, false, false, 100 << 20},
			{"below it", 99 << 20, false, false, false, false, false, 99 << 20},
			{"nobody can tell: as before", 500 << 20, true, false, false, false, false, 99 << 20},
			{"room again", 500 << 20, false, true, true, true, true, 500 << 20},
		} {
			free.Store(step.free)
			broken.Store(step.broken)
			time.Sleep(roomAge)
			if err := e.Ready(); (err == nil) != step.ready || err != nil && !errors.Is(err, store.ErrFull) {
				t.Errorf("%s: Ready: %v", step.name, err)
			}
			check := func(what string, err error, want bool) {
				t.Helper()
				if (err == nil) != want || err != nil && !errors.Is(err, store.ErrFull) {
					t.Errorf("%s: %s: %v", step.name, what, err)
				}
			}
			m, err := appendOne(t, e, 1<<10)
			check("a small message", err, step.small)
			_, err = appendOne(t, e, 1<<20)
			check("a large message", err, step.large)
			s := &store.Staging{}
			check("staging", e.Stage(t.Context(), s, make([]byte, store.ContentRowBytes)), step.staged)
			e.Unstage(s)
			if step.small {
				check("an outcome", settleAndWait(e, store.Settlement{Message: m.ID, Remove: []uint32{0}}), true)
			}
			if c := e.Condition(); c.Free != step.knownFree || c.Reserve != 100<<20 || c.Fault != nil {
				t.Errorf("%s: condition %+v", step.name, c)
			}
		}
	})
}
