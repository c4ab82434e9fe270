package admin

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mailpact/internal/authority"
	"mailpact/internal/directory"
	"mailpact/internal/trust"
	"mailpact/internal/trust/bundle"
)

// bundleKeyFile holds the key that signs our bundles, below the data directory.
const bundleKeyFile = "partner.key"

// PartnerExportRequest says what our bundle is to hold. What is left out comes
// from the configuration.
type PartnerExportRequest struct {
	Organization string   `json:"organization,omitempty"` // empty: transportConfig.authservID
	Contact      string   `json:"contact,omitempty"`      // empty: the postmaster's address
	Domains      []string `json:"domains,omitempty"`      // empty: the accepted domains
	Hosts        []string `json:"hosts,omitempty"`        // empty: the names of domain-secure receive connectors
	// Anchors are the roots of our certificates, PEM. Empty: our own authority if
	// it is a root, else our certificate if it is self-signed.
	Anchors string `json:"anchors,omitempty"`
	// NameRule says which names in our certificates stand for our domains: domain,
	// exact or listed, the last with Hosts. Empty: exact if our certificate names
	// all domains, else listed.
	NameRule string `json:"nameRule,omitempty"`
	Days     int    `json:"days,omitempty"` // how long the bundle counts; 0: 90
}

// PartnerExportResponse is our bundle.
type PartnerExportResponse struct {
	Bundle      []byte    `json:"bundle"`
	Fingerprint string    `json:"fingerprint"` // of the key that has signed it
	Sequence    uint64    `json:"sequence"`
	Expires     time.Time `json:"expires"`
	Domains     []string  `json:"domains"`
	Anchors     []string  `json:"anchors"` // subjects
}

// PartnerExport writes our bundle, signed by a key that is made the first time
// and stays: partners know us by its fingerprint.
func (s *Service) PartnerExport(_ context.Context, q PartnerExportRequest) (PartnerExportResponse, error) {
	if s.directory == nil || s.certificates == nil {
		return PartnerExportResponse{}, &Error{Kind: KindUnavailable, Object: "partner.export", Detail: "there is no configuration here"}
	}
	contents, err := s.bundleContents(q)
	if err != nil {
		return PartnerExportResponse{}, err
	}
	key, err := bundleKey(filepath.Join(s.directory.Current().Server.DataDirectory, bundleKeyFile))
	if err != nil {
		return PartnerExportResponse{}, err
	}
	data, err := bundle.Sign(contents, key)
	if err != nil {
		return PartnerExportResponse{}, &Error{Kind: KindInvalid, Object: "bundle", Detail: err.Error()}
	}
	fingerprint, err := bundle.Fingerprint(key.Public())
	if err != nil {
		return PartnerExportResponse{}, err
	}
	r := PartnerExportResponse{
		Bundle: data, Fingerprint: fingerprint, Sequence: contents.Sequence, Expires: contents.Expires, Domains: contents.Domains, Anchors: []string{},
	}
	for _, der := range contents.Anchors {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return PartnerExportResponse{}, err
		}
		r.Anchors = append(r.Anchors, trust.DescribeCertificate(c).Subject)
	}
	return r, nil
}

func (s *Service) bundleContents(q PartnerExportRequest) (bundle.Contents, error) {
	cfg, now := s.directory.Current(), s.now().UTC().Truncate(time.Second)
	if q.Days < 0 || time.Duration(q.Days)*24*time.Hour > bundle.MaxLifetime {
		return bundle.Contents{}, &Error{Kind: KindInvalid, Object: "days", Detail: fmt.Sprintf("must be from 1 to %d", bundle.MaxLifetime/(24*time.Hour))}
	}
	lifetime := 90 * 24 * time.Hour
	if q.Days > 0 {
		lifetime = time.Duration(q.Days) * 24 * time.Hour
	}
	c := bundle.Contents{
		Organization: orElse(q.Organization, cfg.TransportConfig.AuthservID), Contact: orElse(q.Contact, cfg.TransportConfig.Postmaster.String()),
		Sequence: uint64(s.now().UnixMicro()), Issued: now, Expires: now.Add(lifetime), Domains: q.Domains, Hosts: q.Hosts,
		Policy: bundle.Policy{NameRule: q.NameRule, Send: true, Receive: true},
	}
	if len(c.Domains) == 0 {
		for _, a := range cfg.AcceptedDomains {
			c.Domains = append(c.Domains, string(a.Name))
		}
	}
	for _, d := range c.Domains {
		if !slices.ContainsFunc(cfg.AcceptedDomains, func(a directory.AcceptedDomain) bool { return string(a.Name) == d }) {
			return c, &Error{Kind: KindInvalid, Object: "domains", Detail: d + " is not an accepted domain of ours", Fix: "write it under acceptedDomains"}
		}
	}
	if len(c.Domains) == 0 {
		return c, &Error{Kind: KindConflict, Object: "acceptedDomains", Detail: "there are none, so there is nothing to tell a partner", Fix: "write acceptedDomains: [{name: DOMAIN}]"}
	}
	if len(c.Hosts) == 0 {
		for i := range cfg.ReceiveConnectors {
			if r := &cfg.ReceiveConnectors[i]; r.DomainSecureEnabled && !slices.Contains(c.Hosts, string(r.FQDN)) {
				c.Hosts = append(c.Hosts, string(r.FQDN))
			}
		}
	}
	s.bundleCertificates(&c, cfg, now)
	bundleNames(&c)
	return c, s.bundleAnchors(&c, q.Anchors)
}

