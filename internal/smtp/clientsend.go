package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// maxGroupBytes is how much of an envelope is written before its replies
	// are read: with more, client and server could both wait for the other to
	// read (RFC 2920, section 3.1). A group with one more command fits the
	// buffer of a server that reads by pages, even if nothing lies between.
	maxGroupBytes = replyBufferBytes - maxCommandLineBytes
	// earlyReplyTimeout is how long a reply is waited for that explains why the
	// server stopped taking data.
	earlyReplyTimeout = 5 * time.Second
)

// Send carries one message. MAIL, every RCPT and DATA leave in one write when
// the server offers PIPELINING; otherwise each waits for its reply. Where it
// offers CHUNKING, BDAT takes the place of DATA (see chunkBytes), and a
// message that is read in one chunk leaves in one write with its envelope.
//
// A BINARYMIME message goes to no server but one that offers BINARYMIME and
// CHUNKING, one with SMTPUTF8 only where that is offered; look at Extensions
// first, because otherwise Send returns an error. A message with
// octets above 127 goes as it is to a server without 8BITMIME, because servers
// that harm it are hardly found and a conversion would break its signatures.
//
// A refusal by the server is a Result, not an error. An error means that the
// connection is closed: it broke, the server said 421 (a *ReplyError; the reply
// stands in the Result too), or Content could not be read to its end, in which
// case neither final dot nor last chunk is sent and the server has no message.
// Result has an entry per recipient in any case.
func (c *Client) Send(ctx context.Context, t Transaction) (Result, error) {
	result := Result{Recipients: make([]Reply, len(t.Recipients))}
	switch {
	case c.closed:
		return result, ErrClientClosed
	case c.hello != helloDone:
		return result, errors.New("sending before EHLO")
	case len(t.Recipients) == 0:
		return result, errors.New("sending to nobody")
	}
	if err := t.check(c.extensions); err != nil {
		return result, err
	}
	s := sending{c: c, t: &t, result: &result, pipelined: c.extensions.Pipelining}
	if c.extensions.Chunking {
		b := chunkBuffers.Get().(*chunkBuffer)
		b.n, b.filled, b.last, b.check = 0, false, false, lineCheck{}
		defer chunkBuffers.Put(b)
		s.chunk = b
	}
	return result, c.step(ctx, s.run)
}

// check keeps line ends and other controls out of commands, because the paths
// may have been made by hand, and binary content out of servers that would not
// keep it as it is.
func (t *Transaction) check(x Extensions) error {
	switch p := &t.Parameters; {
	case p.Body == BodyBinaryMIME && (!x.BinaryMIME || !x.Chunking):
		return errors.New("sending a BINARYMIME message to a server that does not offer BINARYMIME and CHUNKING")
	case p.UTF8 && !x.SMTPUTF8:
		return errors.New("sending a message with SMTPUTF8 to a server that does not offer it")
	case !safeMailbox(t.From.Mailbox, p.UTF8):
		return errors.New("reverse-path with a character that no command may contain")
	case p.EnvelopeID != "" && !isXtext(p.EnvelopeID):
		return errors.New("envelope identifier that is not xtext")
	case t.RecipientParameters != nil && len(t.RecipientParameters) != len(t.Recipients):
		return errors.New("parameters for others than the recipients")
	}
	for _, to := range t.Recipients {
		if to.Mailbox.LocalPart == "" && to.Mailbox.Domain == "" && to.Mailbox.Literal == "" || !safeMailbox(to.Mailbox, t.Parameters.UTF8) {
			return errors.New("forward-path that no command may contain")
		}
	}
	for _, p := range t.RecipientParameters {
		if _, _, ok := p.OriginalRecipient.Decode(); p.OriginalRecipient != "" && !ok {
			return errors.New("original recipient that no command may contain")
		}
	}
	return nil
}

func isXtext(s string) bool {
	_, ok := DecodeXtext(s)
	return ok
}

