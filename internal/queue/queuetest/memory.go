package queuetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"mailpact/internal/store"
)

// Memory is a store that lasts as long as the process. Its engines pass the
// suite; they are for tests of the queue that need many messages.
type Memory struct {
	mu        sync.Mutex
	messages  map[int64]*kept
	ids       []int64 // of messages and of some that have gone, in order
	staged    map[int64][]byte
	suspended map[string]bool
	last      int64 // id given
}

// kept is a message with its content.
type kept struct {
	row     store.Message
	content []byte
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{messages: map[int64]*kept{}, staged: map[int64][]byte{}, suspended: map[string]bool{}}
}

// Open opens the engine. As the suite says, one is open at a time.
func (m *Memory) Open(*testing.T, string) Engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.staged)
	return &memoryEngine{Memory: m}
}

// Killed returns a copy of what is kept.
func (m *Memory) Killed(*testing.T) Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Memory{messages: map[int64]*kept{}, ids: slices.Clone(m.ids), staged: maps.Clone(m.staged), suspended: maps.Clone(m.suspended), last: m.last}
	for id, k := range m.messages {
		copied := *k
		copied.row.Deliveries = slices.Clone(k.row.Deliveries)
		c.messages[id] = &copied
	}
	return c
}

// memoryEngine is an open Memory.
type memoryEngine struct {
	*Memory
	closed bool // Memory.mu guards it
}

// do runs fn with the lock, unless the engine is closed.
func (e *memoryEngine) do(fn func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return store.ErrClosed
	}
	return fn()
}

// Close implements Engine.
func (e *memoryEngine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

var errNoDelivery = errors.New("the message has no delivery")

// Append implements queue.Engine.
func (e *memoryEngine) Append(_ context.Context, messages []*store.Message) error {
	return e.do(func() error {
		if slices.ContainsFunc(messages, func(m *store.Message) bool { return len(m.Deliveries) == 0 }) {
			return errNoDelivery
		}
		e.add(messages)
		return nil
	})
}

func (e *memoryEngine) add(messages []*store.Message) {
	for _, m := range messages {
		k := &kept{}
		if s := m.Staging; s != nil && s.Rows > 0 {
			m.ID = s.ID
			k.content = e.staged[s.ID]
			delete(e.staged, s.ID)
		} else {
			e.last++
			m.ID = e.last
		}
		k.content = append(k.content, m.Content...)
		k.row = store.Message{ID: m.ID, Received: m.Received, Size: m.Size, Envelope: bytes.Clone(m.Envelope)}
		put(&k.row, m.Deliveries)
		e.messages[m.ID] = k
		at, _ := slices.BinarySearch(e.ids, m.ID)
		e.ids = slices.Insert(e.ids, at, m.ID)
	}
}

// put adds deliveries to a row, or replaces those of equal Seq.
func put(row *store.Message, deliveries []store.Delivery) {
	for _, d := range deliveries {
		d.Queue, d.State = bytes.Clone(d.Queue), bytes.Clone(d.State)
		at, found := slices.BinarySearchFunc(row.Deliveries, d.Seq, func(x store.Delivery, seq uint32) int { return int(x.Seq) - int(seq) })
		if found {
			row.Deliveries[at] = d
		} else {
			row.Deliveries = slices.Insert(row.Deliveries, at, d)
		}
	}
}

// Stage implements queue.Engine.
func (e *memoryEngine) Stage(_ context.Context, s *store.Staging, row []byte) error {
	return e.do(func() error {
		if s.Rows == 0 {
			e.last++
			s.ID = e.last
		}
		s.Rows++
		e.staged[s.ID] = append(e.staged[s.ID], row...)
		return nil
	})
}

// Unstage implements queue.Engine.
func (e *memoryEngine) Unstage(s *store.Staging) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.staged, s.ID)
}

