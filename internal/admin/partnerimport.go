package admin

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailpact/internal/authority"
	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
	"mailpact/internal/trust/bundle"
)

// PartnerImportRequest is a partner's bundle.
type PartnerImportRequest struct {
	Bundle []byte `json:"bundle"`
	// Fingerprint is the signer's, as the partner has told it over another
	// channel. It is needed the first time; later bundles must be of that signer.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Apply makes the changes; without it they are only shown.
	Apply bool `json:"apply,omitempty"`
	// Mode of partners that are new: enforce or test; empty: enforce. Those that
	// are there keep theirs.
	Mode string `json:"mode,omitempty"`
	// Revocation of the anchors: required or none; empty: required.
	Revocation string `json:"revocation,omitempty"`
}

// PartnerChange is one line of what an import changes.
type PartnerChange struct {
	Action string `json:"action"` // add, change, remove or keep
	Object string `json:"object"`
	Detail string `json:"detail,omitempty"`
}

// PartnerImportResponse says what an import has changed or would change.
type PartnerImportResponse struct {
	Applied      bool            `json:"applied"`
	Organization string          `json:"organization"`
	Contact      string          `json:"contact,omitempty"`
	Signer       string          `json:"signer"`
	Known        bool            `json:"known"` // whether a bundle of this signer was imported before
	Sequence     uint64          `json:"sequence"`
	Expires      time.Time       `json:"expires"`
	Domains      []string        `json:"domains"`
	Hosts        []string        `json:"hosts,omitempty"`
	CRLs         []string        `json:"crls,omitempty"`
	Certificates []string        `json:"certificates,omitempty"` // current, next
	Changes      []PartnerChange `json:"changes"`
	Version      uint64          `json:"version,omitempty"` // of the overlay, once applied
}

// PartnerImport checks a bundle and shows or makes the changes. The whole
// configuration is checked with them either way.
func (s *Service) PartnerImport(ctx context.Context, q PartnerImportRequest) (PartnerImportResponse, error) {
	if q.Mode == "" {
		q.Mode = string(directory.ModeEnforce)
	}
	if q.Revocation == "" {
		q.Revocation = string(directory.RevocationRequired)
	}
	b, err := bundle.Open(q.Bundle, s.now())
	if err != nil {
		return PartnerImportResponse{}, &Error{Kind: KindInvalid, Object: "bundle", Detail: err.Error()}
	}
	i := &bundleImport{PartnerImportRequest: q, bundle: b}
	_, version, err := s.changeOverlay(ctx, directory.OverlayChange{DryRun: !q.Apply, Edit: i.edit})
	if err != nil {
		return PartnerImportResponse{}, err
	}
	r := PartnerImportResponse{
		Applied: q.Apply, Organization: b.Organization, Contact: b.Contact, Signer: b.Signer, Known: i.known, Sequence: b.Sequence,
		Expires: b.Expires, Domains: b.Domains, Hosts: b.Hosts, CRLs: b.CRLs, Changes: i.changes,
	}
	for what, der := range map[string][]byte{"current": b.Current, "next": b.Next} {
		if len(der) > 0 {
			r.Certificates = append(r.Certificates, what+": "+describe(der))
		}
	}
	slices.Sort(r.Certificates)
	if q.Apply {
		r.Version = version
	}
	return r, nil
}

// bundleImport is one import while the overlay is changed.
type bundleImport struct {
	PartnerImportRequest
	bundle  *bundle.Bundle
	known   bool
	changes []PartnerChange
}

func (i *bundleImport) note(action, object, detail string) {
	i.changes = append(i.changes, PartnerChange{Action: action, Object: object, Detail: detail})
}

// edit is the change of the overlay.
func (i *bundleImport) edit(cfg *directory.Configuration, o *directory.Overlay) error {
	at := slices.IndexFunc(o.Bundles, func(b directory.BundleSource) bool { return b.Signer == i.bundle.Signer })
	i.known = at >= 0
	if err := i.checkDomains(cfg, o, at); err != nil {
		return err
	}
	if err := i.checkSigner(o, at); err != nil {
		return err
	}
	if !i.known {
		o.Bundles = append(o.Bundles, directory.BundleSource{Signer: i.bundle.Signer})
		at = len(o.Bundles) - 1
	}
	source := &o.Bundles[at]
	pins, err := i.anchors(o, source)
	if err != nil {
		return err
	}
	for _, d := range i.bundle.Domains {
		i.partner(o, d, pins)
	}
	source.Organization, source.Sequence, source.Domains = i.bundle.Organization, i.bundle.Sequence, slices.Clone(i.bundle.Domains)
	return nil
}

