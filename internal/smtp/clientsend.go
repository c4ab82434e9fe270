package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
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
// the server offers PIPELINING; otherwise each waits for its reply.
//
// SIZE and BODY=8BITMIME are said when the server offers them. A message with
// octets above 127 goes as it is to a server without 8BITMIME, because servers
// that harm it are hardly found and a conversion would break its signatures.
//
// A refusal by the server is a Result, not an error. An error means that the
// connection is closed: it broke, the server said 421 (a *ReplyError; the reply
// stands in the Result too), or Content could not be read to its end, in which
// case the final dot is not sent and the server has no message. Result has an
// entry per recipient in any case.
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
	if err := t.check(); err != nil {
		return result, err
	}
	s := sending{c: c, t: &t, result: &result, pipelined: c.extensions.Pipelining}
	return result, c.step(ctx, s.run)
}

// check keeps line ends and other controls out of commands: the paths may have
// been made by hand.
func (t *Transaction) check() error {
	if !safeMailbox(t.From.Mailbox) {
		return errors.New("reverse-path with a character that no command may contain")
	}
	for _, to := range t.Recipients {
		if to.Mailbox.LocalPart == "" && to.Mailbox.Domain == "" && to.Mailbox.Literal == "" || !safeMailbox(to.Mailbox) {
			return errors.New("forward-path that no command may contain")
		}
	}
	return nil
}

func safeMailbox(m Mailbox) bool {
	for i := range len(m.LocalPart) {
		if c := m.LocalPart[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return safeHost(string(m.Domain)) && safeHost(m.Literal)
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

	resetDue, mailDue, dataDue bool // sent, not yet answered
	mailRefused                bool
	sent, answered, accepted   int // recipients
	data                       Reply
}

func (s *sending) run() error {
	if err := s.envelope(); err != nil {
		return err
	}
	switch {
	case s.data.Code == 354 && s.accepted > 0:
		return s.body()
	case s.data.Code == 354:
		return s.nothing()
	case s.data.Code != 0:
		s.fill(s.data)
	}
	return nil
}

// envelope sends the commands through DATA and collects their replies.
func (s *sending) envelope() error {
	if s.c.unfinished {
		s.c.put([]byte("RSET\r\n"))
		s.resetDue = true
		if err := s.lockStep(); err != nil {
			return err
		}
	}
	s.c.line = s.appendMail(s.c.line[:0])
	s.c.put(s.c.line)
	s.mailDue = true
	if err := s.lockStep(); err != nil {
		return err
	}
	for _, to := range s.t.Recipients {
		if s.c.out.Buffered() >= maxGroupBytes {
			if err := s.collect(); err != nil {
				return err
			}
		}
		if s.mailRefused {
			break
		}
		s.c.line = appendMailbox(append(s.c.line[:0], "RCPT TO:<"...), to.Mailbox)
		s.c.line = append(s.c.line, '>', '\r', '\n')
		s.c.put(s.c.line)
		s.sent++
		if err := s.lockStep(); err != nil {
			return err
		}
	}
	if !s.mailRefused && (s.pipelined || s.accepted > 0) {
		s.c.put([]byte("DATA\r\n"))
		s.dataDue = true
	}
	return s.collect()
}

// lockStep waits for the reply to the last command, unless commands may be pipelined.
func (s *sending) lockStep() error {
	if s.pipelined {
		return nil
	}
	return s.collect()
}

// collect sends what is buffered and reads every reply that is due.
func (s *sending) collect() error {
	if err := s.c.out.Flush(); err != nil {
		return fmt.Errorf("sending envelope: %w", err)
	}
	if s.resetDue {
		r, err := s.read("RSET", s.c.o.CommandTimeout)
		if err != nil {
			return err
		}
		if r.Code != 250 {
			return &ReplyError{Command: "RSET", Reply: r}
		}
		s.resetDue, s.c.unfinished = false, false
	}
	if s.mailDue {
		r, err := s.read("MAIL", s.c.o.CommandTimeout)
		if err != nil {
			return err
		}
		if r.Code/100 == 3 {
			return fmt.Errorf("%w: %d to MAIL", ErrMalformedReply, r.Code)
		}
		s.mailDue = false
		if s.mailRefused = !r.Positive(); s.mailRefused {
			s.fill(r)
		} else {
			s.c.unfinished = true
		}
	}
	if err := s.collectRecipients(); err != nil {
		return err
	}
	if s.dataDue {
		r, err := s.read("DATA", min(s.c.o.CommandTimeout, dataInitiationTimeout))
		if err != nil {
			return err
		}
		if r.Positive() && r.Code != 354 {
			return fmt.Errorf("%w: %d to DATA", ErrMalformedReply, r.Code)
		}
		s.dataDue, s.data = false, r
	}
	return nil
}

func (s *sending) collectRecipients() error {
	for ; s.answered < s.sent; s.answered++ {
		r, err := s.read("RCPT", s.c.o.CommandTimeout)
		switch {
		case err != nil:
			return err
		case s.mailRefused: // the reply to MAIL is the one that counts
		case r.Code/100 == 3:
			return fmt.Errorf("%w: %d to RCPT", ErrMalformedReply, r.Code)
		case r.Positive():
			s.accepted++
		default:
			s.result.Recipients[s.answered] = r
		}
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
	s.c.wire.wait(s.c.o.DataEndTimeout)
	r, err := s.c.readReply()
	if err != nil {
		return err
	}
	if r.Code/100 == 3 {
		return fmt.Errorf("%w: %d to the end of data", ErrMalformedReply, r.Code)
	}
	return s.final(r)
}

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

func (s *sending) appendMail(b []byte) []byte {
	b = append(b, "MAIL FROM:<"...)
	if !s.t.From.Null() {
		b = appendMailbox(b, s.t.From.Mailbox)
	}
	b = append(b, '>')
	if s.c.extensions.Size && s.t.Parameters.Size > 0 { // RFC 1870
		b = strconv.AppendInt(append(b, " SIZE="...), s.t.Parameters.Size, 10)
	}
	if s.c.extensions.EightBitMIME && s.t.Parameters.Body == Body8BitMIME { // RFC 6152
		b = append(b, " BODY=8BITMIME"...)
	}
	return append(b, '\r', '\n')
}

// appendMailbox appends what String returns, in the usual case without memory
// of its own.
func appendMailbox(b []byte, m Mailbox) []byte {
	if !isDotString(m.LocalPart) {
		return append(b, m.String()...)
	}
	b = append(b, m.LocalPart...)
	switch {
	case m.Domain != "":
		b = append(append(b, '@'), m.Domain...)
	case m.Literal != "":
		b = append(append(b, '@'), m.Literal...)
	}
	return b
}
