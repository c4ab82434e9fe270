package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
)

// OwnCertificates gives operations the store of our own certificates.
type OwnCertificates interface {
	// Store returns the store in force, for looking only.
	Store() *certstore.Store
	// Change calls fn with the store in force while nothing else replaces it,
	// and lets the server take notice of what fn has changed.
	Change(fn func(*certstore.Store) error) error
	// Status returns what is known of a certificate's path and revocation; false
	// if nothing is yet.
	Status(c *certstore.Certificate) (trust.PathStatus, bool)
}

// Secret is a password. However it is printed or logged, it does not appear;
// only a request's JSON holds it.
type Secret string

// String hides the secret.
func (s Secret) String() string { return "[redacted]" }

// GoString hides the secret.
func (s Secret) GoString() string { return "[redacted]" }

// Format hides the secret whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// The words of CertificateRow.Status.
const (
	CertificateValid       = "Valid"
	CertificateDateInvalid = "DateInvalid"
	CertificatePending     = "PendingRequest"
	certificateRevoked     = "Revoked"
	certificateUntrusted   = "Untrusted"
	certificateInvalid     = "Invalid"
	certificateNoCRL       = "RevocationCheckFailure"
	certificateUnknown     = "Unknown" // not looked at yet
)

// CertificateRow is one of the server's own certificates, or a pending request.
type CertificateRow struct {
	Thumbprint   string     `json:"thumbprint"` // SHA-1, upper-case hex; of a request, the request's
	SHA256       string     `json:"sha256,omitempty"`
	FriendlyName string     `json:"friendlyName,omitempty"`
	Subject      string     `json:"subject"`
	Issuer       string     `json:"issuer,omitempty"`
	SerialNumber string     `json:"serialNumber,omitempty"` // upper-case hex
	Names        []string   `json:"names"`
	NotBefore    time.Time  `json:"notBefore,omitzero"`
	NotAfter     time.Time  `json:"notAfter,omitzero"`
	SelfSigned   bool       `json:"selfSigned"`
	Key          string     `json:"key"` // kind and size
	Exportable   bool       `json:"exportable"`
	KeySealed    bool       `json:"keySealed"`
	Services     []string   `json:"services"`
	EnabledFrom  *time.Time `json:"enabledFrom,omitempty"` // when its services begin, if they have not
	// Use is "current" where it is presented now, "next" where it stands by to
	// follow a current one, else empty.
	Use    string `json:"use,omitempty"`
	Status string `json:"status"` // Valid | DateInvalid | PendingRequest | Revoked | Untrusted | Invalid | RevocationCheckFailure | Unknown
	File   string `json:"file,omitempty"`
}

// CertificateListRequest chooses certificates.
type CertificateListRequest struct {
	// Domain: those that STARTTLS would choose from under this name, in the
	// order of choice; the first is the one in use. Empty: all, and requests.
	Domain  string `json:"domain,omitempty"`
	Pending bool   `json:"pending,omitempty"` // only pending requests
}

// CertificateListResponse lists certificates.
type CertificateListResponse struct {
	Certificates []CertificateRow `json:"certificates"`
}

// CertificateList returns the server's own certificates in selection order.
func (s *Service) CertificateList(_ context.Context, q CertificateListRequest) (CertificateListResponse, error) {
	r := CertificateListResponse{Certificates: []CertificateRow{}}
	store := s.certificates.Store()
	switch {
	case q.Domain != "":
		name, err := directory.ParseCertificateName(q.Domain)
		if err != nil {
			return r, &Error{Kind: KindInvalid, Object: "domain", Detail: err.Error(), Fix: "write a host name"}
		}
		for _, c := range store.Select(name, s.usable) {
			r.Certificates = append(r.Certificates, s.certificateRow(store, c))
		}
		return r, nil
	case !q.Pending:
		for _, c := range store.Ordered(s.usable) {
			r.Certificates = append(r.Certificates, s.certificateRow(store, c))
		}
	}
	for _, p := range store.Pending() {
		r.Certificates = append(r.Certificates, pendingRow(p))
	}
	return r, nil
}

// CertificateShowRequest names a certificate or a pending request by its
// thumbprint, of which the first eight digits are enough.
type CertificateShowRequest struct {
	Thumbprint string `json:"thumbprint"`
}

// CertificateShowResponse is one certificate in full.
type CertificateShowResponse struct {
	CertificateRow
	// Detail says why the status is what it is; may be empty.
	Detail string `json:"detail,omitempty"`
	// PEM is the chain as it is presented, or the request.
	PEM string `json:"pem"`
}

// CertificateShow returns a certificate or a pending request.
func (s *Service) CertificateShow(_ context.Context, q CertificateShowRequest) (CertificateShowResponse, error) {
	store := s.certificates.Store()
	if p, err := store.FindPending(q.Thumbprint); err == nil {
		return CertificateShowResponse{CertificateRow: pendingRow(p), PEM: string(p.PEM())}, nil
	}
	c, err := store.Find(q.Thumbprint)
	if err != nil {
		return CertificateShowResponse{}, certificateError(err)
	}
	chain, err := c.ChainPEM()
	if err != nil {
		return CertificateShowResponse{}, err
	}
	r := CertificateShowResponse{CertificateRow: s.certificateRow(store, c), PEM: string(chain)}
	if st, known := s.certificates.Status(c); known {
		r.Detail = st.Detail
	}
	return r, nil
}

