package smtp

import (
	"bufio"
	"bytes"
	"io"
)

// dotReader reads mail data up to CRLF.CRLF and takes the dot-stuffing out
// (RFC 5321, section 4.5.2). Only that sequence ends the data; the CRLF of the
// DATA command counts as its first half. Servers that took other sequences for
// the end read a second message, with an envelope of the sender's choice, out
// of one that everybody before them had carried as text.
//
// Each slice that is handed out is as long as the buffer holds octets without a
// stuffed dot between them.
type dotReader struct {
	bodyReader
	lineStart bool // a CRLF has just been read
}

// reset begins a body. The zero dotReader is not usable before.
func (r *dotReader) reset(in *bufio.Reader, limits bodyLimits) {
	*r = dotReader{bodyReader: bodyReader{in: in, source: r, limits: limits}, lineStart: true}
}

// drain reads what is left of the data. Afterwards the body is closed, and
// either ended or broken is set.
func (r *dotReader) drain() {
	r.pending = nil
	for !r.ended && r.broken == nil {
		// Errors are in ended and broken.
		_, _ = r.scan()
	}
	r.closed = true
}

// scan returns the next octets, which stay valid until the next call, and
// notes faults. It is the one place that decides where the data ends.
func (r *dotReader) scan() ([]byte, error) {
	// Discarding octets that have been peeked cannot fail.
	_, _ = r.in.Discard(r.taken)
	r.taken = 0
	if r.ended {
		return nil, io.EOF
	}
	buf, err := r.peek(1)
	if err != nil {
		return nil, err
	}
	if r.lineStart && buf[0] == '.' {
		for len(buf) < 2 || buf[1] == '\r' && len(buf) < 3 {
			if buf, err = r.peek(len(buf) + 1); err != nil {
				return nil, err
			}
		}
		if buf[1] == '\r' && buf[2] == '\n' {
			_, _ = r.in.Discard(3)
			r.ended = true
			return nil, io.EOF
		}
		_, _ = r.in.Discard(1)
		buf = buf[1:]
		r.lineStart = false
	}
	return r.lines(buf)
}

// lines returns the longest piece at the start of buf that ends before a dot
// at the start of a line, a bare CR or LF, or a CR whose successor has not come.
func (r *dotReader) lines(buf []byte) ([]byte, error) {
	pos := 0
	for pos < len(buf) && (!r.lineStart || buf[pos] != '.') {
		cr := bytes.IndexByte(buf[pos:], '\r')
		end := len(buf)
		if cr >= 0 {
			end = pos + cr
		}
		if lf := bytes.IndexByte(buf[pos:end], '\n'); lf >= 0 {
			r.grow(lf)
			return r.bare(buf, pos+lf), nil
		}
		r.grow(end - pos)
		r.lineStart = false
		pos = end
		switch {
		case cr < 0:
		case end+1 < len(buf) && buf[end+1] == '\n':
			pos = end + 2
			r.line, r.lineStart = 0, true
		case end+1 < len(buf):
			return r.bare(buf, end), nil
		case end > 0:
			r.taken = end
			return buf[:end], nil
		default:
			var err error
			if buf, err = r.peek(2); err != nil {
				return nil, err
			}
		}
	}
	r.taken = pos
	return buf[:pos], nil
}

// bare deals with the bare CR or LF at buf[k]. It never makes a line start: a
// dot behind it neither ends the data nor is taken out.
func (r *dotReader) bare(buf []byte, k int) []byte {
	r.lineStart = false
	switch {
	case !r.limits.normalize:
		r.bareFault()
		r.line = 0
		r.taken = k + 1
		return buf[:k+1]
	case k > 0:
		r.taken = k
		return buf[:k]
	}
	r.line = 0
	r.taken = 1
	return crlf
}
