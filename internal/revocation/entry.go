package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Times of the cache.
const (
	// maxAge is the longest time from one fetch of a CRL in use to the next.
	maxAge = 4 * time.Hour
	// retrySoon and retryLater are how long a failure is remembered: the first
	// time and from then on. A recovery is noticed within a minute.
	retrySoon  = 30 * time.Second
	retryLater = time.Minute
	// retryHolding is the most that is waited after a failure while the list held can still answer.
	retryHolding = 5 * time.Minute
)

// Bounds of the cache in memory.
const (
	maxEntries      = 1024
	maxIndexOctets  = 256 << 20
	maxEntryNames   = 32 // distribution point names remembered for one address
	maxParsing      = 2  // CRLs parsed at a time
	maxErrorInEntry = 500
)

// want is one address for a CRL of one issuer.
type want struct {
	url   string
	above []*x509.Certificate // of the certificate in question: its issuer, and so on to the anchor
	names []generalName       // of the distribution point that has the address, and of its CRL issuer
	delta bool                // the address is one of a delta CRL
}

// id names the cache entry of w: address, issuer name and issuer key together.
func (w want) id() string {
	h := sha256.New()
	h.Write([]byte(w.url))
	h.Write([]byte{0}) // no address contains it
	h.Write(w.above[0].RawSubject)
	h.Write(w.above[0].RawSubjectPublicKeyInfo)
	return hex.EncodeToString(h.Sum(nil))
}

// entry is what the cache knows of one address and issuer. Checker.mu guards
// it; list, fetched and known are changed by its one flight only.
type entry struct {
	id        string
	want      want
	list      *List // the newest verified; may be too old to answer; nil: none yet
	diskRead  bool  // the disk was asked
	known     validators
	fetched   time.Time // the last fetch that succeeded
	attempted time.Time // the last fetch begun by this process
	refreshAt time.Time
	retryAt   time.Time // no fetch before; zero: none failed
	lastUsed  time.Time
	failures  int // since the last success
	lastError string
	failedAt  time.Time
	flight    *flight // the fetch under way; nil: none
}

// flight is one fetch that any number of callers wait for.
type flight struct {
	done   chan struct{} // closed when nobody need wait any longer
	ended  chan struct{} // closed when the fetch is over
	once   sync.Once
	cancel context.CancelFunc
}

// release lets the waiters go. It may be called again.
func (f *flight) release() { f.once.Do(func() { close(f.done) }) }

// unavailableError means that a CRL cannot be had now.
type unavailableError struct {
	why   string
	retry time.Time
}

// Error returns why.
func (e *unavailableError) Error() string { return e.why }

// usable reports whether the entry can answer at now.
func (e *entry) usable(now time.Time) bool { return e.list != nil && e.list.usable(now) == nil }

// order puts those first whose CRL is at hand.
func (c *Checker) order(wants []want) []want {
	var held, rest []want
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range wants {
		if e := c.entries[w.id()]; e != nil && e.usable(now) {
			held = append(held, w)
			continue
		}
		rest = append(rest, w)
	}
	return append(held, rest...)
}

// consult returns a usable list for w, waiting for a fetch when that is needed.
func (c *Checker) consult(ctx context.Context, w want) (*List, error) {
	now := c.now()
	c.mu.Lock()
	e := c.entryFor(w, now)
	f := c.prepare(ctx, e, now)
	c.mu.Unlock()
	interrupted := false
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			interrupted = true
		}
	}
	now = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.usable(now):
		return e.list, nil
	case interrupted && e.flight == f:
		return nil, &unavailableError{why: fmt.Sprintf("no answer in the time for a chain: %v", ctx.Err()), retry: now}
	case e.lastError != "":
		return nil, &unavailableError{why: fmt.Sprintf("%s (at %s)", e.lastError, stamp(e.failedAt)), retry: e.retryAt}
	case e.list != nil:
		return nil, &unavailableError{why: e.list.usable(now).Error(), retry: now}
	default:
		return nil, &unavailableError{why: "nothing is fetched any more, the server is stopping", retry: now}
	}
}

// entryFor finds or makes the entry of w. It expects c.mu to be held.
func (c *Checker) entryFor(w want, now time.Time) *entry {
	id := w.id()
	e := c.entries[id]
	if e == nil {
		e = &entry{id: id, want: w}
		e.want.names = slices.Clone(w.names)
		c.entries[id] = e
		c.evict(e)
	}
	e.lastUsed = now
	e.want.above = w.above
	for _, n := range w.names {
		if len(e.want.names) < maxEntryNames && !slices.Contains(e.want.names, n) {
			e.want.names = append(e.want.names, n)
		}
	}
	return e
}

// prepare starts a fetch if one is due and returns the flight that the caller
// must wait for, nil for none. It expects c.mu to be held.
func (c *Checker) prepare(ctx context.Context, e *entry, now time.Time) *flight {
	usable := e.usable(now)
	switch {
	case e.flight != nil && usable:
		return nil
	case e.flight != nil:
		return e.flight
	case now.Before(e.retryAt), usable && now.Before(e.refreshAt):
		return nil
	}
	f := c.takeOff(ctx, e)
	// A list that was not asked after for so long, because the server was down or
	// asleep, is worth one wait; while its server is down nobody waits again.
	if usable && (now.Sub(e.fetched) < maxAge || now.Sub(e.attempted) < maxAge) {
		return nil
	}
	return f
}

