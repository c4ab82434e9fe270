package revocation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"
)

// Dates of a CRL.
const (
	// clockTolerance is how far thisUpdate may lie ahead of our clock.
	clockTolerance = 5 * time.Minute
	// lifeWithoutNextUpdate is how long a CRL without nextUpdate counts, from its thisUpdate.
	lifeWithoutNextUpdate = 24 * time.Hour
)

// List is a parsed CRL: what is needed to answer, and nothing else of it. It is
// made by ParseList, is immutable and may be used by any number of goroutines.
// That it was parsed says nothing about who made it: whoever answers from it
// verifies its signature each time against a certificate that may sign it.
type List struct {
	source     string // a file or an address, for eyes
	rawIssuer  []byte
	issuerName string // canonical
	issuer     string // for eyes
	number     *big.Int
	base       *big.Int // the number of the CRL that this one is a delta to; nil: it is complete
	thisUpdate time.Time
	nextUpdate time.Time // the end of its use, also when the CRL does not state one
	scope      scope
	freshest   []point // where a delta to it is; nil: not said
	signed     signed
	revoked    *index
	digest     [sha256.Size]byte // of what was signed and the signature
}

// signed is what a signature is verified by.
type signed struct {
	algorithm x509.SignatureAlgorithm
	hash      crypto.Hash // 0: the algorithm signs the message itself
	sum       []byte      // the hash of what is signed, or the message
	signature []byte
}

// ParseList reads a CRL, DER or PEM, of any kind that RFC 5280 knows: version 1
// or 2, complete or delta, partitioned or indirect. source says for eyes where
// it came from, a file name for instance. The error says what is malformed, or
// which critical extension is unknown; such a CRL must not be used at all.
func ParseList(source string, content []byte) (*List, error) {
	der, err := decode(content)
	if err != nil {
		return nil, err
	}
	return readList(source, bytes.NewReader(der), &memoryRoom{crl: der})
}

// openList reads the CRL in a file, DER. A large one stays there: its index is
// made in another file, which the caller may rename.
func openList(source string, file *os.File, indexPath string) (*List, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading CRL: %w", err)
	}
	if info.Size() <= smallList {
		content, err := io.ReadAll(io.NewSectionReader(file, 0, smallList))
		if err != nil {
			return nil, fmt.Errorf("reading CRL: %w", err)
		}
		return readList(source, bytes.NewReader(content), &memoryRoom{crl: content})
	}
	room := &fileRoom{crl: file, path: indexPath}
	l, err := readList(source, io.NewSectionReader(file, 0, info.Size()), room)
	return l, errors.Join(err, room.close())
}

// Source returns what ParseList was given.
func (l *List) Source() string { return l.source }

// Issuer returns the issuer's distinguished name, for eyes.
func (l *List) Issuer() string { return l.issuer }

// Number returns the CRL number in decimal; empty when there is none.
func (l *List) Number() string {
	if l.number == nil {
		return ""
	}
	return l.number.String()
}

// IsDelta reports whether the CRL lists only what changed since another.
func (l *List) IsDelta() bool { return l.base != nil }

// ThisUpdate returns when the CRL was made.
func (l *List) ThisUpdate() time.Time { return l.thisUpdate }

// NextUpdate returns the end of the CRL's use: its nextUpdate, or 24 hours after
// its thisUpdate when it states none.
func (l *List) NextUpdate() time.Time { return l.nextUpdate }

// Entries returns how many entries the CRL has.
func (l *List) Entries() int { return l.revoked.count }

// usable returns nil when the list may answer at now.
func (l *List) usable(now time.Time) error {
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
func (l *List) mayReplace(old *List) error {
	if old == nil {
		return nil
	}
	if l.thisUpdate.Before(old.thisUpdate) {
		return fmt.Errorf("the CRL fetched is of %s, older than the one held, of %s", stamp(l.thisUpdate), stamp(old.thisUpdate))
	}
	// RFC 5280, section 5.2.3: numbers grow for one issuer and scope.
	if old.number == nil || !bytes.Equal(l.scope.raw, old.scope.raw) || l.issuerName != old.issuerName {
		return nil
	}
	if l.number == nil || l.number.Cmp(old.number) < 0 {
		return fmt.Errorf("the CRL fetched has number %s, lower than the one held, %s", numberText(l.number), numberText(old.number))
	}
	return nil
}

// verify checks that signer's key made the CRL and may (RFC 5280, section
// 6.3.3, steps f and g). Whose name the CRL bears is the caller's to compare.
func (l *List) verify(signer *x509.Certificate) error {
	if err := maySign(signer); err != nil {
		return err
	}
	switch l.signed.algorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Errorf("verifying CRL: signature algorithm %s is too weak", l.signed.algorithm)
	}
	if err := l.signed.verify(signer.PublicKey); err != nil {
		return fmt.Errorf("verifying CRL: signature: %w", err)
	}
	return nil
}

// verify checks the signature by key.
func (s signed) verify(key crypto.PublicKey) error {
	wrong := fmt.Errorf("the key is not one for %s", s.algorithm)
	switch s.algorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA:
		k, ok := key.(*rsa.PublicKey)
		if !ok {
			return wrong
		}
		return rsa.VerifyPKCS1v15(k, s.hash, s.sum, s.signature)
	case x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS:
		k, ok := key.(*rsa.PublicKey)
		if !ok {
			return wrong
		}
		return rsa.VerifyPSS(k, s.hash, s.sum, s.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		k, ok := key.(*ecdsa.PublicKey)
		if !ok {
			return wrong
		}
		if !ecdsa.VerifyASN1(k, s.sum, s.signature) {
			return errors.New("ECDSA verification failure")
		}
		return nil
	case x509.PureEd25519:
		k, ok := key.(ed25519.PublicKey)
		if !ok {
			return wrong
		}
		if !ed25519.Verify(k, s.sum, s.signature) {
			return errors.New("Ed25519 verification failure")
		}
		return nil
	}
	return fmt.Errorf("the algorithm %s is not supported", s.algorithm)
}

// hashOf returns the hash that an algorithm signs; 0 when it signs the message itself.
func hashOf(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	case x509.PureEd25519:
		return 0
	}
	return crypto.SHA256
}

// maySign returns nil when issuer may sign CRLs: a key usage, where there is
// one, must say so.
func maySign(issuer *x509.Certificate) error {
	if issuer.KeyUsage&x509.KeyUsageCRLSign != 0 {
		return nil
	}
	if hasExtension(issuer, oidKeyUsage) {
		return fmt.Errorf("verifying CRL: its signer %q lacks the key usage cRLSign", cut(issuer.Subject.String()))
	}
	return nil
}

func hasExtension(c *x509.Certificate, id string) bool {
	for _, e := range c.Extensions {
		if e.Id.String() == id {
			return true
		}
	}
	return false
}
