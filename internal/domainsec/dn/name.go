// Package dn compares distinguished names as RFC 5280, section 7.1, wants it. It
// is the one place that says when two names of authorities are the same, for
// paths and for CRLs. All of it is a pure function of DER.
package dn

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxNameParts bounds the relative distinguished names of a name, and the
// attributes of each.
const maxNameParts = 64

// Name is a distinguished name made comparable. The zero value is the empty name.
type Name struct {
	rdns   []string // each with its attributes sorted
	emails []string // values of emailAddress attributes, as written
}

var errName = errors.New("a distinguished name that cannot be read")

// Parse reads a DER Name. Values of directory string types are prepared as
// RFC 5280, section 7.1, asks: without regard to string type, case, spaces at
// either end and the number of spaces within.
func Parse(der []byte) (Name, error) {
	var n Name
	var all cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&all, asn1.SEQUENCE) || !in.Empty() {
		return Name{}, errName
	}
	for !all.Empty() {
		var set cryptobyte.String
		if !all.ReadASN1(&set, asn1.SET) || len(n.rdns) == maxNameParts {
			return Name{}, errName
		}
		rdn, err := n.readRDN(set)
		if err != nil {
			return Name{}, err
		}
		n.rdns = append(n.rdns, rdn)
	}
	return n, nil
}

// readRDN returns the comparable form of a relative distinguished name, a set
// of attributes.
func (n *Name) readRDN(set cryptobyte.String) (string, error) {
	var attributes []string
	for !set.Empty() {
		var pair, oid, value cryptobyte.String
		var tag asn1.Tag
		if !set.ReadASN1(&pair, asn1.SEQUENCE) || !pair.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
			!pair.ReadAnyASN1(&value, &tag) || !pair.Empty() || len(attributes) == maxNameParts {
			return "", errName
		}
		text, isText, err := directoryString(tag, value)
		// What could not be decoded would make different names equal.
		if err != nil || strings.ContainsRune(text, utf8.RuneError) {
			return "", errName
		}
		if isText && string(oid) == emailAddress {
			n.emails = append(n.emails, text)
		}
		prepared := "#" + strconv.Itoa(int(tag)) + "#" + hex.EncodeToString(value)
		if isText {
			prepared = "=" + prepare(text)
		}
		attributes = append(attributes, counted(string(oid))+counted(prepared))
	}
	slices.Sort(attributes)
	return strings.Join(attributes, ""), nil
}

// emailAddress is the content of the attribute's OID, 1.2.840.113549.1.9.1.
const emailAddress = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"

// counted puts a length in front, so that what follows cannot be taken for it.
func counted(s string) string { return strconv.Itoa(len(s)) + ":" + s }

// String types that cryptobyte has no names for.
const (
	tagNumericString   = asn1.Tag(18)
	tagVisibleString   = asn1.Tag(26)
	tagUniversalString = asn1.Tag(28)
	tagBMPString       = asn1.Tag(30)
)

// directoryString decodes a value to UTF-8; isText is false for other types.
func directoryString(tag asn1.Tag, value []byte) (text string, isText bool, err error) {
	switch tag {
	case asn1.PrintableString, asn1.IA5String, asn1.UTF8String, tagNumericString, tagVisibleString:
		return string(value), true, nil
	case asn1.T61String: // which everybody takes for Latin-1
		runes := make([]rune, len(value))
		for i, b := range value {
			runes[i] = rune(b)
		}
		return string(runes), true, nil
	case tagBMPString:
		if len(value)%2 != 0 {
			return "", false, errName
		}
		units := make([]uint16, len(value)/2)
		for i := range units {
			units[i] = uint16(value[2*i])<<8 | uint16(value[2*i+1])
		}
		return string(utf16.Decode(units)), true, nil
	case tagUniversalString:
		if len(value)%4 != 0 {
			return "", false, errName
		}
		runes := make([]rune, len(value)/4)
		for i := range runes {
			v := value[4*i:]
			runes[i] = rune(uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3]))
		}
		return string(runes), true, nil
	}
	return "", false, nil
}

// prepare drops what cannot be seen, folds case and normalises (RFC 4518,
// sections 2.2 to 2.6), with single spaces within and none at the ends.
func prepare(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	s = strings.Map(visible, s)
	if ascii {
		s = strings.ToLower(s)
	} else {
		s = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
	}
	return strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
}

// visible maps control and formatting characters, variation selectors and the
// like to nothing (RFC 4518, section 2.2): a name would look like another and
// escape the constraints on it. Spaces of all kinds stay.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return r
	case unicode.In(r, unicode.Cc, unicode.Cf), r == '\u034f', r == '\u1806', r == '\ufffc',
		r >= '\u180b' && r <= '\u180d', r >= '\ufe00' && r <= '\ufe0f':
		return -1
	default:
		return r
	}
}

// Key is equal for equal names only.
func (n Name) Key() string {
	var b strings.Builder
	b.WriteByte('=') // so that no key is empty, nor that of octets
	for _, rdn := range n.rdns {
		b.WriteString(counted(rdn))
	}
	return b.String()
}

// Emails returns the values of emailAddress attributes as they are written. The
// caller must not change them.
func (n Name) Emails() []string { return n.emails }

// Key returns the Key of a DER Name. One that cannot be read is equal to its own
// octets alone.
func Key(der []byte) string {
	n, err := Parse(der)
	if err != nil {
		return "!" + string(der)
	}
	return n.Key()
}

// Empty reports whether the name has no parts.
func (n Name) Empty() bool { return len(n.rdns) == 0 }

// Within reports whether n lies in the subtree below base, base itself included.
func (n Name) Within(base Name) bool {
	return len(n.rdns) >= len(base.rdns) && slices.Equal(n.rdns[:len(base.rdns)], base.rdns)
}
