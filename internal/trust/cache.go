package trust

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"hash/maphash"
	"sync"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// ChainID identifies a presented chain. The zero value stands for none.
type ChainID [sha256.Size]byte

// HashChain returns the chain's ID: certificates, their order and their number
// all count.
func HashChain(chain []*x509.Certificate) ChainID {
	h := sha256.New()
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		h.Write(sum[:])
	}
	var id ChainID
	h.Sum(id[:0])
	return id
}

const (
	defaultCacheEntries = 4096
	cacheShards         = 16
	// What secures nothing may be a stranger's, who has as many chains as he
	// likes: few are remembered, and none that takes much memory.
	refusedEntries     = 256
	maxRefusedOctets   = 16 << 10
	maxRefusedElements = 64 // on all paths together
)

// cacheKey is everything that a judgement depends on, besides the Verifier's
// own settings and the time.
type cacheKey struct {
	chain      ChainID
	domain     smtp.Domain
	way        domainsec.Direction
	names      domainsec.NameCheck
	policy     uint64
	generation uint64 // of the CRLs
}

// cache remembers judgements, the least recently used of a shard going first.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu sync.Mutex
	// secured holds what secures, refused what does not: the second must not
	// drive out the first.
	secured, refused lru
	// pending are judgements in the making.
	pending map[cacheKey]chan struct{}
}

// lru is a bounded map with its entries in the order of use.
type lru struct {
	limit          int
	entries        map[cacheKey]*cacheEntry
	newest, oldest *cacheEntry
}

type cacheEntry struct {
	key          cacheKey
	facts        *domainsec.PeerFacts
	since, until time.Time
	newer, older *cacheEntry
}

// belief is how long and in which part of the cache facts may be remembered.
// The zero value: not at all.
type belief struct {
	until   time.Time
	secured bool
}

func newCache(entries int) *cache {
	if entries <= 0 {
		entries = defaultCacheEntries
	}
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = cacheShard{
			secured: lru{limit: max(entries/cacheShards, 1), entries: map[cacheKey]*cacheEntry{}},
			refused: lru{limit: refusedEntries / cacheShards, entries: map[cacheKey]*cacheEntry{}},
			pending: map[cacheKey]chan struct{}{},
		}
	}
	return c
}

// policyHash identifies the rules of a partner that a judgement depends on; 0
// stands for no partner.
func (c *cache) policyHash(p *directory.Partner) uint64 {
	if p == nil {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(c.seed)
	field := func(s string) {
		_, _ = h.WriteString(s) // never fails
		_ = h.WriteByte(0)
	}
	field(string(p.Domain))
	field(string(p.NameRule))
	field(string(p.Usage))
	if p.Shared {
		field("shared")
	}
	for _, n := range p.Names {
		field(n)
	}
	_ = h.WriteByte(1)
	for _, a := range p.Anchors {
		field(a)
	}
	return h.Sum64() | 1
}

func (c *cache) shard(k *cacheKey) *cacheShard { return &c.shards[k.chain[0]%cacheShards] }

// get returns the facts remembered under key, or nil. It does not allocate.
func (c *cache) get(key cacheKey, now time.Time) *domainsec.PeerFacts {
	s := c.shard(&key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key, now)
}

func (s *cacheShard) get(key cacheKey, now time.Time) *domainsec.PeerFacts {
	if facts := s.secured.get(key, now); facts != nil {
		return facts
	}
	return s.refused.get(key, now)
}

// fill makes the judgement, or waits for the one who is making it.
func (c *cache) fill(ctx context.Context, key cacheKey, now time.Time, judge func() (*domainsec.PeerFacts, belief)) *domainsec.PeerFacts {
	s := c.shard(&key)
	for {
		s.mu.Lock()
		if facts := s.get(key, now); facts != nil {
			s.mu.Unlock()
			return facts
		}
		wait := s.pending[key]
		if wait == nil {
			done := make(chan struct{})
			s.pending[key] = done
			s.mu.Unlock()
			return s.make(key, now, done, judge)
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			// Judged with what is at hand: revocation will be unknown.
			facts, _ := judge()
			return facts
		}
	}
}

func (s *cacheShard) make(key cacheKey, now time.Time, done chan struct{}, judge func() (*domainsec.PeerFacts, belief)) *domainsec.PeerFacts {
	var facts *domainsec.PeerFacts
	var b belief
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pending, key)
		if facts != nil && now.Before(b.until) {
			part := &s.refused
			if b.secured {
				part = &s.secured
			}
			part.put(&cacheEntry{key: key, facts: facts, since: now, until: b.until})
		}
		close(done)
	}()
	facts, b = judge()
	return facts
}

func (l *lru) get(key cacheKey, now time.Time) *domainsec.PeerFacts {
	e := l.entries[key]
	if e == nil {
		return nil
	}
	// A clock that went back may have made a certificate not yet valid again.
	if !now.Before(e.until) || now.Before(e.since.Add(-notBeforeTolerance)) {
		l.remove(e)
		return nil
	}
	if l.newest != e {
		l.unlink(e)
		l.link(e)
	}
	return e.facts
}

func (l *lru) put(e *cacheEntry) {
	if old := l.entries[e.key]; old != nil {
		l.remove(old)
	}
	for len(l.entries) >= l.limit {
		l.remove(l.oldest)
	}
	l.entries[e.key] = e
	l.link(e)
}

func (l *lru) remove(e *cacheEntry) {
	delete(l.entries, e.key)
	l.unlink(e)
}

func (l *lru) link(e *cacheEntry) {
	e.older, e.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = e
	}
	l.newest = e
	if l.oldest == nil {
		l.oldest = e
	}
}

func (l *lru) unlink(e *cacheEntry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}
