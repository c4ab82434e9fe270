package smtp

import (
	"bytes"
	"math"
)

// parseMailParameters parses the parameters of MAIL (RFC 5321, section
// 4.1.2). Those of extensions that were not offered are not known. A fault is
// one of the loop's replies.
func parseMailParameters(b []byte, offered KeywordSet) (p MailParameters, fault *Reply) {
	var size, body bool
	for {
		keyword, value, hasValue, rest := nextParameter(b)
		if keyword == nil {
			return p, nil
		}
		b = rest
		if !validParameter(keyword, value, hasValue) {
			return p, &replyParameterSyntax
		}
		switch {
		case offered.Has(KeywordSIZE) && equalFoldASCII(keyword, "SIZE"): // RFC 1870, section 4
			if size {
				return p, &replyParameterTwice
			}
			size = true
			n, ok := parseSize(value)
			if !ok {
				return p, &replyParameterSyntax
			}
			p.Size = n
		case offered&(Keyword8BITMIME|KeywordBINARYMIME) != 0 && equalFoldASCII(keyword, "BODY"):
			if body {
				return p, &replyParameterTwice
			}
			body = true
			if p.Body = parseBodyType(value, offered); p.Body == BodyUnspecified {
				return p, &replyParameterSyntax
			}
		default:
			return p, &replyUnknownParameter
		}
	}
}

// parseBodyType reads a value of BODY (RFC 6152, section 2; RFC 3030, section 3).
func parseBodyType(value []byte, offered KeywordSet) BodyType {
	switch {
	case equalFoldASCII(value, "7BIT"):
		return Body7Bit
	case offered.Has(Keyword8BITMIME) && equalFoldASCII(value, "8BITMIME"):
		return Body8BitMIME
	case offered.Has(KeywordBINARYMIME) && equalFoldASCII(value, "BINARYMIME"):
		return BodyBinaryMIME
	}
	return BodyUnspecified
}

// refuseRecipientParameters refuses every parameter of RCPT: no extension on
// offer has one.
func refuseRecipientParameters(b []byte) *Reply {
	keyword, value, hasValue, _ := nextParameter(b)
	switch {
	case keyword == nil:
		return nil
	case !validParameter(keyword, value, hasValue):
		return &replyParameterSyntax
	}
	return &replyUnknownParameter
}

// nextParameter cuts the next parameter off b; keyword is nil at the end.
func nextParameter(b []byte) (keyword, value []byte, hasValue bool, rest []byte) {
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 {
		return nil, nil, false, nil
	}
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		b, rest = b[:i], b[i:]
	}
	keyword, value, hasValue = bytes.Cut(b, []byte{'='})
	return keyword, value, hasValue, rest
}

// validParameter checks esmtp-keyword and esmtp-value.
func validParameter(keyword, value []byte, hasValue bool) bool {
	if len(keyword) == 0 || keyword[0] == '-' {
		return false
	}
	for _, c := range keyword {
		if !isLetter(c) && !isDigit(c) && c != '-' {
			return false
		}
	}
	for _, c := range value {
		if c <= ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return !hasValue || len(value) > 0
}

// parseSize reads a SIZE value: 1 to 20 digits (RFC 1870, section 4). What
// does not fit becomes the largest number, which is over every limit but "none".
func parseSize(value []byte) (int64, bool) {
	if len(value) == 0 || len(value) > 20 {
		return 0, false
	}
	n := int64(0)
	for _, c := range value {
		if !isDigit(c) {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
