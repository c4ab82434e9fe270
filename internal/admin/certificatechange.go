package admin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"mailpact/internal/certstore"
)

// CertificateIssueRequest says what a new certificate or request is to hold.
type CertificateIssueRequest struct {
	SubjectName string   `json:"subjectName,omitempty"` // "C=US, O=Contoso, CN=mail1.contoso.com"; empty: CN= the first name
	DomainNames []string `json:"domainNames,omitempty"`
	// IncludeAcceptedDomains adds all accepted domains, IncludeServerNames the
	// names of the server and of its connectors. Without any names, a
	// certificate has both and a request the latter.
	IncludeAcceptedDomains bool   `json:"includeAcceptedDomains,omitempty"`
	IncludeServerNames     bool   `json:"includeServerNames,omitempty"`
	FriendlyName           string `json:"friendlyName,omitempty"`
	Key                    string `json:"key,omitempty"` // P256 (the default), P384, RSA2048, RSA3072, RSA4096
	Exportable             bool   `json:"exportable,omitempty"`
	// Template is the thumbprint of a certificate whose names, subject and kind
	// of key are taken where nothing else is said.
	Template string   `json:"template,omitempty"`
	Services []string `json:"services,omitempty"` // not for requests
}

// CertificateChangeResponse is a certificate after a change.
type CertificateChangeResponse struct {
	CertificateRow
	Notes []string `json:"notes,omitempty"` // what is unwise about it
}

// CertificateRequestResponse is a new pending request.
type CertificateRequestResponse struct {
	CertificateChangeResponse
	Request string `json:"request"` // PKCS #10 in PEM
}

// issueOptions takes the names from the configuration.
func (s *Service) issueOptions(q CertificateIssueRequest, defaultAll bool) certstore.IssueOptions {
	cfg := s.directory.Current()
	names := q.DomainNames
	nothing := len(names) == 0 && !q.IncludeAcceptedDomains && !q.IncludeServerNames && q.Template == ""
	if q.IncludeServerNames || nothing {
		for _, n := range cfg.ServerNames() {
			names = append(names, string(n))
		}
	}
	if q.IncludeAcceptedDomains || nothing && defaultAll {
		for _, a := range cfg.AcceptedDomains {
			names = append(names, string(a.Name))
		}
	}
	return certstore.IssueOptions{
		Subject: q.SubjectName, Names: names, Template: q.Template, FriendlyName: q.FriendlyName, Key: q.Key, Exportable: q.Exportable,
	}
}

// CertificateNew makes a self-signed certificate, which is enabled for the
// services named, or for none.
func (s *Service) CertificateNew(_ context.Context, q CertificateIssueRequest) (CertificateChangeResponse, error) {
	o := s.issueOptions(q, true)
	var err error
	if o.Services, err = certificateServices(q.Services); err != nil {
		return CertificateChangeResponse{}, err
	}
	return s.changeCertificate("a self-signed certificate was made", func(store *certstore.Store) (*certstore.Certificate, []string, error) {
		return store.NewSelfSigned(o)
	})
}

// CertificateRequest makes a key and a request for a CA.
func (s *Service) CertificateRequest(_ context.Context, q CertificateIssueRequest) (CertificateRequestResponse, error) {
	var r CertificateRequestResponse
	if len(q.Services) > 0 {
		return r, &Error{Kind: KindInvalid, Object: "services", Detail: "a request is not enabled for services", Fix: "enable the certificate when it has been imported"}
	}
	o := s.issueOptions(q, false)
	err := s.certificates.Change(func(store *certstore.Store) error {
		p, notes, err := store.NewRequest(o)
		if err != nil {
			return err
		}
		r.CertificateRow, r.Notes, r.Request = pendingRow(p), notes, string(p.PEM())
		return nil
	})
	if err != nil {
		return r, certificateError(err)
	}
	s.logger.Info("a certificate request was made", slog.String("subject", r.Subject), slog.String("thumbprint", r.Thumbprint))
	return r, nil
}

