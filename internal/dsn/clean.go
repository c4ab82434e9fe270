package dsn

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"unicode"
	"unicode/utf8"
)

// foldAt is where lines are folded when they can be.
const foldAt = 76

// part begins a MIME part.
func part(b *bytes.Buffer, boundary, contentType, encoding string) {
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: %s\r\n", boundary, contentType)
	if encoding != "" {
		fmt.Fprintf(b, "Content-Transfer-Encoding: %s\r\n", encoding)
	}
	b.WriteString("\r\n")
}

// field writes one header field, folded at spaces.
func field(b *bytes.Buffer, name, value string) {
	fold(b, name+": "+value, " ")
}

// paragraph writes text, wrapped at spaces.
func paragraph(b *bytes.Buffer, text string) { fold(b, text, "") }

// fold writes text in lines of at most foldAt octets where its words allow it;
// lines after the first begin with indent. A word longer than 900 octets is cut
// (RFC 5322, section 2.1.1).
func fold(b *bytes.Buffer, text, indent string) {
	column := 0
	for i, word := range strings.Split(text, " ") {
		if len(word) > 900 {
			word = word[:900]
		}
		switch {
		case i == 0:
		case column+1+len(word) > foldAt && column > len(indent):
			b.WriteString("\r\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteString("\r\n")
}

// printable reduces s to printable ASCII of at most limit octets, runs of white
// space and control characters to one space.
func printable(s string, limit int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if b.Len() >= limit {
			break
		}
		switch {
		case r <= ' ' || r == 0x7f:
			space = b.Len() > 0
			continue
		case r > 0x7e:
			r = '?'
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// readable is printable for text that people read: visible characters beyond
// ASCII stay, those that steer the direction or the form of text do not.
func readable(s string) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if b.Len() >= maxText {
			break
		}
		switch {
		case r <= ' ' || unicode.IsControl(r):
			space = b.Len() > 0
			continue
		case r == utf8.RuneError || !unicode.IsPrint(r):
			r = '?'
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// returnable reports whether a whole message can stand in a report as it is.
func returnable(content []byte, boundary string) bool {
	if len(content) == 0 || bytes.Contains(content, []byte("--"+boundary)) || bytes.IndexByte(content, 0) >= 0 {
		return false
	}
	for line := range bytes.Lines(content) {
		text := bytes.TrimSuffix(line, []byte("\r\n"))
		if len(text) > maxLine || bytes.ContainsAny(text, "\r\n") {
			return false
		}
	}
	return true
}

// maxLine is the longest line of text without its CRLF (RFC 5322, section 2.1.1).
const maxLine = 998

// cleanOriginal cuts the original's header at a line end and makes every line
// end CRLF, so that it cannot end the part or the message early.
func cleanOriginal(h []byte) []byte {
	if len(h) > maxOriginal {
		h = h[:maxOriginal]
		if i := bytes.LastIndexByte(h, '\n'); i >= 0 {
			h = h[:i+1]
		}
	}
	var b bytes.Buffer
	for line := range bytes.Lines(h) {
		line = bytes.TrimRight(line, "\r\n")
		line = bytes.ReplaceAll(line, []byte{'\r'}, []byte{' '})
		if len(line) == 0 || bytes.HasPrefix(line, []byte("--")) {
			continue // neither an empty line nor a delimiter is a header line
		}
		if len(line) > 990 {
			line = line[:990]
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// encodeOriginal returns a cleaned header ready for its part, with the part's
// transfer encoding: none for ASCII, so that people can read it and the report
// can go anywhere.
func encodeOriginal(h []byte) (encoded []byte, encoding string) {
	plain := true
	for _, c := range h {
		plain = plain && c < 0x7f && (c >= ' ' || c == '\t' || c == '\r' || c == '\n')
	}
	if plain {
		return h, ""
	}
	return quoted(h), "quoted-printable"
}

// quoted returns text in quoted-printable.
func quoted(text []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	// A bytes.Buffer takes everything.
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}
