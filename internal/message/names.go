package message

import "bytes"

// maxSqueezed is more than the longest name or prefix that is compared.
const maxSqueezed = 40

// squeeze returns the name in region as the most tolerant parser would see it:
// white space, control characters and octets above ASCII dropped, in lower
// case, cut to the length of b. The result lies in b.
func squeeze(b *[maxSqueezed]byte, region []byte) []byte {
	n := 0
	for _, c := range region {
		if c <= ' ' || c >= 0x7f {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if n == len(b) {
			break
		}
		b[n] = c
		n++
	}
	return b[:n]
}

// firstToken cuts region at the first white space after its first visible
// octet: what a parser sees that ends a name there.
func firstToken(region []byte) []byte {
	region = bytes.TrimLeft(region, " \t\r\n")
	if i := bytes.IndexAny(region, " \t\r\n"); i >= 0 {
		return region[:i]
	}
	return region
}

// oddSeparators are octets other than CRLF at which one parser or another
// begins a new line.
const oddSeparators = "\v\f\x1c\x1d\x1e"

func hasOddSeparator(section []byte) bool {
	for i := range len(oddSeparators) {
		if bytes.IndexByte(section, oddSeparators[i]) >= 0 {
			return true
		}
	}
	return bytes.IndexByte(section, 0x85) >= 0 || bytes.Contains(section, []byte("\xe2\x80"))
}

// hidesLineEnd reports whether raw has a separator other than LF and CRLF.
func hidesLineEnd(raw []byte) bool {
	return hasOddSeparator(raw) || bytes.Count(raw, []byte{'\r'}) != bytes.Count(raw, []byte("\r\n"))
}

// malformed reports whether the element's first line is not "name: ..." with a
// name by RFC 5322, white space before the colon allowed. What follows in such
// an element may be anything to anyone.
func (f Field) malformed() bool {
	if f.colon <= 0 {
		return true
	}
	name := bytes.TrimRight(f.raw[:f.colon], " \t")
	if len(name) == 0 {
		return true
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return true
		}
	}
	return false
}

// maxHiddenName bounds how far a hidden name is looked for: a line of mail.
const maxHiddenName = 998

// hidden calls yield for each part of the element that some parser could take
// for a field of its own: after a separator that is not a line end to us, and,
// where the element is malformed, after each of its line ends. It takes time in
// proportion to the element's length.
func (f Field) hidden(yield func(Field) (more bool)) {
	lines := f.malformed()
	if !lines && !f.odd {
		return
	}
	colon := 0
	for i := 0; i < len(f.raw); i++ {
		n := separatorAt(f.raw[i:], lines)
		if n == 0 {
			continue
		}
		start := i + n
		for start < len(f.raw) && (f.raw[start] <= ' ' || f.raw[start] == 0x7f) {
			start++
		}
		i = start - 1
		if colon < start {
			next := bytes.IndexByte(f.raw[start:], ':')
			if next < 0 {
				return
			}
			colon = start + next
		}
		if colon-start <= maxHiddenName && !yield(Field{raw: f.raw[start:], colon: colon - start}) {
			return
		}
	}
}

// separatorAt returns the length of the separator that b begins with, or 0.
// A LF, and the CR before it, count only where lines is set.
func separatorAt(b []byte, lines bool) int {
	switch b[0] {
	case '\n':
		if lines {
			return 1
		}
	case '\r':
		if len(b) == 1 || b[1] != '\n' {
			return 1
		}
	case '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85:
		return 1
	case 0xe2:
		if len(b) > 2 && b[1] == 0x80 && (b[2] == 0xa8 || b[2] == 0xa9) {
			return 3 // U+2028 and U+2029
		}
	}
	return 0
}
