package message

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxExtracted is the longest Message-ID and Subject that are kept, in octets.
const maxExtracted = 255

// InternetMessageID returns the value of the first Message-ID field, with its
// angle brackets and without checks, printable and cut to 255 octets; "" when
// there is none.
func (h *Header) InternetMessageID() string { return h.first("message-id") }

// Subject returns the value of the first Subject field as it is written,
// encoded words included, printable and cut to 255 octets; "" when there is none.
func (h *Header) Subject() string { return h.first("subject") }

// ReceivedCount returns the number of Received fields: the hops that the
// message has behind it (RFC 5321, section 6.3).
func (h *Header) ReceivedCount() int {
	n := 0
	for _, f := range h.fields {
		if f.raw[0]|0x20 == 'r' && f.Is("received") {
			n++
		}
	}
	return n
}

func (h *Header) first(name string) string {
	for _, f := range h.fields {
		if f.raw[0]|0x20 == name[0] && f.Is(name) {
			// Twice the length is enough to cut from, whatever was folded.
			body := f.Body()
			if len(body) > 4*maxExtracted {
				body = body[:4*maxExtracted]
			}
			return printable(bytes.TrimSpace([]byte(unfold(body))), maxExtracted)
		}
	}
	return ""
}

// printable returns b as a string that can stand in any log: control
// characters become spaces, what is not UTF-8 becomes "?", and it is cut
// between characters to at most limit octets.
func printable(b []byte, limit int) string {
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		switch {
		case r == utf8.RuneError && n <= 1:
			r = '?'
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			r = ' '
		}
		if out.Len()+utf8.RuneLen(r) > limit {
			break
		}
		out.WriteRune(r)
	}
	return out.String()
}
