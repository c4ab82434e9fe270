// Package queuetest holds the suite that every storage engine of the queue has
// to pass. Only tests import it.
package queuetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailpact/internal/queue"
	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// Engine is an engine under test: what the queue uses, and Close.
type Engine interface {
	queue.Engine
	Close() error
}

// Store is one place that engines can be opened on, one after the other.
type Store interface {
	// Open opens the engine as a node; the test closes it.
	Open(t *testing.T, node string) Engine
	// Killed returns the store as it would be if the process that has it open
	// were killed now. The open engine goes on working.
	Killed(t *testing.T) Store
}

// Run runs the suite. fresh returns a new empty store.
func Run(t *testing.T, fresh func(t *testing.T) Store) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Store)
	}{
		{"append and read", appendAndRead},
		{"append all or none", appendAllOrNone},
		{"staging", staging},
		{"unfinished staging", unfinishedStaging},
		{"settle", settle},
		{"settle all or none", settleAllOrNone},
		{"settle in order", settleInOrder},
		{"settle alone", settleAlone},
		{"list", list},
		{"claim", claim},
		{"adopt", adopt},
		{"suspended queues", suspendedQueues},
		{"ids are never used twice", idsGrow},
		{"many writers", manyWriters},
		{"content is read while others write", readWhileWriting},
		{"closed", closed},
		{"killed", killed},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, fresh(t)) })
	}
}

