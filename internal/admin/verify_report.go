package admin

import (
	"fmt"
	"time"

	"mailpact/internal/domainsec"
)

// statusValid is the status word of what is valid; others are reasons.
const statusValid = "Valid"

func statusOf(reasons []domainsec.Reason) string {
	if len(reasons) == 0 {
		return statusValid
	}
	return reasons[0].String()
}

// blank is the part of a response that does not depend on the verdict.
func (v *verification) blank() CertificateVerifyResponse {
	r := CertificateVerifyResponse{
		File: v.request.Certificate.Name, Time: v.now.UTC(), Purpose: v.request.Purpose, Revocation: v.mode,
		Anchors: v.anchorSource(), Paths: []VerifiedPath{}, Unusable: v.unusable, Reasons: []domainsec.Reason{},
	}
	if r.Unusable == nil {
		r.Unusable = []string{}
	}
	if r.Purpose == "" {
		r.Purpose = PurposeMail
	}
	switch v.names {
	case domainsec.NamesByDomain:
		r.Domain = string(v.domain)
	case domainsec.NamesByHost:
		r.Host = string(v.domain)
	}
	return r
}

func (v *verification) anchorSource() string {
	switch {
	case len(v.request.Roots) > 0:
		return fmt.Sprintf("%d from %d file(s)", len(v.roots), len(v.request.Roots))
	case v.environment.Configuration == nil:
		return "the system's roots"
	case v.environment.Configuration.Trust.SystemRoots:
		return "the configuration and the system's roots"
	default:
		return "the configuration"
	}
}

// unparsed answers for a leaf that cannot be parsed.
func (v *verification) unparsed(started time.Time) CertificateVerifyResponse {
	r := v.blank()
	r.Reasons = []domainsec.Reason{domainsec.InvalidChain}
	r.Status, r.Detail = statusOf(r.Reasons), v.leafFault
	r.Milliseconds = time.Since(started).Milliseconds()
	return r
}

// report makes the response: the verdict is domainsec's.
func (v *verification) report(facts *domainsec.PeerFacts) CertificateVerifyResponse {
	verdict := domainsec.VerdictForCertificate(facts, v.partner)
	r := v.blank()
	r.Valid = verdict.Action == domainsec.ActionSecure
	r.Reasons = append(r.Reasons, verdict.Reasons...)
	r.Status, r.Detail, r.Temporary = statusOf(r.Reasons), verdict.Detail, verdict.Temporary
	r.MatchedName = facts.MatchedName
	leaf := verifiedCertificate(facts.Certificate, "leaf")
	r.Certificate = &leaf
	for _, f := range facts.Fetched {
		r.Fetched = append(r.Fetched, VerifiedFetch{Address: f.Address, Certificates: f.Certificates, Error: f.Error, Milliseconds: f.Took.Milliseconds()})
	}
	for i := range facts.Paths {
		r.Paths = append(r.Paths, v.verifiedPath(facts, &facts.Paths[i]))
	}
	return r
}

func (v *verification) verifiedPath(facts *domainsec.PeerFacts, p *domainsec.PathFacts) VerifiedPath {
	reasons := append([]domainsec.Reason{}, domainsec.PathReasons(facts, p, v.partner)...)
	out := VerifiedPath{
		Valid: len(reasons) == 0, Status: statusOf(reasons), Reasons: reasons, Detail: p.Detail,
		Anchored: p.Anchor != "", Usage: p.Usage, Revocation: p.Revocation.String(), ValidUntil: p.ValidUntil,
	}
	if p.Revocation == domainsec.RevocationUnknown && p.RevocationDetail == "" {
		out.Revocation = "notAsked" // something else was wrong already
	}
	if out.Detail == "" {
		out.Detail = p.RevocationDetail
	}
	for i, e := range p.Elements {
		role := "intermediate"
		switch {
		case i == len(p.Elements)-1 && out.Anchored:
			role = "anchor"
		case i == 0:
			role = "leaf"
		}
		c := verifiedCertificate(e, role)
		for j := range p.Checks {
			if p.Checks[j].SHA256 == e.SHA256 {
				c.Revocation = verifiedRevocation(&p.Checks[j])
			}
		}
		out.Certificates = append(out.Certificates, c)
	}
	return out
}

func verifiedCertificate(c domainsec.CertificateFacts, role string) VerifiedCertificate {
	return VerifiedCertificate{
		Role: role, Subject: c.Subject, Issuer: c.Issuer, SerialNumber: c.SerialNumber, SHA1: c.SHA1, SHA256: c.SHA256,
		Names: c.Names, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Key: c.Key, Signature: c.Signature, Usages: c.Usages, CA: c.CA,
	}
}

func verifiedRevocation(c *domainsec.RevocationCheck) *VerifiedRevocation {
	r := &VerifiedRevocation{
		Status: c.Status.String(), Detail: c.Detail, ThisUpdate: c.ThisUpdate, ValidUntil: c.ValidUntil, Milliseconds: c.Took.Milliseconds(),
	}
	for _, s := range c.Sources {
		r.Sources = append(r.Sources, VerifiedSource{
			Kind: s.Kind, Address: s.Address, Issuer: s.Issuer, Number: s.Number, Used: s.Used, Error: s.Error,
			ThisUpdate: s.ThisUpdate, NextUpdate: s.NextUpdate,
		})
	}
	return r
}
