package admin

import (
	"context"
	"fmt"
	"time"
)

// CRLRow is one cached CRL.
type CRLRow struct {
	URL        string    `json:"url"`
	Issuer     string    `json:"issuer"`
	Number     string    `json:"number"`
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
	Entries    int       `json:"entries"`
	Fetched    time.Time `json:"fetched"`
	LastUsed   time.Time `json:"lastUsed"` // zero: not since the start
	LastError  string    `json:"lastError"`
	// Freshness is fresh, expired, or missing when no CRL was ever had.
	Freshness string `json:"freshness"`
}

// CRLRequest names CRLs.
type CRLRequest struct {
	// URL is the address; empty: all.
	URL string `json:"url,omitempty"`
}

// CRLChangeResponse tells about CRLs that were refreshed or flushed.
type CRLChangeResponse struct {
	Count int      `json:"count"` // how many were asked for, or forgotten
	CRLs  []CRLRow `json:"crls"`  // those of the address as they are now
}

// CRLListResponse lists CRLs.
type CRLListResponse struct {
	CRLs []CRLRow `json:"crls"`
}

// CRLList returns the cached CRLs.
func (s *Service) CRLList(_ context.Context, _ Empty) (CRLListResponse, error) {
	return s.listCRLs("")
}

// CRLShow returns the cached CRLs of one address: one for each issuer.
func (s *Service) CRLShow(_ context.Context, q CRLRequest) (CRLListResponse, error) {
	if q.URL == "" {
		return CRLListResponse{}, &Error{Kind: KindInvalid, Object: "url", Detail: "there is no address", Fix: "mailpact crl list"}
	}
	r, err := s.listCRLs(q.URL)
	if err == nil && len(r.CRLs) == 0 {
		err = &Error{Kind: KindNotFound, Object: "CRL " + q.URL, Detail: "no CRL of this address has been needed", Fix: "mailpact crl list"}
	}
	return r, err
}

// CRLRefresh fetches CRLs now and waits for them.
func (s *Service) CRLRefresh(ctx context.Context, q CRLRequest) (CRLChangeResponse, error) {
	n, err := s.crls.Refresh(ctx, q.URL)
	if err != nil {
		return CRLChangeResponse{}, &Error{Kind: KindUnavailable, Object: "CRL", Detail: err.Error()}
	}
	if n == 0 && q.URL != "" {
		return CRLChangeResponse{}, &Error{
			Kind: KindNotFound, Object: "CRL " + q.URL,
			Detail: "nothing has asked for it since the start; it is fetched when a certificate needs it", Fix: "mailpact crl list",
		}
	}
	r, err := s.listCRLs(q.URL)
	return CRLChangeResponse{Count: n, CRLs: r.CRLs}, err
}

// CRLFlush forgets CRLs.
func (s *Service) CRLFlush(_ context.Context, q CRLRequest) (CRLChangeResponse, error) {
	n, err := s.crls.Flush(q.URL)
	if err != nil {
		return CRLChangeResponse{}, fmt.Errorf("flushing CRLs: %w", err)
	}
	if n == 0 && q.URL != "" {
		return CRLChangeResponse{}, &Error{Kind: KindNotFound, Object: "CRL " + q.URL, Detail: "it is not in the cache", Fix: "mailpact crl list"}
	}
	r, err := s.listCRLs(q.URL)
	return CRLChangeResponse{Count: n, CRLs: r.CRLs}, err
}

// listCRLs returns those of an address, or all.
func (s *Service) listCRLs(address string) (CRLListResponse, error) {
	r := CRLListResponse{CRLs: []CRLRow{}}
	cached, err := s.crls.Snapshot()
	if err != nil {
		return r, fmt.Errorf("listing CRLs: %w", err)
	}
	now := s.now()
	for _, c := range cached {
		if address != "" && c.URL != address {
			continue
		}
		row := CRLRow{
			URL: c.URL, Issuer: c.Issuer, Number: c.Number, ThisUpdate: c.ThisUpdate, NextUpdate: c.NextUpdate,
			Entries: c.Entries, Fetched: c.Fetched, LastUsed: c.LastUsed, LastError: c.LastError, Freshness: "fresh",
		}
		switch {
		case c.ThisUpdate.IsZero():
			row.Freshness = "missing"
		case !now.Before(c.NextUpdate):
			row.Freshness = "expired"
		}
		r.CRLs = append(r.CRLs, row)
	}
	return r, nil
}
