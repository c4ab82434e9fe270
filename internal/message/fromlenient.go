package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"mailpact/internal/smtp"
)

// maxDomainSeen is longer than any domain with what may hide in it.
const maxDomainSeen = 1024

// lenientDomains calls add for every domain that could be seen behind an "@"
// in the body of a From field, as far as the budget in c allows. Domains may repeat.
func lenientDomains(body string, c *candidates, add func(smtp.Domain)) {
	seen := map[string]bool{}
	for _, v := range fieldViews(body) {
		before, rest, found := strings.Cut(v, "@")
		for found {
			touching := before != "" && before[len(before)-1] > ' '
			before, rest, found = strings.Cut(rest, "@")
			scanDomain(before, touching, func(s string) {
				if seen[s] {
					return
				}
				seen[s] = true
				if d, ok := c.parse(s); ok {
					add(d)
				}
			})
		}
	}
}

// scanDomain calls yield for what could be the domain at the start of after,
// which is the text from one "@" to the next: what follows directly, what
// follows behind anything that is not part of a domain, and what white space
// around dots leaves (RFC 5322, section 4.4; comments have been dropped in one
// of the views). touching says that something that is not white space stands
// before the "@": "Sales @ Bank" is no address.
func scanDomain(after string, touching bool, yield func(string)) {
	n := domainRun(after)
	if n > 0 {
		yieldDomain(after[:n], touching, yield)
	} else if skip := strings.IndexFunc(after, isDomainRune); skip >= 0 {
		behind := after[skip:]
		yieldDomain(behind[:domainRun(behind)], false, yield)
	}
	if d := obsDomain(after); len(d) > n {
		yieldDomain(d, false, yield)
	}
}

// yieldDomain yields s and what remains of it for parsers that stop earlier or
// do not see some of its characters.
func yieldDomain(s string, single bool, yield func(string)) {
	give := func(s string) {
		s = strings.Trim(s, ".-_")
		if s != "" && len(s) <= maxDomainSeen && (single || strings.Contains(s, ".") || strings.ContainsAny(s, "\u3002\uff0e\uff61")) {
			yield(s)
		}
	}
	give(s)
	if i := strings.IndexByte(s, '_'); i >= 0 {
		give(s[:i])
	}
	if strings.Contains(s, "..") {
		for strings.Contains(s, "..") {
			s = strings.ReplaceAll(s, "..", ".")
		}
		give(s)
	}
	if visible := strings.Map(dropInvisible, s); visible != s {
		give(visible)
	}
}

// obsDomain joins atoms and dots at the start of s over white space:
// "listed . example" is "listed.example".
func obsDomain(s string) string {
	var b strings.Builder
	for {
		s = strings.TrimLeft(s, " \t")
		n := labelRun(s)
		b.WriteString(s[:n])
		s = strings.TrimLeft(s[n:], " \t")
		if s == "" || s[0] != '.' {
			return b.String()
		}
		b.WriteByte('.')
		s = s[1:]
	}
}

// labelRun is domainRun without dots.
func labelRun(s string) int {
	for i, r := range s {
		if r == '.' || !isDomainRune(r) {
			return i
		}
	}
	return len(s)
}

// domainRun returns how many octets of s, from its start, can be in a domain.
func domainRun(s string) int {
	for i, r := range s {
		if !isDomainRune(r) {
			return i
		}
	}
	return len(s)
}

// isDomainRune is generous: letters, digits, marks, symbols, the dots of IDNA,
// and characters that nobody sees.
func isDomainRune(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r == '.' || r == '-' || r == '_' ||
			'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	case r == utf8.RuneError:
		return false
	case r == '\u3002', r == '\uff0e', r == '\uff61', r == '\u00b7':
		return true
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.M, unicode.So, unicode.Cf)
}

// dropInvisible maps characters that are not displayed to nothing.
func dropInvisible(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError || unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Variation_Selector, r) || r == '\u034f' || 0x80 <= r && r < 0xa0 {
		return -1
	}
	return r
}

// fieldViews returns the body of a field as parsers of different habits see
// it: unfolded with and without the white space of the fold, encoded words
// decoded (as some do before they parse), compatibility characters replaced,
// comments dropped, quotes and control characters dropped, angle brackets
// squeezed. Each is a text to look for addresses in. Their number is bounded,
// and each is at most about as long as the body.
func fieldViews(body string) []string {
	seeds := addText(nil, unfold([]byte(body)))
	seeds = addText(seeds, foldsDeleted(body))
	for i, end := 0, len(seeds); i < end; i++ {
		// Encoded words in encoded words are seen through three times.
		text := seeds[i]
		for range 3 {
			decoded, found := decodeWords(text)
			if !found {
				break
			}
			seeds = addText(seeds, decoded)
			text = decoded
		}
	}
	for i, end := 0, len(seeds); i < end; i++ {
		if !isASCII(seeds[i]) {
			seeds = addText(seeds, norm.NFKC.String(seeds[i]))
		}
	}
	var views []string
	for _, s := range seeds {
		bare := strings.Map(dropQuoting, s)
		views = addText(views, s)
		views = addText(views, bare)
		views = addText(views, commentsDropped(s, true))
		views = addText(views, commentsDropped(s, false))
		views = addText(views, strings.Map(dropQuoting, commentsDropped(s, true)))
		views = addText(views, angles(s))
		views = addText(views, angles(bare))
		if strings.Count(s, "(") != strings.Count(s, ")") {
			views = addText(views, strings.Map(dropParentheses, bare))
		}
	}
	return views
}

func addText(list []string, s string) []string {
	for _, x := range list {
		if x == s {
			return list
		}
	}
	return append(list, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func dropQuoting(r rune) rune {
	if r == '"' || r == '\\' {
		return -1
	}
	return dropInvisible(r)
}

func dropParentheses(r rune) rune {
	if r == '(' || r == ')' {
		return -1
	}
	return r
}

// foldsDeleted removes line ends together with the white space after them.
func foldsDeleted(body string) string {
	body = strings.TrimRight(body, "\r\n")
	if !strings.ContainsAny(body, "\r\n") {
		return body
	}
	var b strings.Builder
	for body != "" {
		i := strings.IndexAny(body, "\r\n")
		if i < 0 {
			b.WriteString(body)
			break
		}
		b.WriteString(body[:i])
		body = strings.TrimLeft(body[i:], "\r\n \t")
	}
	return b.String()
}

// commentsDropped removes comments, nested ones included; one without an end
// goes to the end. With quotes set, parentheses in quoted strings are text.
func commentsDropped(s string, quotes bool) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		keep := depth == 0
		switch {
		case c == '\\' && i+1 < len(s) && (depth > 0 || quoted):
			if keep {
				b.WriteByte(c)
			}
			i++
			c = s[i]
		case c == '"' && quotes && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
			keep = false
		case c == ')' && depth > 0:
			depth--
			keep = false
		}
		if keep {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// angles returns what stands in angle brackets without white space, one text
// after the other. A bracket without partner reaches to the next or to the end.
func angles(s string) string {
	if strings.IndexByte(s, '<') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	inside := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '<':
			inside = true
			b.WriteByte(c)
		case c == '>':
			inside = false
			b.WriteByte(c)
		case inside && c > ' ' && c != 0x7f:
			b.WriteByte(c)
		}
	}
	return b.String()
}
