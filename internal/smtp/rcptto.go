package smtp

import "context"

// recipient carries out RCPT (RFC 5321, section 4.1.1.3).
func (l *loop) recipient(ctx context.Context, argument []byte) {
	if !l.transaction.open {
		l.outOfOrder(&replyMailFirst)
		return
	}
	if l.transaction.chunked {
		l.protocolError(&replyChunked)
		return
	}
	l.transaction.recipients++
	path, parameters, ok := cutPath(argument, "TO:")
	if !ok {
		l.protocolError(&replyRcptSyntax)
		return
	}
	p, fault := parseRecipientParameters(parameters, l.keywords, l.transaction.utf8)
	if fault != nil {
		l.protocolError(fault)
		return
	}
	to, err := parseForwardPath(string(path), l.transaction.utf8)
	if err != nil {
		l.refuseAddress(err, 3)
		return
	}
	if l.transaction.accepted >= l.o.MaxRecipients {
		l.reply(&replyTooManyRcpts) // RFC 5321, section 4.5.3.1.10
		return
	}
	r, err := l.session.Recipient(ctx, to, p)
	if err != nil {
		r = l.refusal(err)
	}
	if r.IsZero() || r.Positive() {
		l.transaction.accepted++
		l.fruitless--
	}
	l.replyAbout(path, &r, &replyRcptAccepted)
}

// outOfOrder answers RCPT or DATA without MAIL. Behind a refused MAIL they are
// what a pipelining client had to send, and no fault.
func (l *loop) outOfOrder(r *Reply) {
	if l.transaction.refused {
		l.reply(r)
		return
	}
	l.protocolError(r)
}
