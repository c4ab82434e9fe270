package smtp

import (
	"fmt"
	"strconv"
	"time"
)

// envelope sends the commands through DATA, or through the only chunk, and
// collects their replies.
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
	for i := range s.t.Recipients {
		if s.c.out.Buffered() >= maxGroupBytes {
			if err := s.collect(); err != nil {
				return err
			}
		}
		if s.mailRefused {
			break
		}
		s.c.line = s.appendRecipient(s.c.line[:0], i)
		s.c.put(s.c.line)
		s.sent++
		if err := s.lockStep(); err != nil {
			return err
		}
	}
	switch {
	case s.mailRefused:
	case s.chunk != nil && s.chunk.filled && s.chunk.last && !s.c.o.LMTP:
		s.putChunk()
	case s.chunk == nil && (s.pipelined || s.accepted > 0):
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
	wait := s.c.o.CommandTimeout
	if s.chunksDue > 0 {
		// The server may keep its replies until it has dealt with the message.
		wait = max(wait, s.c.o.DataEndTimeout)
	}
	if s.resetDue {
		r, err := s.read("RSET", wait)
		if err != nil {
			return err
		}
		if r.Code != 250 {
			return &ReplyError{Command: "RSET", Reply: r}
		}
		s.resetDue, s.c.unfinished = false, false
	}
	if s.mailDue {
		r, err := s.read("MAIL", wait)
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
	if err := s.collectRecipients(wait); err != nil {
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

func (s *sending) collectRecipients(wait time.Duration) error {
	for ; s.answered < s.sent; s.answered++ {
		r, err := s.read("RCPT", wait)
		switch {
		case err != nil:
			return err
		case s.mailRefused: // the reply to MAIL is the one that counts
		case r.Code/100 == 3:
			return fmt.Errorf("%w: %d to RCPT", ErrMalformedReply, r.Code)
		case r.Positive():
			s.accepted++
			s.result.Accepted = true
		default:
			s.result.Recipients[s.answered] = r
		}
	}
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
	switch {
	case s.t.Parameters.Body == BodyBinaryMIME: // RFC 3030; check has seen to the rest
		b = append(b, " BODY=BINARYMIME"...)
	case s.t.Parameters.Body == Body8BitMIME && s.c.extensions.EightBitMIME: // RFC 6152
		b = append(b, " BODY=8BITMIME"...)
	}
	if s.t.Parameters.UTF8 { // RFC 6531; check has seen to the rest
		b = append(b, " SMTPUTF8"...)
	}
	if s.c.extensions.DSN { // RFC 3461, section 5.2.1
		switch s.t.Parameters.Return {
		case ReturnFull:
			b = append(b, " RET=FULL"...)
		case ReturnHeaders:
			b = append(b, " RET=HDRS"...)
		case ReturnUnspecified:
		}
		if id := s.t.Parameters.EnvelopeID; id != "" {
			b = append(append(b, " ENVID="...), id...)
		}
	}
	return append(b, '\r', '\n')
}

// appendRecipient appends the RCPT command for recipient i.
func (s *sending) appendRecipient(b []byte, i int) []byte {
	b = append(appendMailbox(append(b, "RCPT TO:<"...), s.t.Recipients[i].Mailbox), '>')
	if s.c.extensions.DSN && s.t.RecipientParameters != nil {
		p := &s.t.RecipientParameters[i]
		if p.Notify != 0 {
			b = append(append(b, " NOTIFY="...), p.Notify.String()...)
		}
		if p.OriginalRecipient != "" {
			b = append(append(b, " ORCPT="...), p.OriginalRecipient...)
		}
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
