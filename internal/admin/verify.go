package admin

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// The purposes that a certificate can be verified for.
const (
	PurposeMail   = "mail"   // a mail server as a client: serverAuth or clientAuth in every element
	PurposeServer = "server" // serverAuth in every element
	PurposeClient = "client" // clientAuth in every element
)

// The ways to learn about revocation.
const (
	RevocationFetch = "fetch" // from the distribution points of the certificates
	RevocationFiles = "files" // from the CRLs of the request alone
	RevocationNone  = "none"  // not at all
)

// File is an input by name and content; the name serves messages only.
type File struct {
	Name    string `json:"name"`
	Content []byte `json:"content"` // PEM or DER
}

// CertificateVerifyRequest asks whether a certificate would be accepted.
type CertificateVerifyRequest struct {
	Certificate   File   `json:"certificate"` // leaf first, then what a peer would present with it
	Intermediates []File `json:"intermediates,omitempty"`
	// Roots replace all other anchors. Each certificate in them counts as an anchor.
	Roots []File `json:"roots,omitempty"`
	CRLs  []File `json:"crls,omitempty"`
	// Revocation is a way to learn about it; "" is files if there are CRLs, else fetch.
	Revocation string `json:"revocation,omitempty"`
	// Time is the moment to judge for; zero is now.
	Time time.Time `json:"time,omitzero"`
	// Domain asks for the Domain Security rule, Host for a host name or IP
	// address; without either no name is looked at.
	Domain  string `json:"domain,omitempty"`
	Host    string `json:"host,omitempty"`
	Purpose string `json:"purpose,omitempty"` // "" is mail
	// Policies are the acceptable policies as dotted OIDs; none: any (RFC 5280, section 6.1.1).
	Policies             []string `json:"policies,omitempty"`
	ExplicitPolicy       bool     `json:"explicitPolicy,omitempty"`
	InhibitPolicyMapping bool     `json:"inhibitPolicyMapping,omitempty"`
	InhibitAnyPolicy     bool     `json:"inhibitAnyPolicy,omitempty"`
}

// CertificateVerifyResponse is the verdict and what it rests on.
type CertificateVerifyResponse struct {
	Valid bool `json:"valid"`
	// Status is "Valid" or the most severe of Reasons.
	Status  string             `json:"status"`
	Reasons []domainsec.Reason `json:"reasons"`
	Detail  string             `json:"detail,omitempty"`
	// Temporary: what stands in the way may pass by itself.
	Temporary   bool      `json:"temporary"`
	File        string    `json:"file"`
	Time        time.Time `json:"time"`
	Purpose     string    `json:"purpose"`
	Domain      string    `json:"domain,omitempty"`
	Host        string    `json:"host,omitempty"`
	MatchedName string    `json:"matchedName,omitempty"`
	Anchors     string    `json:"anchors"` // where they come from, for eyes
	Revocation  string    `json:"revocation"`
	// Certificate is the leaf; nil when it cannot be parsed.
	Certificate *VerifiedCertificate `json:"certificate,omitempty"`
	Paths       []VerifiedPath       `json:"paths"`
	// Fetched are the addresses that were asked for missing issuers.
	Fetched []VerifiedFetch `json:"fetched,omitempty"`
	// Unusable are certificates and CRLs of the input that cannot be parsed.
	Unusable     []string `json:"unusable"`
	Milliseconds int64    `json:"milliseconds"` // the whole verification took
}

