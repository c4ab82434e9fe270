package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The faults of a message body that a Session learns from Read. After one of
// them no more of the body is handed out; the loop reads on to the end of the
// data and refuses the message whatever the Session answers.
var (
	// ErrMessageTooLarge says that the body is larger than ServerOptions.MaxMessageBytes.
	ErrMessageTooLarge = errors.New("message too large")
	// ErrBareLine says that the body contains a CR or LF outside CRLF. The
	// client returns it too, for content that it does not send.
	ErrBareLine = errors.New("bare CR or LF in a message")
	// ErrLineTooLong says that a line is longer than ServerOptions.MaxLineBytes.
	ErrLineTooLong = errors.New("line too long in a message")
)

var errBodyOver = errors.New("the message body was read after Data returned")

// bodyLimits are the limits of a message body.
type bodyLimits struct {
	messageBytes int64 // without dot-stuffing
	lineBytes    int   // with CRLF, without dot-stuffing
	normalize    bool  // each bare CR or LF becomes CRLF
}

// dotReader reads mail data up to CRLF.CRLF and takes the dot-stuffing out
// (RFC 5321, section 4.5.2). Only that sequence ends the data; the CRLF of the
// DATA command counts as its first half. Servers that took other sequences for
// the end read a second message, with an envelope of the sender's choice, out
// of one that everybody before them had carried as text.
//
// The body is handed out in slices of the buffer below, each as long as the
// buffer holds octets without a stuffed dot between them.
type dotReader struct {
	in     *bufio.Reader
	limits bodyLimits

	lineStart bool  // a CRLF has just been read
	line      int   // octets of the line so far
	total     int64 // octets handed out
	taken     int   // octets of in's buffer that the last slice covers
	pending   []byte
	ended     bool // CRLF.CRLF has been read
	seenEnd   bool // and the reader of the body was told
	closed    bool
	fault     error // one of the faults above, for good
	broken    error // the connection's error: the data has no end
}

// reset begins a body. The zero dotReader is not usable before.
func (r *dotReader) reset(in *bufio.Reader, limits bodyLimits) {
	*r = dotReader{in: in, limits: limits, lineStart: true}
}

// Read implements io.Reader. io.EOF means that the body ended properly, and
// nothing else does.
func (r *dotReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.pending) == 0 {
		var err error
		if r.pending, err = r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: it writes the body in slices of the buffer
// without copying. A nil error means that the body ended properly.
func (r *dotReader) WriteTo(w io.Writer) (int64, error) {
	written := int64(0)
	for {
		if len(r.pending) == 0 {
			var err error
			if r.pending, err = r.next(); err != nil {
				if r.seenEnd {
					return written, nil
				}
				return written, err
			}
		}
		n, err := w.Write(r.pending)
		written += int64(n)
		if err == nil && n < len(r.pending) {
			err = io.ErrShortWrite
		}
		r.pending = r.pending[n:]
		if err != nil {
			return written, err
		}
	}
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

// next returns the next octets of the body, at least one.
func (r *dotReader) next() ([]byte, error) {
	if r.closed {
		return nil, errBodyOver
	}
	for r.fault == nil {
		chunk, err := r.scan()
		switch {
		case r.fault != nil:
		case r.ended:
			r.seenEnd = true
			return nil, io.EOF
		case err != nil:
			return nil, err
		case r.total+int64(len(chunk)) > r.limits.messageBytes:
			r.fault = ErrMessageTooLarge
		case len(chunk) > 0:
			r.total += int64(len(chunk))
			return chunk, nil
		}
	}
	return nil, r.fault
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
		if r.fault == nil {
			r.fault = ErrBareLine
		}
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

// crlf is what a bare CR or LF becomes. Nobody writes to it.
var crlf = []byte("\r\n")

// grow counts octets of the current line, whose CRLF is still to come.
func (r *dotReader) grow(n int) {
	r.line += n
	if r.fault == nil && r.line > r.limits.lineBytes-len("\r\n") {
		r.fault = ErrLineTooLong
	}
}

// peek returns all that is buffered, reading until that is at least n octets.
func (r *dotReader) peek(n int) ([]byte, error) {
	if r.broken != nil {
		return nil, r.unexpected()
	}
	if _, err := r.in.Peek(n); err != nil {
		r.broken = err
		return nil, r.unexpected()
	}
	return r.in.Peek(r.in.Buffered())
}

// unexpected is what the reader of the body sees of a broken connection. It
// must not wrap io.EOF, which means that the body has ended properly.
func (r *dotReader) unexpected() error {
	if errors.Is(r.broken, io.EOF) {
		return fmt.Errorf("reading mail data: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("reading mail data: %w (%w)", io.ErrUnexpectedEOF, r.broken)
}
