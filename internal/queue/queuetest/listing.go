package queuetest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

func list(t *testing.T, s Store) {
	e := opened(t, s)
	var all []*store.Message
	for i := range 40 {
		m := storetest.Message(uint64(i), 1+i%3, 10)
		mustAppend(t, e, m)
		all = append(all, m)
	}
	has := func(m *store.Message, q []byte) bool {
		return slices.ContainsFunc(m.Deliveries, func(d store.Delivery) bool { return bytes.Equal(d.Queue, q) })
	}
	for _, tt := range []struct {
		name string
		o    store.ListOptions
		want []*store.Message
	}{
		{"all", store.ListOptions{Limit: 100}, all},
		{"first page", store.ListOptions{Limit: 7}, all[:7]},
		{"next page", store.ListOptions{After: all[6].ID, Limit: 7}, all[7:14]},
		{"last page", store.ListOptions{After: all[36].ID, Limit: 7}, all[37:]},
		{"after the end", store.ListOptions{After: all[39].ID, Limit: 7}, nil},
		{"one queue", store.ListOptions{Limit: 100, Queue: storetest.Queue(3)}, filter(all, func(m *store.Message) bool { return has(m, storetest.Queue(3)) })},
		{"page of one queue", store.ListOptions{After: all[9].ID, Limit: 3, Queue: storetest.Queue(3)}, filter(all[10:], func(m *store.Message) bool { return has(m, storetest.Queue(3)) })[:3]},
		{"unknown queue", store.ListOptions{Limit: 3, Queue: []byte("nobody")}, nil},
	} {
		got, err := e.List(t.Context(), tt.o)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var want []store.Message
		for _, m := range tt.want {
			want = append(want, *m)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Message{}, "Content", "Staging"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func filter(all []*store.Message, keep func(*store.Message) bool) []*store.Message {
	var out []*store.Message
	for _, m := range all {
		if keep(m) {
			out = append(out, m)
		}
	}
	return out
}

// claimed claims everything, page by page.
func claimed(t *testing.T, e Engine, limit int) []int64 {
	t.Helper()
	out := []int64{}
	for after := int64(0); ; {
		rows, err := e.Claim(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return out
		}
		for _, m := range rows {
			if len(m.Deliveries) == 0 || len(m.Envelope) == 0 {
				t.Errorf("message %d was claimed without deliveries or envelope", m.ID)
			}
			after = m.ID
			out = append(out, m.ID)
		}
	}
}

func claim(t *testing.T, s Store) {
	e := s.Open(t, "one")
	var want []int64
	for i := range 25 {
		m := storetest.Message(uint64(i), 1+i%3, 10)
		mustAppend(t, e, m)
		want = append(want, m.ID)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, claimed(t, opened(t, s), 10)); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
}

// adopt: what another node left becomes this node's.
func adopt(t *testing.T, s Store) {
	e := s.Open(t, "one")
	m := storetest.Message(1, 2, 1000)
	mustAppend(t, e, m)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = s.Open(t, "two")
	mustAppend(t, e, storetest.Message(2, 1, 10))
	for range 2 {
		if got := claimed(t, e, 10); len(got) != 2 || got[0] != m.ID {
			t.Errorf("claimed %v, want %d and another", got, m.ID)
		}
	}
	check(t, e, m, m.Content)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