// bundleNames chooses the narrowest name rule that our certificate meets, where
// none was asked for.
func bundleNames(c *bundle.Contents) {
	if c.Policy.NameRule == "" {
		c.Policy.NameRule = string(directory.NameRuleListed)
		current, err := x509.ParseCertificate(c.Current)
		if err == nil && !slices.ContainsFunc(c.Domains, func(d string) bool { return current.VerifyHostname(d) != nil }) {
			c.Policy.NameRule = string(directory.NameRuleExact)
		}
	}
	if c.Policy.NameRule == string(directory.NameRuleListed) {
		c.Policy.Names = slices.Clone(c.Hosts)
	}
}

// bundleCertificates adds the certificate in use and the one that follows it.
func (s *Service) bundleCertificates(c *bundle.Contents, cfg *directory.Configuration, now time.Time) {
	name := directory.CertificateName(cfg.Server.FQDN)
	if len(c.Hosts) > 0 {
		name = directory.CertificateName(c.Hosts[0])
	}
	store := s.certificates.Store()
	chosen := store.Select(name, nil)
	if len(chosen) == 0 {
		return
	}
	current := chosen[0]
	c.Current = current.Leaf().Raw
	c.CRLs = append(c.CRLs, current.Leaf().CRLDistributionPoints...)
	if chain, err := current.Chain(); err == nil {
		for _, above := range chain[min(1, len(chain)):] {
			c.Intermediates = append(c.Intermediates, above.Raw)
			c.CRLs = append(c.CRLs, above.CRLDistributionPoints...)
		}
	}
	for _, other := range store.All() {
		if other.Follows(current, name, now) {
			c.Next = other.Leaf().Raw
		}
	}
	slices.Sort(c.CRLs)
	c.CRLs = slices.Compact(c.CRLs)
}

func (s *Service) bundleAnchors(c *bundle.Contents, pemText string) error {
	if pemText != "" {
		certificates, err := trust.ParseCertificates([]byte(pemText))
		if err != nil {
			return &Error{Kind: KindInvalid, Object: "anchors", Detail: err.Error()}
		}
		for _, a := range certificates {
			c.Anchors = append(c.Anchors, a.Raw)
		}
		return nil
	}
	current, err := x509.ParseCertificate(c.Current)
	if err != nil {
		return &Error{Kind: KindConflict, Object: "certificates", Detail: "no certificate of ours has the name of a domain-secure receive connector", Fix: "mailpact cert list"}
	}
	if s.authority != nil {
		info, err := s.authority.Info()
		switch {
		case errors.Is(err, authority.ErrNoAuthority):
		case err != nil:
			return err
		case info.Certificate != nil && info.Certificate.CheckSignatureFrom(info.Certificate) == nil && current.CheckSignatureFrom(info.Certificate) == nil:
			c.Anchors = [][]byte{info.Certificate.Raw}
			return nil
		}
	}
	if string(current.RawIssuer) == string(current.RawSubject) {
		c.Anchors = [][]byte{current.Raw}
		return nil
	}
	return &Error{
		Kind: KindConflict, Object: "anchors", Detail: "our certificate is from another authority, and which root partners should trust is not known here",
		Fix: "mailpact partner export --anchor ROOT.pem",
	}
}

// bundleKey reads the key that signs our bundles, and makes it the first time.
func bundleKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making the key of our bundles: %w", err)
		}
		text, err := authority.EncodeKey(key)
		if err != nil {
			return nil, err
		}
		return key, directory.WriteFile(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of our bundles: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: the key cannot be read", path)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: the key cannot sign", path)
	}
	return key, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
