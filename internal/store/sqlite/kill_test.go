package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// childFile names, in the environment, the file that the child process writes to.
const childFile = "MAILPACT_SQLITE_CHILD"

// TestChild is the process that TestKill kills: it appends and settles, and
// tells on its standard output what is durable.
func TestChild(t *testing.T) {
	path := os.Getenv(childFile)
	if path == "" {
		t.Skip("runs only as the child of TestKill")
	}
	e, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	for w := range 8 {
		go func() {
			for n := uint64(w) << 32; ; n++ {
				m := storetest.Message(n, 1, 40_000)
				if err := e.Append(context.Background(), []*store.Message{m}); err != nil {
					say("error %v", err)
					return
				}
				say("append %d %d", m.ID, n)
				if n%4 == 0 {
					continue // stays
				}
				e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0}}}, func(err error) {
					if err == nil {
						say("settle %d", m.ID)
					}
				})
			}
		}()
	}
	select {} // until it is killed
}

// TestKill kills a process that writes, checkpoints included, again and again.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	appended, settled := map[int64]uint64{}, map[int64]bool{}
	for cycle := range 4 {
		run(t, path, time.Duration(150+cycle*150)*time.Millisecond, appended, settled)
		e := open(t, path)
		there := map[int64]bool{}
		for after := int64(0); ; {
			rows, err := e.Claim(t.Context(), after, 500)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			for _, m := range rows {
				after = m.ID
				there[m.ID] = true
				seed, known := appended[m.ID]
				if !known {
					continue // committed, and killed before it could say so
				}
				r, err := e.OpenContent(t.Context(), m.ID)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(b, storetest.Octets(seed, 40_000)) {
					t.Errorf("message %d has %d octets of other content, %v", m.ID, len(b), err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		for id, seed := range appended {
			if !there[id] && seed%4 == 0 {
				t.Errorf("message %d was acknowledged and is lost", id)
			}
			if there[id] && settled[id] {
				t.Errorf("message %d was settled and is back", id)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d messages, %d settled", len(appended), len(settled))
	if len(appended) == 0 || len(settled) == 0 {
		t.Error("the child did nothing")
	}
}

// run lets a child write for a while, kills it and adds what it said.
func run(t *testing.T, path string, d time.Duration, appended map[int64]uint64, settled map[int64]bool) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), childFile+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if timer == nil { // it has begun
			timer = time.AfterFunc(d, func() { _ = child.Process.Kill() })
		}
		var id int64
		var seed uint64
		if n, _ := fmt.Sscanf(lines.Text(), "append %d %d", &id, &seed); n == 2 {
			if appended[id] != 0 {
				t.Errorf("id %d was given twice", id)
			}
			appended[id] = seed
		} else if n, _ := fmt.Sscanf(lines.Text(), "settle %d", &id); n == 1 {
			settled[id] = true
		}
	}
	if timer == nil {
		t.Error("the child said nothing")
	}
	_ = child.Wait() // it was killed
}