// checkSigner holds the signer against what is known of him, or against what the
// partner has told over another channel.
func (i *bundleImport) checkSigner(o *directory.Overlay, at int) error {
	if i.known {
		if before := o.Bundles[at]; i.bundle.Sequence < before.Sequence {
			return &Error{Kind: KindConflict, Object: "bundle", Detail: fmt.Sprintf("is older than the one that was imported last (sequence %d after %d)", i.bundle.Sequence, before.Sequence), Fix: "ask the partner for the newest"}
		}
	}
	given := strings.ToLower(strings.NewReplacer(":", "", " ", "", "-", "").Replace(i.Fingerprint))
	if given == i.bundle.Signer || given == "" && i.known {
		return nil
	}
	what := fmt.Sprintf("of %q for %s is signed by a key that was never seen here. Ask the partner over another channel (telephone, in person) for the fingerprint of %s and compare", i.bundle.Organization, strings.Join(i.bundle.Domains, ", "), Groups(i.bundle.Signer))
	if given != "" {
		what = fmt.Sprintf("of %q for %s is not signed by the key of that fingerprint, but by %s", i.bundle.Organization, strings.Join(i.bundle.Domains, ", "), Groups(i.bundle.Signer))
	}
	return &Error{Kind: KindNotPermitted, Object: "bundle", Detail: what, Fix: "mailpact partner import FILE --fingerprint FINGERPRINT"}
}

// Groups writes a fingerprint in groups of four digits, as it is read aloud.
func Groups(fingerprint string) string {
	var out []string
	for group := range slices.Chunk([]byte(fingerprint), 4) {
		out = append(out, string(group))
	}
	return strings.Join(out, " ")
}

// checkDomains refuses domains that are not this signer's to speak for.
func (i *bundleImport) checkDomains(cfg *directory.Configuration, o *directory.Overlay, at int) error {
	refuse := func(domain, why, fix string) error {
		return &Error{Kind: KindNotPermitted, Object: "bundle", Detail: fmt.Sprintf("names %s, %s", domain, why), Fix: fix}
	}
	for _, d := range i.bundle.Domains {
		for _, own := range cfg.AcceptedDomains {
			if d == string(own.Name) || strings.HasSuffix(d, "."+string(own.Name)) || strings.HasSuffix(string(own.Name), "."+d) {
				return refuse(d, "which is our own domain or touches it: "+string(own.Name), "ask the partner for a bundle of its own domains")
			}
		}
		if other := bundleOf(o, d); other >= 0 && other != at {
			return refuse(d, fmt.Sprintf("which was set up by a bundle of %q with another key, %s", o.Bundles[other].Organization, Groups(o.Bundles[other].Signer)),
				"if the partner has a new key, compare its fingerprint, and first: mailpact partner remove "+d)
		}
		if bundleOf(o, d) < 0 && cfg.Partner(smtp.Domain(d)) != nil {
			return refuse(d, "which is another partner already", "if it is meant, take that one away first: from the configuration file, or with mailpact partner remove "+d)
		}
	}
	if at < 0 {
		return nil
	}
	for _, d := range o.Bundles[at].Domains {
		if !slices.Contains(i.bundle.Domains, d) {
			return &Error{
				Kind: KindConflict, Object: "bundle", Fix: "if mail with it need not be secured any more: mailpact partner remove " + d,
				Detail: fmt.Sprintf("does not name %s any more, which an earlier one of this partner did", d),
			}
		}
	}
	return nil
}

