package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeWords replaces what could be an encoded word (RFC 2047) anywhere in s,
// however badly it is placed or formed, by its text. White space between two of
// them goes. found is false when there was none.
//
// Character sets are not looked up: nearly all that are used in mail contain
// ASCII, and only ASCII matters in a domain that was listed. UTF-7, and UTF-16
// and UTF-32 by way of their NULs, are the exceptions that are known here.
func decodeWords(s string) (decoded string, found bool) {
	var b strings.Builder
	last := false // what was written last is an encoded word
	for {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		text, n := decodeWord(s[i:])
		if n == 0 {
			b.WriteString(s[:i+2])
			s = s[i+2:]
			last = false
			continue
		}
		if !last || strings.Trim(s[:i], " \t\r\n") != "" {
			b.WriteString(s[:i])
		}
		b.WriteString(text)
		s = s[i+n:]
		found, last = true, true
	}
	if !found {
		return s, false
	}
	b.WriteString(s)
	return b.String(), true
}

// decodeWord decodes the encoded word that s begins with; n is its length, 0
// when there is none. A missing end is the end of s.
func decodeWord(s string) (text string, n int) {
	rest := s[2:]
	charset, rest, ok := strings.Cut(rest, "?")
	if !ok || len(charset) > 64 || len(rest) < 2 || rest[1] != '?' {
		return "", 0
	}
	encoding := rest[0] | 0x20
	rest = rest[2:]
	end := strings.Index(rest, "?=")
	tail := 2
	if end < 0 {
		end, tail = len(rest), 0
	}
	switch encoding {
	case 'b':
		text = decodeB(rest[:end])
	case 'q':
		text = decodeQ(rest[:end])
	default:
		return "", 0
	}
	if strings.Contains(strings.ToLower(charset), "utf-7") || strings.Contains(strings.ToLower(charset), "utf7") {
		text = decodeUTF7(text)
	}
	return text, len(s) - len(rest) + end + tail
}

// decodeB decodes base64 and passes over whatever is not of its alphabet.
func decodeB(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '+', r == '/':
			return r
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		}
		return -1
	}, s)
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	// Trailing bits that are not zero are no reason to see nothing.
	out, _ := base64.RawStdEncoding.DecodeString(s)
	return string(out)
}

func decodeQ(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			b.WriteByte(' ')
		case s[i] == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// decodeUTF7 decodes the shifted parts of UTF-7 (RFC 2152).
func decodeUTF7(s string) string {
	var b strings.Builder
	for {
		plain, rest, ok := strings.Cut(s, "+")
		b.WriteString(plain)
		if !ok {
			return b.String()
		}
		n := 0
		for n < len(rest) && isBase64(rest[n]) {
			n++
		}
		if n == 0 {
			b.WriteByte('+')
		}
		raw, _ := base64.RawStdEncoding.DecodeString(rest[:n])
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		for _, r := range utf16.Decode(units) {
			b.WriteString(string(utf8.AppendRune(nil, r)))
		}
		s = strings.TrimPrefix(rest[n:], "-")
	}
}

func isBase64(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
