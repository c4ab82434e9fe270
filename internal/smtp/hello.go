package smtp

import (
	"bytes"
	"context"
	"strconv"
)

// maxHelloNameBytes bounds the argument of EHLO (RFC 5321, section 4.5.3.1.2).
const maxHelloNameBytes = 255

// extension is a line of the EHLO reply.
type extension struct {
	keyword string
	member  KeywordSet // 0: STARTTLS
}

// extensions are the keywords in the order in which they are advertised.
var extensions = [...]extension{
	{keyword: "SIZE", member: KeywordSIZE},
	{keyword: "PIPELINING", member: KeywordPIPELINING},
	{keyword: "DSN", member: KeywordDSN},
	{keyword: "ENHANCEDSTATUSCODES", member: KeywordENHANCEDSTATUSCODES},
	{keyword: "STARTTLS"},
	{keyword: "AUTH", member: KeywordAUTH},
	{keyword: "8BITMIME", member: Keyword8BITMIME},
	{keyword: "BINARYMIME", member: KeywordBINARYMIME},
	{keyword: "CHUNKING", member: KeywordCHUNKING},
	{keyword: "SMTPUTF8", member: KeywordSMTPUTF8},
}

// hello carries out HELO and EHLO. Either ends an open transaction (RFC 5321,
// section 4.1.4).
func (l *loop) hello(ctx context.Context, name []byte, extended bool) {
	if !validHelloName(name) {
		l.protocolError(&replyHelloName)
		return
	}
	l.endTransaction()
	h, err := l.session.Hello(ctx, Hello{Name: string(name), Extended: extended})
	if err != nil {
		l.forgetHello(greetedNot)
		r := l.refusal(err)
		l.reply(&r)
		return
	}
	first := Reply{Code: 250, Lines: []string{h.Greeting}}
	if first.Lines[0] == "" {
		first.Lines[0] = "Hello"
	}
	if !extended {
		l.forgetHello(greetedHELO)
		l.reply(&first)
		return
	}
	l.greeted = greetedEHLO
	l.offered = h.STARTTLS && !l.tls // RFC 3207, section 4.2: never once TLS is on
	l.keywords = h.offered()
	l.takeMechanisms(&h)
	for _, e := range extensions {
		line := e.keyword
		switch {
		case e.member == 0 && !l.offered, !l.keywords.Has(e.member):
			continue
		case e.member == KeywordSIZE && h.MaxMessageBytes > 0:
			line += " " + strconv.FormatInt(h.MaxMessageBytes, 10)
		case e.member == KeywordAUTH:
			line = l.authLine()
		}
		first.Lines = append(first.Lines, line)
	}
	l.reply(&first)
}

// forgetHello forgets what an EHLO reply has offered.
func (l *loop) forgetHello(g greeted) {
	l.greeted, l.offered, l.keywords = g, false, 0
	l.mechanisms, l.authNeedsTLS = nil, false
}

// offers reports whether the last EHLO reply offered k.
func (l *loop) offers(k KeywordSet) bool { return l.keywords.Has(k) }

// enhanced reports whether replies carry enhanced codes: always, unless the
// EHLO reply withheld them.
func (l *loop) enhanced() bool {
	return l.greeted != greetedEHLO || l.offers(KeywordENHANCEDSTATUSCODES)
}

// validHelloName accepts one printable word of at most 255 octets. Clients say
// many things here that are no domain, and nothing is decided by it.
func validHelloName(name []byte) bool {
	if len(name) == 0 || len(name) > maxHelloNameBytes {
		return false
	}
	return bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