// changeCertificate makes a change whose result is a certificate, and logs it.
func (s *Service) changeCertificate(what string, change func(*certstore.Store) (*certstore.Certificate, []string, error)) (CertificateChangeResponse, error) {
	var r CertificateChangeResponse
	err := s.certificates.Change(func(store *certstore.Store) error {
		c, notes, err := change(store)
		if err != nil {
			return err
		}
		r.CertificateRow, r.Notes = s.certificateRow(store, c), notes
		return nil
	})
	if err != nil {
		return r, certificateError(err)
	}
	s.logger.Info(what, slog.String("subject", r.Subject), slog.String("thumbprint", r.Thumbprint), slog.Any("services", r.Services))
	return r, nil
}

// CertificateImportRequest holds a certificate to take in.
type CertificateImportRequest struct {
	Data         []byte   `json:"data"`               // PEM, DER, PKCS #7 or PFX; at most 512 KiB
	Password     Secret   `json:"password,omitempty"` // of a PFX
	FriendlyName string   `json:"friendlyName,omitempty"`
	Exportable   bool     `json:"exportable,omitempty"`
	Services     []string `json:"services,omitempty"`
	// Backup asks for a PFX of certificate and key, protected by BackupPassword.
	Backup         bool   `json:"backup,omitempty"`
	BackupPassword Secret `json:"backupPassword,omitempty"`
}

// CertificateImportResponse says what was taken in.
type CertificateImportResponse struct {
	CertificateChangeResponse
	Bound  bool   `json:"bound"`            // it answered a pending request
	Backup []byte `json:"backup,omitempty"` // the PFX
}

// CertificateImport takes in the answer to a request, or a certificate with its key.
func (s *Service) CertificateImport(_ context.Context, q CertificateImportRequest) (CertificateImportResponse, error) {
	var r CertificateImportResponse
	services, err := certificateServices(q.Services)
	if err != nil {
		return r, err
	}
	r.CertificateChangeResponse, err = s.changeCertificate("a certificate was imported", func(store *certstore.Store) (*certstore.Certificate, []string, error) {
		done, err := store.Import(certstore.ImportOptions{
			Data: q.Data, Password: string(q.Password), FriendlyName: q.FriendlyName, Exportable: q.Exportable, Services: services,
			Backup: q.Backup, BackupPassword: string(q.BackupPassword),
		})
		if err != nil {
			return nil, nil, err
		}
		r.Bound, r.Backup = done.Bound, done.Backup
		return done.Certificate, done.Notes, nil
	})
	return r, err
}

// CertificateExportRequest names what to hand out.
type CertificateExportRequest struct {
	Thumbprint string `json:"thumbprint"`
	// Key asks for a PFX with the key, protected by Password. Else the chain,
	// or of a pending request the request, comes in PEM.
	Key      bool   `json:"key,omitempty"`
	Password Secret `json:"password,omitempty"`
	Legacy   bool   `json:"legacy,omitempty"` // 3DES and SHA-1, for Windows Server 2016 and older
}

// CertificateExportResponse holds a file.
type CertificateExportResponse struct {
	Thumbprint string `json:"thumbprint"`
	Data       []byte `json:"data"`
}

// CertificateExport hands out a certificate, with its key if that is exportable.
func (s *Service) CertificateExport(ctx context.Context, q CertificateExportRequest) (CertificateExportResponse, error) {
	shown, err := s.CertificateShow(ctx, CertificateShowRequest{Thumbprint: q.Thumbprint})
	if err != nil {
		return CertificateExportResponse{}, err
	}
	r := CertificateExportResponse{Thumbprint: shown.Thumbprint, Data: []byte(shown.PEM)}
	if !q.Key {
		return r, nil
	}
	if r.Data, err = s.certificates.Store().ExportKey(q.Thumbprint, string(q.Password), q.Legacy); err != nil {
		return CertificateExportResponse{}, certificateError(err)
	}
	s.logger.Warn("a certificate was exported with its key", slog.String("subject", shown.Subject), slog.String("thumbprint", shown.Thumbprint))
	return r, nil
}

