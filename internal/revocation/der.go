package revocation

import (
	"encoding/asn1"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// readTime reads a Time (RFC 5280, section 4.1.2.5).
func readTime(s *cryptobyte.String) (time.Time, bool) {
	var t time.Time
	if s.PeekASN1Tag(tags.UTCTime) {
		ok := s.ReadASN1UTCTime(&t)
		return t, ok
	}
	ok := s.ReadASN1GeneralizedTime(&t)
	return t, ok
}

// extension is one Extension (RFC 5280, section 4.1).
type extension struct {
	id       []byte // content of the OBJECT IDENTIFIER
	critical bool
	value    cryptobyte.String // content of the OCTET STRING
}

func readExtension(s *cryptobyte.String) (extension, bool) {
	var e extension
	var sequence, id cryptobyte.String
	if !s.ReadASN1(&sequence, tags.SEQUENCE) || !sequence.ReadASN1(&id, tags.OBJECT_IDENTIFIER) {
		return e, false
	}
	e.id = id
	if sequence.PeekASN1Tag(tags.BOOLEAN) && !sequence.ReadASN1Boolean(&e.critical) {
		return e, false
	}
	return e, sequence.ReadASN1(&e.value, tags.OCTET_STRING) && sequence.Empty()
}

// oidText writes an OID for eyes.
func oidText(content []byte) string {
	var id asn1.ObjectIdentifier
	der := append([]byte{byte(tags.OBJECT_IDENTIFIER), byte(len(content))}, content...)
	if len(content) > 127 {
		return "(too long)"
	}
	if _, err := asn1.Unmarshal(der, &id); err != nil {
		return "(malformed)"
	}
	return id.String()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func numberText(n *big.Int) string {
	if n == nil {
		return "none"
	}
	return n.String()
}
