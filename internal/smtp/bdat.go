package smtp

import (
	"bytes"
	"context"
	"errors"
	"strconv"
)

// smallChunkBytes is the size below which a chunk brings a message so little
// forward that it is counted like a command that brings none (fruitless.go):
// messages of a million chunks cost a reply and two lines of log for each.
const smallChunkBytes = 512

// bdat carries out BDAT (RFC 3030, section 2), from the first chunk of a message
// through its last.
func (l *loop) bdat(ctx context.Context, argument []byte) {
	c, ok := l.parseChunk(argument)
	if !ok {
		return
	}
	if fault := l.refuseChunk(); fault != nil {
		if err := discard(l.in, c.size); err != nil {
			l.readFailed(err)
			return
		}
		if l.transaction.refused || fault == &replyNoRecipients {
			l.reply(fault) // behind a refusal, a client that pipelines had to send it
			return
		}
		l.protocolError(fault)
		return
	}
	l.grow()
	l.transaction.chunked = true
	l.chunks.reset(l.in, l.bodyLimits(), c, func() (chunk, error) { return l.nextChunk(ctx) })
	r, err := l.session.Data(ctx, &l.chunks)
	l.chunks.drain()
	if l.chunks.broken != nil {
		l.chunksBroken(ctx)
		return
	}
	accepted := l.endData(&l.chunks.bodyReader, r, err)
	// Chunks that were sent before the refusal could be read are no fault.
	l.transaction.refused = !accepted
}

// parseChunk reads the argument of BDAT. Where it cannot be read nobody knows
// which octets are mail data and which are commands, so the session ends.
func (l *loop) parseChunk(argument []byte) (chunk, bool) {
	size, marker, marked := bytes.Cut(argument, []byte{' '})
	n, ok := parseSize(size)
	c := chunk{size: n, last: marked}
	if !ok || marked && !equalFoldASCII(bytes.TrimLeft(marker, " "), "LAST") {
		l.lingering = true
		l.reply(&replyChunkSyntax)
		return chunk{}, false
	}
	if n >= smallChunkBytes && l.transaction.accepted > 0 {
		l.fruitless--
	}
	return c, true
}

// refuseChunk returns the reply to a first chunk that no message can begin
// with, or nil. The chunk is dropped.
func (l *loop) refuseChunk() *Reply {
	switch {
	case !l.offers(KeywordCHUNKING):
		return &replyNotImplemented
	case !l.transaction.open:
		return &replyMailFirst
	case l.transaction.recipients == 0:
		return &replyRcptFirst
	case l.transaction.accepted == 0:
		return &replyNoRecipients
	}
	return nil
}

// nextChunk answers the chunk that the Session has read and carries out
// commands until the next one comes. It is called while the Session is in Data.
func (l *loop) nextChunk(ctx context.Context) (chunk, error) {
	l.replyChunk()
	for !l.ended {
		line, ok := l.readCommand()
		if !ok {
			continue
		}
		v, argument := parseCommand(line)
		switch v {
		case verbBDAT:
			if l.fruitlessCommand(v) {
				continue
			}
			if c, ok := l.parseChunk(argument); ok {
				return c, nil
			}
		case verbRSET, verbHELO, verbEHLO, verbSTARTTLS, verbQUIT:
			// They end the transaction, which the Session has to hear of first.
			l.deferred = line
			return chunk{}, errAbandoned
		default:
			l.command(ctx, line)
		}
	}
	return chunk{}, errAbandoned
}

// replyChunk answers a chunk that is not the last.
func (l *loop) replyChunk() {
	b := append(l.out.AvailableBuffer(), "250 "...)
	if l.enhanced() {
		b = append(b, "2.0.0 "...)
	}
	b = strconv.AppendInt(b, l.chunks.size, 10)
	l.send(append(b, " octets received\r\n"...))
}

// chunksBroken goes on after a message whose last chunk has not come.
func (l *loop) chunksBroken(ctx context.Context) {
	switch {
	case l.ended: // nextChunk has said why
	case errors.Is(l.chunks.broken, errAbandoned):
		line := l.deferred
		l.deferred = nil
		l.endTransaction()
		l.command(ctx, line)
	default:
		l.lingering = true
		l.readFailed(l.chunks.broken)
	}
}
