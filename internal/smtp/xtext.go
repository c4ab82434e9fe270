package smtp

import (
	"strings"
	"unicode/utf8"
)

// The limits of RFC 3461, section 5.4.
const (
	maxEnvelopeIDBytes        = 100
	maxOriginalRecipientBytes = 500
)

// DecodeXtext returns what s stands for (RFC 3461, section 4); ok is false when
// it is not xtext or stands for more than printable ASCII and white space,
// which is all that a report can show.
func DecodeXtext(s string) (decoded string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) {
				return "", false
			}
			high, low := upperHex(s[i+1]), upperHex(s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
			if (c < ' ' || c > '~') && c != '\t' {
				return "", false
			}
		case c <= ' ' || c > '~' || c == '=':
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// upperHex returns the value of an upper-case hexadecimal digit, -1 for others.
func upperHex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// OriginalRecipient is an ORCPT parameter (RFC 3461, section 4.2) as it came,
// in ASCII: an address type, ";", and the address in the encoding of its type.
// The empty one means that there was none.
type OriginalRecipient string

// utf8Type is the address type whose addresses are not xtext (RFC 6533, section 3).
const utf8Type = "utf-8"

// Decode returns the type, and the address as the Original-Recipient field of a
// report shows it: xtext is decoded, and an address of type utf-8 stays in its
// ASCII form. ok is false for what is no original recipient.
func (o OriginalRecipient) Decode() (addressType, address string, ok bool) {
	addressType, encoded, found := strings.Cut(string(o), ";")
	if !found || !isDotString(addressType) || strings.Contains(addressType, ".") || !isASCII(string(o)) || len(o) > maxOriginalRecipientBytes {
		return "", "", false
	}
	if equalFoldASCII([]byte(addressType), "UTF-8") {
		return addressType, encoded, isUTF8Address(encoded)
	}
	address, ok = DecodeXtext(encoded)
	return addressType, address, ok
}

// isUTF8Address reports the characters of utf-8-addr-xtext (RFC 6533, section 3).
func isUTF8Address(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '+' || c == '=' {
			return false
		}
	}
	return true
}

// AppendUTF8Address appends an address in the ASCII form of type utf-8 (RFC
// 6533, section 3): what is not a visible character is written as \x{NN}.
// Invalid octets become U+FFFD.
func AppendUTF8Address(b []byte, address string) []byte {
	for _, r := range address {
		if r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' {
			b = append(b, byte(r))
			continue
		}
		b = append(b, `\x{`...)
		b = appendHex(b, uint32(r))
		b = append(b, '}')
	}
	return b
}

// appendHex appends n in upper-case hexadecimal digits, at least two.
func appendHex(b []byte, n uint32) []byte {
	const digits = "0123456789ABCDEF"
	for shift := 20; shift >= 0; shift -= 4 {
		if shift < 8 || n>>shift != 0 {
			b = append(b, digits[n>>shift&15])
		}
	}
	return b
}

// parseOriginalRecipient reads the value of ORCPT. Octets above 127 may stand in
// an address of type utf-8 where SMTPUTF8 was said; they are written in its ASCII
// form, which every server with DSN takes.
func parseOriginalRecipient(value []byte, smtpUTF8 bool) (OriginalRecipient, bool) {
	o := OriginalRecipient(value)
	if !isASCII(string(value)) {
		addressType, address, _ := strings.Cut(string(value), ";")
		if !smtpUTF8 || !utf8.Valid(value) || !strings.EqualFold(addressType, utf8Type) {
			return "", false
		}
		b := append([]byte(nil), addressType+";"...)
		for _, r := range address {
			if r < utf8.RuneSelf {
				b = append(b, byte(r)) // it is encoded already
				continue
			}
			b = AppendUTF8Address(b, string(r))
		}
		o = OriginalRecipient(b)
	}
	_, _, ok := o.Decode()
	return o, ok
}
