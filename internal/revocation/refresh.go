package revocation

import (
	"context"
	"time"
)

const (
	// refreshTick is how often the background refresh looks for what is due.
	refreshTick = 10 * time.Second
	// keptFresh is for how long after its last use a CRL is refreshed.
	keptFresh = 24 * time.Hour
	// keptTrying is the same for an address that never gave a usable CRL.
	keptTrying = time.Hour
)

// Start refreshes in the background, until Stop or the end of ctx, every CRL
// that was used in the last day: ahead of nextUpdate, at least every four
// hours, and again within a minute while its server fails. A second Start and
// one after Stop do nothing.
func (c *Checker) Start(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.endLoop != nil {
		return
	}
	ctx, c.endLoop = context.WithCancel(ctx)
	c.running.Go(func() { c.refreshLoop(ctx) })
}

// Stop ends the refresh and every fetch, and waits for them. What is cached
// still answers afterwards; nothing is fetched any more. It may be called more
// than once, and without Start.
func (c *Checker) Stop() {
	c.mu.Lock()
	c.stopped = true
	if c.endLoop != nil {
		c.endLoop()
	}
	for _, e := range c.entries {
		if e.flight != nil {
			e.flight.cancel()
		}
	}
	c.mu.Unlock()
	c.running.Wait()
}

func (c *Checker) refreshLoop(ctx context.Context) {
	ticker := time.NewTicker(refreshTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.refreshDue(ctx)
		}
	}
}

// refreshDue starts a fetch for everything that is due and was used lately.
func (c *Checker) refreshDue(ctx context.Context) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.due(now) {
			c.takeOff(ctx, e)
		}
	}
}

// due reports whether the background refresh shall fetch e.
func (e *entry) due(now time.Time) bool {
	if e.flight != nil || now.Before(e.retryAt) {
		return false
	}
	unused := now.Sub(e.lastUsed)
	if e.usable(now) {
		return unused < keptFresh && !now.Before(e.refreshAt)
	}
	if e.list != nil {
		return unused < keptFresh
	}
	return unused < keptTrying
}

// evict drops the entries used longest ago while there are too many, or their
// lists take too much memory. keep, and what is being fetched, stays. What is
// dropped is read from disk again when it is needed. It expects c.mu to be held.
func (c *Checker) evict(keep *entry) {
	var octets int64
	for _, e := range c.entries {
		octets += e.octets()
	}
	for len(c.entries) > maxEntries || octets > maxIndexOctets {
		var oldest *entry
		for _, e := range c.entries {
			if e != keep && e.flight == nil && (oldest == nil || e.lastUsed.Before(oldest.lastUsed)) {
				oldest = e
			}
		}
		if oldest == nil {
			return
		}
		delete(c.entries, oldest.id)
		octets -= oldest.octets()
	}
}

func (e *entry) octets() int64 {
	if e.list == nil {
		return 0
	}
	return e.list.revoked.octets()
}
