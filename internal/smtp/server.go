package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"
)

// The defaults of ServerOptions.
const (
	defaultMaxMessageBytes   = 10 << 20
	defaultMaxRecipients     = 200
	defaultMaxProtocolErrors = 5
	defaultMaxLineBytes      = 64 << 10
	// RFC 5321, section 4.5.3.2.7: at least 5 minutes.
	defaultInactivityTimeout = 5 * time.Minute
	defaultSessionTimeout    = 10 * time.Minute
)

// PanicError is what ServerOptions.OnError is told when a Session panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value and the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("panic in an SMTP session: %v\n%s", e.Value, e.Stack)
}

// ServeSession speaks SMTP with the client at conn until the session ends, and
// says why it ended. It closes conn. A conn that is a *tls.Conn counts as
// secured from the start.
//
// When ctx ends, a session outside a transaction is answered 421 and closed at
// once, in the middle of a TLS handshake too; an open transaction may finish
// and is followed by the 421. The methods of s are given a context that keeps
// ctx's values and ends only with the session, so that a message that has been
// read can still be made durable. Closing conn ends a session that may not finish.
func ServeSession(ctx context.Context, conn net.Conn, s Session, o ServerOptions) EndCause {
	o = o.withDefaults()
	l := &loop{session: s, o: o, shutdown: ctx.Done()}
	l.wire.raw, l.wire.stream = conn, conn
	l.wire.inactivity, l.wire.end = o.InactivityTimeout, time.Now().Add(o.SessionTimeout)
	_, l.tls = conn.(*tls.Conn)
	l.head.then = &l.wire
	l.lines = takeReader(&lineReaders, &l.head)
	l.in = l.lines
	l.out.to = &l.wire
	l.wire.out = &l.out

	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { l.wire.drain(); close(drained) })
	defer func() {
		l.disconnect()
		if !stop() {
			<-drained
		}
		l.shrink()
		putReader(&lineReaders, l.lines)
		l.out.discard()
	}()

	sessionCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	l.guard(func() { l.serve(sessionCtx) })
	l.guard(l.endTransaction)
	l.guard(func() { s.Close(l.cause) })
	return l.cause
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = defaultMaxMessageBytes
	}
	if o.MaxRecipients == 0 {
		o.MaxRecipients = defaultMaxRecipients
	}
	if o.MaxProtocolErrors == 0 {
		o.MaxProtocolErrors = defaultMaxProtocolErrors
	}
	if o.MaxLineBytes == 0 {
		o.MaxLineBytes = defaultMaxLineBytes
	}
	if o.InactivityTimeout == 0 {
		o.InactivityTimeout = defaultInactivityTimeout
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = defaultSessionTimeout
	}
	return o
}

// loop is one server session.
type loop struct {
	session Session
	o       ServerOptions
	wire    serverWire
	lines   *bufio.Reader // small, for commands
	in      *bufio.Reader // lines, or a large one from a body on until it is empty
	rest    readRest
	first   [1]byte  // the octet that ended a wait
	head    readRest // first, then wire
	out     replyWriter
	body    dotReader
	chunks  chunkReader
	// shutdown is closed when the server stops; the handshake watches it.
	shutdown <-chan struct{}

	tls      bool
	greeted  greeted
	offered  bool       // STARTTLS stood in the last EHLO reply
	keywords KeywordSet // and so did these
	// mechanisms are those behind AUTH; authNeedsTLS: they come after STARTTLS.
	mechanisms    []string
	authNeedsTLS  bool
	authenticated bool // AUTH has succeeded
	// deferred is a command that came between chunks and ends their transaction.
	deferred []byte

	transaction    transaction
	protocolErrors int
	fruitless      int // see fruitlessCommand

	ended     bool
	cause     EndCause
	lingering bool
}

// greeted is the greeting that the client has sent.
type greeted uint8

const (
	greetedNot greeted = iota
	greetedHELO
	greetedEHLO
)

// transaction is the state from MAIL to the end of the data.
type transaction struct {
	open       bool // MAIL was accepted
	refused    bool // the last MAIL was refused: what a pipelining client sent behind it is no fault
	chunked    bool // BDAT has come: nothing but BDAT may follow
	binary     bool // BODY=BINARYMIME
	utf8       bool // SMTPUTF8
	recipients int  // RCPT commands seen
	accepted   int
}

// serve runs the session from the greeting on.
func (l *loop) serve(ctx context.Context) {
	// A failed flush at the end changes nothing: the connection is closed next.
	defer func() { _ = l.out.Flush() }()
	greeting := l.session.Greeting(ctx)
	if greeting.IsZero() {
		greeting = replyGreeting
	}
	l.reply(&greeting)
	if !greeting.Positive() {
		l.finish(EndLocal)
	}
	for !l.ended {
		if l.in.Buffered() == 0 && len(l.rest.rest) == 0 {
			l.shrink()
		}
		if l.wire.mustEnd() {
			l.readFailed(errDraining)
			return
		}
		if line, ok := l.readCommand(); ok {
			l.command(ctx, line)
		}
	}
}

// readCommand returns the next command line, valid until the next read. It
// answers what is none.
func (l *loop) readCommand() ([]byte, bool) {
	err := l.await()
	var line []byte
	if err == nil {
		line, err = readCommandLine(l.in)
	}
	if err != nil {
		l.lineFailed(err)
		return nil, false
	}
	if l.o.Transcript != nil {
		l.o.Transcript.Received(loggedCommand(line))
	}
	return line, true
}

