package smtp

import (
	"bytes"
	"strings"
)

// verb is a command that the loop knows.
type verb uint8

const (
	verbUnknown verb = iota
	verbHELO
	verbEHLO
	verbSTARTTLS
	verbMAIL
	verbRCPT
	verbDATA
	verbBDAT
	verbRSET
	verbNOOP
	verbHELP
	verbVRFY
	verbQUIT
	verbAUTH
	verbNotImplemented // known by name and answered 502
)

// verbNames are the commands by verb, as HELP lists them.
var verbNames = [...]string{
	verbHELO: "HELO", verbEHLO: "EHLO", verbSTARTTLS: "STARTTLS", verbMAIL: "MAIL",
	verbRCPT: "RCPT", verbDATA: "DATA", verbBDAT: "BDAT", verbRSET: "RSET",
	verbNOOP: "NOOP", verbHELP: "HELP", verbVRFY: "VRFY", verbQUIT: "QUIT", verbAUTH: "AUTH",
}

// unimplemented are commands of RFC 5321 and RFC 1985 that are
// recognised and not implemented (RFC 5321, section 4.2.4).
var unimplemented = [...]string{"EXPN", "ETRN", "TURN", "SEND", "SOML", "SAML"}

// parseCommand splits a line into verb and argument. White space at the end of
// the line is tolerated (RFC 5321, section 4.1.1). A control character ends the
// verb, so that a BDAT is known as one whatever stands behind it.
func parseCommand(line []byte) (verb, []byte) {
	line = bytes.TrimRight(line, " \t")
	word, argument := line, []byte(nil)
	if i := bytes.IndexFunc(line, func(r rune) bool { return r <= ' ' }); i >= 0 {
		word, argument = line[:i], bytes.TrimLeft(line[i:], " ")
	}
	for v, name := range verbNames {
		if name != "" && equalFoldASCII(word, name) {
			return verb(v), argument
		}
	}
	for _, name := range unimplemented {
		if equalFoldASCII(word, name) {
			return verbNotImplemented, argument
		}
	}
	return verbUnknown, argument
}

// hasControl reports an octet that no command may contain: controls and DEL.
// (A tab is one; at the end of a line parseCommand drops it.)
func hasControl(line []byte) bool {
	for _, c := range bytes.TrimRight(line, " \t") {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// cutPrefixFold removes an upper-case ASCII prefix in any case of letters.
func cutPrefixFold(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || !equalFoldASCII(b[:len(prefix)], prefix) {
		return b, false
	}
	return b[len(prefix):], true
}

// equalFoldASCII compares b with the upper-case word. The fold of Unicode would
// find letters outside ASCII equal to S and K.
func equalFoldASCII(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// loggedCommand returns a command line for a transcript. What a client sends
// after AUTH and its mechanism may be a password, even where AUTH is not offered.
func loggedCommand(line []byte) string {
	if _, ok := cutPrefixFold(line, "AUTH "); ok {
		if words := strings.Fields(printable(line)); len(words) > 2 {
			return words[0] + " " + words[1] + " *"
		}
	}
	return printable(line)
}
