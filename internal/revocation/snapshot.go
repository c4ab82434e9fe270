package revocation

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// CachedCRL describes one CRL of the cache, for listings.
type CachedCRL struct {
	URL    string
	Issuer string // the issuer's distinguished name; empty when no CRL was ever had
	// Number is the CRL number in decimal; empty when there is none.
	Number     string
	ThisUpdate time.Time // zero when no CRL was ever had
	NextUpdate time.Time // the end of its use
	Entries    int       // revoked certificates on it
	Fetched    time.Time // the last fetch that succeeded; zero: not known
	LastUsed   time.Time // the last time that it was asked for; zero: not since the start
	// LastError is why the last fetch gave nothing, and FailedAt when; empty and
	// zero when it did. With a NextUpdate ahead, the CRL held still answers.
	LastError string
	FailedAt  time.Time
}

// Snapshot lists the CRLs in memory and on disk, by address.
func (c *Checker) Snapshot() ([]CachedCRL, error) {
	stored, err := c.disk.list()
	if err != nil {
		return nil, fmt.Errorf("listing CRLs: %w", err)
	}
	var out []CachedCRL
	c.mu.Lock()
	for id, e := range c.entries {
		if e.list == nil && e.lastError == "" {
			continue // being fetched for the first time, or not yet read from disk
		}
		delete(stored, id)
		s := CachedCRL{URL: e.want.url, Fetched: e.fetched, LastUsed: e.lastUsed, LastError: e.lastError, FailedAt: e.failedAt}
		if l := e.list; l != nil {
			s.Issuer, s.ThisUpdate, s.NextUpdate, s.Entries = l.issuer, l.thisUpdate, l.nextUpdate, l.revoked.count
			if l.number != nil {
				s.Number = l.number.String()
			}
		}
		out = append(out, s)
	}
	c.mu.Unlock()
	for _, m := range stored {
		out = append(out, CachedCRL{
			URL: m.URL, Issuer: m.Issuer, Number: m.Number, ThisUpdate: m.ThisUpdate, NextUpdate: m.NextUpdate,
			Entries: m.Entries, Fetched: m.Fetched,
		})
	}
	slices.SortFunc(out, func(a, b CachedCRL) int {
		return cmp.Or(cmp.Compare(a.URL, b.URL), cmp.Compare(a.Issuer, b.Issuer))
	})
	return out, nil
}