// Settle implements queue.Engine. What it is told is durable at once.
func (e *memoryEngine) Settle(settlements []store.Settlement, done func(error)) {
	done(e.do(func() error {
		for i := range settlements {
			if slices.ContainsFunc(settlements[i].Append, func(m *store.Message) bool { return len(m.Deliveries) == 0 }) {
				return errNoDelivery
			}
		}
		for i := range settlements {
			e.settle(&settlements[i])
		}
		return nil
	}))
}

func (e *memoryEngine) settle(s *store.Settlement) {
	e.add(s.Append)
	k := e.messages[s.Message]
	if k == nil {
		return
	}
	put(&k.row, s.Put)
	k.row.Deliveries = slices.DeleteFunc(k.row.Deliveries, func(d store.Delivery) bool { return slices.Contains(s.Remove, d.Seq) })
	if len(k.row.Deliveries) > 0 {
		return
	}
	delete(e.messages, s.Message)
	if len(e.ids) > 2*len(e.messages)+100 {
		e.ids = slices.DeleteFunc(e.ids, func(id int64) bool { return e.messages[id] == nil })
	}
}

// Claim implements queue.Engine: everything is this node's.
func (e *memoryEngine) Claim(ctx context.Context, after int64, limit int) ([]store.Message, error) {
	return e.List(ctx, store.ListOptions{After: after, Limit: limit})
}

// Load implements queue.Engine.
func (e *memoryEngine) Load(_ context.Context, id int64) (row *store.Message, err error) {
	err = e.do(func() error {
		k := e.messages[id]
		if k == nil {
			return store.ErrNotFound
		}
		m := k.show()
		row = &m
		return nil
	})
	return row, err
}

// show returns a row that is the caller's.
func (k *kept) show() store.Message {
	m := k.row
	m.Deliveries = slices.Clone(m.Deliveries)
	return m
}

// List implements queue.Engine.
func (e *memoryEngine) List(_ context.Context, o store.ListOptions) (rows []store.Message, err error) {
	err = e.do(func() error {
		at, _ := slices.BinarySearch(e.ids, o.After+1)
		for _, id := range e.ids[at:] {
			k := e.messages[id]
			if k == nil || o.Queue != nil && !slices.ContainsFunc(k.row.Deliveries, func(d store.Delivery) bool { return bytes.Equal(d.Queue, o.Queue) }) {
				continue
			}
			rows = append(rows, k.show())
			if len(rows) == o.Limit {
				break
			}
		}
		return nil
	})
	return rows, err
}

// SuspendQueue implements queue.Engine.
func (e *memoryEngine) SuspendQueue(_ context.Context, queue []byte, suspended bool) error {
	return e.do(func() error {
		e.suspended[string(queue)] = suspended
		return nil
	})
}

// SuspendedQueues implements queue.Engine.
func (e *memoryEngine) SuspendedQueues(context.Context) (queues [][]byte, err error) {
	err = e.do(func() error {
		for q, suspended := range e.suspended {
			if suspended {
				queues = append(queues, []byte(q))
			}
		}
		return nil
	})
	return queues, err
}

// OpenContent implements queue.Engine.
func (e *memoryEngine) OpenContent(ctx context.Context, id int64) (io.ReadCloser, error) {
	if _, err := e.Load(ctx, id); err != nil {
		return nil, err
	}
	return &memoryReader{e: e, id: id}, nil
}

// memoryReader reads a content for as long as its message is there.
type memoryReader struct {
	e      *memoryEngine
	id     int64
	offset int
	closed bool
}

// Read implements io.Reader.
func (r *memoryReader) Read(p []byte) (n int, err error) {
	if r.closed {
		return 0, errors.New("the content has been closed")
	}
	err = r.e.do(func() error {
		k := r.e.messages[r.id]
		if k == nil {
			return store.ErrNotFound
		}
		if n = copy(p, k.content[r.offset:]); n == 0 && len(p) > 0 {
			return io.EOF
		}
		r.offset += n
		return nil
	})
	return n, err
}

// Close implements io.Closer.
func (r *memoryReader) Close() error {
	r.closed = true
	return nil
}
