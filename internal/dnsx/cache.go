package dnsx

import (
	"sync"
	"time"
)

// cache keeps answers until their time is over. When it is full, room is made
// by what has expired and then by whatever the map yields first.
type cache struct {
	limit int

	mu      sync.RWMutex
	entries map[question]entry
}

type entry struct {
	answer  answer
	expires time.Time
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: make(map[question]entry)}
}

func (c *cache) get(q question, now time.Time) (answer, bool) {
	c.mu.RLock()
	e, ok := c.entries[q]
	c.mu.RUnlock()
	if !ok || !now.Before(e.expires) {
		return answer{}, false
	}
	return e.answer, true
}

func (c *cache) put(q question, a answer, now time.Time) {
	if c.limit <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.limit {
		c.makeRoom(now)
	}
	c.entries[q] = entry{answer: a, expires: now.Add(a.ttl)}
}

// makeRoom looks at a bounded number of entries, so that a full cache costs
// each newcomer the same.
func (c *cache) makeRoom(now time.Time) {
	const look = 32
	seen := 0
	for q, e := range c.entries {
		if seen++; seen > look {
			break
		}
		if !now.Before(e.expires) {
			delete(c.entries, q)
		}
	}
	for q := range c.entries {
		if len(c.entries) < c.limit {
			return
		}
		delete(c.entries, q)
	}
}
