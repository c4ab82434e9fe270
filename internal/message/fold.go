package message

import "strings"

// The line lengths of RFC 5322, section 2.1.1, without CRLF.
const (
	wantedLine = 78
	maxLine    = 998
)

// dateLayout is RFC 5322's date-time.
const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// appendFolded appends the field "name: clause clause ..." with its CRLF to
// dst, folded so that lines stay below 78 octets: before a clause that does not
// fit any more, and within it before a space if it is longer than a line.
// Clauses must be printable ASCII without runs of spaces and without a space at
// either end; a word is cut when it alone would pass 998 octets.
func appendFolded(dst []byte, name string, clauses ...string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':')
	column, empty := len(name)+1, true // empty: nothing stands on the line yet
	fold := func(next int) {
		if column+1+next >= wantedLine && !empty {
			dst = append(dst, "\r\n"...)
			column, empty = 0, true
		}
	}
	for _, clause := range clauses {
		fold(len(clause))
		for word := range strings.SplitSeq(clause, " ") {
			word = cut(word, maxLine-1-len(name))
			fold(len(word))
			dst = append(dst, ' ')
			dst = append(dst, word...)
			column, empty = column+1+len(word), false
		}
	}
	return append(dst, "\r\n"...)
}

// maxEscaped is the longest escaped value in one of our own fields, in octets.
const maxEscaped = 255

// never are the octets that no value of ours may hold as they are.
const never = "%\"\\;"

// escaped returns s for a place in one of our own fields: printable ASCII, in
// which "%", quotes, backslashes, ";", the octets of special and every octet
// that is not printable ASCII stand as %XX. A space stands as it is only if
// special does not have it and it is alone between two other octets. The result
// cannot end a quoted string, a value or a line, not even for a reader that
// splits at ";" first. It is cut to 255 octets, and then ends in "...".
func escaped(s, special string) string {
	if len(s) <= maxEscaped && !needsEscape(s, special) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, maxEscaped+3)
	room := 0 // where to cut, if it must be
	for i := 0; i < len(s) && len(b) <= maxEscaped; i++ {
		if len(b) <= maxEscaped-len("...") {
			room = len(b)
		}
		if c := s[i]; plainAt(s, i, special) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	if len(b) > maxEscaped {
		return strings.TrimRight(string(b[:room]), " ") + "..."
	}
	return string(b)
}

// plainAt reports whether s[i] stands for itself.
func plainAt(s string, i int, special string) bool {
	c := s[i]
	if c == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' ') {
		return false
	}
	return c >= ' ' && c < 0x7f && strings.IndexByte(never, c) < 0 && strings.IndexByte(special, c) < 0
}

func needsEscape(s, special string) bool {
	for i := range len(s) {
		if !plainAt(s, i, special) {
			return true
		}
	}
	return false
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