func safeMailbox(m Mailbox, utf8 bool) bool {
	for i := range len(m.LocalPart) {
		if c := m.LocalPart[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return checkCharacters(m.LocalPart, utf8) == nil && safeHost(string(m.Domain)) && safeHost(m.Literal)
}

func safeHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// sending is one transaction of a client.
type sending struct {
	c         *Client
	t         *Transaction
	result    *Result
	pipelined bool
	chunk     *chunkBuffer // nil: DATA is used

	resetDue, mailDue, dataDue bool // sent, not yet answered
	chunksDue                  int  // BDAT commands sent, not yet answered
	mailRefused                bool
	sent, answered, accepted   int // recipients
	data                       Reply
}

func (s *sending) run() error {
	if s.chunk != nil && s.pipelined {
		if err := s.readChunk(); err != nil {
			return err
		}
	}
	if err := s.envelope(); err != nil {
		return err
	}
	switch {
	case s.chunk != nil && s.accepted > 0:
		return s.chunks()
	case s.chunksDue > 0: // it was sent before its refusal could be read
		_, err := s.read("BDAT", s.c.o.DataEndTimeout)
		return err
	case s.chunk != nil:
		return nil
	case s.data.Code == 354 && s.accepted > 0:
		return s.body()
	case s.data.Code == 354:
		return s.nothing()
	case s.data.Code != 0:
		s.fill(s.data)
	}
	return nil
}

// read reads the reply to command. A 421 ends everything and is the answer for
// every recipient that has none.
func (s *sending) read(command string, wait time.Duration) (Reply, error) {
	s.c.wire.wait(wait)
	r, err := readReply(s.c.in, true, s.c.o.Transcript)
	if err != nil {
		return Reply{}, err
	}
	if r.Code == 421 {
		s.fill(r)
		return r, &ReplyError{Command: command, Reply: r}
	}
	return r, nil
}

// fill gives r to every recipient that has no reply yet.
func (s *sending) fill(r Reply) {
	for i := range s.result.Recipients {
		if s.result.Recipients[i].IsZero() {
			s.result.Recipients[i] = r
		}
	}
}

// body sends the content and the final dot, and reads the final reply.
func (s *sending) body() error {
	d := newDotWriter(s.c.out)
	if s.t.Content != nil {
		buf := copyBuffers.Get().(*[bodyBufferBytes]byte)
		_, err := io.CopyBuffer(&d, s.t.Content, buf[:])
		copyBuffers.Put(buf)
		if err != nil && d.err == nil {
			return fmt.Errorf("reading content: %w", err)
		}
	}
	if err := d.finish(); err != nil {
		if errors.Is(err, ErrBareLine) {
			return fmt.Errorf("reading content: %w", err)
		}
		return s.interrupted(err)
	}
	if err := s.c.out.Flush(); err != nil {
		return s.interrupted(err)
	}
	return s.finals()
}

// finals reads what the server says of the whole message: one reply, and by LMTP
// one for each recipient that it has accepted, in their order (RFC 2033, section 4.2).
func (s *sending) finals() error {
	for i := range s.result.Recipients {
		if s.c.o.LMTP && !s.result.Recipients[i].IsZero() {
			continue
		}
		s.c.wire.wait(s.c.o.DataEndTimeout)
		r, err := s.c.readReply()
		switch {
		case err != nil:
			return err
		case r.Code/100 == 3:
			return fmt.Errorf("%w: %d to the end of data", ErrMalformedReply, r.Code)
		case !s.c.o.LMTP || r.Code == 421:
			return s.final(r)
		}
		s.result.Recipients[i], s.result.Final = r, r
	}
	s.c.unfinished = false
	return nil
}

// final takes r for all recipients that have no reply.
func (s *sending) final(r Reply) error {
	s.c.unfinished = false
	s.result.Final = r
	s.fill(r)
	if r.Code == 421 {
		return &ReplyError{Command: "end of data", Reply: r}
	}
	return nil
}

// interrupted looks for the reply with which a server that stopped taking the
// data said why.
func (s *sending) interrupted(cause error) error {
	cause = fmt.Errorf("sending data: %w", cause)
	if isTimeout(cause) {
		return cause
	}
	s.c.wire.wait(earlyReplyTimeout)
	r, err := s.c.readReply()
	if err != nil || r.Positive() {
		return cause
	}
	if err := s.final(r); err != nil {
		return err
	}
	return &ReplyError{Command: "end of data", Reply: r}
}

// nothing ends the data that a pipelined DATA began although nobody is to get
// it (RFC 2920, section 3.1). The reply does not matter.
func (s *sending) nothing() error {
	if s.c.o.LMTP {
		// The replies to the end of data are as many as recipients.
		return fmt.Errorf("%w: 354 to DATA without recipients", ErrMalformedReply)
	}
	s.c.put(endOfData)
	if err := s.c.out.Flush(); err != nil {
		return fmt.Errorf("sending the end of an empty message: %w", err)
	}
	if _, err := s.read("end of data", s.c.o.DataEndTimeout); err != nil {
		return err
	}
	s.c.unfinished = false
	return nil
}
