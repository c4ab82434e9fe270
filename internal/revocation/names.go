package revocation

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/text/unicode/norm"
)

// String types of a DirectoryString that cryptobyte has no word for.
const (
	tagTeletexString   = asn1.Tag(20)
	tagUniversalString = asn1.Tag(28)
	tagBMPString       = asn1.Tag(30)
)

// sameName reports whether two distinguished names, DER, are the same (RFC
// 5280, section 7.1): the type of a string, the case of its letters, and how
// many spaces stand between its words make no difference.
func sameName(a, b []byte) bool { return canonicalName(a) == canonicalName(b) }

// canonicalName writes a Name, DER, so that the same names have the same text.
// A malformed name is the same as its own octets only.
func canonicalName(der []byte) string {
	input := cryptobyte.String(der)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() {
		return "!" + string(der)
	}
	var out []byte
	for !sequence.Empty() {
		var set cryptobyte.String
		if !sequence.ReadASN1(&set, asn1.SET) {
			return "!" + string(der)
		}
		var attributes []string
		for !set.Empty() {
			a, ok := canonicalAttribute(&set)
			if !ok {
				return "!" + string(der)
			}
			attributes = append(attributes, a)
		}
		slices.Sort(attributes) // a SET has no order
		out = binary.AppendUvarint(out, uint64(len(attributes)))
		for _, a := range attributes {
			out = binary.AppendUvarint(out, uint64(len(a)))
			out = append(out, a...)
		}
	}
	return "=" + string(out)
}

// canonicalAttribute reads one AttributeTypeAndValue.
func canonicalAttribute(set *cryptobyte.String) (string, bool) {
	var attribute, id, value cryptobyte.String
	var tag asn1.Tag
	if !set.ReadASN1(&attribute, asn1.SEQUENCE) || !attribute.ReadASN1Element(&id, asn1.OBJECT_IDENTIFIER) ||
		!attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() {
		return "", false
	}
	text, ok := directoryText(value, tag)
	if !ok {
		return string(id) + string(rune(tag)) + string(value), true
	}
	// RFC 4518, sections 2.2 to 2.6, as far as they concern names of authorities.
	text = strings.ToLower(norm.NFKC.String(text))
	return string(id) + "s" + strings.Join(strings.Fields(text), " "), true
}

// directoryText decodes a string; not ok is a value of another type.
func directoryText(value []byte, tag asn1.Tag) (string, bool) {
	switch tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String:
		return string(value), utf8.Valid(value)
	case tagTeletexString: // Latin-1, as everybody uses it
		runes := make([]rune, len(value))
		for i, b := range value {
			runes[i] = rune(b)
		}
		return string(runes), true
	case tagBMPString:
		if len(value)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(value)/2)
		for ; len(value) > 0; value = value[2:] {
			units = append(units, binary.BigEndian.Uint16(value))
		}
		return string(utf16.Decode(units)), true
	case tagUniversalString:
		if len(value)%4 != 0 {
			return "", false
		}
		var b strings.Builder
		for ; len(value) > 0; value = value[4:] {
			b.WriteRune(rune(binary.BigEndian.Uint32(value) & 0x7fffffff))
		}
		return b.String(), true
	}
	return "", false
}

// appendRDN returns the Name, DER, that is name with one more
// RelativeDistinguishedName, given by its content.
func appendRDN(name []byte, rdn []byte) ([]byte, bool) {
	input := cryptobyte.String(name)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() {
		return nil, false
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(sequence)
		b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(rdn) })
	})
	der, err := b.Bytes()
	return der, err == nil
}
