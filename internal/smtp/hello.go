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
	// offered says whether the line appears; nil means always.
	offered func(l *loop, h HelloResponse) bool
	// parameter appends what follows the keyword; nil means nothing.
	parameter func(b []byte, h HelloResponse) []byte
}

// extensions are the keywords in the order in which they are advertised.
var extensions = [...]extension{
	{keyword: "SIZE", parameter: func(b []byte, h HelloResponse) []byte { // RFC 1870
		if h.MaxMessageBytes <= 0 {
			return b
		}
		return strconv.AppendInt(append(b, ' '), h.MaxMessageBytes, 10)
	}},
	{keyword: "PIPELINING"},          // RFC 2920
	{keyword: "ENHANCEDSTATUSCODES"}, // RFC 2034
	// RFC 3207, section 4.2: never once TLS is on.
	{keyword: "STARTTLS", offered: func(l *loop, h HelloResponse) bool { return h.STARTTLS && !l.tls }},
	{keyword: "8BITMIME"}, // RFC 6152
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
		l.greeted, l.offered = greetedNot, false
		r := l.refusal(err)
		l.reply(&r)
		return
	}
	first := Reply{Code: 250, Lines: []string{h.Greeting}}
	if first.Lines[0] == "" {
		first.Lines[0] = "Hello"
	}
	if !extended {
		l.greeted, l.offered = greetedHELO, false
		l.reply(&first)
		return
	}
	l.greeted, l.offered = greetedEHLO, h.STARTTLS && !l.tls
	for _, e := range extensions {
		if e.offered != nil && !e.offered(l, h) {
			continue
		}
		line := e.keyword
		if e.parameter != nil {
			line = string(e.parameter([]byte(line), h))
		}
		first.Lines = append(first.Lines, line)
	}
	l.reply(&first)
}

// validHelloName accepts one printable word of at most 255 octets. Clients say
// many things here that are no domain, and nothing is decided by it.
func validHelloName(name []byte) bool {
	if len(name) == 0 || len(name) > maxHelloNameBytes {
		return false
	}
	return bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
