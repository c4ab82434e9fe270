package smtp

import (
	"bytes"
	"context"
	"errors"
)

// mail carries out MAIL (RFC 5321, section 4.1.1.2).
func (l *loop) mail(ctx context.Context, argument []byte) {
	switch {
	case l.greeted == greetedNot:
		l.protocolError(&replyHelloFirst)
		return
	case l.transaction.open:
		l.protocolError(&replyNestedMail)
		return
	}
	l.transaction = transaction{refused: true}
	path, parameters, ok := cutPath(argument, "FROM:")
	if !ok {
		l.protocolError(&replyMailSyntax)
		return
	}
	p, fault := parseMailParameters(parameters, l.keywords)
	if fault != nil {
		l.protocolError(fault)
		return
	}
	from, err := parseReversePath(string(path), p.UTF8)
	if err != nil {
		l.refuseAddress(err, 7)
		return
	}
	if p.Size > l.o.MaxMessageBytes {
		l.reply(&replySizeExceeded) // RFC 1870, section 6.1
		return
	}
	r, err := l.session.Mail(ctx, from, p)
	if err != nil {
		r = l.refusal(err)
	}
	if r.IsZero() || r.Positive() {
		l.transaction = transaction{open: true, binary: p.Body == BodyBinaryMIME, utf8: p.UTF8}
		l.wire.busy = true
	}
	l.replyAbout(path, &r, &replyMailAccepted)
}

// replyAbout sends r or, when the Session left it to the loop, the default
// text behind the address as the client wrote it.
func (l *loop) replyAbout(path []byte, r, def *Reply) {
	if !r.IsZero() {
		l.reply(r)
		return
	}
	b := l.out.AvailableBuffer()
	b = append(b, "250 "...)
	if l.enhanced() {
		b = appendEnhanced(b, def.Enhanced)
		b = append(b, ' ')
	}
	if len(path) > 2 { // "<>" keeps its brackets
		path = path[1 : len(path)-1]
	}
	b = appendPrintable(b, path, maxPathBytes)
	b = append(b, ' ')
	b = append(b, def.Lines[0]...)
	l.send(append(b, '\r', '\n'))
}

// refuseAddress answers a path that could not be parsed. A wrong domain is the
// sender's affair and no fault of the protocol; the rest counts as one.
func (l *loop) refuseAddress(err error, subject uint16) {
	var a *AddressError
	if !errors.As(err, &a) {
		r := l.refusal(err)
		l.reply(&r)
		return
	}
	r := addressReply(a, subject)
	if r.Code == 501 {
		l.protocolError(&r)
		return
	}
	l.reply(&r)
}

// cutPath takes "FROM:<path> parameters" apart. Spaces between colon and path
// are tolerated: RFC 5321, section 3.3 forbids them, old devices send them, and
// nothing can be hidden in them.
func cutPath(argument []byte, prefix string) (path, parameters []byte, ok bool) {
	rest, ok := cutPrefixFold(argument, prefix)
	if !ok {
		return nil, nil, false
	}
	rest = bytes.TrimLeft(rest, " ")
	n := pathEnd(rest)
	if n < 0 || n < len(rest) && rest[n] != ' ' {
		return nil, nil, false
	}
	return rest[:n], rest[n:], true
}