// opened opens an engine that is closed at the end.
func opened(t *testing.T, s Store) Engine {
	t.Helper()
	e := s.Open(t, "one")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func mustAppend(t *testing.T, e Engine, m ...*store.Message) {
	t.Helper()
	if err := e.Append(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// settled settles and waits.
func settled(e Engine, s ...store.Settlement) error {
	done := make(chan error, 1)
	e.Settle(s, func(err error) { done <- err })
	return <-done
}

func mustSettle(t *testing.T, e Engine, s ...store.Settlement) {
	t.Helper()
	if err := settled(e, s...); err != nil {
		t.Fatal(err)
	}
}

// check compares what is stored of a message with what was appended.
func check(t *testing.T, e Engine, want *store.Message, content []byte) {
	t.Helper()
	got, err := e.Load(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("message %d: %v", want.ID, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Message{}, "Content", "Staging"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("message %d (-want +got):\n%s", want.ID, diff)
	}
	if !bytes.Equal(read(t, e, want.ID), content) {
		t.Errorf("message %d has other content", want.ID)
	}
}

func read(t *testing.T, e Engine, id int64) []byte {
	t.Helper()
	r, err := e.OpenContent(t.Context(), id)
	if err != nil {
		t.Fatalf("content of %d: %v", id, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("content of %d: %v", id, err)
	}
	return b
}

// gone checks that nothing of a message is left.
func gone(t *testing.T, e Engine, id int64) {
	t.Helper()
	if m, err := e.Load(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("message %d is still there: %v, %v", id, m, err)
	}
	if _, err := e.OpenContent(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("content of %d is still there: %v", id, err)
	}
}

func ids(t *testing.T, e Engine) []int64 {
	t.Helper()
	rows, err := e.List(t.Context(), store.ListOptions{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	out := []int64{}
	for _, m := range rows {
		out = append(out, m.ID)
	}
	return out
}

func appendAndRead(t *testing.T, s Store) {
	e := opened(t, s)
	var all []*store.Message
	for i, size := range []int{0, 1, 10 << 10, store.ContentRowBytes, store.ContentRowBytes + 1, 3*store.ContentRowBytes + 5} {
		m := storetest.Message(uint64(i+1), i+1, size)
		if i%2 == 0 {
			mustAppend(t, e, m)
		}
		all = append(all, m)
	}
	mustAppend(t, e, all[1], all[3], all[5])
	for _, m := range all {
		check(t, e, m, m.Content)
	}
	gone(t, e, all[5].ID+1)
}

func appendAllOrNone(t *testing.T, s Store) {
	e := opened(t, s)
	bad := storetest.Message(2, 0, 100)
	if err := e.Append(t.Context(), []*store.Message{storetest.Message(1, 1, 100), bad, storetest.Message(3, 1, 100)}); err == nil {
		t.Error("a message without delivery was taken")
	}
	if got := ids(t, e); len(got) != 0 {
		t.Errorf("messages %v are visible", got)
	}
	mustAppend(t, e, storetest.Message(4, 1, 100))
}

func stage(t *testing.T, e Engine, content []byte) (*store.Staging, []byte) {
	t.Helper()
	s := &store.Staging{}
	for len(content) > store.ContentRowBytes {
		if err := e.Stage(t.Context(), s, content[:store.ContentRowBytes]); err != nil {
			t.Fatal(err)
		}
		content = content[store.ContentRowBytes:]
	}
	return s, content
}

func staging(t *testing.T, s Store) {
	e := opened(t, s)
	for i, size := range []int{store.ContentRowBytes + 1, 2 * store.ContentRowBytes, 5*store.ContentRowBytes + 99} {
		m := storetest.Message(uint64(i), 2, size)
		content := m.Content
		m.Staging, m.Content = stage(t, e, content)
		mustAppend(t, e, storetest.Message(100, 1, 10)) // ids in between
		if got := len(ids(t, e)); got != 2*i+1 {
			t.Errorf("%d messages are visible while one is staged, want %d", got, 2*i+1)
		}
		mustAppend(t, e, m)
		check(t, e, m, content)
	}
}

func unfinishedStaging(t *testing.T, s Store) {
	e := s.Open(t, "one")
	unstaged, _ := stage(t, e, storetest.Octets(1, 3*store.ContentRowBytes))
	e.Unstage(unstaged)
	left, _ := stage(t, e, storetest.Octets(2, 3*store.ContentRowBytes))
	e.Unstage(&store.Staging{}) // nothing was staged
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = opened(t, s)
	if got := ids(t, e); len(got) != 0 {
		t.Errorf("messages %v are visible", got)
	}
	gone(t, e, left.ID)
	m := storetest.Message(3, 1, 100)
	mustAppend(t, e, m)
	if m.ID <= left.ID {
		t.Errorf("id %d was given after the staging %d", m.ID, left.ID)
	}
}

func settle(t *testing.T, s Store) {
	e := opened(t, s)
	m, other := storetest.Message(1, 3, 300<<10), storetest.Message(2, 1, 100)
	mustAppend(t, e, m, other)
	mustSettle(t, e, store.Settlement{Message: m.ID, Remove: []uint32{1}})
	m.Deliveries = slices.Delete(m.Deliveries, 1, 2)
	check(t, e, m, m.Content)

	changed, added := storetest.Delivery(77, 2), storetest.Delivery(78, 9)
	mustSettle(t, e, store.Settlement{Message: m.ID, Put: []store.Delivery{added, changed}})
	m.Deliveries[1] = changed
	m.Deliveries = append(m.Deliveries, added)
	check(t, e, m, m.Content)

	report := storetest.Message(3, 1, 2000)
	mustSettle(t, e,
		store.Settlement{Message: m.ID, Remove: []uint32{0, 2}, Append: []*store.Message{report}},
		store.Settlement{Message: m.ID, Remove: []uint32{9}},
		store.Settlement{Message: m.ID, Remove: []uint32{9}}) // settled already: nothing to do
	gone(t, e, m.ID)
	check(t, e, report, report.Content)
	check(t, e, other, other.Content)
	mustSettle(t, e)
}

func settleAllOrNone(t *testing.T, s Store) {
	e := opened(t, s)
	m, other := storetest.Message(1, 1, 100), storetest.Message(2, 1, 100)
	mustAppend(t, e, m, other)
	err := settled(e,
		store.Settlement{Message: m.ID, Remove: []uint32{0}},
		store.Settlement{Message: other.ID, Remove: []uint32{0}, Append: []*store.Message{storetest.Message(3, 0, 10)}})
	if err == nil {
		t.Error("a report without delivery was taken")
	}
	check(t, e, m, m.Content)
	check(t, e, other, other.Content)
}

// settleInOrder: the last settlement of a delivery counts, and a neighbour's
// fault does not touch it.
func settleInOrder(t *testing.T, s Store) {
	e := opened(t, s)
	m := storetest.Message(1, 1, 100)
	mustAppend(t, e, m)
	var wg sync.WaitGroup
	bad := 0
	for i := range 50 {
		d := storetest.Delivery(uint64(i), 0)
		m.Deliveries[0] = d
		wg.Add(2)
		e.Settle([]store.Settlement{{Message: m.ID, Put: []store.Delivery{d}}}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
		e.Settle([]store.Settlement{{Message: m.ID, Append: []*store.Message{storetest.Message(3, 0, 10)}}}, func(err error) {
			if err != nil {
				bad++ // calls of done do not overlap
			}
			wg.Done()
		})
	}
	wg.Wait()
	if bad != 50 {
		t.Errorf("%d of 50 bad settlements failed", bad)
	}
	check(t, e, m, m.Content)
}

// settleAlone: without company a settlement does not wait for ever.
func settleAlone(t *testing.T, s Store) {
	e := opened(t, s)
	m := storetest.Message(1, 1, 100)
	mustAppend(t, e, m)
	done := make(chan error, 1)
	e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0}}}, func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the settlement is still waiting")
	}
	gone(t, e, m.ID)
}

func idsGrow(t *testing.T, s Store) {
	last := int64(0)
	for range 3 {
		e := s.Open(t, "one")
		for range 3 {
			m := storetest.Message(1, 1, 10)
			mustAppend(t, e, m)
			if m.ID <= last {
				t.Errorf("id %d comes after %d", m.ID, last)
			}
			last = m.ID
			mustSettle(t, e, store.Settlement{Message: m.ID, Remove: []uint32{0}})
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func manyWriters(t *testing.T, s Store) {
	e := opened(t, s)
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := range 20 {
				m := storetest.Message(uint64(w*100+i), 1, 10<<10)
				if err := e.Append(context.Background(), []*store.Message{m}); err != nil {
					t.Error(err)
					return
				}
				check(t, e, m, m.Content)
				if err := settled(e, store.Settlement{Message: m.ID, Remove: []uint32{0}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := ids(t, e); len(got) != 0 {
		t.Errorf("messages %v are left", got)
	}
}

func readWhileWriting(t *testing.T, s Store) {
	e := opened(t, s)
	m := storetest.Message(1, 1, 4*store.ContentRowBytes)
	mustAppend(t, e, m)
	r, err := e.OpenContent(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, store.ContentRowBytes+1)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, e, storetest.Message(2, 1, 10))
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(first, rest...), m.Content) {
		t.Errorf("read %d octets, %v", len(first)+len(rest), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(first); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading after Close gave %v", err)
	}
	// A message that is settled under a reader ends in an error, never in less content.
	r, err = e.OpenContent(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	mustSettle(t, e, store.Settlement{Message: m.ID, Remove: []uint32{0}})
	if _, err := io.ReadAll(r); err == nil {
		t.Error("content of a settled message ended as if it were whole")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func closed(t *testing.T, s Store) {
	e := s.Open(t, "one")
	m := storetest.Message(1, 1, 10)
	mustAppend(t, e, m)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Append(t.Context(), []*store.Message{storetest.Message(2, 1, 10)}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if err := settled(e, store.Settlement{Message: m.ID, Remove: []uint32{0}}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Settle after Close: %v", err)
	}
	if _, err := e.Load(t.Context(), m.ID); err == nil {
		t.Error("Load after Close gave no error")
	}
}
