package revocation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Dates of a CRL.
const (
	// clockTolerance is how far thisUpdate may lie ahead of our clock.
	clockTolerance = 5 * time.Minute
	// lifeWithoutNextUpdate is how long a CRL without nextUpdate counts, from its thisUpdate.
	lifeWithoutNextUpdate = 24 * time.Hour
)

// list is a verified CRL: what is needed to answer, and nothing else of it. It
// is immutable.
type list struct {
	issuer     string // for eyes
	number     *big.Int
	thisUpdate time.Time
	nextUpdate time.Time // the end of its use, also when the CRL does not state one
	scope      scope
	revoked    *index
	digest     [sha256.Size]byte // of the DER
}

// usable returns nil when the list may answer at now.
func (l *list) usable(now time.Time) error {
	if l.thisUpdate.After(now.Add(clockTolerance)) {
		return fmt.Errorf("the CRL is not valid before %s", stamp(l.thisUpdate))
	}
	if !now.Before(l.nextUpdate) {
		return fmt.Errorf("the CRL expired at %s", stamp(l.nextUpdate))
	}
	return nil
}

// mayReplace returns nil when l may take the place of old: a CRL that was
// overtaken is never used again, whoever serves it.
func (l *list) mayReplace(old *list) error {
	if old == nil {
		return nil
	}
	if l.thisUpdate.Before(old.thisUpdate) {
		return fmt.Errorf("the CRL fetched is of %s, older than the one held, of %s", stamp(l.thisUpdate), stamp(old.thisUpdate))
	}
	// RFC 5280, section 5.2.3: numbers grow for one issuer and scope.
	if old.number == nil || !bytes.Equal(l.scope.raw, old.scope.raw) {
		return nil
	}
	if l.number == nil || l.number.Cmp(old.number) < 0 {
		return fmt.Errorf("the CRL fetched has number %s, lower than the one held, %s", numberText(l.number), numberText(old.number))
	}
	return nil
}

// The extensions that are understood (RFC 5280, sections 4.2.1 and 5.2).
const (
	oidKeyUsage               = "2.5.29.15"
	oidIssuerAltName          = "2.5.29.18"
	oidCRLNumber              = "2.5.29.20"
	oidDeltaCRLIndicator      = "2.5.29.27"
	oidIssuingPoint           = "2.5.29.28"
	oidCRLDistributionPoints  = "2.5.29.31"
	oidAuthorityKeyIdentifier = "2.5.29.35"
	oidFreshestCRL            = "2.5.29.46"
	oidAuthorityInfoAccess    = "1.3.6.1.5.5.7.1.1"
)

// unverified is a CRL that was parsed and nothing more.
type unverified struct {
	list  *list
	frame *x509.RevocationList // everything but the entries
	tbs   []byte               // what is signed
}

// parseList reads a CRL, DER. Everything but the entries goes through the
// standard library's parser; the entries, of which there may be millions, are
// walked once into the index.
func parseList(der []byte) (*unverified, error) {
	parts, err := splitList(der)
	if err != nil {
		return nil, err
	}
	frame, err := x509.ParseRevocationList(parts.frame)
	if err != nil {
		return nil, fmt.Errorf("parsing CRL: %w", err)
	}
	l := &list{
		issuer: frame.Issuer.String(), number: frame.Number,
		thisUpdate: frame.ThisUpdate.UTC(), nextUpdate: frame.NextUpdate.UTC(), digest: sha256.Sum256(der),
	}
	if frame.NextUpdate.IsZero() {
		l.nextUpdate = l.thisUpdate.Add(lifeWithoutNextUpdate)
	}
	for _, e := range frame.Extensions {
		switch e.Id.String() {
		case oidIssuingPoint:
			if l.scope, err = parseScope(e.Value); err != nil {
				return nil, err
			}
		case oidDeltaCRLIndicator:
			return nil, errors.New("parsing CRL: it is a delta CRL, which cannot answer by itself")
		case oidAuthorityKeyIdentifier, oidIssuerAltName, oidCRLNumber, oidFreshestCRL, oidAuthorityInfoAccess:
			// Critical or not, they do not change what the entries mean.
		default:
			if e.Critical {
				// RFC 5280, section 5.2: such a CRL must not be used.
				return nil, fmt.Errorf("parsing CRL: unknown critical extension %s", e.Id)
			}
		}
	}
	if l.revoked, err = buildIndex(parts.entries); err != nil {
		return nil, fmt.Errorf("parsing CRL: %w", err)
	}
	return &unverified{list: l, frame: frame, tbs: parts.tbs}, nil
}

