package logfile

import (
	"time"
	"unicode"
	"unicode/utf8"
)

// maxValue is the longest value in a row, in octets; longer ones are cut and end in "...".
const maxValue = 4096

// AppendTime appends t in UTC with milliseconds, "2006-08-28T22:37:53.323Z".
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, d := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	hour, minute, second := t.Clock()
	dst = append(dst, byte('0'+year/1000), byte('0'+year/100%10))
	dst = appendTwo(dst, year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), d)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	ms := t.Nanosecond() / int(time.Millisecond)
	dst = append(dst, '.', byte('0'+ms/100))
	return append(appendTwo(dst, ms%100), 'Z')
}

func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// AppendValue appends one value of a comma-separated row, cut to 4 KB. It is
// quoted when it holds a comma, a quote or a space at an end (RFC 4180); control
// characters become spaces and octets that are not UTF-8 become "?", so that a
// row is one line and can be shown on any terminal.
func AppendValue(dst []byte, s string) []byte {
	if len(s) > maxValue {
		return appendOdd(dst, s, maxValue)
	}
	return AppendList(dst, s)
}

// AppendList is AppendValue for a value that may be long and is not cut.
func AppendList(dst []byte, s string) []byte {
	odd := s != "" && (s[0] == ' ' || s[len(s)-1] == ' ')
	for i := 0; i < len(s) && !odd; i++ {
		c := s[i]
		odd = c < ' ' || c >= 0x7f || c == ',' || c == '"'
	}
	if odd {
		return appendOdd(dst, s, len(s))
	}
	return append(dst, s...)
}

func appendOdd(dst []byte, s string, limit int) []byte {
	start := len(dst)
	dst = append(dst, '"')
	quoted := s != "" && (s[0] == ' ' || s[len(s)-1] == ' ')
	for i, r := range s {
		if i >= limit {
			dst = append(dst, "..."...)
			break
		}
		switch {
		case r == '"':
			dst = append(dst, '"', '"')
			quoted = true
			continue
		case r == ',':
			quoted = true
		case r == utf8.RuneError:
			r = '?'
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Bidi_Control, r):
			r = ' '
		}
		dst = utf8.AppendRune(dst, r)
	}
	if !quoted {
		return append(dst[:start], dst[start+1:]...)
	}
	return append(dst, '"')
}

// Header returns the five lines that begin a file of rows.
func Header(logType, version, fields string, now time.Time) []byte {
	b := []byte("#Software: Mailpact\n#Version: " + version + "\n#Log-type: " + logType + "\n#Date: ")
	b = AppendTime(b, now)
	return append(b, "\n#Fields: "+fields+"\n"...)
}
