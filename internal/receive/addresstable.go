package receive

import (
	"net/netip"
	"sync"
	"time"
)

// addressTableSize bounds a table of addresses; when it is full, the entry that
// ends first makes room.
const addressTableSize = 4096

// addressTable remembers addresses until a time. It is safe for concurrent use.
type addressTable struct {
	mu    sync.Mutex
	until map[netip.Addr]time.Time
}

func newAddressTable() *addressTable {
	return &addressTable{until: make(map[netip.Addr]time.Time)}
}

// put remembers a until end.
func (t *addressTable) put(a netip.Addr, now, end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, have := t.until[a]; !have && len(t.until) >= addressTableSize {
		t.makeRoom(now)
	}
	t.until[a] = end
}

// has reports whether a is remembered at now.
func (t *addressTable) has(a netip.Addr, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, have := t.until[a]
	if have && !now.Before(end) {
		delete(t.until, a)
		return false
	}
	return have
}

// forget removes a.
func (t *addressTable) forget(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.until, a)
}

// makeRoom drops what has ended, and the entry that ends first when nothing has.
func (t *addressTable) makeRoom(now time.Time) {
	var first netip.Addr
	var firstEnd time.Time
	for a, end := range t.until {
		if !now.Before(end) {
			delete(t.until, a)
			continue
		}
		if !first.IsValid() || end.Before(firstEnd) {
			first, firstEnd = a, end
		}
	}
	if len(t.until) >= addressTableSize {
		delete(t.until, first)
	}
}
