package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errAbandoned ends a body whose last chunk will never come: the client has
// given the transaction up, or the session is over.
var errAbandoned = errors.New("the message was given up between its chunks")

// chunk is the argument of a BDAT command.
type chunk struct {
	size int64
	last bool
}

// chunkReader reads mail data out of BDAT chunks (RFC 3030, section 2). Where a
// chunk ends its size alone decides: no octet of one is ever looked at as a
// command, whatever it is and whatever became of the message.
//
// The rules of line ends are those of DATA, across the borders of chunks. A CR
// at the end of what has come is therefore held back until its successor is
// known. Only the body of a BINARYMIME message, which has no lines, is handed
// out as it is; its header section is text like any other.
type chunkReader struct {
	bodyReader
	// advance answers the chunk that has been read and waits for the next.
	advance func() (chunk, error)

	size     int64 // of the chunk
	left     int64 // octets of it that are still in the connection
	last     bool
	heldCR   bool // a CR has been read and not handed out
	inHeader bool // the empty line behind the header section has not come
}

// reset begins a body with its first chunk. The zero chunkReader is not usable before.
func (r *chunkReader) reset(in *bufio.Reader, limits bodyLimits, first chunk, advance func() (chunk, error)) {
	*r = chunkReader{bodyReader: bodyReader{in: in, source: r, limits: limits}, advance: advance, inHeader: true}
	r.begin(first)
}

// begin takes up a chunk. One that is too large for what the message may still
// have is not handed out at all.
func (r *chunkReader) begin(c chunk) {
	r.size, r.left, r.last = c.size, c.size, c.last
	if r.fault == nil && c.size > r.limits.messageBytes-r.total {
		r.fault = ErrMessageTooLarge
	}
}

// drain drops what is left of the current chunk. Afterwards the body is closed.
func (r *chunkReader) drain() {
	r.pending = nil
	if r.broken == nil {
		_, _ = r.in.Discard(r.taken) // it has been peeked
		r.left -= int64(r.taken)
		r.broken = discard(r.in, r.left)
	}
	r.taken, r.left = 0, 0
	r.closed = true
}

// discard drops n octets of the connection.
func discard(in *bufio.Reader, n int64) error {
	for n > 0 {
		// In steps that fit an int anywhere.
		dropped, err := in.Discard(int(min(n, 1<<30)))
		if err != nil {
			return err
		}
		n -= int64(dropped)
	}
	return nil
}

// scan implements bodySource.
func (r *chunkReader) scan() ([]byte, error) {
	// Discarding octets that have been peeked cannot fail.
	_, _ = r.in.Discard(r.taken)
	r.left -= int64(r.taken)
	r.taken = 0
	for r.left == 0 {
		if r.last {
			return r.finish()
		}
		if r.broken != nil {
			return nil, r.unexpected()
		}
		next, err := r.advance()
		if err != nil {
			r.broken = err
			return nil, r.unexpected()
		}
		if r.begin(next); r.fault != nil {
			return nil, r.fault
		}
	}
	buf, err := r.peek(1)
	if err != nil {
		return nil, err
	}
	if int64(len(buf)) > r.left {
		buf = buf[:r.left]
	}
	if r.limits.binary && !r.inHeader {
		r.taken = len(buf)
		return buf, nil
	}
	return r.lines(buf), nil
}

// finish ends the body behind the last chunk.
func (r *chunkReader) finish() ([]byte, error) {
	if r.heldCR {
		r.heldCR = false
		return r.bareCR(), nil
	}
	r.ended = true
	return nil, io.EOF
}

// lines returns the longest piece at the start of buf, which is not empty, that
// ends before a bare CR or LF, a CR whose successor has not come, or the body of
// a BINARYMIME message. It may be empty.
func (r *chunkReader) lines(buf []byte) []byte {
	if r.heldCR {
		r.heldCR = false
		if buf[0] != '\n' {
			return r.bareCR()
		}
		r.taken = 1
		r.endLine()
		return crlf
	}
	pos := 0
	for pos < len(buf) {
		cr := bytes.IndexByte(buf[pos:], '\r')
		end := len(buf)
		if cr >= 0 {
			end = pos + cr
		}
		if lf := bytes.IndexByte(buf[pos:end], '\n'); lf >= 0 {
			r.grow(lf)
			return r.bare(buf, pos+lf)
		}
		r.grow(end - pos)
		switch {
		case cr < 0:
			pos = end
		case end+1 == len(buf):
			r.heldCR = true
			r.taken = len(buf)
			return buf[:end]
		case buf[end+1] != '\n':
			return r.bare(buf, end)
		default:
			pos = end + 2
			if r.endLine(); r.limits.binary && !r.inHeader {
				r.taken = pos
				return buf[:pos]
			}
		}
	}
	r.taken = pos
	return buf[:pos]
}

// endLine notes a line end. The first empty line ends the header section.
func (r *chunkReader) endLine() {
	if r.line == 0 {
		r.inHeader = false
	}
	r.line = 0
}

// bare deals with the bare CR or LF at buf[k].
func (r *chunkReader) bare(buf []byte, k int) []byte {
	switch {
	case !r.limits.normalize:
		r.bareFault()
		return nil
	case k > 0:
		r.taken = k
		return buf[:k]
	}
	r.taken = 1
	r.endLine()
	return crlf
}

// bareCR deals with the CR that was held back and is no part of a CRLF.
func (r *chunkReader) bareCR() []byte {
	if !r.limits.normalize {
		r.bareFault()
		return nil
	}
	r.endLine()
	return crlf
}
