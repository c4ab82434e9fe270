package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"mailpact/internal/authority"
	"mailpact/internal/trust"
)

// authorityOperations are the operations on our own authority. They work on its
// files, with a server or without.
func authorityOperations() []Operation {
	viewer := func(name, summary string) Operation {
		return Operation{Name: name, Summary: summary, Role: RoleViewer, Offline: true}
	}
	change := func(name, summary string) Operation {
		return Operation{Name: name, Summary: summary, Role: RoleAdministrator, Changes: true, Offline: true}
	}
	return []Operation{
		define(change("authority.certify", "Certify a partner's authority for the partner's domains."), (*Service).AuthorityCertify),
		define(change("authority.complete", "Take the answer to our authority's request."), (*Service).AuthorityComplete),
		define(change("authority.init", "Make our own authority: a root, or a request for the root of others."), (*Service).AuthorityInit),
		define(change("authority.issue", "Sign a certificate for a request."), (*Service).AuthorityIssue),
		define(viewer("authority.issued", "Show one certificate that our authority has issued."), (*Service).AuthorityIssued),
		define(viewer("authority.list", "List what our authority has issued."), (*Service).AuthorityList),
		define(change("authority.publish", "Write CRL and certificate of our authority for a web server, now and later."), (*Service).AuthorityPublish),
		define(change("authority.revoke", "Revoke a certificate of our authority, with a new CRL at once."), (*Service).AuthorityRevoke),
		define(viewer("authority.show", "Show our authority and its CRL."), (*Service).AuthorityShow),
	}
}

// AuthorityInitRequest says what our authority is to be.
type AuthorityInitRequest struct {
	CommonName   string `json:"commonName"`
	Organization string `json:"organization,omitempty"`
	// CRLURL and IssuerURL are where CRL and certificate will be published; they
	// stand in everything that is issued.
	CRLURL    string `json:"crlURL,omitempty"`
	IssuerURL string `json:"issuerURL,omitempty"`
	Days      int    `json:"days,omitempty"`     // of the root's certificate; 0: ten years
	CRLHours  int    `json:"crlHours,omitempty"` // from one CRL to its nextUpdate; 0: seven days
	// Request makes a request for the root of others instead of a root.
	Request bool `json:"request,omitempty"`
}

