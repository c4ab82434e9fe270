package smtp

import (
	"context"
	"strings"
)

// reset carries out RSET (RFC 5321, section 4.1.1.5).
func (l *loop) reset(argument []byte) {
	if len(argument) > 0 {
		l.protocolError(&replyNoArgument)
		return
	}
	l.endTransaction()
	l.reply(&replyReset)
}

// help carries out HELP: it lists the commands, AUTH where it is offered, whatever the argument.
func (l *loop) help() {
	names := verbNames[verbHELO:verbAUTH]
	if l.offers(KeywordAUTH) {
		names = verbNames[verbHELO:]
	}
	r := NewReply(214, EnhancedCode{2, 0, 0}, "Commands: "+strings.Join(names, " "))
	l.reply(&r)
}

// verify carries out VRFY, which the Session answers.
func (l *loop) verify(ctx context.Context, argument []byte) {
	if len(argument) == 0 {
		l.protocolError(&replyArgument)
		return
	}
	r := l.session.Verify(ctx, printable(argument))
	if r.IsZero() {
		r = replyVerify
	}
	l.reply(&r)
}

// quit carries out QUIT.
func (l *loop) quit(argument []byte) {
	if len(argument) > 0 {
		l.protocolError(&replyNoArgument)
		return
	}
	l.finish(EndQuit)
	l.reply(&replyQuit)
}
