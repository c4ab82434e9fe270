package smtp

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of RFC 5321, section 4.5.3.1.
const (
	maxLocalPartBytes = 64  // section 4.5.3.1.1
	maxPathBytes      = 256 // section 4.5.3.1.3, with punctuation
)

// AddressFault says what is wrong with an address.
type AddressFault uint8

// The faults.
const (
	AddressFaultUnknown   AddressFault = iota
	AddressSyntax                      // it does not follow RFC 5321, section 4.1.2
	AddressTooLong                     // a limit of RFC 5321, section 4.5.3.1
	AddressDomainUnusable              // the domain cannot be brought into the form of Domain
	AddressNotASCII                    // a local part with octets above 127, which needs SMTPUTF8
)

// AddressError says that an address was refused. Its text does not contain the
// address, so that it can go into a reply.
type AddressError struct {
	Fault AddressFault
	Text  string
}

// Error returns Text.
func (e *AddressError) Error() string { return e.Text }

func addressError(f AddressFault, text string) error { return &AddressError{Fault: f, Text: text} }

// ParseMailbox parses an address without angle brackets: local-part@domain or
// local-part@[literal], by RFC 5321, section 4.1.2 and nothing looser, except
// that the domain is read by ParseDomain. Errors are *AddressError.
func ParseMailbox(s string) (Mailbox, error) {
	m, rest, err := parseMailbox(s, false)
	if err != nil {
		return Mailbox{}, err
	}
	if rest != "" {
		return Mailbox{}, addressError(AddressSyntax, "text after the address")
	}
	if m.Domain == "" && m.Literal == "" {
		return Mailbox{}, addressError(AddressSyntax, "an address needs a domain")
	}
	return m, nil
}

// parseMailbox reads a mailbox up to the end of s or to a ">", which it
// returns in rest. A mailbox without "@" has neither Domain nor Literal. utf8
// says whether the local part may be UTF-8.
func parseMailbox(s string, utf8 bool) (m Mailbox, rest string, err error) {
	m.LocalPart, rest, err = parseLocalPart(s)
	if err == nil {
		err = checkCharacters(m.LocalPart, utf8)
	}
	if err != nil {
		return Mailbox{}, "", err
	}
	if rest == "" || rest[0] != '@' {
		return m, rest, nil
	}
	domain, rest := rest[1:], ""
	if i := strings.IndexByte(domain, '>'); i >= 0 {
		domain, rest = domain[:i], domain[i:]
	}
	if strings.HasPrefix(domain, "[") {
		m.Literal, err = parseLiteral(domain)
		return m, rest, err
	}
	m.Domain, err = ParseDomain(domain)
	if err != nil {
		return Mailbox{}, "", &AddressError{Fault: AddressDomainUnusable, Text: err.Error()}
	}
	return m, rest, nil
}

// checkCharacters refuses a local part beyond ASCII, or beyond what RFC 6531,
// section 3.3 allows: UTF-8, to which we add that it has no control characters.
// It is not normalised, because only its own domain knows what it means.
func checkCharacters(local string, mayBeUTF8 bool) error {
	switch {
	case isASCII(local):
		return nil
	case !mayBeUTF8:
		return addressError(AddressNotASCII, "a local part beyond ASCII needs SMTPUTF8")
	case !utf8.ValidString(local):
		return addressError(AddressSyntax, "a local part that is not UTF-8")
	case strings.ContainsFunc(local, unicode.IsControl):
		return addressError(AddressSyntax, "a control character in the local part")
	}
	return nil
}

// parseLocalPart reads a dot-string or a quoted string, of any octets above 127,
// and returns it unquoted.
func parseLocalPart(s string) (local, rest string, err error) {
	if s != "" && s[0] == '"' {
		return parseQuotedLocalPart(s)
	}
	end := 0
	for end < len(s) && s[end] != '@' && s[end] != '>' {
		end++
	}
	local, rest = s[:end], s[end:]
	switch {
	case len(local) > maxLocalPartBytes:
		return "", "", addressError(AddressTooLong, fmt.Sprintf("local part longer than %d octets", maxLocalPartBytes))
	case !isDotString(local):
		return "", "", addressError(AddressSyntax, "not a local part")
	}
	return local, rest, nil
}

// parseQuotedLocalPart reads a quoted string, of printable ASCII, spaces
// (qtextSMTP, quoted-pairSMTP) and octets above 127.
func parseQuotedLocalPart(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			if i+1 > maxLocalPartBytes {
				return "", "", addressError(AddressTooLong, fmt.Sprintf("local part longer than %d octets", maxLocalPartBytes))
			}
			return b.String(), s[i+1:], nil
		}
		if c == '\\' {
			if i++; i == len(s) {
				break
			}
			c = s[i]
		}
		if c < ' ' || c == 0x7f {
			return "", "", addressError(AddressSyntax, "a control character in the local part")
		}
		b.WriteByte(c)
	}
	return "", "", addressError(AddressSyntax, "a quoted local part without end")
}

// parseLiteral checks an IPv4 or IPv6 address literal (RFC 5321, section
// 4.1.3) and returns it in lower case. No general address literal has been
// standardised, so none is accepted.
func parseLiteral(s string) (string, error) {
	s = lowerASCII(s)
	if len(s) < 2 || s[len(s)-1] != ']' {
		return "", addressError(AddressSyntax, "an address literal without end")
	}
	text, v6 := strings.CutPrefix(s[1:len(s)-1], "ipv6:")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4() == v6 {
		return "", addressError(AddressSyntax, "not an address literal")
	}
	return s, nil
}