// usable reports whether a certificate may be presented: it is not known to be revoked.
func (s *Service) usable(c *certstore.Certificate) bool {
	st, _ := s.certificates.Status(c)
	return st.Status != domainsec.RevocationRevoked
}

func (s *Service) certificateRow(store *certstore.Store, c *certstore.Certificate) CertificateRow {
	facts := trust.DescribeCertificate(c.Leaf())
	row := CertificateRow{
		Thumbprint: facts.SHA1, SHA256: facts.SHA256, FriendlyName: c.FriendlyName, Subject: facts.Subject, Issuer: facts.Issuer,
		SerialNumber: fmt.Sprintf("%X", c.Leaf().SerialNumber), Names: c.Names(),
		NotBefore: facts.NotBefore, NotAfter: facts.NotAfter, SelfSigned: c.SelfSigned, Key: certstore.KeyText(c.Leaf().PublicKey),
		Exportable: c.Exportable, KeySealed: c.KeySealed, Services: []string{}, Status: s.certificateStatus(c), File: c.File,
	}
	for _, service := range c.Services {
		row.Services = append(row.Services, string(service))
	}
	if s.now().Before(c.EnabledFrom) {
		row.EnabledFrom = &c.EnabledFrom
	}
	row.Use = s.certificateUse(store, c)
	return row
}

func (s *Service) certificateStatus(c *certstore.Certificate) string {
	if !c.Current(s.now()) {
		return CertificateDateInvalid
	}
	if c.SelfSigned {
		return CertificateValid // nobody vouches for it, and nobody can revoke it
	}
	st, known := s.certificates.Status(c)
	switch {
	case !known:
		return certificateUnknown
	case st.Status == domainsec.RevocationRevoked:
		return certificateRevoked
	case slices.Contains(st.Reasons, domainsec.UntrustedRoot):
		return certificateUntrusted
	case len(st.Reasons) > 0:
		return certificateInvalid
	case st.Status == domainsec.RevocationUnknown:
		return certificateNoCRL
	}
	return CertificateValid
}

// certificateUse says whether c is presented under one of our names, or stands
// by to follow what is.
func (s *Service) certificateUse(store *certstore.Store, c *certstore.Certificate) string {
	use := ""
	for _, name := range s.directory.Current().CertificateNames() {
		found := store.Select(name, s.usable)
		if len(found) == 0 {
			continue
		}
		if found[0] == c {
			return "current"
		}
		if c.Follows(found[0], name, s.now()) {
			use = "next"
		}
	}
	return use
}

func pendingRow(p *certstore.Pending) CertificateRow {
	return CertificateRow{
		Thumbprint: p.Thumbprint(), FriendlyName: p.FriendlyName, Subject: p.Subject(), Names: p.Names(),
		Key: certstore.KeyText(p.Request.PublicKey), Exportable: p.Exportable, Services: []string{}, Status: CertificatePending,
	}
}

// certificateError gives a fault of certstore its kind. Other errors stay.
func certificateError(err error) error {
	var f *certstore.Fault
	if !errors.As(err, &f) {
		return err
	}
	kinds := map[certstore.FaultKind]Kind{
		certstore.FaultInput: KindInvalid, certstore.FaultMissing: KindNotFound, certstore.FaultState: KindConflict,
	}
	return &Error{Kind: kinds[f.Kind], Object: f.Field, Detail: f.Text(), Fix: f.Mend}
}

// certificateServices reads the names of services; IIS is the described
// system's word for Web.
func certificateServices(words []string) ([]directory.Service, error) {
	var out []directory.Service
	for _, w := range words {
		switch service := strings.ToUpper(strings.TrimSpace(w)); service {
		case "SMTP", "IMAP", "POP":
			out = append(out, directory.Service(service))
		case "WEB", "IIS":
			out = append(out, directory.ServiceWeb)
		default:
			return nil, &Error{Kind: KindInvalid, Object: "services", Detail: fmt.Sprintf("%q is no service", w), Fix: "write SMTP, IMAP, POP or Web"}
		}
	}
	return out, nil
}

// PartnerCertificate is a good certificate that a partner has shown.
type PartnerCertificate struct {
	Domain     string    `json:"domain"`
	Thumbprint string    `json:"thumbprint"` // SHA-1, upper-case hex
	SHA256     string    `json:"sha256"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	NotAfter   time.Time `json:"notAfter"`
	Inbound    bool      `json:"inbound"`  // its clients have shown it
	Outbound   bool      `json:"outbound"` // its servers have shown it
	LastSeen   time.Time `json:"lastSeen"` // to about an hour
}

// CertificatePartnersResponse lists partners' certificates.
type CertificatePartnersResponse struct {
	Certificates []PartnerCertificate `json:"certificates"`
}

// CertificatePartners returns the good certificates that partners have shown
// lately, by domain, the latest first.
func (s *Service) CertificatePartners(_ context.Context, _ Empty) (CertificatePartnersResponse, error) {
	if s.partnerCertificates == nil {
		return CertificatePartnersResponse{}, &Error{Kind: KindUnavailable, Detail: "only a running server knows what partners show", Fix: "start it with mailpact serve"}
	}
	return CertificatePartnersResponse{Certificates: s.partnerCertificates()}, nil
}
