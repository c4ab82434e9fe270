package smtp

import (
	"strconv"
)

// maxReplyLineBytes is the longest reply line with code and CRLF (RFC 5321,
// section 4.5.3.1.5); longer text is cut.
const maxReplyLineBytes = 512

// appendReply appends r as it goes over the wire. Each line carries the
// enhanced code (RFC 2034, section 4). Text that is not printable ASCII is
// escaped and what does not fit is cut, because parts of it may come from a
// certificate, another peer or an administrator.
func appendReply(b []byte, r *Reply) []byte {
	if len(r.Lines) == 0 {
		return appendReplyLine(b, r, "", true)
	}
	for i, text := range r.Lines {
		b = appendReplyLine(b, r, text, i == len(r.Lines)-1)
	}
	return b
}

func appendReplyLine(b []byte, r *Reply, text string, last bool) []byte {
	start := len(b)
	b = strconv.AppendInt(b, int64(r.Code), 10)
	if last {
		b = append(b, ' ')
	} else {
		b = append(b, '-')
	}
	if r.Enhanced != (EnhancedCode{}) {
		b = appendEnhanced(b, r.Enhanced)
		b = append(b, ' ')
	}
	room := maxReplyLineBytes - len("\r\n") - (len(b) - start)
	b = appendPrintable(b, text, room)
	return append(b, '\r', '\n')
}

func appendEnhanced(b []byte, e EnhancedCode) []byte {
	b = strconv.AppendUint(b, uint64(e[0]), 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(e[1]), 10)
	b = append(b, '.')
	return strconv.AppendUint(b, uint64(e[2]), 10)
}

// appendPrintable appends s, with every octet outside printable ASCII escaped
// as \xNN, and stops before the result would grow by more than room octets.
func appendPrintable[T string | []byte](b []byte, s T, room int) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c <= '~' {
			if room < 1 {
				return b
			}
			b = append(b, c)
			room--
			continue
		}
		if room < 4 {
			return b
		}
		b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		room -= 4
	}
	return b
}

// maxTranscriptBytes cuts a line in a transcript.
const maxTranscriptBytes = 1024

// printable returns s as a line of a transcript: escaped and cut.
func printable[T string | []byte](s T) string {
	return string(appendPrintable(make([]byte, 0, min(len(s), maxTranscriptBytes)), s, maxTranscriptBytes))
}