// AuthorityShowResponse is our authority as it is now.
type AuthorityShowResponse struct {
	// Status is Valid, DateInvalid, or PendingRequest while the answer is missing.
	Status      string    `json:"status"`
	Subject     string    `json:"subject,omitempty"`
	Issuer      string    `json:"issuer,omitempty"`
	SHA256      string    `json:"sha256,omitempty"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	CRLURL      string    `json:"crlURL,omitempty"`
	IssuerURL   string    `json:"issuerURL,omitempty"`
	PublishTo   string    `json:"publishTo,omitempty"`
	Issued      int       `json:"issued"`
	Revoked     int       `json:"revoked"`
	CRLNumber   string    `json:"crlNumber,omitempty"`
	ThisUpdate  time.Time `json:"thisUpdate,omitzero"`
	NextUpdate  time.Time `json:"nextUpdate,omitzero"`
	Certificate string    `json:"certificate,omitempty"` // PEM
	Request     string    `json:"request,omitempty"`     // PEM, of AuthorityInitRequest.Request
}

// AuthorityInit makes our authority.
func (s *Service) AuthorityInit(ctx context.Context, q AuthorityInitRequest) (AuthorityShowResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityShowResponse{}, err
	}
	const maxDays, maxHours = 40 * 365, 366 * 24
	switch {
	case q.CommonName == "":
		return AuthorityShowResponse{}, &Error{Kind: KindInvalid, Object: "commonName", Detail: "is not set"}
	case q.Days < 0 || q.Days > maxDays:
		return AuthorityShowResponse{}, &Error{Kind: KindInvalid, Object: "days", Detail: fmt.Sprintf("must be from 1 to %d", maxDays)}
	case q.CRLHours < 0 || q.CRLHours > maxHours:
		return AuthorityShowResponse{}, &Error{Kind: KindInvalid, Object: "crlHours", Detail: fmt.Sprintf("must be from 1 to %d", maxHours)}
	case q.Request && q.Days != 0:
		return AuthorityShowResponse{}, &Error{Kind: KindInvalid, Object: "days", Detail: "is for a root; an authority below another lasts as long as that one says"}
	}
	crlValidity := time.Duration(q.CRLHours) * time.Hour
	request := ""
	if q.Request {
		pem, err := r.InitRequest(authority.IntermediateOptions{
			CommonName: q.CommonName, Organization: q.Organization, CRLURL: q.CRLURL, IssuerURL: q.IssuerURL, CRLValidity: crlValidity,
		})
		if err != nil {
			return AuthorityShowResponse{}, authorityError(err)
		}
		request = string(pem)
	} else if _, err := r.Init(authority.RootOptions{
		CommonName: q.CommonName, Organization: q.Organization, CRLURL: q.CRLURL, IssuerURL: q.IssuerURL,
		Validity: time.Duration(q.Days) * 24 * time.Hour, CRLValidity: crlValidity,
	}); err != nil {
		return AuthorityShowResponse{}, authorityError(err)
	}
	shown, err := s.AuthorityShow(ctx, Empty{})
	shown.Request = request
	return shown, err
}

// AuthorityCompleteRequest is the answer to our authority's request.
type AuthorityCompleteRequest struct {
	Answer string `json:"answer"` // certificates in PEM
}

// AuthorityComplete takes the answer to our authority's request.
func (s *Service) AuthorityComplete(ctx context.Context, q AuthorityCompleteRequest) (AuthorityShowResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityShowResponse{}, err
	}
	if _, err := r.Complete([]byte(q.Answer)); err != nil {
		return AuthorityShowResponse{}, authorityError(err)
	}
	return s.AuthorityShow(ctx, Empty{})
}

// AuthorityRecord is one certificate that our authority has issued.
type AuthorityRecord = authority.Record

// AuthorityIssuedResponse is a certificate that our authority has just signed.
type AuthorityIssuedResponse struct {
	AuthorityRecord
	Chain string `json:"chain"` // PEM: the certificate, then those above it, without the root
}

// AuthorityIssueRequest is a request for a certificate.
type AuthorityIssueRequest struct {
	Request string   `json:"request"`         // PKCS #10 in PEM
	Names   []string `json:"names,omitempty"` // instead of its DNS names
	Days    int      `json:"days,omitempty"`  // 0: 90, for an authority five years
	// Authority certifies an authority below ours, for end entities only.
	Authority bool `json:"authority,omitempty"`
}

// AuthorityIssue signs a certificate.
func (s *Service) AuthorityIssue(_ context.Context, q AuthorityIssueRequest) (AuthorityIssuedResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityIssuedResponse{}, err
	}
	validity, err := days(q.Days)
	if err != nil {
		return AuthorityIssuedResponse{}, err
	}
	request, err := authority.ParseRequest([]byte(q.Request))
	if err != nil {
		return AuthorityIssuedResponse{}, &Error{Kind: KindInvalid, Object: "request", Detail: err.Error()}
	}
	chain, record, err := r.IssueRequest(request, authority.RequestOptions{Names: q.Names, Validity: validity, Authority: q.Authority})
	if err != nil {
		return AuthorityIssuedResponse{}, authorityError(err)
	}
	return AuthorityIssuedResponse{AuthorityRecord: record, Chain: string(chain)}, nil
}

// AuthorityCertifyRequest names the authority of a partner.
type AuthorityCertifyRequest struct {
	Certificate string   `json:"certificate"` // PEM, one
	Domains     []string `json:"domains"`
	PathLength  int      `json:"pathLength,omitempty"` // authorities below it; 0: none
	Days        int      `json:"days,omitempty"`       // 0: 365
}

// AuthorityCertify certifies a partner's authority for the partner's domains.
func (s *Service) AuthorityCertify(_ context.Context, q AuthorityCertifyRequest) (AuthorityIssuedResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityIssuedResponse{}, err
	}
	validity, err := days(q.Days)
	if err != nil {
		return AuthorityIssuedResponse{}, err
	}
	certificates, err := trust.ParseCertificates([]byte(q.Certificate))
	if err != nil || len(certificates) != 1 {
		return AuthorityIssuedResponse{}, &Error{Kind: KindInvalid, Object: "certificate", Detail: fmt.Sprintf("must be one certificate in PEM, not %d (%v)", len(certificates), err)}
	}
	cross, record, err := r.CrossSign(authority.CrossOptions{
		Certificate: certificates[0], Domains: q.Domains, PathLength: q.PathLength, Validity: validity,
	})
	if err != nil {
		return AuthorityIssuedResponse{}, authorityError(err)
	}
	return AuthorityIssuedResponse{AuthorityRecord: record, Chain: string(authority.EncodeCertificates(cross))}, nil
}

// AuthorityRevokeRequest names a certificate by its serial number, or by as much
// of its beginning as only one has.
type AuthorityRevokeRequest struct {
	Serial string `json:"serial"`           // hex
	Reason string `json:"reason,omitempty"` // a name of RFC 5280, section 5.3.1; empty: unspecified
}

// AuthorityRevoke revokes a certificate; a new CRL says so at once.
func (s *Service) AuthorityRevoke(_ context.Context, q AuthorityRevokeRequest) (AuthorityRecord, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityRecord{}, err
	}
	reason, err := authority.ParseReason(q.Reason)
	if err != nil {
		return AuthorityRecord{}, &Error{Kind: KindInvalid, Object: "reason", Detail: err.Error()}
	}
	record, err := r.Revoke(q.Serial, reason)
	return record, authorityError(err)
}

// AuthorityPublishRequest names the directory to publish into.
type AuthorityPublishRequest struct {
	Directory string `json:"directory,omitempty"` // absolute; empty: that of last time
}

// AuthorityPublishResponse says what was published.
type AuthorityPublishResponse struct {
	Files []string `json:"files"`
}

// AuthorityPublish writes a new CRL, and the authority's certificate, into a
// directory from which a web server serves them. Later CRLs follow by themselves.
func (s *Service) AuthorityPublish(_ context.Context, q AuthorityPublishRequest) (AuthorityPublishResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityPublishResponse{}, err
	}
	files, err := r.Publish(q.Directory)
	return AuthorityPublishResponse{Files: files}, authorityError(err)
}

// AuthorityListResponse lists what our authority has issued.
type AuthorityListResponse struct {
	Certificates []AuthorityRecord `json:"certificates"`
}

// AuthorityList returns what our authority has issued, oldest first.
func (s *Service) AuthorityList(context.Context, Empty) (AuthorityListResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityListResponse{}, err
	}
	records, err := r.List()
	return AuthorityListResponse{Certificates: records}, authorityError(err)
}

// AuthorityShow returns our authority as it is now.
func (s *Service) AuthorityShow(context.Context, Empty) (AuthorityShowResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityShowResponse{}, err
	}
	info, err := r.Info()
	if err != nil {
		return AuthorityShowResponse{}, authorityError(err)
	}
	shown := AuthorityShowResponse{
		Status: "PendingRequest", CRLURL: info.CRLURL, IssuerURL: info.IssuerURL, PublishTo: info.PublishTo,
		Issued: info.Issued, Revoked: info.Revoked, CRLNumber: info.CRLNumber, ThisUpdate: info.ThisUpdate, NextUpdate: info.NextUpdate,
	}
	if c := info.Certificate; c != nil {
		facts := trust.DescribeCertificate(c)
		shown.Status = dateStatus(c, s.now())
		shown.Subject, shown.Issuer, shown.SHA256, shown.NotAfter = facts.Subject, facts.Issuer, facts.SHA256, facts.NotAfter
		shown.Certificate = string(authority.EncodeCertificates(c))
	}
	return shown, nil
}

func dateStatus(c *x509.Certificate, now time.Time) string {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return "DateInvalid"
	}
	return "Valid"
}

// AuthorityIssuedRequest names a certificate as AuthorityRevokeRequest does.
type AuthorityIssuedRequest struct {
	Serial string `json:"serial"`
}

// AuthorityIssued returns one certificate that our authority has issued.
func (s *Service) AuthorityIssued(_ context.Context, q AuthorityIssuedRequest) (AuthorityIssuedResponse, error) {
	r, err := s.registry()
	if err != nil {
		return AuthorityIssuedResponse{}, err
	}
	record, c, err := r.Find(q.Serial)
	if err != nil {
		return AuthorityIssuedResponse{}, authorityError(err)
	}
	return AuthorityIssuedResponse{AuthorityRecord: record, Chain: string(authority.EncodeCertificates(c))}, nil
}

// NewServerRequest makes a key and a request for a server with these DNS names.
// It runs where the key is to stay: the key goes through no operation.
func NewServerRequest(names []string) (requestPEM, keyPEM []byte, err error) {
	if len(names) == 0 {
		return nil, nil, &Error{Kind: KindInvalid, Object: "names", Detail: "a name is needed"}
	}
	return authority.NewRequest("", "", names)
}

// AuthorityAlone returns a Service for the operations on the authority in a
// directory, without a server and its configuration.
func AuthorityAlone(dir string) *Service {
	return New(Options{Authority: authority.NewRegistry(dir, nil), Offline: true})
}

func (s *Service) registry() (*authority.Registry, error) {
	if s.authority == nil {
		return nil, &Error{Kind: KindUnavailable, Object: "authority", Detail: "has no directory here"}
	}
	return s.authority, nil
}

// days turns a number of days into a time; 0 is the default of who uses it.
func days(n int) (time.Duration, error) {
	const most = 40 * 365
	if n < 0 || n > most {
		return 0, &Error{Kind: KindInvalid, Object: "days", Detail: fmt.Sprintf("must be from 1 to %d", most)}
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// authorityError gives the authority's errors their kinds.
func authorityError(err error) error {
	var lint *authority.LintError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, authority.ErrNoAuthority):
		return &Error{Kind: KindNotFound, Object: "authority", Detail: err.Error(), Fix: "mailpact ca init --name NAME, and after --request the answer: mailpact ca import FILE"}
	case errors.Is(err, authority.ErrIsThere):
		return &Error{Kind: KindConflict, Object: "authority", Detail: err.Error(), Fix: "mailpact ca show; another authority needs another --dir"}
	case errors.Is(err, authority.ErrNotIssued):
		return &Error{Kind: KindNotFound, Object: "serial", Detail: err.Error(), Fix: "mailpact ca list"}
	case errors.As(err, &lint):
		return &Error{Kind: KindInvalid, Object: "certificate", Detail: err.Error()}
	default:
		return &Error{Kind: KindInvalid, Object: "authority", Detail: err.Error()}
	}
}
