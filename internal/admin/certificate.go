package admin

import (
	"context"
	"fmt"
	"time"

	"mailpact/internal/trust"
)

// CertificateRow is one of the server's own certificates.
type CertificateRow struct {
	Thumbprint string    `json:"thumbprint"` // SHA-1, upper-case hex
	SHA256     string    `json:"sha256"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Names      []string  `json:"names"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	SelfSigned bool      `json:"selfSigned"`
	Services   []string  `json:"services"`
	Status     string    `json:"status"` // Valid | DateInvalid
}

// CertificateListResponse lists certificates.
type CertificateListResponse struct {
	Certificates []CertificateRow `json:"certificates"`
}

// CertificateList returns the server's own certificates.
func (s *Service) CertificateList(_ context.Context, _ Empty) (CertificateListResponse, error) {
	now := s.now()
	r := CertificateListResponse{Certificates: []CertificateRow{}}
	for _, c := range s.certificates() {
		facts := trust.DescribeCertificate(c.Leaf())
		status := "Valid"
		if !c.Current(now) {
			status = "DateInvalid"
		}
		row := CertificateRow{
			Thumbprint: facts.SHA1, SHA256: facts.SHA256, Subject: facts.Subject, Issuer: facts.Issuer, Names: c.Names(),
			NotBefore: facts.NotBefore, NotAfter: facts.NotAfter, SelfSigned: c.SelfSigned, Status: status,
		}
		for _, service := range c.Services {
			row.Services = append(row.Services, string(service))
		}
		r.Certificates = append(r.Certificates, row)
	}
	return r, nil
}

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