// takeOff starts the flight of an entry that has none. It expects c.mu to be
// held and returns nil when the Checker is stopped.
func (c *Checker) takeOff(ctx context.Context, e *entry) *flight {
	if c.stopped {
		return nil
	}
	// The fetch is for everybody who waits: it does not end with the first of them.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), ended: make(chan struct{}), cancel: cancel}
	e.flight = f
	c.running.Go(func() {
		defer close(f.ended)
		defer f.release()
		defer cancel()
		c.fly(ctx, e, f)
	})
	return f
}

// fly reads the entry's CRL from disk, the first time, and fetches it unless
// that was fresh enough.
func (c *Checker) fly(ctx context.Context, e *entry, f *flight) {
	c.mu.Lock()
	w, diskRead := e.want, e.diskRead
	w.names = slices.Clone(w.names)
	c.mu.Unlock()
	if !diskRead {
		c.readDisk(ctx, e, w)
	}
	c.mu.Lock()
	now := c.now()
	if !diskRead && e.usable(now) && now.Before(e.refreshAt) {
		e.flight = nil
		c.mu.Unlock()
		return
	}
	if e.usable(now) && now.Sub(e.fetched) < maxAge {
		f.release()
	}
	e.attempted = now
	old, known := e.list, e.known
	if !e.usable(now) {
		known = validators{} // what we hold cannot answer: ask for it whole
	}
	c.mu.Unlock()
	got, err := c.refetch(ctx, refetchOrder{want: w, id: e.id, old: old, known: known})
	c.land(e, got, err)
}

// readDisk takes the CRL from the cache directory, verified again. A CRL that is
// too old to answer still is the floor for the next one.
func (c *Checker) readDisk(ctx context.Context, e *entry, w want) {
	l, m, err := c.readCached(ctx, e.id, w)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.logger.Warn("ignoring a cached CRL", slog.String("url", w.url), slog.Any("error", err))
	}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e.diskRead = true
	if err != nil {
		return
	}
	e.list, e.known = l, m.validators
	if m.Fetched.After(now) {
		m.Fetched = time.Time{}
	}
	e.fetched = m.Fetched
	e.refreshAt = refreshTime(e.fetched, l.nextUpdate)
	c.evict(e)
}

func (c *Checker) readCached(ctx context.Context, id string, w want) (*List, metadata, error) {
	if err := c.startParsing(ctx); err != nil {
		return nil, metadata{}, err
	}
	defer c.endParsing()
	if info, err := os.Stat(c.disk.path(id + listSuffix)); err != nil {
		return nil, metadata{}, fmt.Errorf("reading cached CRL: %w", err)
	} else if info.Size() > c.maxBytes {
		return nil, metadata{}, fmt.Errorf("reading cached CRL: it is larger than %d octets", c.maxBytes)
	}
	indexPath := c.disk.path(strings.Replace(tempPattern, "*", id, 1) + indexSuffix)
	defer os.Remove(indexPath)
	l, err := c.accept(c.disk.path(id+listSuffix), indexPath, w)
	if err == nil {
		err = c.disk.keepIndex(id, indexPath)
	}
	m, metadataErr := c.disk.readMetadata(id)
	if metadataErr != nil {
		m = metadata{}
	}
	if err == nil && m.Digest != digestText(l.digest) {
		// An interrupted write, or a hand in the directory: the CRL is good for
		// what it says, but when it was fetched is not known.
		m = metadata{}
	}
	return l, m, err
}

// land notes the end of a flight.
func (c *Checker) land(e *entry, got fetchedList, fault error) {
	now := c.now()
	c.mu.Lock()
	e.flight = nil
	changed, stopped := false, c.stopped
	if fault != nil {
		e.failures++
		e.lastError, e.failedAt = cutTo(fault.Error(), maxErrorInEntry), now
		e.retryAt = now.Add(e.backoff(now))
	} else {
		e.fetched, e.known = now, got.validators
		e.failures, e.lastError, e.failedAt, e.retryAt = 0, "", time.Time{}, time.Time{}
		if changed = got.list != nil && (e.list == nil || e.list.digest != got.list.digest); changed {
			e.list = got.list
			c.generation.Add(1)
		}
		if e.list != nil {
			e.refreshAt = refreshTime(now, e.list.nextUpdate)
		}
		c.evict(e)
	}
	url, held, retry := e.want.url, e.usable(now), e.retryAt
	c.mu.Unlock()
	switch {
	case fault != nil && !stopped:
		c.logger.Warn("a CRL could not be had", slog.String("url", url), slog.Any("error", fault),
			slog.Bool("held", held), slog.Time("retry", retry))
	case changed:
		c.logger.Info("a CRL changed", slog.String("url", url), slog.String("issuer", got.list.issuer),
			slog.String("number", numberText(got.list.number)), slog.Int("entries", got.list.revoked.count),
			slog.Time("nextUpdate", got.list.nextUpdate))
	}
}

// backoff is how long to leave a server alone after a failure.
func (e *entry) backoff(now time.Time) time.Duration {
	if e.usable(now) {
		return min(max(e.list.nextUpdate.Sub(now)/4, retrySoon), retryHolding)
	}
	if e.failures == 1 {
		return retrySoon
	}
	return retryLater
}

// refreshTime is when a CRL fetched at that time is fetched again: after half
// of the life it has left, at most maxAge, and a little earlier by chance, so
// that not all are due together.
func refreshTime(fetched, nextUpdate time.Time) time.Time {
	after := min(max(nextUpdate.Sub(fetched)/2, retrySoon), maxAge)
	return fetched.Add(after - rand.N(after/10))
}

func cutTo(s string, most int) string {
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
