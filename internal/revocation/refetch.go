package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// refetchOrder is what a fetch needs to know.
type refetchOrder struct {
	want
	id    string
	old   *List      // what is held; nil: nothing
	known validators // sent along, so that an unchanged CRL need not be
}

// fetchedList is what a fetch brought.
type fetchedList struct {
	list *List
	validators
}

// refetch downloads, verifies and stores a CRL. The result's list is nil when
// the one held is still the newest.
func (c *Checker) refetch(ctx context.Context, o refetchOrder) (fetchedList, error) {
	ctx, cancel := context.WithTimeout(ctx, c.perURL)
	defer cancel()
	d, err := c.fetcher.fetch(ctx, o.url, o.known)
	if errors.Is(err, errNotModified) {
		c.touch(o)
		return fetchedList{validators: o.known}, nil
	}
	if err != nil {
		return fetchedList{}, timeoutText(err, c.perURL)
	}
	defer os.Remove(d.path)
	if err := c.startParsing(ctx); err != nil {
		return fetchedList{}, err
	}
	defer c.endParsing()
	if err := derFile(d.path, c.maxBytes); err != nil {
		return fetchedList{}, err
	}
	indexPath := d.path + indexSuffix
	defer os.Remove(indexPath)
	l, err := c.accept(d.path, indexPath, o.want)
	if err != nil {
		return fetchedList{}, err
	}
	if err := l.usable(c.now()); err != nil {
		return fetchedList{}, err
	}
	if err := l.mayReplace(o.old); err != nil {
		return fetchedList{}, err
	}
	if err := c.disk.adopt(o.id, d.path, indexPath, c.metadataOf(o.want, l, d.validators)); err != nil {
		// It is verified and answers from memory; only a restart would miss it.
		c.logger.Error("caching a CRL on disk", slog.String("url", o.url), slog.Any("error", err))
	} else if err := c.disk.prune(); err != nil {
		c.logger.Error("pruning cached CRLs", slog.Any("error", err))
	}
	return fetchedList{list: l, validators: d.validators}, nil
}

// touch notes on disk that the CRL held was found to be the newest.
func (c *Checker) touch(o refetchOrder) {
	if o.old == nil {
		return
	}
	if err := c.disk.writeMetadata(o.id, c.metadataOf(o.want, o.old, o.known)); err != nil {
		c.logger.Error("caching a CRL on disk", slog.String("url", o.url), slog.Any("error", err))
	}
}

func (c *Checker) metadataOf(w want, l *List, v validators) metadata {
	m := metadata{
		URL: w.url, Issuer: l.issuer, ThisUpdate: l.thisUpdate, NextUpdate: l.nextUpdate,
		Entries: l.revoked.count, Fetched: c.now().UTC(), Digest: digestText(l.digest), validators: v,
	}
	if l.number != nil {
		m.Number = l.number.String()
	}
	return m
}

// accept parses the CRL in a file, DER, and checks everything that does not depend on the
// certificate or the clock, so that no stranger's CRL enters the cache.
func (c *Checker) accept(path, indexPath string, w want) (*List, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading CRL: %w", err)
	}
	defer file.Close()
	l, err := openList(w.url, file, indexPath)
	if err != nil {
		return nil, err
	}
	if err := madeFor(l, w.above, c.signers()); err != nil {
		return nil, err
	}
	// The scope of a delta CRL is that of the complete one, not of its own address.
	if !w.delta && l.base == nil {
		if err := l.scope.matches(point{names: w.names}); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// startParsing waits for a turn: a large CRL takes its size in memory while it is parsed.
func (c *Checker) startParsing(ctx context.Context) error {
	select {
	case c.parsing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting to parse: %w", ctx.Err())
	}
}

func (c *Checker) endParsing() { <-c.parsing }
