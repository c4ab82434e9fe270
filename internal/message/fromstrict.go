package message

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"mailpact/internal/smtp"
)

// maxStrictAddresses bounds a From field that is read strictly.
const maxStrictAddresses = 100

// strictDomains parses the body of a From field as a list of mailboxes and
// groups (RFC 5322, section 3.4; RFC 6854) and returns one domain for each
// address. Of the obsolete forms it takes only dots in a display name, which
// half the world writes ("J. Doe"); it takes no white space or comment beside
// the "@", because parsers differ there. ok is false when anything in the body
// is not of that form; domains has what was understood until then.
func strictDomains(body []byte) (domains []smtp.Domain, ok bool) {
	body = bytes.TrimSuffix(body, []byte("\n"))
	body = bytes.TrimSuffix(body, []byte("\r"))
	if !cleanFolding(body) {
		return nil, false
	}
	p := strictParser{rest: unfold(body)}
	ok = p.list(false) && p.rest == ""
	return p.domains, ok
}

// cleanFolding reports whether a body has no control characters but tabs and
// CRLFs that fold, no line of white space only, and beyond ASCII only
// characters that can be seen, in UTF-8 (RFC 6532).
func cleanFolding(body []byte) bool {
	for rest := body; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r >= utf8.RuneSelf && (n == 1 || !unicode.IsGraphic(r)) {
			return false
		}
		rest = rest[n:]
	}
	for i, c := range body {
		switch {
		case c == '\t' || c >= ' ' && c != 0x7f:
		case c == '\r' && i+2 < len(body) && body[i+1] == '\n' && (body[i+2] == ' ' || body[i+2] == '\t'):
			line := body[i+2:]
			if j := bytes.IndexByte(line, '\r'); j >= 0 {
				line = line[:j]
			}
			if len(bytes.Trim(line, " \t")) == 0 {
				return false
			}
		case c == '\n' && i > 0 && body[i-1] == '\r':
		default:
			return false
		}
	}
	return true
}

// strictParser walks over an unfolded body. Its methods report false at the
// first thing that is not in the grammar.
type strictParser struct {
	rest    string
	domains []smtp.Domain
}

func (p *strictParser) cfws() bool {
	rest, ok := skipCFWS(p.rest)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *strictParser) next(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// list parses addresses until the end of the body, or of the group.
func (p *strictParser) list(group bool) bool {
	if !p.cfws() {
		return false
	}
	if group && p.next(';') {
		return p.cfws()
	}
	for {
		if !p.address(group) || !p.cfws() || len(p.domains) > maxStrictAddresses {
			return false
		}
		if group && p.next(';') {
			return p.cfws()
		}
		if p.rest == "" {
			return !group
		}
		if !p.next(',') || !p.cfws() {
			return false
		}
	}
}

// address parses one mailbox, or a group unless it stands in one.
func (p *strictParser) address(group bool) bool {
	for words := 0; ; words++ {
		if p.rest == "" {
			return false
		}
		switch c := p.rest[0]; {
		case c == '<':
			p.rest = p.rest[1:]
			return p.local() && p.domain() && p.next('>')
		case c == ':' && words > 0 && !group:
			p.rest = p.rest[1:]
			return p.list(true)
		case words == 0 && p.bare():
			return p.domain()
		case c == '"':
			_, rest, ok := quotedString(p.rest)
			if !ok {
				return false
			}
			p.rest = rest
		default:
			n := atomLength(p.rest, true)
			if n == 0 {
				return false
			}
			p.rest = p.rest[n:]
		}
		if !p.cfws() {
			return false
		}
	}
}

// bare reports whether a local part and "@" stand here, and passes over them.
func (p *strictParser) bare() bool {
	before := p.rest
	if p.local() {
		return true
	}
	p.rest = before
	return false
}

// local parses local-part "@".
func (p *strictParser) local() bool {
	if p.rest != "" && p.rest[0] == '"' {
		_, rest, ok := quotedString(p.rest)
		p.rest = rest
		return ok && p.next('@')
	}
	n := atomLength(p.rest, true)
	if n == 0 || !dotAtom(p.rest[:n]) {
		return false
	}
	p.rest = p.rest[n:]
	return p.next('@')
}

// domain parses a dot-atom. An address literal is refused: it is no domain.
func (p *strictParser) domain() bool {
	n := atomLength(p.rest, true)
	if n == 0 || !dotAtom(p.rest[:n]) {
		return false
	}
	d, err := smtp.ParseDomain(p.rest[:n])
	if err != nil || d == "" {
		return false
	}
	p.domains = append(p.domains, d)
	p.rest = p.rest[n:]
	return true
}

func dotAtom(s string) bool {
	if s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] == '.' && s[i-1] == '.' {
			return false
		}
	}
	return true
}

// atomLength returns how many octets of atext, and dots if allowed, s begins with.
func atomLength(s string, dots bool) int {
	n := 0
	for n < len(s) && (isAtext(s[n]) || dots && s[n] == '.') {
		n++
	}
	return n
}

// isAtext follows RFC 5322, section 3.2.3, and RFC 6532, section 3.2.
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 0x80:
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return false
}