// VerifiedFetch is an address that was asked for an issuer's certificate.
type VerifiedFetch struct {
	Address      string `json:"address"`
	Certificates int    `json:"certificates"` // how many it gave
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"milliseconds"`
}

// VerifiedPath is one path that was tried.
type VerifiedPath struct {
	Valid   bool               `json:"valid"`
	Status  string             `json:"status"` // as in the response
	Reasons []domainsec.Reason `json:"reasons"`
	Detail  string             `json:"detail,omitempty"`
	// Anchored: the last certificate is a trust anchor.
	Anchored bool   `json:"anchored"`
	Usage    string `json:"usage"` // the purposes that every element allows
	// Revocation is good, revoked, unknown, notRequired, or notAsked when the
	// path is not good otherwise.
	Revocation string    `json:"revocation"`
	ValidUntil time.Time `json:"validUntil,omitzero"`
	// Certificates are leaf first.
	Certificates []VerifiedCertificate `json:"certificates"`
}

// VerifiedCertificate is a certificate of a path.
type VerifiedCertificate struct {
	Role         string    `json:"role"` // leaf | intermediate | anchor
	Subject      string    `json:"subject"`
	Issuer       string    `json:"issuer"`
	SerialNumber string    `json:"serialNumber"`
	SHA1         string    `json:"sha1"`
	SHA256       string    `json:"sha256"`
	Names        []string  `json:"names,omitempty"`
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	Key          string    `json:"key"`
	Signature    string    `json:"signature"`
	Usages       []string  `json:"usages,omitempty"`
	CA           bool      `json:"ca"`
	// Revocation is what was asked about it; nil when nothing was.
	Revocation *VerifiedRevocation `json:"revocation,omitempty"`
}

// VerifiedRevocation is what was found out about one certificate.
type VerifiedRevocation struct {
	Status       string           `json:"status"`
	Detail       string           `json:"detail,omitempty"`
	ThisUpdate   time.Time        `json:"thisUpdate,omitzero"`
	ValidUntil   time.Time        `json:"validUntil,omitzero"`
	Milliseconds int64            `json:"milliseconds"`
	Sources      []VerifiedSource `json:"sources,omitempty"`
}

// VerifiedSource is a list or responder that was consulted.
type VerifiedSource struct {
	Kind       string    `json:"kind"`
	Address    string    `json:"address"` // URL or file
	Issuer     string    `json:"issuer,omitempty"`
	Number     string    `json:"number,omitempty"`
	Used       bool      `json:"used"`
	Error      string    `json:"error,omitempty"`
	ThisUpdate time.Time `json:"thisUpdate,omitzero"`
	NextUpdate time.Time `json:"nextUpdate,omitzero"`
}

// VerifyEnvironment is what a verification takes from where it runs.
type VerifyEnvironment struct {
	// Configuration holds the trust settings, partners and bounds of fetching;
	// nil: the system's roots and the defaults.
	Configuration *directory.Configuration
	// SystemRoots replaces the system's roots; nil is the system's.
	SystemRoots *x509.CertPool
	// Revocation answers in mode fetch; nil: a checker with an empty cache is
	// made and taken away again.
	Revocation trust.Revocation
	// Issuers fetches missing intermediates along with Revocation; nil: none.
	Issuers trust.IssuerSource
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// CertificateVerify verifies under the server's settings, with its cache of CRLs.
func (s *Service) CertificateVerify(ctx context.Context, r CertificateVerifyRequest) (CertificateVerifyResponse, error) {
	e := VerifyEnvironment{Configuration: s.directory.Current(), Now: s.now}
	if r.Time.IsZero() {
		e.Revocation, e.Issuers = PathRevocation{Checker: s.crls}, s.crls.Issuers()
	}
	return VerifyCertificate(ctx, e, r)
}

// VerifyCertificate judges a certificate by the rules that sessions are judged
// by. An error of KindInvalid means that the request cannot be answered;
// whatever is wrong with the certificate itself is an answer.
func VerifyCertificate(ctx context.Context, e VerifyEnvironment, r CertificateVerifyRequest) (CertificateVerifyResponse, error) {
	started := time.Now()
	if e.Now == nil {
		e.Now = time.Now
	}
	v := verification{environment: e, request: r, now: r.Time}
	if v.now.IsZero() {
		v.now = e.Now()
	}
	if err := v.prepare(); err != nil {
		return CertificateVerifyResponse{}, err
	}
	if len(v.presented) == 0 {
		return v.unparsed(started), nil
	}
	revocation, done, err := v.revocationSource()
	if err != nil {
		return CertificateVerifyResponse{}, err
	}
	defer done()
	verifier, err := v.verifier(revocation)
	if err != nil {
		return CertificateVerifyResponse{}, err
	}
	facts := verifier.Judge(ctx, trust.Request{
		Presented: v.presented, Domain: v.domain, NameCheck: v.names, Direction: v.way, Partner: v.partner, Now: v.now,
	})
	response := v.report(facts)
	response.Milliseconds = time.Since(started).Milliseconds()
	return response, nil
}

// verification is one request in the making.
type verification struct {
	environment VerifyEnvironment
	request     CertificateVerifyRequest
	now         time.Time

	presented     []*x509.Certificate // empty: the leaf cannot be parsed
	roots         []*x509.Certificate
	intermediates []*x509.Certificate
	unusable      []string
	leafFault     string
	issuers       trust.IssuerSource // nil: none are fetched

	mode    string // of revocation
	domain  smtp.Domain
	names   domainsec.NameCheck
	way     domainsec.Direction
	partner *directory.Partner
	policy  trust.PolicyInputs
}

func (v *verification) clock() time.Time { return v.now }

func invalid(object, format string, args ...any) error {
	return &Error{Kind: KindInvalid, Object: object, Detail: fmt.Sprintf(format, args...)}
}

func (v *verification) prepare() error {
	for _, step := range []func() error{v.readCertificates, v.chooseRevocation, v.chooseNames, v.choosePurpose, v.choosePolicy} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) chooseRevocation() error {
	v.mode = v.request.Revocation
	lists := len(v.request.CRLs) > 0
	switch v.mode {
	case "":
		v.mode = RevocationFetch
		if lists {
			v.mode = RevocationFiles
		}
	case RevocationFiles:
	case RevocationFetch, RevocationNone:
		if lists {
			return invalid("revocation", "CRLs from files are used with files, not with %s", v.mode)
		}
	default:
		return invalid("revocation", "%q is none of fetch, files, none", v.mode)
	}
	return nil
}

func (v *verification) chooseNames() error {
	switch {
	case v.request.Domain != "" && v.request.Host != "":
		return invalid("host", "a certificate is verified for a domain or for a host, not for both")
	case v.request.Domain != "":
		d, err := smtp.ParseDomain(v.request.Domain)
		if err != nil {
			return invalid("domain", "%q: %v", v.request.Domain, err)
		}
		v.domain, v.names = d, domainsec.NamesByDomain
	case v.request.Host != "":
		v.names = domainsec.NamesByHost
		bare := strings.TrimSuffix(strings.TrimPrefix(v.request.Host, "["), "]")
		if ip := net.ParseIP(bare); ip != nil {
			v.domain = smtp.Domain(ip.String())
			return nil
		}
		v.domain = hostName(v.request.Host)
	default:
		v.names = domainsec.NamesUnchecked
	}
	return nil
}

// hostName is the host to look for, in lower case and A-labels. What cannot be
// converted stays as it is: no certificate's name stands for it.
func hostName(s string) smtp.Domain {
	d, err := smtp.ParseDomain(s)
	if err != nil {
		return smtp.Domain(s)
	}
	return d
}

// choosePurpose turns the purpose into what sessions ask: a direction and a
// partner's usage rule. A partner of the configuration keeps his rules, but his
// anchors if the request has its own.
func (v *verification) choosePurpose() error {
	v.partner = &directory.Partner{Domain: v.domain, NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer}
	if cfg := v.environment.Configuration; cfg != nil && v.names == domainsec.NamesByDomain {
		if p := cfg.Partner(v.domain); p != nil {
			listed := *p
			v.partner = &listed
		}
	}
	if len(v.request.Roots) > 0 {
		v.partner.Anchors = nil
	}
	switch v.request.Purpose {
	case "":
		v.way = domainsec.Inbound
	case PurposeMail:
		v.way, v.partner.Usage = domainsec.Inbound, directory.UsageMailServer
	case PurposeServer:
		v.way = domainsec.Outbound
	case PurposeClient:
		v.way, v.partner.Usage = domainsec.Inbound, directory.UsageStrict
	default:
		return invalid("purpose", "%q is none of mail, server, client", v.request.Purpose)
	}
	return nil
}

// choosePolicy reads the policy inputs.
func (v *verification) choosePolicy() error {
	r := v.request
	v.policy = trust.PolicyInputs{RequireExplicit: r.ExplicitPolicy, InhibitMapping: r.InhibitPolicyMapping, InhibitAny: r.InhibitAnyPolicy}
	for _, p := range r.Policies {
		oid, err := x509.ParseOID(p)
		if err != nil {
			return invalid("policies", "%q is no object identifier; write numbers with dots, such as 2.5.29.32.0", p)
		}
		v.policy.Policies = append(v.policy.Policies, oid)
	}
	return nil
}

// verifier makes the judge: with the anchors of the request alone, or else with
// those of the configuration or the system.
func (v *verification) verifier(revocation trust.Revocation) (*trust.Verifier, error) {
	o := trust.Options{
		Revocation: revocation, SystemRoots: v.environment.SystemRoots, Intermediates: v.intermediates, Issuers: v.issuers, Now: v.clock,
		Policy: v.policy,
	}
	o.Config.FetchIntermediates, o.Config.CommonName = true, true
	if cfg := v.environment.Configuration; cfg != nil {
		o.Config.FetchIntermediates, o.Config.CommonName = cfg.Trust.FetchIntermediates, cfg.Trust.CommonName
	}
	switch {
	case len(v.request.Roots) > 0:
		for _, c := range v.roots {
			o.Anchors = append(o.Anchors, trust.Anchor{Certificate: c, Issuer: true})
		}
	case v.environment.Configuration != nil:
		o.Config = v.environment.Configuration.Trust
	default:
		o.Config.SystemRoots = true
	}
	verifier, err := trust.New(o)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Object: "trust", Detail: err.Error(), Fix: "mailpact config check FILE"}
	}
	return verifier, nil
}
