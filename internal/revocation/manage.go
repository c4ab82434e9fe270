package revocation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"mailpact/internal/directory"
)

// warnAhead is how long before the end of a CRL in use that cannot be fetched an
// administrator is warned.
const warnAhead = 24 * time.Hour

// Configure puts the proxy and LDAP settings in force for every fetch that
// begins from now on, and forgets failures. The limits stay those of Open.
func (c *Checker) Configure(settings directory.Revocation) {
	c.fetcher.settings.Store(&settings)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.retryAt = time.Time{}
	}
}

// Refresh fetches now, whatever is due, the CRLs of an address, or with "" all
// that were asked for since the start, and waits for them until the end of ctx.
// It returns how many were asked for; Snapshot tells what became of each. CRLs
// that lie on the disk alone are not among them: who signed them is known when a
// certificate needs them.
func (c *Checker) Refresh(ctx context.Context, address string) (int, error) {
	var flights []*flight
	c.mu.Lock()
	for _, e := range c.entries {
		if address != "" && e.want.url != normalURI(address) {
			continue
		}
		f := e.flight
		if f == nil {
			e.retryAt = time.Time{}
			f = c.takeOff(ctx, e)
		}
		if f != nil {
			flights = append(flights, f)
		}
	}
	c.mu.Unlock()
	for _, f := range flights {
		select {
		case <-f.ended:
		case <-ctx.Done():
			return len(flights), fmt.Errorf("waiting for CRLs: %w", ctx.Err())
		}
	}
	return len(flights), nil
}

// Flush forgets the CRLs of an address, or with "" all of them, in memory and on
// disk, and how new they were: the next one is taken whatever its number. It
// returns how many there were. What is being fetched at the moment stays.
func (c *Checker) Flush(address string) (int, error) {
	stored, err := c.disk.list()
	if err != nil {
		return 0, fmt.Errorf("listing CRLs: %w", err)
	}
	if address != "" {
		address = normalURI(address)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := map[string]bool{}
	for id, m := range stored {
		ids[id] = address == "" || m.URL == address
	}
	for id, e := range c.entries {
		ids[id] = (address == "" || e.want.url == address) && e.flight == nil
	}
	n := 0
	var faults error
	for id, meant := range ids {
		if !meant {
			continue
		}
		delete(c.entries, id)
		n++
		for _, suffix := range []string{metadataSuffix, indexSuffix, listSuffix} {
			if err := os.Remove(c.disk.path(id + suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				faults = errors.Join(faults, fmt.Errorf("removing a CRL: %w", err))
			}
		}
	}
	if n > 0 {
		c.generation.Add(1)
	}
	return n, faults
}

// Findings returns what an administrator should know: a CRL in use that cannot be
// fetched and is about to expire, or has expired.
func (c *Checker) Findings() []directory.Finding {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []directory.Finding
	for _, e := range c.entries {
		if e.list == nil || e.lastError == "" || now.Sub(e.lastUsed) > keptFresh || e.list.nextUpdate.After(now.Add(warnAhead)) {
			continue
		}
		f := directory.Finding{
			Level: directory.LevelWarning, Object: "CRL " + e.want.url,
			Text: fmt.Sprintf("it is in use, expires at %s and cannot be fetched: %s", stamp(e.list.nextUpdate), e.lastError),
			Fix:  "mailpact crl refresh " + e.want.url,
		}
		if !e.usable(now) {
			f.Level = directory.LevelError
			f.Text = fmt.Sprintf("it is in use, expired at %s and cannot be fetched: %s", stamp(e.list.nextUpdate), e.lastError)
		}
		out = append(out, f)
	}
	return out
}

// Reach says why a partner could not fetch from the CRL addresses of one of our
// certificates: none is one of HTTP whose host has a public address. nil is as
// good as can be seen from here, and the answer for no address.
func (c *Checker) Reach(ctx context.Context, addresses []string) error {
	public := newDialer(c.fetcher.dialer.resolver, false)
	var why error
	for _, a := range addresses {
		u, err := checkURL(a)
		if err == nil {
			_, err = public.resolve(ctx, u.Hostname())
		}
		if err == nil {
			return nil
		}
		why = errors.Join(why, err)
	}
	return why
}
