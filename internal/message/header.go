package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// DefaultHeaderLimit is the limit of a header section that is read with limit 0: 256 KB.
const DefaultHeaderLimit = 256 << 10

// ErrHeaderTooLarge says that no end of the header section was found within the limit.
var ErrHeaderTooLarge = errors.New("message header too large")

const (
	firstHeaderBuffer = 4 << 10
	maxEmptyReads     = 100
)

// Header is the header section of a message, as it came. It is not safe for
// concurrent use.
type Header struct {
	buf       []byte // everything read so far
	fields    []Field
	separator []byte // the empty line; nil when the message ended before one
	rest      []byte // octets of the body that were read along
	readErr   error  // what ended reading, to be replayed after rest; nil: nothing did
	removed   bool
}

// Field is one element of a header section: a line with its continuation
// lines. It need not be well-formed.
type Field struct {
	raw   []byte
	colon int  // in raw; -1: none
	odd   bool // some parser could see more line ends in it than there are
}

// Raw returns the octets of the field, its last line end included. They belong
// to the Header and must not be changed.
func (f Field) Raw() []byte { return f.raw }

// Name returns the field's name as it is written, without white space around
// it, or "" when the element is not a field.
func (f Field) Name() string {
	if f.colon < 0 {
		return ""
	}
	return string(bytes.Trim(f.raw[:f.colon], " \t\r\n"))
}

// Is reports whether any parser could take the field's name for name, which
// must be given in lower case.
func (f Field) Is(name string) bool {
	if f.colon < 0 {
		return false
	}
	var b [maxSqueezed]byte
	return string(squeeze(&b, f.raw[:f.colon])) == name
}

// Body returns the octets after the colon, line ends included, or nil when the
// element is not a field.
func (f Field) Body() []byte {
	if f.colon < 0 {
		return nil
	}
	return f.raw[f.colon+1:]
}

// ReadHeader reads the header section of the message in r, and some octets
// more, which Body returns first. The limit is in octets; 0 is
// DefaultHeaderLimit. A message that ends within its header section is complete
// and not an error. Errors are ErrHeaderTooLarge or those of r, wrapped.
func ReadHeader(r io.Reader, limit int64) (*Header, error) {
	h := &Header{buf: make([]byte, 0, firstHeaderBuffer)}
	if err := h.read(r, limit); err != nil {
		return nil, err
	}
	return h, nil
}

// read fills h. It finds line ends as the octets come and remembers where
// elements start; the slices are made at the end, because the buffer moves.
func (h *Header) read(r io.Reader, limit int64) error {
	if limit <= 0 {
		limit = DefaultHeaderLimit
	}
	var local [64]int
	starts := local[:0]
	line, searched, crlf, empty := 0, 0, 0, 0
	for {
		for {
			i := bytes.IndexByte(h.buf[searched:], '\n')
			if i < 0 {
				searched = len(h.buf)
				break
			}
			end := searched + i + 1
			searched = end
			if isEmptyLine(h.buf[line:end]) {
				if int64(end) > limit {
					return ErrHeaderTooLarge
				}
				h.finish(starts, line, end, crlf)
				return nil
			}
			if end-line > 1 && h.buf[end-2] == '\r' {
				crlf++
			}
			if len(starts) == 0 || !isBlank(h.buf[line]) {
				starts = append(starts, line)
			}
			line = end
		}
		if int64(len(h.buf)) > limit {
			return ErrHeaderTooLarge
		}
		if h.readErr != nil {
			break
		}
		n, err := h.fill(r)
		h.readErr = err
		if n > 0 || err != nil {
			empty = 0
		} else if empty++; empty == maxEmptyReads {
			h.readErr = io.ErrNoProgress
		}
	}
	if h.readErr != io.EOF { //nolint:errorlint // io.Reader promises io.EOF itself, not a wrapped one
		return fmt.Errorf("reading header: %w", h.readErr)
	}
	if line < len(h.buf) && (len(starts) == 0 || !isBlank(h.buf[line])) { // a last line without an end
		starts = append(starts, line)
	}
	h.finish(starts, len(h.buf), len(h.buf), crlf)
	return nil
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 || len(line) == 2 && line[0] == '\r'
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func (h *Header) fill(r io.Reader) (int, error) {
	if cap(h.buf)-len(h.buf) < 512 {
		grown := make([]byte, len(h.buf), 2*cap(h.buf))
		copy(grown, h.buf)
		h.buf = grown
	}
	n, err := r.Read(h.buf[len(h.buf):cap(h.buf)])
	h.buf = h.buf[:len(h.buf)+n]
	return n, err
}

// finish cuts the buffer into fields, separator and rest. crlf is the number of
// line ends before the separator that are CRLF.
func (h *Header) finish(starts []int, end, body, crlf int) {
	section := h.buf[:end:end]
	if body > end {
		h.separator = h.buf[end:body:body]
	}
	h.rest = h.buf[body:]
	odd := bytes.Count(section, []byte{'\r'}) != crlf || hasOddSeparator(section)
	if cap(h.fields) < len(starts) {
		h.fields = make([]Field, 0, len(starts))
	}
	for i, s := range starts {
		e := end
		if i+1 < len(starts) {
			e = starts[i+1]
		}
		raw := section[s:e:e]
		h.fields = append(h.fields, Field{raw: raw, colon: bytes.IndexByte(raw, ':'), odd: odd && hidesLineEnd(raw)})
	}
}

// Fields returns the elements that have not been removed, in order. The slice
// belongs to the Header.
func (h *Header) Fields() []Field { return h.fields }

// Size returns the number of octets that WriteTo writes.
func (h *Header) Size() int64 {
	n := int64(len(h.separator))
	for _, f := range h.fields {
		n += int64(len(f.raw))
	}
	return n
}

// AppendTo appends what WriteTo writes to dst.
func (h *Header) AppendTo(dst []byte) []byte {
	if !h.removed {
		return append(dst, h.buf[:len(h.buf)-len(h.rest)]...)
	}
	for _, f := range h.fields {
		dst = append(dst, f.raw...)
	}
	return append(dst, h.separator...)
}

// WriteTo writes the fields that have not been removed and the empty line, if
// the message had one. It can be called again.
func (h *Header) WriteTo(w io.Writer) (int64, error) {
	out := h.buf[:len(h.buf)-len(h.rest)]
	if h.removed {
		out = h.AppendTo(make([]byte, 0, h.Size()))
	}
	n, err := w.Write(out)
	if err != nil {
		return int64(n), fmt.Errorf("writing header: %w", err)
	}
	return int64(n), nil
}

// Body returns the message after the empty line: the octets that were read
// along with the header, then the rest of r, which must be the reader that was
// given to ReadHeader. It is to be called once.
func (h *Header) Body(r io.Reader) io.Reader {
	rest := bytes.NewReader(h.rest)
	if h.readErr == nil {
		return io.MultiReader(rest, r)
	}
	return io.MultiReader(rest, failingReader{err: h.readErr}) // io.EOF among them
}

// failingReader replays an error that came together with the last octets.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }
