package smtp

import (
	"fmt"
	"strings"
)

// ParseReversePath parses the argument of MAIL FROM with its angle brackets:
// "<>" or "<local@domain>". A source route is accepted and ignored (RFC 5321,
// appendix C). A local part is ASCII. Errors are *AddressError.
func ParseReversePath(s string) (ReversePath, error) { return parseReversePath(s, false) }

// parseReversePath is ParseReversePath; utf8 lets a local part be UTF-8.
func parseReversePath(s string, utf8 bool) (ReversePath, error) {
	if s == "<>" {
		return ReversePath{}, nil
	}
	m, err := parsePath(s, utf8)
	if err != nil {
		return ReversePath{}, err
	}
	if m.Domain == "" && m.Literal == "" {
		return ReversePath{}, addressError(AddressSyntax, "an address needs a domain")
	}
	return ReversePath{Mailbox: m}, nil
}

// ParseForwardPath parses the argument of RCPT TO with its angle brackets. The
// one address without a domain is <postmaster>, in any case of letters (RFC
// 5321, section 4.5.1). A local part is ASCII. Errors are *AddressError.
func ParseForwardPath(s string) (ForwardPath, error) { return parseForwardPath(s, false) }

// parseForwardPath is ParseForwardPath; utf8 lets a local part be UTF-8.
func parseForwardPath(s string, utf8 bool) (ForwardPath, error) {
	m, err := parsePath(s, utf8)
	if err != nil {
		return ForwardPath{}, err
	}
	if m.Domain == "" && m.Literal == "" && !strings.EqualFold(m.LocalPart, "postmaster") {
		return ForwardPath{}, addressError(AddressSyntax, "an address needs a domain")
	}
	return ForwardPath{Mailbox: m}, nil
}

func parsePath(s string, utf8 bool) (Mailbox, error) {
	if len(s) < 2 || s[0] != '<' || s[len(s)-1] != '>' {
		return Mailbox{}, addressError(AddressSyntax, "an address stands in angle brackets")
	}
	// U-labels are longer than the A-labels that the limit is about.
	if isASCII(s) && len(s) > maxPathBytes {
		return Mailbox{}, addressError(AddressTooLong, fmt.Sprintf("path longer than %d octets", maxPathBytes))
	}
	inner := s[1:]
	if strings.HasPrefix(inner, "@") {
		var err error
		if inner, err = skipSourceRoute(inner); err != nil {
			return Mailbox{}, err
		}
	}
	m, rest, err := parseMailbox(inner, utf8)
	if err != nil {
		return Mailbox{}, err
	}
	if rest != ">" {
		return Mailbox{}, addressError(AddressSyntax, "text after the address")
	}
	return m, nil
}

// skipSourceRoute drops "@one,@two:" after checking that it is one.
func skipSourceRoute(s string) (string, error) {
	route, rest, ok := strings.Cut(s, ":")
	if !ok {
		return "", addressError(AddressSyntax, "a source route without end")
	}
	for hop := range strings.SplitSeq(route, ",") {
		name, ok := strings.CutPrefix(hop, "@")
		if !ok {
			return "", addressError(AddressSyntax, "not a source route")
		}
		if _, err := ParseDomain(name); err != nil {
			return "", &AddressError{Fault: AddressSyntax, Text: "not a source route"}
		}
	}
	return rest, nil
}

// pathEnd returns the length of the path at the start of s, through its
// closing ">", minding quotation marks; -1 when there is none.
func pathEnd(s []byte) int {
	if len(s) == 0 || s[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	return -1
}
