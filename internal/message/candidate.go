package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"mailpact/internal/smtp"
)

// conversionBudget bounds what is spent on bringing the candidates of one
// header's From fields into A-labels, in octets. Whoever writes to people with
// internationalised addresses needs a hundredth of it. Other ASCII costs nothing.
const conversionBudget = 64 << 10

// candidates turns what may be a domain in a From field into one, each text
// once, within a budget for the whole header.
type candidates struct {
	left int
	// short: the budget did not suffice, and some domains remain unknown.
	short bool
}

// parse returns the domain that s is, or false.
func (c *candidates) parse(s string) (smtp.Domain, bool) {
	if !canBeDomain(s) {
		return "", false
	}
	if !isASCII(s) || strings.Contains(strings.ToLower(s), "xn--") {
		// The time grows with the square of a label's length.
		long := max(1, len(s)/256)
		if c.left -= len(s) * long * long; c.left < 0 {
			c.short = true
			return "", false
		}
	}
	d, err := smtp.ParseDomain(s)
	return d, err == nil && d != ""
}

// canBeDomain is the quick look before a candidate is converted. It is false
// only for what has more labels than a domain, or longer ones: the conversion
// never makes two characters one, but for the kinds that survives leaves out.
func canBeDomain(s string) bool {
	const maxLabel = 63
	label, total, dots := 0, 0, 0
	for _, r := range s {
		switch {
		case r == '.' || r == '\u3002' || r == '\uff0e' || r == '\uff61':
			dots++
			label = 0
		case survives(r):
			label++
			total++
		}
		if label > maxLabel || dots > smtp.MaxDomainBytes/2+1 || total > smtp.MaxDomainBytes {
			return false
		}
	}
	return true
}

// survives reports whether r is at least one octet of the A-label: marks join
// the letter before them, parts of Hangul syllables each other, and what nobody
// sees is dropped.
func survives(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return true
	case 0x1100 <= r && r <= 0x11ff, 0xa960 <= r && r <= 0xa97f, 0xd7b0 <= r && r <= 0xd7ff, // Hangul parts
		0x3130 <= r && r <= 0x318f, 0xff9e <= r && r <= 0xffdf: // that become such, and marks of half width
		return false
	}
	return !unicode.In(r, unicode.M, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
