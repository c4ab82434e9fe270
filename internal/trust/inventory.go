package trust

import (
	"errors"
	"fmt"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
)

// Held is a certificate of the trust settings.
type Held struct {
	Certificate domainsec.CertificateFacts
	// Anchor: it is trusted by itself; otherwise it is an intermediate. Issuer:
	// it may vouch for others, which an anchor that is a peer's own may not.
	Anchor, Issuer bool
	File           string
	Scope          directory.Scope
	Revocation     directory.RevocationMode // of an anchor
}

// Inventory reads the files of the settings and returns their certificates in
// the order of the settings, anchors first, one entry for each listing. Files
// that cannot be used are in the error; the others are returned all the same.
func Inventory(settings directory.Trust) ([]Held, error) {
	var held []Held
	var faults []error
	for _, a := range settings.Anchors {
		s := newStore()
		if err := s.loadAnchors(a); err != nil {
			faults = append(faults, fmt.Errorf("reading anchor %s: %w", a.File, err))
			continue
		}
		for _, x := range s.anchors {
			held = append(held, Held{
				Certificate: DescribeCertificate(x.certificate), Anchor: true, Issuer: x.issuer,
				File: a.File, Scope: a.Scope, Revocation: a.Revocation,
			})
		}
	}
	for _, m := range settings.Intermediates {
		s := newStore()
		if err := s.loadIntermediates(m); err != nil {
			faults = append(faults, fmt.Errorf("reading intermediate %s: %w", m.File, err))
			continue
		}
		for _, c := range s.intermediates {
			held = append(held, Held{Certificate: DescribeCertificate(c), Issuer: true, File: m.File, Scope: m.Scope})
		}
	}
	return held, errors.Join(faults...)
}
