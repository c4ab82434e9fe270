package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// Bounds of the record of partners' certificates.
const (
	maxSeenPerPartner = 8         // a partner has a few servers
	maxSeenBytes      = 4 << 20   // of the file
	seenAgain         = time.Hour // how exactly the last time is known
)

// seenCertificates remembers the good certificates that partners have shown, so
// that their end is known before it comes. It is safe for concurrent use.
type seenCertificates struct {
	path string
	now  func() time.Time

	mu       sync.Mutex
	partners map[smtp.Domain][]admin.PartnerCertificate
	dirty    bool
}

// openSeen reads the record; one that is damaged is begun anew, since it only
// serves warnings.
func openSeen(path string, now func() time.Time) (*seenCertificates, error) {
	s := &seenCertificates{path: path, now: now, partners: map[smtp.Domain][]admin.PartnerCertificate{}}
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the record of partners' certificates: %w", err)
	}
	if st.Size() > maxSeenBytes {
		return s, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the record of partners' certificates: %w", err)
	}
	var all []admin.PartnerCertificate
	if json.Unmarshal(data, &all) != nil {
		return s, nil
	}
	for _, c := range all {
		s.partners[smtp.Domain(c.Domain)] = append(s.partners[smtp.Domain(c.Domain)], c)
	}
	return s, nil
}

// note remembers a certificate if it is good for its partner: what a stranger
// shows in a partner's name says nothing about the partner.
func (s *seenCertificates) note(facts *domainsec.PeerFacts, partner *directory.Partner) {
	if facts == nil || partner == nil {
		return
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.partners[partner.Domain]
	i := slices.IndexFunc(list, func(c admin.PartnerCertificate) bool { return c.SHA256 == facts.Certificate.SHA256 })
	if i >= 0 && now.Sub(list[i].LastSeen) < seenAgain && seenIn(&list[i], facts.Direction) {
		return
	}
	if domainsec.VerdictForCertificate(facts, partner).Action != domainsec.ActionSecure {
		return
	}
	if i < 0 {
		if len(list) == maxSeenPerPartner {
			oldest := slices.MinFunc(list, func(a, b admin.PartnerCertificate) int { return a.LastSeen.Compare(b.LastSeen) })
			list = slices.DeleteFunc(list, func(c admin.PartnerCertificate) bool { return c.SHA256 == oldest.SHA256 })
		}
		f := &facts.Certificate
		list = append(list, admin.PartnerCertificate{
			Domain: string(partner.Domain), Thumbprint: f.SHA1, SHA256: f.SHA256, Subject: f.Subject, Issuer: f.Issuer, NotAfter: f.NotAfter,
		})
		i = len(list) - 1
	}
	list[i].LastSeen = now.UTC()
	list[i].Inbound = list[i].Inbound || facts.Direction == domainsec.Inbound
	list[i].Outbound = list[i].Outbound || facts.Direction == domainsec.Outbound
	s.partners[partner.Domain], s.dirty = list, true
}

func seenIn(c *admin.PartnerCertificate, d domainsec.Direction) bool {
	return d == domainsec.Inbound && c.Inbound || d == domainsec.Outbound && c.Outbound
}

// list returns what partners have shown, by domain, the latest first.
func (s *seenCertificates) list(cfg *directory.Configuration) []admin.PartnerCertificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []admin.PartnerCertificate{}
	for i := range cfg.Partners {
		out = append(out, s.partners[cfg.Partners[i].Domain]...)
	}
	slices.SortStableFunc(out, func(a, b admin.PartnerCertificate) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), b.LastSeen.Compare(a.LastSeen))
	})
	return out
}

// ending returns those of all that end soon and have no successor yet.
func ending(all []admin.PartnerCertificate, now time.Time) []admin.PartnerCertificate {
	var out []admin.PartnerCertificate
	for _, c := range all {
		renewed := slices.ContainsFunc(all, func(x admin.PartnerCertificate) bool {
			return x.Domain == c.Domain && x.Subject == c.Subject && x.NotAfter.After(c.NotAfter)
		})
		if !renewed && certstore.ExpiryThreshold(c.NotAfter, now) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// findings warn of partners' certificates that end soon.
func (s *seenCertificates) findings(cfg *directory.Configuration) []directory.Finding {
	now := s.now()
	var out []directory.Finding
	for _, c := range ending(s.list(cfg), now) {
		text := fmt.Sprintf("the certificate it shows expires on %s, in %d days (%s)", c.NotAfter.Format(time.DateOnly), certstore.DaysLeft(c.NotAfter, now), c.Subject)
		if now.After(c.NotAfter) {
			text = fmt.Sprintf("the certificate it showed last expired on %s (%s)", c.NotAfter.Format(time.DateOnly), c.Subject)
		}
		out = append(out, directory.Finding{
			Level: directory.LevelWarning, Object: "partners[" + c.Domain + "]", Text: text,
			Fix: "Ask the partner for its renewal, and whether its CA stays the same",
		})
	}
	return out
}

// save writes the record if it has changed.
func (s *seenCertificates) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil
	}
	var all []admin.PartnerCertificate
	for _, list := range s.partners {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b admin.PartnerCertificate) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.SHA256, b.SHA256))
	})
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the record of partners' certificates: %w", err)
	}
	temporary := filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path)+".new")
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the record of partners' certificates: %w", err)
	}
	if err := os.Rename(temporary, s.path); err != nil {
		return fmt.Errorf("writing the record of partners' certificates: %w", err)
	}
	s.dirty = false
	return nil
}

// partnerCertificates returns what partners have shown.
func (s *Server) partnerCertificates() []admin.PartnerCertificate {
	return s.identity.seen.list(s.directory.Current())
}
