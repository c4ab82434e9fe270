package queuetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"time"

	"mailpact/internal/store"
	"mailpact/internal/store/storetest"
)

// ledger is what writers know for certain.
type ledger struct {
	mu        sync.Mutex
	appended  map[int64]uint64 // acknowledged messages with their seeds
	settling  map[int64]bool   // settlements that have been asked for
	settled   map[int64]bool   // settlements that were acknowledged
	startedAt time.Time
}

// reportSeeds stand above this: the report of message n has the seed reportSeed + n.
const reportSeed = 1 << 40

// killed: whenever the process dies, what was acknowledged is there, what was
// settled is gone with its report in its place, and nothing is half there.
func killed(t *testing.T, s Store) {
	e := opened(t, s)
	l := &ledger{appended: map[int64]uint64{}, settling: map[int64]bool{}, settled: map[int64]bool{}, startedAt: time.Now()}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() { l.write(t, e, uint64(w)<<20, stop) })
	}
	for range 3 {
		before := l.size()
		for l.size() < before+100 {
			time.Sleep(time.Millisecond)
		}
		known := l.copy()
		dead := s.Killed(t)
		asked := l.copy()
		known.verify(t, opened(t, dead), asked.settling)
	}
	close(stop)
	writers.Wait()
}

// write appends and settles messages of different shapes until stop is closed.
func (l *ledger) write(t *testing.T, e Engine, seed uint64, stop chan struct{}) {
	for n := seed; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		size := 1000 + int(n%5)*200
		if n%50 == 49 {
			size += store.ContentRowBytes
		}
		m := storetest.Message(n, 2, size)
		binary.BigEndian.PutUint64(m.Envelope, n)
		if size > store.ContentRowBytes {
			m.Staging = &store.Staging{}
			if err := e.Stage(context.Background(), m.Staging, m.Content[:store.ContentRowBytes]); err != nil {
				t.Error(err)
				return
			}
			m.Content = m.Content[store.ContentRowBytes:]
		}
		if err := e.Append(context.Background(), []*store.Message{m}); err != nil {
			t.Error(err)
			return
		}
		l.mu.Lock()
		l.appended[m.ID] = n
		l.mu.Unlock()
		if n%3 != 0 {
			continue
		}
		report := storetest.Message(reportSeed+n, 1, 500)
		binary.BigEndian.PutUint64(report.Envelope, reportSeed+n)
		l.mu.Lock()
		l.settling[m.ID] = true
		l.mu.Unlock()
		e.Settle([]store.Settlement{{Message: m.ID, Remove: []uint32{0, 1}, Append: []*store.Message{report}}}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			l.mu.Lock()
			l.settled[m.ID] = true
			l.mu.Unlock()
		})
	}
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.appended)
}

func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &ledger{appended: map[int64]uint64{}, settling: map[int64]bool{}, settled: map[int64]bool{}}
	for id, seed := range l.appended {
		c.appended[id] = seed
	}
	for id := range l.settling {
		c.settling[id] = true
	}
	for id := range l.settled {
		c.settled[id] = true
	}
	return c
}

// verify compares a dead process's store with what was known before it died.
// asked are the settlements asked for by then.
func (l *ledger) verify(t *testing.T, e Engine, asked map[int64]bool) {
	t.Helper()
	bySeed := map[uint64]int64{}
	for after := int64(0); ; {
		rows, err := e.Claim(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			break
		}
		for i := range rows {
			after = rows[i].ID
			seed := binary.BigEndian.Uint64(rows[i].Envelope)
			if bySeed[seed] != 0 {
				t.Errorf("message with seed %d is there twice", seed)
			}
			bySeed[seed] = after
			checkWhole(t, e, &rows[i], seed)
		}
	}
	for id, seed := range l.appended {
		_, there := bySeed[seed]
		_, report := bySeed[reportSeed+seed]
		switch {
		case there && report:
			t.Errorf("message %d and its report are both there", id)
		case !there && !asked[id]:
			t.Errorf("message %d was acknowledged and is lost", id)
		case !there && !report:
			t.Errorf("message %d was settled without its report", id)
		case there && l.settled[id]:
			t.Errorf("message %d was settled and is back", id)
		}
	}
}

// checkWhole checks that a visible message has all that belongs to it.
func checkWhole(t *testing.T, e Engine, m *store.Message, seed uint64) {
	t.Helper()
	deliveries := 2
	if seed >= reportSeed {
		deliveries = 1
	}
	if len(m.Deliveries) != deliveries {
		t.Errorf("message %d has %d deliveries, want %d", m.ID, len(m.Deliveries), deliveries)
	}
	r, err := e.OpenContent(t.Context(), m.ID)
	if err != nil {
		t.Errorf("message %d: %v", m.ID, err)
		return
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(b, storetest.Octets(seed, int(m.Size))) {
		t.Errorf("message %d has %d octets of other content, %v", m.ID, len(b), err)
	}
}
