package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// partnerOperations are the operations on partners. They work on the files of a
// server that does not run as well.
func partnerOperations() []Operation {
	viewer := func(name, summary string) Operation {
		return Operation{Name: name, Summary: summary, Role: RoleViewer, Offline: true}
	}
	change := func(name, summary string) Operation {
		return Operation{Name: name, Summary: summary, Role: RoleAdministrator, Changes: true, Offline: true}
	}
	return []Operation{
		define(change("partner.export", "Write the signed bundle with which partners set up trust in us."), (*Service).PartnerExport),
		define(change("partner.import", "Show what a partner's bundle would change, or apply it."), (*Service).PartnerImport),
		define(viewer("partner.list", "List the partners and where each is set up."), (*Service).PartnerList),
		define(change("partner.remove", "Remove a partner that was imported, with its anchors."), (*Service).PartnerRemove),
		define(viewer("partner.show", "Show one partner with its anchors."), (*Service).PartnerShow),
	}
}

// PartnerRow is one partner.
type PartnerRow struct {
	Domain   string   `json:"domain"`
	Mode     string   `json:"mode"`
	Send     bool     `json:"send"`
	Receive  bool     `json:"receive"`
	NameRule string   `json:"nameRule"`
	Names    []string `json:"names,omitempty"`
	Anchors  []string `json:"anchors"` // SHA-256 of the only anchors that count; empty: every one in scope
	// Source is "file" or "bundle", or "operation" for what another command set.
	Source       string `json:"source"`
	Organization string `json:"organization,omitempty"` // of the bundle
	Signer       string `json:"signer,omitempty"`       // SHA-256 of its key
	Sequence     uint64 `json:"sequence,omitempty"`     // of the bundle
}

// PartnerListResponse lists partners.
type PartnerListResponse struct {
	Partners []PartnerRow `json:"partners"`
}

// PartnerRequest names a partner by its domain.
type PartnerRequest struct {
	Domain string `json:"domain"`
	DryRun bool   `json:"dryRun,omitempty"` // only of partner.remove: change nothing
}

// PartnerAnchor is a certificate that may vouch for a partner.
type PartnerAnchor struct {
	Subject    string   `json:"subject"`
	SHA256     string   `json:"sha256"`
	NotAfter   string   `json:"notAfter"` // RFC 3339
	Scope      []string `json:"scope"`
	Revocation string   `json:"revocation"`
}

// PartnerShowResponse is one partner.
type PartnerShowResponse struct {
	PartnerRow
	TrustedBy []PartnerAnchor `json:"trustedBy"` // the private anchors in whose scope it is
}

// PartnerList returns the partners in the order of the configuration.
func (s *Service) PartnerList(context.Context, Empty) (PartnerListResponse, error) {
	cfg := s.directory.Current()
	overlay, err := directory.ReadOverlay(cfg.Server.DataDirectory)
	if err != nil {
		return PartnerListResponse{}, err
	}
	r := PartnerListResponse{Partners: []PartnerRow{}}
	for i := range cfg.Partners {
		r.Partners = append(r.Partners, partnerRow(&cfg.Partners[i], overlay))
	}
	return r, nil
}

func partnerRow(p *directory.Partner, o *directory.Overlay) PartnerRow {
	row := PartnerRow{
		Domain: string(p.Domain), Mode: string(p.Mode), Send: p.Send, Receive: p.Receive, NameRule: string(p.NameRule),
		Names: p.Names, Anchors: slices.Concat([]string{}, p.Anchors), Source: "file",
	}
	if partnerEntry(o, row.Domain) >= 0 {
		row.Source = "operation"
	}
	if i := bundleOf(o, row.Domain); i >= 0 {
		b := &o.Bundles[i]
		row.Source, row.Organization, row.Signer, row.Sequence = "bundle", b.Organization, b.Signer, b.Sequence
	}
	return row
}

