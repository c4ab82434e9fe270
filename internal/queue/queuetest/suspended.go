package queuetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// suspendedQueues: suspensions are durable, hold for every node, and may be
// said twice.
func suspendedQueues(t *testing.T, s Store) {
	e := s.Open(t, "one")
	check := func(e Engine, want ...[]byte) {
		t.Helper()
		got, err := e.SuspendedQueues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, bytes.Compare)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("suspended queues (-want +got):\n%s", diff)
		}
	}
	set := func(e Engine, queue []byte, suspended bool) {
		t.Helper()
		if err := e.SuspendQueue(t.Context(), queue, suspended); err != nil {
			t.Fatal(err)
		}
	}
	check(e)
	set(e, []byte("c"), false) // was not
	set(e, []byte("b"), true)
	set(e, []byte("a"), true)
	set(e, []byte("c"), true)
	set(e, []byte("a"), true) // is already
	check(e, []byte("a"), []byte("b"), []byte("c"))
	set(e, []byte("b"), false)
	check(e, []byte("a"), []byte("c"))
	check(opened(t, s.Killed(t)), []byte("a"), []byte("c"))

	// Messages of a suspended queue come and go as ever.
	m := storetest.Message(1, 1, 10)
	m.Deliveries[0].Queue = []byte("a")
	mustAppend(t, e, m)
	mustSettle(t, e, store.Settlement{Message: m.ID, Remove: []uint32{0}})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.SuspendQueue(t.Context(), []byte("a"), false); !errors.Is(err, store.ErrClosed) {
		t.Errorf("SuspendQueue after Close: %v", err)
	}

	e = s.Open(t, "two")
	check(e, []byte("a"), []byte("c"))
	set(e, []byte("a"), false)
	set(e, []byte("c"), false)
	check(e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
