package sqlite

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// TestWaits: with fake time, which stands still while anybody works, an append
// takes no time at all, and a settlement waits for company, 20 ms at most.
func TestWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	synctest.Test(t, func(t *testing.T) {
		e := open(t, path)
		add := func() *store.Message {
			t.Helper()
			m := storetest.Message(1, 1, 100)
			began := time.Now()
			if err := e.Append(t.Context(), []*store.Message{m}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("a lone append waited %v", took)
			}
			return m
		}
		settle := func(m *store.Message) chan time.Time {
			done := make(chan time.Time, 1)
			e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0}}}, func(err error) {
				if err != nil {
					t.Error(err)
				}
				done <- time.Now()
			})
			return done
		}
		first, second, third := add(), add(), add()

		began := time.Now()
		alone := settle(first)
		if took := (<-alone).Sub(began); took != settleWait {
			t.Errorf("a settlement alone was committed after %v", took)
		}

		began = time.Now()
		one := settle(second)
		time.Sleep(15 * time.Millisecond)
		two := settle(third)
		if took := (<-one).Sub(began); took != settleWait {
			t.Errorf("the first of two settlements was committed after %v", took)
		}
		if took := (<-two).Sub(began); took != settleWait {
			t.Errorf("the second of two settlements was committed after %v", took)
		}

		fourth := add()
		began = time.Now()
		ride := settle(fourth)
		time.Sleep(5 * time.Millisecond)
		add()
		if took := (<-ride).Sub(began); took != 5*time.Millisecond {
			t.Errorf("a settlement with company was committed after %v", took)
		}
	})
}
