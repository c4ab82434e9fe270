package smtp

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of domain names.
const (
	// MaxDomainBytes is the longest domain in A-labels without its trailing
	// dot (RFC 1035, section 2.3.4; RFC 5321, section 4.5.3.1.2 allows 255 with it).
	MaxDomainBytes = 253

	maxLabelBytes = 63 // RFC 1035, section 2.3.4

	// maxDomainInputBytes bounds what is looked at before the conversion:
	// comments and UTF-8 make a domain longer than its A-labels.
	maxDomainInputBytes = 1024
)

// errDomain is wrapped by every error of ParseDomain.
var errDomain = errors.New("not a mail domain")

// Domain is a mail domain in its one internal form: ASCII, lower case, A-labels
// (UTS 46), no trailing dot. Make one with ParseDomain; the empty Domain means
// "none" and matches nothing.
type Domain string

// ParseDomain brings a domain from an envelope, a header or a configuration
// into its one form. Comments and the white space that RFC 5322 allows around
// labels are dropped, one trailing dot too; U-labels are mapped and converted by
// UTS 46 (non-transitional, with the Bidi and joiner rules); A-labels must be
// the conversion of their own U-label. What is left must be labels of letters,
// digits and inner hyphens (RFC 5321, section 4.1.2), the last not all digits,
// because such a name is an address that lost its brackets. Errors name the
// fault and never contain the input.
func ParseDomain(s string) (Domain, error) {
	if canonicalDomain(s) {
		return Domain(s), nil
	}
	if len(s) > maxDomainInputBytes {
		return "", fmt.Errorf("%w: longer than %d octets", errDomain, maxDomainInputBytes)
	}
	if !utf8.ValidString(s) { // the conversion would find a replacement character
		return "", fmt.Errorf("%w: it is not UTF-8", errDomain)
	}
	if strings.ContainsAny(s, "( \t\r\n") {
		stripped, err := stripComments(s)
		if err != nil {
			return "", err
		}
		s = stripped
	}
	s = lowerASCII(s)
	if isASCII(s) && !hasALabel(s) {
		s = strings.TrimSuffix(s, ".")
		if err := checkDomain(s); err != nil {
			return "", err
		}
		return Domain(s), nil
	}
	a, err := idna.Lookup.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("%w: it cannot be converted to A-labels", errDomain)
	}
	a = strings.TrimSuffix(a, ".")
	if err := checkDomain(a); err != nil {
		return "", err
	}
	return Domain(a), nil
}

// Unicode returns the domain in U-labels, for eyes only: it must never be
// compared, stored or sent. A domain that has no U-label form comes back as it is.
func (d Domain) Unicode() string {
	if !hasALabel(string(d)) {
		return string(d)
	}
	u, err := idna.Display.ToUnicode(string(d))
	if err != nil {
		return string(d)
	}
	return u
}

// canonicalDomain reports that ParseDomain would return s unchanged. It takes
// one pass and no memory, because nearly every domain is written that way; a
// name with an A-label is left to the long way.
func canonicalDomain(s string) bool {
	if len(s) == 0 || len(s) > MaxDomainBytes {
		return false
	}
	label, digits := 0, true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 || label > maxLabelBytes || s[i-1] == '-' {
				return false
			}
			label, digits = 0, true
			continue
		case 'a' <= c && c <= 'z':
			digits = false
		case '0' <= c && c <= '9':
		case c == '-':
			if label == 0 {
				return false
			}
			digits = false
		default:
			return false
		}
		label++
	}
	return label > 0 && label <= maxLabelBytes && !digits && s[len(s)-1] != '-' && !hasALabel(s)
}

// checkDomain checks labels and lengths of s, which is lower case and without trailing dot.
func checkDomain(s string) error {
	if s == "" {
		return fmt.Errorf("%w: it is empty", errDomain)
	}
	if len(s) > MaxDomainBytes {
		return fmt.Errorf("%w: longer than %d octets", errDomain, MaxDomainBytes)
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		switch {
		case label == "":
			return fmt.Errorf("%w: an empty label", errDomain)
		case len(label) > maxLabelBytes:
			return fmt.Errorf("%w: a label longer than %d octets", errDomain, maxLabelBytes)
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("%w: a label begins or ends with a hyphen", errDomain)
		}
		for i := range len(label) {
			if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' {
				return fmt.Errorf("%w: a character that host names do not have", errDomain)
			}
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("%w: the last label is a number", errDomain)
	}
	return nil
}

// stripComments removes comments (RFC 5322, section 3.2.2) and the white space
// that may stand around them, around dots and at the ends.
func stripComments(s string) (string, error) {
	var b strings.Builder
	depth, gap := 0, false
	last := byte('.') // so that leading space is allowed
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case depth > 0 && c == '\\':
			i++
		case c == '(':
			depth++
			gap = true
		case depth > 0 && c == ')':
			depth--
		case depth > 0:
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			gap = true
		case gap && last != '.' && c != '.':
			return "", fmt.Errorf("%w: white space or a comment inside a label", errDomain)
		default:
			gap = false
			last = c
			b.WriteByte(c)
		}
	}
	if depth > 0 {
		return "", fmt.Errorf("%w: a comment without end", errDomain)
	}
	return b.String(), nil
}

// hasALabel reports that a label of s, which is lower case, begins with "xn--".
func hasALabel(s string) bool {
	return strings.HasPrefix(s, "xn--") || strings.Contains(s, ".xn--")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// lowerASCII lowers A to Z and leaves every other octet alone.
func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lower(b[i])
			}
			return string(b)
		}
	}
	return s
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isLetter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
