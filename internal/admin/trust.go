package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/trust"
)

// The kinds of TrustRow.
const (
	TrustAnchor       = "anchor"       // vouches for what it signed
	TrustCertificate  = "certificate"  // a partner's own, trusted by itself
	TrustIntermediate = "intermediate" // a CA below an anchor, a cross-certificate for instance
)

// TrustRow is a certificate of the trust settings.
type TrustRow struct {
	Kind       string    `json:"kind"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Thumbprint string    `json:"thumbprint"` // SHA-1, upper-case hex
	SHA256     string    `json:"sha256"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Key        string    `json:"key"`
	Status     string    `json:"status"` // Valid | DateInvalid
	File       string    `json:"file"`
	// Scope is the domains it may vouch for, or the word any.
	Scope      []string `json:"scope"`
	Revocation string   `json:"revocation,omitempty"` // required | none, of an anchor
	// Partners are those it can vouch for; TiedTo those that name this very anchor.
	Partners []string `json:"partners"`
	TiedTo   []string `json:"tiedTo"`
}

// TrustListResponse lists whom we trust.
type TrustListResponse struct {
	// SystemRoots: the system's roots count besides.
	SystemRoots bool       `json:"systemRoots"`
	Trusted     []TrustRow `json:"trusted"`
	// Unreadable are files of the settings that cannot be used.
	Unreadable []string `json:"unreadable"`
}

// TrustList returns the anchors and intermediates of the server's settings.
func (s *Service) TrustList(_ context.Context, _ Empty) (TrustListResponse, error) {
	return ListTrust(s.directory.Current(), s.now()), nil
}

// ListTrust returns the anchors and intermediates of a configuration, as its
// files are at the moment.
func ListTrust(cfg *directory.Configuration, now time.Time) TrustListResponse {
	r := TrustListResponse{SystemRoots: cfg.Trust.SystemRoots, Trusted: []TrustRow{}, Unreadable: []string{}}
	held, err := trust.Inventory(cfg.Trust)
	if err != nil {
		r.Unreadable = strings.Split(err.Error(), "\n")
	}
	for i := range held {
		r.Trusted = append(r.Trusted, trustRow(&held[i], cfg.Partners, now))
	}
	return r
}

func trustRow(h *trust.Held, partners []directory.Partner, now time.Time) TrustRow {
	c := h.Certificate
	row := TrustRow{
		Kind: TrustIntermediate, Subject: c.Subject, Issuer: c.Issuer, Thumbprint: c.SHA1, SHA256: c.SHA256,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Key: c.Key, Status: CertificateValid, File: h.File,
		Scope: []string{}, Revocation: string(h.Revocation), Partners: []string{}, TiedTo: []string{},
	}
	switch {
	case h.Anchor && h.Issuer:
		row.Kind = TrustAnchor
	case h.Anchor:
		row.Kind = TrustCertificate
	}
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		row.Status = CertificateDateInvalid
	}
	if h.Scope.Any {
		row.Scope = append(row.Scope, "any")
	}
	for _, d := range h.Scope.Domains {
		row.Scope = append(row.Scope, string(d))
	}
	for i := range partners {
		p := &partners[i]
		tied := slices.ContainsFunc(p.Anchors, func(pin string) bool { return strings.EqualFold(pin, c.SHA256) })
		if h.Scope.Covers(p.Domain) && (len(p.Anchors) == 0 || tied || !h.Anchor) {
			row.Partners = append(row.Partners, string(p.Domain))
		}
		if tied {
			row.TiedTo = append(row.TiedTo, string(p.Domain))
		}
	}
	return row
}

// TrustCheckResponse is what is unwise or broken about the trust settings.
type TrustCheckResponse struct {
	// Valid: there is no finding of level error.
	Valid    bool      `json:"valid"`
	Checked  int       `json:"checked"` // certificates
	Findings []Finding `json:"findings"`
}

// TrustCheck looks at the server's settings.
func (s *Service) TrustCheck(_ context.Context, _ Empty) (TrustCheckResponse, error) {
	return CheckTrust(s.directory.Current(), s.now()), nil
}

// trustWarning is how long before its end an anchor or intermediate is spoken of.
const trustWarning = 30 * 24 * time.Hour

// CheckTrust looks at the files of a configuration's trust settings: whether
// they can be used, what has expired or soon will, which partner nobody can
// vouch for, and which certificate serves nobody.
func CheckTrust(cfg *directory.Configuration, now time.Time) TrustCheckResponse {
	list := ListTrust(cfg, now)
	r := TrustCheckResponse{Checked: len(list.Trusted), Findings: []Finding{}}
	for _, fault := range list.Unreadable {
		r.Findings = append(r.Findings, Finding{
			Level: directory.LevelError, Object: "trust", Text: fault, Fix: "Correct the file, or take it out of trust",
		})
	}
	for i := range list.Trusted {
		if f := trustFinding(&list.Trusted[i], now); f.Text != "" {
			r.Findings = append(r.Findings, f)
		}
	}
	if len(list.Unreadable) == 0 {
		if v, err := trust.New(trust.Options{Config: cfg.Trust}); err != nil {
			r.Findings = append(r.Findings, Finding{Level: directory.LevelError, Object: "trust", Text: err.Error()})
		} else {
			r.Findings = append(r.Findings, v.Findings(cfg.Partners)...)
		}
	}
	r.Valid = !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == directory.LevelError })
	return r
}

func trustFinding(row *TrustRow, now time.Time) Finding {
	f := Finding{Level: directory.LevelWarning, Object: fmt.Sprintf("trust[%s]", row.File)}
	left := row.NotAfter.Sub(now)
	switch {
	case now.After(row.NotAfter):
		f.Text = fmt.Sprintf("%s %s expired on %s", row.Kind, row.Subject, row.NotAfter.UTC().Format(time.DateOnly))
		if len(row.Partners) > 0 {
			f.Level = directory.LevelError
			f.Text += ", so it no longer vouches for " + strings.Join(row.Partners, ", ")
		}
		f.Fix = "Put the new certificate in its place, or take it out of trust"
	case now.Before(row.NotBefore):
		f.Text = fmt.Sprintf("%s %s is not valid before %s", row.Kind, row.Subject, row.NotBefore.UTC().Format(time.DateOnly))
	case left < trustWarning:
		f.Text = fmt.Sprintf("%s %s expires in %d days, on %s", row.Kind, row.Subject, int(left.Hours()/24), row.NotAfter.UTC().Format(time.DateOnly))
		f.Fix = "Ask its owner for the next one, and add it beside this one"
	case len(row.Partners) == 0 && !slices.Contains(row.Scope, "any"):
		f.Text = fmt.Sprintf("%s %s vouches for nobody: no partner is in its scope, or all of them are tied to other anchors", row.Kind, row.Subject)
		f.Fix = "Add the partner, correct the scope, or take it out of trust"
	}
	return f
}