// command carries out one command line.
func (l *loop) command(ctx context.Context, line []byte) {
	v, argument := parseCommand(line)
	if v != verbBDAT && hasControl(line) { // behind BDAT come octets that are no command
		l.protocolError(&replyControlCharacter)
		return
	}
	if l.fruitlessCommand(v) {
		return
	}
	switch v {
	case verbHELO, verbEHLO:
		l.hello(ctx, argument, v == verbEHLO)
	case verbSTARTTLS:
		l.startTLS(ctx, argument)
	case verbMAIL:
		l.mail(ctx, argument)
	case verbRCPT:
		l.recipient(ctx, argument)
	case verbDATA:
		l.data(ctx, argument)
	case verbBDAT:
		l.bdat(ctx, argument)
	case verbRSET:
		l.reset(argument)
	case verbNOOP:
		l.reply(&replyNoop)
	case verbHELP:
		l.help()
	case verbVRFY:
		l.verify(ctx, argument)
	case verbQUIT:
		l.quit(argument)
	case verbAUTH:
		l.authenticate(ctx, argument)
	case verbNotImplemented:
		l.protocolError(&replyNotImplemented)
	case verbUnknown:
		l.protocolError(&replyUnknownCommand)
	}
}

// reply puts r into the buffer. It leaves when the session next waits for
// input, or ends. A closing reply and every 421 end the session.
func (l *loop) reply(r *Reply) {
	if r.Delay > 0 {
		l.pause(r.Delay)
	}
	if !l.enhanced() {
		bare := *r
		bare.Enhanced = EnhancedCode{}
		r = &bare
	}
	l.send(appendReply(l.out.AvailableBuffer(), r))
	if r.CloseAfter || r.Code == 421 {
		l.finish(EndLocal)
		l.lingering = l.lingering || l.in.Buffered() > 0
	}
}

// send buffers whole reply lines and tells the transcript of each.
func (l *loop) send(lines []byte) {
	// A write error stays in the writer and comes back at the next flush.
	_, _ = l.out.Write(lines)
	if l.o.Transcript == nil {
		return
	}
	for len(lines) > 0 {
		n := 0
		for lines[n] != '\n' {
			n++
		}
		l.o.Transcript.Sent(printable(lines[:n-1]))
		lines = lines[n+1:]
	}
}

// protocolError answers a fault of the client's program and counts it.
func (l *loop) protocolError(r *Reply) {
	l.protocolErrors++
	if l.protocolErrors > l.o.MaxProtocolErrors {
		r = &replyTooManyErrors
	}
	l.reply(r)
	l.lingering = l.lingering || l.ended
}

// note tells the transcript of what no line of it shows.
func (l *loop) note(context string) {
	if l.o.Transcript != nil {
		l.o.Transcript.Info("", context)
	}
}

// refusal turns an error of the Session into a reply: the text of a Reply, and
// of nothing else, crosses the wire.
func (l *loop) refusal(err error) Reply {
	var r Reply
	if errors.As(err, &r) && (r.Temporary() || r.Permanent()) {
		return r
	}
	l.report(err)
	return localError(l.o.SessionID)
}

// report tells an internal error to whom it concerns.
func (l *loop) report(err error) {
	if l.o.OnError != nil {
		l.o.OnError(err)
	}
}

// finish ends the session after what is being done. The first cause stays.
func (l *loop) finish(cause EndCause) {
	if !l.ended {
		l.ended, l.cause = true, cause
	}
}

// lineFailed answers a command line that could not be had.
func (l *loop) lineFailed(err error) {
	switch {
	case errors.Is(err, errCommandTooLong):
		l.note(err.Error())
		l.protocolError(&replyLineTooLong)
	case errors.Is(err, errCommandEndless):
		l.note(err.Error())
		l.lingering = true
		closing := replyLineTooLong.Closing()
		l.reply(&closing)
	case errors.Is(err, errCommandBare):
		l.note(err.Error())
		l.lingering = true
		l.reply(&replyBareLine)
	default:
		l.readFailed(err)
	}
}

// readFailed ends the session after a failed read or flush.
func (l *loop) readFailed(err error) {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errDraining):
		l.reply(&replyShutdown)
	case isTimeout(err):
		l.finish(EndTimeout)
		// The wait for the client has used up its time; saying so may not.
		l.wire.end = time.Now().Add(drainGrace)
		l.reply(&replyTimeout)
	case errors.Is(err, net.ErrClosed):
		l.finish(EndLocal)
	case errors.As(err, &alert), errors.As(err, &record):
		l.finish(EndTLS)
	default:
		l.finish(EndRemote)
	}
}

// guard runs f and ends the session when it panics.
func (l *loop) guard(f func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if !l.ended {
			l.send(appendReply(l.out.AvailableBuffer(), &replyInternal))
			// The session is over either way.
			_ = l.out.Flush()
		}
		l.ended, l.cause, l.lingering = true, EndInternal, true
		l.report(&PanicError{Value: v, Stack: debug.Stack()})
	}()
	f()
}

// endTransaction forgets the transaction and tells the Session if one was open.
func (l *loop) endTransaction() {
	open := l.transaction.open
	l.transaction = transaction{}
	l.wire.busy = false
	if open {
		l.session.Reset()
	}
}
