package message

import (
	"strings"
	"time"
)

// The line lengths of RFC 5322, section 2.1.1, without CRLF.
const (
	wantedLine = 78
	maxLine    = 998
)

// dateLayout is RFC 5322's date-time.
const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

func headerDate(t time.Time) string { return t.Format(dateLayout) }

// appendFolded appends the field "name: value" with its CRLF to dst, folded
// before spaces of value so that lines stay below 78 octets where a space
// allows it. value must be printable ASCII without runs of spaces and without
// a space at either end; a word is cut when it alone would pass 998 octets.
func appendFolded(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':')
	column := len(name) + 1
	for word := range strings.SplitSeq(value, " ") {
		if len(word) > maxLine-1 {
			word = word[:maxLine-1]
		}
		if column+1+len(word) >= wantedLine && column > len(name)+1 {
			dst = append(dst, "\r\n"...)
			column = 0
		}
		dst = append(dst, ' ')
		dst = append(dst, word...)
		column += 1 + len(word)
	}
	return append(dst, "\r\n"...)
}

// maxEscaped is the longest escaped value in one of our own fields, in octets.
const maxEscaped = 255

// escaped returns s for a place in one of our own fields: printable ASCII, in
// which "%", quotes, backslashes, ";" and every octet that is not printable
// ASCII stand as %XX, as do spaces at the ends and after another space, and all
// spaces unless spaces is set. The result cannot end a quoted string, a value or
// a line, not even for a reader that splits at ";" first. It is cut to 255
// octets, and then ends in "...".
func escaped(s string, spaces bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		plain := c > ' ' && c < 0x7f && c != '%' && c != '"' && c != '\\' && c != ';'
		if c == ' ' && spaces && i > 0 && i < len(s)-1 && s[i-1] != ' ' {
			plain = true
		}
		n := 1
		if !plain {
			n = 3
		}
		if b.Len()+n > maxEscaped-3 && b.Len()+(len(s)-i)*3 > maxEscaped && !fits(s[i:], maxEscaped-b.Len()) {
			return strings.TrimRight(b.String(), " ") + "..."
		}
		if plain {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// fits reports whether s needs no escape and at most room octets.
func fits(s string, room int) bool {
	if len(s) > room {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '"' || c == '\\' || c == ';' {
			return false
		}
	}
	return true
}

// unescaped undoes escaped; a "%" that no two hexadecimal digits follow stands for itself.
func unescaped(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
