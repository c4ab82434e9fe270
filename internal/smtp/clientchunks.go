package smtp

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// chunkBytes is the largest chunk that is sent. A message up to that size is
// one chunk. A larger one is sent in several, so that the memory it takes does
// not grow with it and an error in reading it can still keep it from being sent.
const chunkBytes = 64 << 10

// chunkBuffer is the next chunk of a message.
type chunkBuffer struct {
	octets [chunkBytes]byte
	n      int
	filled bool // octets[:n] has been read and not been sent
	last   bool
	check  lineCheck
}

// chunkBuffers holds memory and no state, like the pools of buffers.go.
var chunkBuffers = sync.Pool{New: func() any { return new(chunkBuffer) }}

// readChunk reads the next chunk of the content.
func (s *sending) readChunk() error {
	b := s.chunk
	if b.filled {
		return nil
	}
	var err error
	if b.n, err = fill(b.octets[:], s.t.Content); err != nil && err != io.EOF { //nolint:errorlint // a wrapped io.EOF is no end
		return fmt.Errorf("reading content: %w", err)
	}
	b.last = err != nil
	if s.t.Parameters.Body != BodyBinaryMIME {
		if err := b.check.add(b.octets[:b.n], b.last); err != nil {
			return fmt.Errorf("reading content: %w", err)
		}
	}
	b.filled = true
	return nil
}

// fill reads until p is full or r is at its end, which only io.EOF says: what
// was cut short must not pass for a message.
func fill(p []byte, r io.Reader) (n int, err error) {
	if r == nil {
		return 0, io.EOF
	}
	for empty := 0; n < len(p) && err == nil; {
		var got int
		got, err = r.Read(p[n:])
		n += got
		if empty++; got > 0 {
			empty = 0
		}
		if empty == maxEmptyReads {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// maxEmptyReads is how often content may return nothing without an error.
const maxEmptyReads = 100

// putChunk buffers BDAT with the chunk that has been read.
func (s *sending) putChunk() {
	b := s.chunk
	s.c.line = strconv.AppendInt(append(s.c.line[:0], "BDAT "...), int64(b.n), 10)
	if b.last {
		s.c.line = append(s.c.line, " LAST"...)
	}
	s.c.line = append(s.c.line, '\r', '\n')
	s.c.put(s.c.line)
	// A write error stays in the writer and comes back at the next flush.
	_, _ = s.c.out.Write(b.octets[:b.n])
	b.filled = false
	s.chunksDue++
}

// chunks sends the content in chunks and reads their replies; the envelope has
// been answered. One chunk is on its way while the next is sent, if the server
// offers PIPELINING, and never more: replies that nobody reads would end with
// both sides waiting for the other to read.
func (s *sending) chunks() error {
	for s.chunksDue == 0 || !s.chunk.last {
		if err := s.readChunk(); err != nil {
			return err
		}
		s.putChunk()
		if err := s.c.out.Flush(); err != nil {
			return s.interrupted(err)
		}
		if s.chunk.last || s.pipelined && s.chunksDue == 1 {
			continue
		}
		if r, err := s.readChunkReply(); err != nil || !r.Positive() {
			return s.failedChunk(r, err)
		}
	}
	for s.chunksDue > 1 {
		if r, err := s.readChunkReply(); err != nil || !r.Positive() {
			return s.failedChunk(r, err)
		}
	}
	if err := s.finals(); err != nil {
		return err
	}
	// RFC 3030, section 2: behind a refusal RSET comes next. By LMTP some
	// recipients may have been refused.
	s.c.unfinished = s.c.o.LMTP || !s.result.Final.Positive()
	return nil
}

// readChunkReply reads the reply to the oldest chunk that has none and is not
// the last.
func (s *sending) readChunkReply() (Reply, error) {
	s.chunksDue--
	s.c.wire.wait(s.c.o.CommandTimeout)
	r, err := s.c.readReply()
	if err == nil && r.Code/100 == 3 {
		err = fmt.Errorf("%w: %d to BDAT", ErrMalformedReply, r.Code)
	}
	return r, err
}

// failedChunk ends a message of which the server has refused a chunk that was
// not the last.
func (s *sending) failedChunk(r Reply, err error) error {
	if err != nil {
		return err
	}
	if err := s.final(r); err != nil {
		return err
	}
	if s.c.o.LMTP && s.chunk.last {
		// How many replies the last chunk gets now is anybody's guess.
		return &ReplyError{Command: "BDAT", Reply: r}
	}
	s.c.unfinished = true
	for s.chunksDue > 0 { // sent before the refusal could be read
		if _, err := s.readChunkReply(); err != nil {
			return err
		}
	}
	return nil
}

// lineCheck looks for a CR or LF that stands alone in text.
type lineCheck struct{ cr bool }

// add looks at the next octets; last says that no more will come.
func (c *lineCheck) add(p []byte, last bool) error {
	if err := c.look(p); err != nil || !last || !c.cr {
		return err
	}
	return ErrBareLine
}

func (c *lineCheck) look(p []byte) error {
	if c.cr && len(p) > 0 {
		if p[0] != '\n' {
			return ErrBareLine
		}
		c.cr = false
		p = p[1:]
	}
	for len(p) > 0 {
		cr := bytes.IndexByte(p, '\r')
		if cr < 0 {
			cr = len(p)
		}
		switch {
		case bytes.IndexByte(p[:cr], '\n') >= 0:
			return ErrBareLine
		case cr == len(p):
			return nil
		case cr+1 == len(p):
			c.cr = true
			return nil
		case p[cr+1] != '\n':
			return ErrBareLine
		}
		p = p[cr+2:]
	}
	return nil
}
