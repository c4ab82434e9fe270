package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// DefaultHeaderLimit is the limit of a header section that is read with limit 0: 256 KB.
const DefaultHeaderLimit = 256 << 10

// ErrHeaderTooLarge says that no end of the header section was found within the limit.
var ErrHeaderTooLarge = errors.New("message header too large")

const (
	firstHeaderBuffer = 4 << 10
	leastRead         = 512 // octets that there is room for in a read
	maxEmptyReads     = 100
	fieldOctets       = 40 // of a Field in memory
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

	hold func(octets int64) error // see ReadHeaderWithin; may be nil
	held int64                    // what it was told last
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
	return ReadHeaderWithin(r, limit, nil)
}

// ReadHeaderWithin is ReadHeader for a caller that counts memory. Before h has
// more of it, hold is told how many octets h has then in all, and reading ends
// with hold's error, wrapped, if it gives one. The memory is given back, and the
// header forgotten, when what Body returns has been read as far as the octets
// that were read along; hold is told 0 then.
func ReadHeaderWithin(r io.Reader, limit int64, hold func(octets int64) error) (*Header, error) {
	h := &Header{hold: hold}
	if err := h.take(firstHeaderBuffer); err != nil {
		return nil, err
	}
	h.buf = make([]byte, 0, firstHeaderBuffer)
	if err := h.read(r, limit); err != nil {
		return nil, err
	}
	return h, nil
}

// take asks for leave to have that much memory in all.
func (h *Header) take(octets int64) error {
	if h.hold == nil || octets <= h.held {
		return nil
	}
	if err := h.hold(octets); err != nil {
		return fmt.Errorf("reading header: %w", err)
	}
	h.held = octets
	return nil
}

// forget gives the memory back.
func (h *Header) forget() {
	if h.hold != nil && h.held > 0 {
		h.buf, h.fields, h.separator, h.rest, h.held = nil, nil, nil, nil, 0
		_ = h.hold(0) // less is always granted
	}
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
				return h.finish(starts, line, end, crlf)
			}
			if end-line > 1 && h.buf[end-2] == '\r' {
				crlf++
			}
			if len(starts) == 0 || !isBlank(h.buf[line]) {
				if len(starts) == cap(starts) {
					if err := h.take(int64(cap(h.buf) + 2*cap(starts)*bits.UintSize/8)); err != nil {
						return err
					}
				}
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
		if err := h.grow(limit); err != nil {
			return err
		}
		n, err := r.Read(h.buf[len(h.buf):cap(h.buf)])
		h.buf = h.buf[:len(h.buf)+n]
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
	return h.finish(starts, len(h.buf), len(h.buf), crlf)
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 || len(line) == 2 && line[0] == '\r'
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// grow makes room in the buffer, but not much more than a header within the
// limit needs.
func (h *Header) grow(limit int64) error {
	if cap(h.buf)-len(h.buf) >= leastRead {
		return nil
	}
	size := 2 * int64(cap(h.buf))
	if most := limit + 2*leastRead; most > 0 && size > most {
		size = max(most, int64(len(h.buf)+leastRead))
	}
	if err := h.take(size); err != nil {
		return err
	}
	grown := make([]byte, len(h.buf), size)
	copy(grown, h.buf)
	h.buf = grown
	return nil
}

// finish cuts the buffer into fields, separator and rest. crlf is the number of
// line ends before the separator that are CRLF.
func (h *Header) finish(starts []int, end, body, crlf int) error {
	section := h.buf[:end:end]
	if body > end {
		h.separator = h.buf[end:body:body]
	}
	h.rest = h.buf[body:]
	odd := bytes.Count(section, []byte{'\r'}) != crlf || hasOddSeparator(section)
	if cap(h.fields) < len(starts) {
		if err := h.take(int64(cap(h.buf)) + int64(len(starts))*fieldOctets); err != nil {
			return err
		}
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
	return nil
}

// Fields returns the elements that have not been removed, in order. The slice
// belongs to the Header.
func (h *Header) Fields() []Field { return h.fields }

// ASCII reports whether no field that has not been removed has an octet above 127.
func (h *Header) ASCII() bool {
	for _, f := range h.fields {
		for _, c := range f.raw {
			if c >= 0x80 {
				return false
			}
		}
	}
	return true
}

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
	return &bodyReader{h: h, rest: h.rest, r: r}
}

// bodyReader reads what was read along with a header, and then the rest.
type bodyReader struct {
	h    *Header // nil once rest is read
	rest []byte
	r    io.Reader
}

// Read implements io.Reader.
func (b *bodyReader) Read(p []byte) (int, error) {
	if h := b.h; h != nil {
		if len(b.rest) > 0 {
			n := copy(p, b.rest)
			b.rest = b.rest[n:]
			return n, nil
		}
		if h.readErr != nil {
			b.r = failingReader{err: h.readErr} // io.EOF among them
		}
		b.h, b.rest = nil, nil
		h.forget()
	}
	return b.r.Read(p)
}

// failingReader replays an error that came together with the last octets.
type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }
