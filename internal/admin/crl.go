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
	LastError  string    `json:"lastError"`
}

// CRLListResponse lists CRLs.
type CRLListResponse struct {
	CRLs []CRLRow `json:"crls"`
}

// CRLList returns the cached CRLs.
func (s *Service) CRLList(_ context.Context, _ Empty) (CRLListResponse, error) {
	r := CRLListResponse{CRLs: []CRLRow{}}
	cached, err := s.crls.Snapshot()
	if err != nil {
		return r, fmt.Errorf("listing CRLs: %w", err)
	}
	for _, c := range cached {
		r.CRLs = append(r.CRLs, CRLRow{
			URL: c.URL, Issuer: c.Issuer, Number: c.Number, ThisUpdate: c.ThisUpdate, NextUpdate: c.NextUpdate,
			Entries: c.Entries, Fetched: c.Fetched, LastError: c.LastError,
		})
	}
	return r, nil
}