// CertificateEnableRequest adds services to a certificate.
type CertificateEnableRequest struct {
	Thumbprint string   `json:"thumbprint"`
	Services   []string `json:"services"`
	// From is when it takes part in the choice; nil: now. Until then it stands by.
	From *time.Time `json:"from,omitempty"`
}

// CertificateEnable adds services to those of a certificate. Services are never
// taken away.
func (s *Service) CertificateEnable(_ context.Context, q CertificateEnableRequest) (CertificateChangeResponse, error) {
	services, err := certificateServices(q.Services)
	if err != nil {
		return CertificateChangeResponse{}, err
	}
	var from time.Time
	if q.From != nil {
		from = *q.From
	}
	return s.changeCertificate("a certificate was enabled", func(store *certstore.Store) (*certstore.Certificate, []string, error) {
		c, err := store.Enable(q.Thumbprint, services, from)
		if err != nil {
			return nil, nil, err
		}
		return c, s.enableNotes(store, c, from), nil
	})
}

// enableNotes says whether an enabled certificate is presented, and if not, why.
func (s *Service) enableNotes(store *certstore.Store, c *certstore.Certificate, from time.Time) []string {
	if from.After(s.now()) {
		return nil
	}
	var notes []string
	carried := false
	for _, name := range s.directory.Current().CertificateNames() {
		found := store.Select(name, s.usable)
		for i, x := range found {
			if x != c {
				continue
			}
			carried = true
			if i > 0 {
				notes = append(notes, fmt.Sprintf("under %s another comes first: %s", name, found[0].Thumbprint()))
			}
		}
	}
	if !carried {
		notes = append(notes, "no connector's fqdn is among its names, so that it is not presented")
	}
	return notes
}

// CertificateRemoveRequest names a certificate or a pending request.
type CertificateRemoveRequest struct {
	Thumbprint string `json:"thumbprint"`
	DryRun     bool   `json:"dryRun,omitempty"` // only say whether it could be removed
}

// CertificateRemove removes a certificate with its key, or a pending request.
// One that is in use and has no successor is refused.
func (s *Service) CertificateRemove(ctx context.Context, q CertificateRemoveRequest) (CertificateRow, error) {
	shown, err := s.CertificateShow(ctx, CertificateShowRequest{Thumbprint: q.Thumbprint})
	if err != nil {
		return CertificateRow{}, err
	}
	err = s.certificates.Change(func(store *certstore.Store) error {
		return store.Remove(q.Thumbprint, s.directory.Current().CertificateNames(), q.DryRun)
	})
	if err != nil {
		return CertificateRow{}, certificateError(err)
	}
	if !q.DryRun {
		s.logger.Info("a certificate was removed", slog.String("subject", shown.Subject), slog.String("thumbprint", shown.Thumbprint))
	}
	return shown.CertificateRow, nil
}

// CertificateSealResponse says how many keys were sealed.
type CertificateSealResponse struct {
	Keys int `json:"keys"`
}

// CertificateSeal seals the private keys that lie unsealed in the data directory.
func (s *Service) CertificateSeal(_ context.Context, _ Empty) (CertificateSealResponse, error) {
	var r CertificateSealResponse
	err := s.certificates.Change(func(store *certstore.Store) (err error) {
		r.Keys, err = store.SealKeys()
		return err
	})
	if err != nil {
		return r, certificateError(err)
	}
	s.logger.Info("private keys were sealed", slog.Int("keys", r.Keys))
	return r, nil
}

// MaxImportBytes bounds the data of a CertificateImportRequest, in octets.
const MaxImportBytes = certstore.MaxImportBytes

// IsPFX reports whether data looks like a PFX, for which a password is needed.
func IsPFX(data []byte) bool { return certstore.IsPFX(data) }
