package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// The faults of a message body that a Session learns from Read. After one of
// them no more of the body is handed out; the loop reads on to the end of the
// data, or of the chunk, and refuses the message whatever the Session answers.
var (
	// ErrMessageTooLarge says that the body is larger than ServerOptions.MaxMessageBytes.
	ErrMessageTooLarge = errors.New("message too large")
	// ErrBareLine says that the body contains a CR or LF outside CRLF where
	// none may be. The client returns it too, for content that it does not send.
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
	binary       bool  // BODY=BINARYMIME: behind the header, CR and LF mean nothing
}

// bodyReader is what a Session reads a message from, however it comes: DATA is
// read by dotReader, BDAT by chunkReader. The body is handed out in slices of
// the buffer below.
type bodyReader struct {
	in     *bufio.Reader
	source bodySource
	limits bodyLimits

	total   int64 // octets handed out
	line    int   // octets of the line so far
	taken   int   // octets of in's buffer that the last slice covers
	pending []byte
	ended   bool // the end of the body has been read
	seenEnd bool // and the reader of the body was told
	closed  bool
	fault   error // one of the faults above, for good
	broken  error // the connection's error: the body has no end
}

// bodySource is the reader of one way in which a body comes.
type bodySource interface {
	// scan returns the next octets, perhaps none, which stay valid until the
	// next call, and notes faults and the end.
	scan() ([]byte, error)
}

// Read implements io.Reader. io.EOF means that the body ended properly, and
// nothing else does.
func (r *bodyReader) Read(p []byte) (int, error) {
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
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
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

// next returns the next octets of the body, at least one.
func (r *bodyReader) next() ([]byte, error) {
	if r.closed {
		return nil, errBodyOver
	}
	for r.fault == nil {
		chunk, err := r.source.scan()
		switch {
		case r.fault != nil:
		case r.ended:
			r.seenEnd = true
			return nil, io.EOF
		case err != nil:
			return nil, err
		case int64(len(chunk)) > r.limits.messageBytes-r.total:
			r.fault = ErrMessageTooLarge
		case len(chunk) > 0:
			r.total += int64(len(chunk))
			return chunk, nil
		}
	}
	return nil, r.fault
}

// bareFault notes a CR or LF that stands alone where none may.
func (r *bodyReader) bareFault() {
	if r.fault == nil {
		r.fault = ErrBareLine
	}
}

// grow counts octets of the current line, whose CRLF is still to come.
func (r *bodyReader) grow(n int) {
	r.line += n
	if r.fault == nil && r.line > r.limits.lineBytes-len("\r\n") {
		r.fault = ErrLineTooLong
	}
}

// peek returns all that is buffered, reading until that is at least n octets.
func (r *bodyReader) peek(n int) ([]byte, error) {
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
func (r *bodyReader) unexpected() error {
	if errors.Is(r.broken, io.EOF) {
		return fmt.Errorf("reading mail data: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("reading mail data: %w (%w)", io.ErrUnexpectedEOF, r.broken)
}

// crlf is what a bare CR or LF becomes. Nobody writes to it.
var crlf = []byte("\r\n")