// PartnerShow returns one partner.
func (s *Service) PartnerShow(ctx context.Context, q PartnerRequest) (PartnerShowResponse, error) {
	all, err := s.PartnerList(ctx, Empty{})
	if err != nil {
		return PartnerShowResponse{}, err
	}
	i := slices.IndexFunc(all.Partners, func(r PartnerRow) bool { return strings.EqualFold(r.Domain, q.Domain) })
	if i < 0 {
		return PartnerShowResponse{}, NotFound("partner "+q.Domain, "mailpact partner list")
	}
	r := PartnerShowResponse{PartnerRow: all.Partners[i], TrustedBy: []PartnerAnchor{}}
	for _, a := range s.directory.Current().Trust.Anchors {
		if !a.Scope.Covers(smtp.Domain(r.Domain)) {
			continue
		}
		certificates, err := trust.ReadCertificates(a.File)
		if err != nil {
			return PartnerShowResponse{}, fmt.Errorf("reading %s: %w", a.File, err)
		}
		for _, c := range certificates {
			facts := trust.DescribeCertificate(c)
			if len(r.Anchors) > 0 && !slices.ContainsFunc(r.Anchors, func(x string) bool { return strings.EqualFold(x, facts.SHA256) }) {
				continue
			}
			r.TrustedBy = append(r.TrustedBy, PartnerAnchor{
				Subject: facts.Subject, SHA256: facts.SHA256, NotAfter: facts.NotAfter.UTC().Format(timeForm), Scope: scopeNames(a.Scope), Revocation: string(a.Revocation),
			})
		}
	}
	return r, nil
}

// timeForm is how times are written inside texts.
const timeForm = "2006-01-02T15:04:05Z"

func scopeNames(s directory.Scope) []string {
	if s.Any {
		return []string{"any"}
	}
	out := make([]string, len(s.Domains))
	for i, d := range s.Domains {
		out[i] = string(d)
	}
	return out
}

// PartnerRemove takes a partner that an operation has set up out of the
// configuration, with the anchors that vouch for nobody else. Mail to and from
// the domain then goes as for any stranger.
func (s *Service) PartnerRemove(ctx context.Context, q PartnerRequest) (PartnerRow, error) {
	var removed PartnerRow
	_, _, err := s.changeOverlay(ctx, directory.OverlayChange{DryRun: q.DryRun, Edit: func(cfg *directory.Configuration, o *directory.Overlay) error {
		domain := strings.ToLower(q.Domain)
		i := partnerEntry(o, domain)
		if i < 0 {
			if cfg.Partner(smtp.Domain(domain)) != nil {
				return &Error{Kind: KindConflict, Object: "partner " + domain, Detail: "stands in the configuration file, which no command writes", Fix: "delete it there and reload"}
			}
			return NotFound("partner "+q.Domain, "mailpact partner list")
		}
		removed = PartnerRow{Domain: domain, Source: "operation"}
		if p := cfg.Partner(smtp.Domain(domain)); p != nil {
			removed = partnerRow(p, o)
		}
		o.Partners = slices.Delete(o.Partners, i, i+1)
		forgetDomain(o, domain)
		return nil
	}})
	return removed, err
}

// forgetDomain takes a domain out of the bundle that it came with and out of the
// scope of that bundle's anchors.
func forgetDomain(o *directory.Overlay, domain string) {
	i := bundleOf(o, domain)
	if i < 0 {
		return
	}
	b := &o.Bundles[i]
	b.Domains = slices.DeleteFunc(b.Domains, func(d string) bool { return d == domain })
	dropped := []string{}
	for _, list := range []*[]directory.Entry{&o.Trust.Anchors, &o.Trust.Intermediates} {
		*list = slices.DeleteFunc(*list, func(e directory.Entry) bool {
			if !slices.Contains(b.Anchors, text(e, "file")) {
				return false
			}
			scope := slices.DeleteFunc(texts(e, "scope"), func(d string) bool { return d == domain })
			e["scope"] = scope
			if len(scope) == 0 {
				dropped = append(dropped, text(e, "file"))
			}
			return len(scope) == 0
		})
	}
	b.Anchors = slices.DeleteFunc(b.Anchors, func(f string) bool { return slices.Contains(dropped, f) })
	if len(b.Domains) == 0 {
		o.Bundles = slices.Delete(o.Bundles, i, i+1)
	}
}

func partnerEntry(o *directory.Overlay, domain string) int {
	return slices.IndexFunc(o.Partners, func(e directory.Entry) bool { return text(e, "domain") == domain })
}

func bundleOf(o *directory.Overlay, domain string) int {
	return slices.IndexFunc(o.Bundles, func(b directory.BundleSource) bool { return slices.Contains(b.Domains, domain) })
}

// text and texts read an entry's value as it was written or as YAML has read it.
func text(e directory.Entry, key string) string {
	s, _ := e[key].(string)
	return s
}

func texts(e directory.Entry, key string) []string {
	switch v := e[key].(type) {
	case []string:
		return slices.Clone(v)
	case []any:
		out := make([]string, 0, len(v))
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	default:
		return nil
	}
}
