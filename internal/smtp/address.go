package smtp

import "strings"

// Mailbox is an address of the form local-part@domain (RFC 5321, section
// 4.1.2). LocalPart keeps its case and is unquoted; String quotes it where
// necessary. It is UTF-8, beyond ASCII only where SMTPUTF8 was said. Exactly one of Domain and Literal is set, except in the zero value
// and in the mailbox of the forward-path <postmaster>.
type Mailbox struct {
	LocalPart string
	Domain    Domain
	Literal   string // address literal with its brackets, "[192.0.2.1]", lower case
}

// String returns the mailbox as it is written in an envelope, without angle
// brackets: quoted only where it must be. The zero value gives "".
func (m Mailbox) String() string {
	if m == (Mailbox{}) {
		return ""
	}
	local := m.LocalPart
	if !isDotString(local) {
		local = quoteLocalPart(local)
	}
	switch {
	case m.Domain != "":
		return local + "@" + string(m.Domain)
	case m.Literal != "":
		return local + "@" + m.Literal
	}
	return local
}

// ASCII reports whether the mailbox can be written without SMTPUTF8.
func (m Mailbox) ASCII() bool { return isASCII(m.LocalPart) }

// ReversePath is the argument of MAIL FROM. The zero value is the null
// reverse-path "<>".
type ReversePath struct{ Mailbox Mailbox }

// Null reports the null reverse-path "<>".
func (p ReversePath) Null() bool { return p.Mailbox == Mailbox{} }

// String returns the mailbox without angle brackets, and "<>" for the null
// reverse-path: the form of logs, replies and reports.
func (p ReversePath) String() string {
	if p.Null() {
		return "<>"
	}
	return p.Mailbox.String()
}

// ForwardPath is the argument of RCPT TO: a mailbox, or <postmaster> without a
// domain, for which Domain and Literal are empty.
type ForwardPath struct{ Mailbox Mailbox }

// String returns the mailbox without angle brackets.
func (p ForwardPath) String() string { return p.Mailbox.String() }

// isDotString reports atoms joined by single dots (RFC 5321, section 4.1.2),
// which may have octets above 127 (RFC 6531, section 3.3).
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x80 && !isAtext(c) && (c != '.' || s[i-1] == '.') {
			return false
		}
	}
	return true
}

// isAtext reports a character of an atom (RFC 5322, section 3.2.3).
func isAtext(c byte) bool {
	return isLetter(c) || isDigit(c) || c > ' ' && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// quoteLocalPart returns s as a quoted string (RFC 5321, section 4.1.2).
func quoteLocalPart(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
