package receive

import (
	"net/netip"
	"sync"
	"time"

	"mailpact/internal/directory"
)

// The bounds of a sourceTable.
const (
	// maxIdleSources bounds how many clients without a connection are
	// remembered for messageRateLimit; the oldest one makes room.
	maxIdleSources = 16384
	// sourceMemory is how long such a client is remembered: until its messages
	// no longer count.
	sourceMemory = 2 * time.Minute
)

// sourceTable counts the connections and messages of each client of a
// connector. It is safe for concurrent use.
type sourceTable struct {
	mu             sync.Mutex
	sources        map[netip.Addr]*source
	newest, oldest *source // those without a connection, by when they had the last one
	idle           int
}

// source is one client: an IPv4 address, or an IPv6 network of 64 bits, because
// whoever has one address of it has them all.
type source struct {
	key netip.Addr

	// The table's mutex guards these.
	connections  int64
	left         time.Time // when connections became 0
	newer, older *source

	mu     sync.Mutex
	slot   int64                // the present one, since 1970
	counts [messageSlots]uint32 // of messages, by slot
	total  int64                // of counts
}

// Messages are counted in slots of time, which together reach back a minute from
// the beginning of the present one, so that no minute has more than the limit.
const (
	messageSlot  = 5 * time.Second
	messageSlots = int64(time.Minute/messageSlot) + 1
)

func newSourceTable() *sourceTable {
	return &sourceTable{sources: make(map[netip.Addr]*source)}
}

// sourceKey returns what a client counts as.
func sourceKey(client netip.Addr) netip.Addr {
	if p, err := client.Prefix(64); client.Is6() && err == nil {
		return p.Addr()
	}
	return client
}

// enter counts a connection of client. It returns nil when there are limit of
// them, which is at least 1, already; else leave must follow.
func (t *sourceTable) enter(client netip.Addr, limit int64) *source {
	key := sourceKey(client)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[key]
	switch {
	case s == nil:
		s = &source{key: key}
		t.sources[key] = s
	case s.connections == 0:
		t.unlink(s)
	case s.connections >= limit:
		return nil
	}
	s.connections++
	return s
}

// leave ends a connection that enter has counted.
func (t *sourceTable) leave(s *source, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.connections--
	if s.connections > 0 {
		return
	}
	s.left = now
	s.older = t.newest
	if t.newest != nil {
		t.newest.newer = s
	}
	t.newest = s
	if t.oldest == nil {
		t.oldest = s
	}
	t.idle++
	for t.idle > maxIdleSources || t.oldest != nil && now.Sub(t.oldest.left) > sourceMemory {
		old := t.oldest
		t.unlink(old)
		delete(t.sources, old.key)
	}
}

// unlink takes s out of those without a connection.
func (t *sourceTable) unlink(s *source) {
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		t.newest = s.older
	}
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		t.oldest = s.newer
	}
	s.newer, s.older = nil, nil
	t.idle--
}

// message counts a message, unless the last minute has seen limit of them already.
func (s *source) message(now time.Time, limit int64) bool {
	if limit == directory.Unlimited {
		return true
	}
	slot := now.UnixNano() / int64(messageSlot)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := slot - s.slot; d < 0 || d >= messageSlots { // long ago, or the clock went back
		s.counts, s.total = [messageSlots]uint32{}, 0
	} else {
		for i := s.slot + 1; i <= slot; i++ {
			s.total -= int64(s.counts[i%messageSlots])
			s.counts[i%messageSlots] = 0
		}
	}
	s.slot = slot
	if s.total >= limit {
		return false
	}
	s.counts[slot%messageSlots]++
	s.total++
	return true
}
