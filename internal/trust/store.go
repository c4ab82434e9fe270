package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// maxFileBytes bounds a file of anchors or intermediates.
const maxFileBytes = 4 << 20

// store holds the certificates of one version of the trust settings.
type store struct {
	anchors       []*storedAnchor
	intermediates []*x509.Certificate
	// scopes of intermediates by what was signed, see signedID.
	scopes map[[32]byte][]directory.Scope
}

// storedAnchor is an anchor with each listing of it in the settings.
type storedAnchor struct {
	certificate *x509.Certificate
	sha256      string
	issuer      bool
	listings    []directory.Anchor
}

// signedID identifies what a CA signed. It is not the hash of the whole
// certificate, because a signature can be rewritten into another that is
// right as well, and such a twin must not escape its scope.
func signedID(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawTBSCertificate) }

func newStore() *store { return &store{scopes: map[[32]byte][]directory.Scope{}} }

// load reads every file of the settings and returns all their faults at once.
func load(settings directory.Trust) (*store, error) {
	s := newStore()
	var faults []error
	for i, a := range settings.Anchors {
		if err := s.loadAnchors(a); err != nil {
			faults = append(faults, fmt.Errorf("reading trust.anchors[%d], %s: %w", i, a.File, err))
		}
	}
	for i, m := range settings.Intermediates {
		if err := s.loadIntermediates(m); err != nil {
			faults = append(faults, fmt.Errorf("reading trust.intermediates[%d], %s: %w", i, m.File, err))
		}
	}
	return s, errors.Join(faults...)
}

func (s *store) loadAnchors(a directory.Anchor) error {
	certs, err := readCertificates(a.File)
	if err != nil {
		return err
	}
	if err := checkScope(a.Scope); err != nil {
		return err
	}
	switch a.Revocation {
	case "", directory.RevocationRequired, directory.RevocationNone:
	default:
		return fmt.Errorf("revocation is %q; write required or none", a.Revocation)
	}
	for _, c := range certs {
		issuer := mayIssue(c)
		if !issuer && a.Scope.Any {
			return fmt.Errorf("%s is no CA, so it is good for its partner only: name the partner's domain in scope instead of any", certificateLabel(c))
		}
		s.anchor(c, issuer).listings = append(s.anchor(c, issuer).listings, a)
	}
	return nil
}

func (s *store) anchor(c *x509.Certificate, issuer bool) *storedAnchor {
	for _, a := range s.anchors {
		if bytes.Equal(a.certificate.Raw, c.Raw) {
			return a
		}
	}
	sum := sha256.Sum256(c.Raw)
	a := &storedAnchor{certificate: c, issuer: issuer, sha256: strings.ToUpper(hex.EncodeToString(sum[:]))}
	s.anchors = append(s.anchors, a)
	return a
}

func (s *store) loadIntermediates(m directory.Intermediate) error {
	certs, err := readCertificates(m.File)
	if err != nil {
		return err
	}
	if err := checkScope(m.Scope); err != nil {
		return err
	}
	for _, c := range certs {
		if !c.BasicConstraintsValid || !c.IsCA {
			return fmt.Errorf("%s is no CA certificate; a partner's own certificate is listed under trust.anchors", certificateLabel(c))
		}
		id := signedID(c)
		if len(s.scopes[id]) == 0 {
			s.intermediates = append(s.intermediates, c)
		}
		s.scopes[id] = append(s.scopes[id], m.Scope)
	}
	return nil
}

func checkScope(scope directory.Scope) error {
	if !scope.Any && len(scope.Domains) == 0 {
		return errors.New("scope is empty; name the domains it may vouch for, or any")
	}
	return nil
}

// mayIssue reports whether an anchor is a CA. A self-signed certificate of a
// mail server is none even if it says CA:TRUE, as common tools write by
// default: then it names a host and no key usage allows it to sign certificates.
func mayIssue(c *x509.Certificate) bool {
	if !c.BasicConstraintsValid || !c.IsCA {
		return false
	}
	if c.KeyUsage == 0 {
		return len(c.DNSNames) == 0 && !domainsec.IsHostName(c.Subject.CommonName)
	}
	return c.KeyUsage&x509.KeyUsageCertSign != 0
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("the file has more than %d octets", maxFileBytes)
	}
	return ParseCertificates(content)
}

// ParseCertificates returns the certificates of a PEM file, at least one.
// Anything else in it is an error that says what to do.
func ParseCertificates(content []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	rest := content
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errors.New("it contains a private key; a file of trusted certificates holds certificates only")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it contains %q; only CERTIFICATE blocks are read", block.Type)
		}
		c, err := ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) > 0 {
		return certs, nil
	}
	if c, err := ParseCertificate(content); err == nil {
		return nil, fmt.Errorf("it is %s in DER; convert it to PEM (openssl x509 -inform der -out FILE.pem)", certificateLabel(c))
	}
	return nil, errors.New("no PEM certificate found (-----BEGIN CERTIFICATE-----)")
}

// forDomain returns what keeps a path from vouching for the request's domain (""
// when nothing does), and the listing of its anchor that allows it; that is nil
// for a system root.
func (s *store) forDomain(p Path, r Request) (fault string, listing *directory.Anchor) {
	d, scoped := r.Domain, r.NameCheck == domainsec.NamesByDomain
	last := len(p.Elements) - 1
	if !p.Public {
		listing = s.listing(p.Elements[last], d, scoped)
		if listing == nil {
			return fmt.Sprintf("anchor %s is not in scope for %s", certificateLabel(p.Elements[last]), d), nil
		}
	}
	for _, c := range p.Elements[:last] {
		scopes := s.scopes[signedID(c)]
		covered := !scoped || len(scopes) == 0
		for _, scope := range scopes {
			covered = covered || scope.Covers(d)
		}
		if !covered {
			return fmt.Sprintf("intermediate %s is not in scope for %s", certificateLabel(c), d), nil
		}
	}
	return "", listing
}

func (s *store) listing(anchor *x509.Certificate, d smtp.Domain, scoped bool) *directory.Anchor {
	for _, a := range s.anchors {
		if !bytes.Equal(a.certificate.Raw, anchor.Raw) {
			continue
		}
		// Of several listings the one that still wants revocation rules.
		var found *directory.Anchor
		for i := range a.listings {
			l := &a.listings[i]
			if (!scoped || l.Scope.Covers(d)) && (found == nil || found.Revocation == directory.RevocationNone) {
				found = l
			}
		}
		return found
	}
	return nil
}

// exempt reports whether an anchor is listed, and everywhere with revocation none.
func (s *store) exempt(anchor *x509.Certificate) bool {
	for _, a := range s.anchors {
		if bytes.Equal(a.certificate.Raw, anchor.Raw) {
			return !slices.ContainsFunc(a.listings, func(l directory.Anchor) bool { return l.Revocation != directory.RevocationNone })
		}
	}
	return false
}
