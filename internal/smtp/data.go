package smtp

import (
	"context"
	"errors"
	"fmt"
)

// errBodyUnread says that a Session answered for a message whose end it had
// not seen.
var errBodyUnread = errors.New("the session accepted a message before its end")

// data carries out DATA (RFC 5321, section 4.1.1.4).
func (l *loop) data(ctx context.Context, argument []byte) {
	switch {
	case len(argument) > 0:
		l.protocolError(&replyNoArgument)
		return
	case !l.transaction.open:
		l.outOfOrder(&replyMailFirst)
		return
	case l.transaction.chunked:
		l.protocolError(&replyChunked)
		return
	case l.transaction.binary:
		l.protocolError(&replyBinaryData) // RFC 3030, section 3
		return
	case l.transaction.recipients == 0:
		l.protocolError(&replyRcptFirst)
		return
	case l.transaction.accepted == 0:
		l.reply(&replyNoRecipients)
		return
	}
	l.reply(&replyStartMail)
	if err := l.out.Flush(); err != nil {
		l.readFailed(err)
		return
	}
	l.grow()
	l.body.reset(l.in, l.bodyLimits())
	r, err := l.session.Data(ctx, &l.body)
	l.body.drain()
	if l.body.broken != nil {
		l.lingering = true
		l.readFailed(l.body.broken)
		return
	}
	l.endData(&l.body.bodyReader, r, err)
}

func (l *loop) bodyLimits() bodyLimits {
	return bodyLimits{
		messageBytes: l.o.MaxMessageBytes,
		lineBytes:    l.o.MaxLineBytes,
		normalize:    l.o.BareLines == BareLinesNormalize,
		binary:       l.transaction.binary,
	}
}

// endData answers a message whose body has been read or dropped, and ends its
// transaction. r and err are what the Session said.
func (l *loop) endData(body *bodyReader, r Reply, err error) (accepted bool) {
	r = l.dataReply(body, r, err)
	if accepted = r.Positive(); accepted {
		l.fruitless = 0
	}
	l.reply(&r)
	l.endTransaction()
	return accepted
}

// dataReply decides the final reply. A refusal of the Session stands. A
// positive reply counts only when the Session has read the body to its proper
// end: there is no other way to a 250.
func (l *loop) dataReply(body *bodyReader, r Reply, err error) Reply {
	var refused Reply
	switch {
	case err != nil && errors.As(err, &refused) && (refused.Temporary() || refused.Permanent()):
		return refused
	case err == nil && (r.Temporary() || r.Permanent()):
		return r
	case body.fault != nil:
		return bodyFaultReply(body.fault)
	case err != nil:
		return l.refusal(err)
	case !body.seenEnd:
		return l.refusal(errBodyUnread)
	case r.IsZero():
		return replyDataAccepted
	case r.Code/100 != 2:
		return l.refusal(fmt.Errorf("the session answered the data with %d", r.Code))
	}
	return r
}

func bodyFaultReply(fault error) Reply {
	switch {
	case errors.Is(fault, ErrMessageTooLarge):
		return replyBodyTooLarge
	case errors.Is(fault, ErrLineTooLong):
		return replyBodyLineLong
	}
	return replyBareBody
}
