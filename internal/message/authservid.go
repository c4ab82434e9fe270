package message

import (
	"bytes"
	"strings"

	"mailpact/internal/smtp"
)

// carriesAuthservID reports whether the body of an Authentication-Results field
// carries the authserv-id own (RFC 8601, section 2.2): in any case, quoted or
// not, behind comments, with or without a version. A body that does not follow
// the grammar as far as its first result carries own when it mentions it
// anywhere, because nobody knows what another parser makes of it.
func carriesAuthservID(body []byte, own string) bool {
	id, ok := authservID(unfold(body))
	if ok {
		return sameAuthservID(id, own)
	}
	return mentions(string(body), own)
}

// authservID returns the authserv-id of an unfolded body. ok is false when the
// body is malformed before its first ";".
func authservID(s string) (id string, ok bool) {
	rest, ok := skipCFWS(s)
	if !ok || rest == "" {
		return "", false
	}
	if rest[0] == '"' {
		id, rest, ok = quotedString(rest)
	} else {
		n := 0
		for n < len(rest) && isToken(rest[n]) {
			n++
		}
		id, rest, ok = rest[:n], rest[n:], n > 0
	}
	if !ok {
		return "", false
	}
	if rest, ok = skipCFWS(rest); !ok {
		return "", false
	}
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		if rest, ok = skipCFWS(rest[digits:]); !ok {
			return "", false
		}
	}
	return id, rest == "" || rest[0] == ';'
}

func sameAuthservID(id, own string) bool {
	if id = squeezeText(id); strings.EqualFold(id, squeezeText(own)) || strings.EqualFold(id, authservToken(own)) {
		return true
	}
	if isASCII(id) && isASCII(own) {
		return false // no other spelling of a domain is left
	}
	a, err := smtp.ParseDomain(id)
	if err != nil {
		return false
	}
	b, err := smtp.ParseDomain(own)
	return err == nil && a == b
}

// mentions looks for own in s as it is, without comments, and with encoded
// words decoded, always without white space, quotes and control characters.
func mentions(s, own string) bool {
	own = strings.ToLower(squeezeText(own))
	for _, v := range fieldViews(s) {
		if strings.Contains(strings.ToLower(squeezeText(v)), own) {
			return true
		}
	}
	return false
}

// squeezeText drops what a tolerant comparison does not see: white space,
// control characters, quotes, backslashes and a dot at the end.
func squeezeText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSuffix(s, ".")
}

// skipCFWS skips white space and comments (RFC 5322, section 3.2.2). ok is
// false when a comment does not end.
func skipCFWS(s string) (rest string, ok bool) {
	for s != "" {
		switch s[0] {
		case ' ', '\t':
			s = s[1:]
		case '(':
			n := commentLength(s)
			if n == 0 {
				return "", false
			}
			s = s[n:]
		default:
			return s, true
		}
	}
	return "", true
}

// commentLength returns the length of the comment that s begins with, nested
// ones included, or 0 when it does not end.
func commentLength(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// quotedString takes the quoted-string that s begins with apart; value is
// without quotes and escapes. ok is false when it does not end.
func quotedString(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// isToken reports whether c may stand in a token (RFC 2045, section 5.1, with
// RFC 8601's permission of UTF-8).
func isToken(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?=`, rune(c))
}

// unfold returns the octets of a field's body as one line: line ends removed
// that stand before white space or at the end, the white space kept (RFC 5322,
// section 2.2.3).
func unfold(body []byte) string {
	body = bytes.TrimRight(body, "\r\n")
	if bytes.IndexByte(body, '\n') < 0 {
		return string(body)
	}
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] == '\r' && i+1 < len(body) && body[i+1] == '\n' {
			continue
		}
		if body[i] == '\n' && i+1 < len(body) && (body[i+1] == ' ' || body[i+1] == '\t') {
			continue
		}
		out = append(out, body[i])
	}
	return string(out)
}