// verify checks that issuer made the CRL and may (RFC 5280, section 6.3.3, steps b, f and g).
func (u *unverified) verify(issuer *x509.Certificate) error {
	if !bytes.Equal(u.frame.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("verifying CRL: it is of %q, not of %q", cut(u.list.issuer), cut(issuer.Subject.String()))
	}
	if err := maySign(issuer); err != nil {
		return err
	}
	switch u.frame.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Errorf("verifying CRL: signature algorithm %s is too weak", u.frame.SignatureAlgorithm)
	}
	if err := issuer.CheckSignature(u.frame.SignatureAlgorithm, u.tbs, u.frame.Signature); err != nil {
		return fmt.Errorf("verifying CRL: signature: %w", err)
	}
	return nil
}

// maySign returns nil when issuer may sign CRLs: a key usage, where there is
// one, must say so.
func maySign(issuer *x509.Certificate) error {
	if issuer.KeyUsage&x509.KeyUsageCRLSign != 0 {
		return nil
	}
	for _, e := range issuer.Extensions {
		if e.Id.String() == oidKeyUsage {
			return fmt.Errorf("verifying CRL: its signer %q lacks the key usage cRLSign", cut(issuer.Subject.String()))
		}
	}
	return nil
}

// listParts are the parts of a CertificateList. tbs and entries point into the DER.
type listParts struct {
	tbs     []byte            // tbsCertList, whole
	entries cryptobyte.String // content of revokedCertificates
	frame   []byte            // the CertificateList without revokedCertificates
}

var errMalformed = errors.New("parsing CRL: it is not a DER CertificateList")

// splitList takes the entries out of a CertificateList (RFC 5280, section 5.1).
func splitList(der []byte) (listParts, error) {
	input := cryptobyte.String(der)
	var outer, tbsElement, tbs cryptobyte.String
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Element(&tbsElement, asn1.SEQUENCE) {
		return listParts{}, errMalformed
	}
	parts := listParts{tbs: tbsElement}
	inner := tbsElement
	if !inner.ReadASN1(&tbs, asn1.SEQUENCE) {
		return listParts{}, errMalformed
	}
	rest := tbs
	if !rest.SkipOptionalASN1(asn1.INTEGER) || !rest.SkipASN1(asn1.SEQUENCE) || !rest.SkipASN1(asn1.SEQUENCE) {
		return listParts{}, errMalformed
	}
	if _, ok := readTime(&rest); !ok {
		return listParts{}, errMalformed
	}
	if rest.PeekASN1Tag(asn1.UTCTime) || rest.PeekASN1Tag(asn1.GeneralizedTime) {
		if _, ok := readTime(&rest); !ok {
			return listParts{}, errMalformed
		}
	}
	head := tbs[:len(tbs)-len(rest)]
	if rest.PeekASN1Tag(asn1.SEQUENCE) && !rest.ReadASN1(&parts.entries, asn1.SEQUENCE) {
		return listParts{}, errMalformed
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(head)
			b.AddBytes(rest)
		})
		b.AddBytes(outer)
	})
	var err error
	if parts.frame, err = b.Bytes(); err != nil {
		return listParts{}, fmt.Errorf("parsing CRL: %w", err)
	}
	return parts, nil
}
