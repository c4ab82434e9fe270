package smtp

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// parseMailParameters parses the parameters of MAIL (RFC 5321, section
// 4.1.2). Those of extensions that were not offered are not known. A fault is
// one of the loop's replies.
func parseMailParameters(b []byte, offered KeywordSet) (p MailParameters, fault *Reply) {
	var seen mailParameter
	for {
		keyword, value, hasValue, rest := nextParameter(b)
		if keyword == nil {
			return p, nil
		}
		b = rest
		if !validParameter(keyword, value, hasValue) {
			return p, &replyParameterSyntax
		}
		which := knownMailParameter(keyword, offered)
		switch {
		case which == 0:
			return p, &replyUnknownParameter
		case seen&which != 0:
			return p, &replyParameterTwice
		case !p.set(which, value, hasValue, offered):
			return p, &replyParameterSyntax
		}
		seen |= which
	}
}

// mailParameter is a set of parameters of MAIL.
type mailParameter uint8

const (
	parameterSIZE mailParameter = 1 << iota
	parameterBODY
	parameterSMTPUTF8
	parameterRET
	parameterENVID
	parameterAUTH
)

// mailParameters says which parameter which extension brings.
var mailParameters = [...]struct {
	keyword string
	of      KeywordSet // any of these must be offered
	which   mailParameter
}{
	{"SIZE", KeywordSIZE, parameterSIZE},
	{"BODY", Keyword8BITMIME | KeywordBINARYMIME, parameterBODY},
	{"SMTPUTF8", KeywordSMTPUTF8, parameterSMTPUTF8},
	{"RET", KeywordDSN, parameterRET},
	{"ENVID", KeywordDSN, parameterENVID},
	{"AUTH", KeywordAUTH, parameterAUTH},
}

func knownMailParameter(keyword []byte, offered KeywordSet) mailParameter {
	for i := range mailParameters {
		if p := &mailParameters[i]; p.of&offered != 0 && equalFoldASCII(keyword, p.keyword) {
			return p.which
		}
	}
	return 0
}

// set takes the value of one parameter and reports whether it has the form.
func (p *MailParameters) set(which mailParameter, value []byte, hasValue bool, offered KeywordSet) (ok bool) {
	switch which {
	case parameterSIZE: // RFC 1870, section 4
		p.Size, ok = parseSize(value)
	case parameterBODY:
		p.Body = parseBodyType(value, offered)
		ok = p.Body != BodyUnspecified
	case parameterSMTPUTF8: // RFC 6531, section 3.4
		p.UTF8, ok = true, !hasValue
	case parameterRET:
		p.Return, ok = parseReturn(value)
	case parameterENVID:
		p.EnvelopeID = string(value)
		_, ok = DecodeXtext(p.EnvelopeID)
		ok = ok && hasValue && len(value) <= maxEnvelopeIDBytes
	case parameterAUTH:
		// RFC 4954, section 5: who does not trust the client to say whose mail it
		// is takes it for AUTH=<>, and that is everybody here.
		_, ok = DecodeXtext(string(value))
		ok = ok && hasValue && len(value) <= maxAuthParameterBytes
	}
	return ok
}

// maxAuthParameterBytes bounds AUTH= in MAIL (RFC 4954, section 3).
const maxAuthParameterBytes = 500

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

// parseRecipientParameters parses the parameters of RCPT, which all belong to
// DSN (RFC 3461, section 4). smtpUTF8 says that SMTPUTF8 was said in MAIL.
func parseRecipientParameters(b []byte, offered KeywordSet, smtpUTF8 bool) (p RecipientParameters, fault *Reply) {
	for {
		keyword, value, hasValue, rest := nextParameter(b)
		if keyword == nil {
			return p, nil
		}
		b = rest
		isORCPT := equalFoldASCII(keyword, "ORCPT")
		if !validParameter(keyword, value, hasValue) && (!isORCPT || !smtpUTF8 || !utf8.Valid(value)) {
			return p, &replyParameterSyntax
		}
		var ok, twice bool
		switch {
		case !offered.Has(KeywordDSN):
			return p, &replyUnknownParameter
		case equalFoldASCII(keyword, "NOTIFY"):
			twice = p.Notify != 0
			p.Notify, ok = parseNotify(value)
		case isORCPT:
			twice = p.OriginalRecipient != ""
			p.OriginalRecipient, ok = parseOriginalRecipient(value, smtpUTF8)
		default:
			return p, &replyUnknownParameter
		}
		switch {
		case twice:
			return p, &replyParameterTwice
		case !ok:
			return p, &replyParameterSyntax
		}
	}
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
