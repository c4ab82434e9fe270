package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrLineTooLong says that a line does not fit into the reader's buffer.
var ErrLineTooLong = errors.New("line is longer than the buffer")

// Reader is a buffered reader. The slices it returns are valid until its next call.
type Reader struct {
	source     io.Reader
	buffer     []byte
	start, end int
}

// NewReader returns a reader with a buffer of size octets.
func NewReader(source io.Reader, size int) *Reader {
	return &Reader{source: source, buffer: make([]byte, size)}
}

// Reset drops what is buffered and goes on with another source.
func (r *Reader) Reset(source io.Reader) { r.source, r.start, r.end = source, 0, 0 }

// Buffered returns how many octets can be had without reading from the source.
func (r *Reader) Buffered() int { return r.end - r.start }

func (r *Reader) fill() error {
	if r.start > 0 {
		copy(r.buffer, r.buffer[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	if r.end == len(r.buffer) {
		return ErrLineTooLong
	}
	n, err := r.source.Read(r.buffer[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}

// Line returns the next line without its line end.
func (r *Reader) Line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buffer[r.start:r.end], '\n'); i >= 0 {
			line := r.buffer[r.start : r.start+i]
			r.start += i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// Reply reads one SMTP reply of any number of lines and returns its code.
func (r *Reader) Reply() (int, error) {
	for {
		line, err := r.Line()
		if err != nil {
			return 0, err
		}
		if len(line) < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
			return 0, fmt.Errorf("reading reply: %q is none", line)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		return int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0'), nil
	}
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

var (
	endOfData  = []byte("\r\n.\r\n")
	emptyData  = []byte(".\r\n")
	keepOfData = len(endOfData) - 1 // octets that may be the begin of the end
)

// Data reads a body up to its final dot and hands it, still dot-stuffed, to
// each in slices. It returns the number of octets before the dot.
func (r *Reader) Data(each func([]byte)) (int64, error) {
	for r.Buffered() < len(emptyData) {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	if bytes.HasPrefix(r.buffer[r.start:r.end], emptyData) {
		r.start += len(emptyData)
		return 0, nil
	}
	var size int64
	for {
		b := r.buffer[r.start:r.end]
		if i := bytes.Index(b, endOfData); i >= 0 {
			each(b[:i+2])
			r.start += i + len(endOfData)
			return size + int64(i) + 2, nil
		}
		if ready := len(b) - keepOfData; ready > 0 {
			each(b[:ready])
			size += int64(ready)
			r.start += ready
		}
		if err := r.fill(); err != nil {
			return size, err
		}
	}
}