// anchors replaces the anchors of the bundle before by those of this one, scoped
// to its domains, and returns the thumbprints that the partners are pinned to.
func (i *bundleImport) anchors(o *directory.Overlay, source *directory.BundleSource) (pins []string, err error) {
	old := source.Anchors
	source.Anchors = nil
	pins = []string{}
	before := map[string]directory.Entry{}
	mine := func(e directory.Entry) bool {
		if !slices.Contains(old, text(e, "file")) {
			return false
		}
		before[text(e, "file")] = e
		return true
	}
	o.Trust.Anchors = slices.DeleteFunc(o.Trust.Anchors, mine)
	o.Trust.Intermediates = slices.DeleteFunc(o.Trust.Intermediates, mine)
	add := func(kind string, list *[]directory.Entry, der []byte, more directory.Entry) error {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return &Error{Kind: KindInvalid, Object: "bundle", Detail: err.Error()}
		}
		entry := directory.Entry{"file": o.AddCertificates(authority.EncodeCertificates(c)), "scope": slices.Clone(i.bundle.Domains)}
		for k, v := range more {
			entry[k] = v
		}
		*list = append(*list, entry)
		source.Anchors = append(source.Anchors, text(entry, "file"))
		action := "add"
		if was, there := before[text(entry, "file")]; there {
			action = "keep"
			if !slices.Equal(texts(was, "scope"), i.bundle.Domains) || text(was, "revocation") != text(entry, "revocation") {
				action = "change"
			}
			delete(before, text(entry, "file"))
		}
		i.note(action, kind+" "+describe(der), "for "+strings.Join(i.bundle.Domains, ", "))
		return nil
	}
	for _, der := range i.bundle.Anchors {
		sum := sha256.Sum256(der)
		pins = append(pins, hex.EncodeToString(sum[:]))
		if err := add("anchor", &o.Trust.Anchors, der, directory.Entry{"revocation": i.Revocation}); err != nil {
			return nil, err
		}
	}
	for _, der := range i.bundle.Intermediates {
		if err := add("intermediate", &o.Trust.Intermediates, der, nil); err != nil {
			return nil, err
		}
	}
	for _, file := range old {
		if _, gone := before[file]; gone {
			i.note("remove", "anchor "+file, "")
		}
	}
	return pins, nil
}

// partner adds or changes the partner of one domain.
func (i *bundleImport) partner(o *directory.Overlay, domain string, pins []string) {
	p := &i.bundle.Policy
	entry := directory.Entry{"domain": domain, "mode": i.Mode, "send": p.Send, "receive": p.Receive, "nameRule": p.NameRule}
	if len(p.Names) > 0 {
		entry["names"] = slices.Clone(p.Names)
	}
	if len(pins) > 0 {
		entry["anchors"] = pins
	}
	at := partnerEntry(o, domain)
	if at < 0 {
		o.Partners = append(o.Partners, entry)
		i.note("add", "partner "+domain, describePartner(entry))
		return
	}
	was := o.Partners[at]
	for _, kept := range []string{"mode", "send", "receive", "usage", "fromAlignment"} {
		if v, there := was[kept]; there {
			entry[kept] = v // these are ours to decide
		}
	}
	o.Partners[at] = entry
	if describePartner(was) == describePartner(entry) {
		i.note("keep", "partner "+domain, describePartner(entry))
		return
	}
	i.note("change", "partner "+domain, describePartner(was)+" becomes "+describePartner(entry))
}

func describePartner(e directory.Entry) string {
	s := fmt.Sprintf("mode %v, send %v, receive %v, nameRule %v", e["mode"], e["send"], e["receive"], e["nameRule"])
	if names := texts(e, "names"); len(names) > 0 {
		s += " " + strings.Join(names, " ")
	}
	pins := texts(e, "anchors")
	if len(pins) == 0 {
		return s + ", every anchor in scope"
	}
	for i := range pins {
		pins[i] = pins[i][:min(16, len(pins[i]))]
	}
	return s + ", anchors " + strings.Join(pins, " ")
}

// describe names a certificate that bundle.Open has parsed.
func describe(der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "that cannot be read"
	}
	facts := trust.DescribeCertificate(c)
	return fmt.Sprintf("%s (SHA-256 %s, until %s)", facts.Subject, facts.SHA256, facts.NotAfter.UTC().Format("2006-01-02"))
}
