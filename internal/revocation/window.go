package revocation

import (
	"errors"
	"hash"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// windowOctets is how much of a CRL is in memory while it is read.
const windowOctets = 256 << 10

// maxElementOctets bounds one element that must be in memory whole: a name, an
// entry, the extensions.
const maxElementOctets = 128 << 10

var errMalformed = errors.New("parsing CRL: it is not a DER CertificateList")

// window reads DER from a stream, one element after the other, and hashes on
// the way.
type window struct {
	in     io.Reader
	buffer []byte
	start  int   // of what was not taken yet
	base   int64 // offset of buffer[0] in the stream
	eof    bool
	hash   hash.Hash // nil: nothing is hashed
	hashed int       // up to where buffer was hashed

	// A stream that is longer than the window is hashed beside the reading: chunks
	// go to the hasher, which returns the buffers they are in.
	chunks chan chunk
	spare  chan []byte
	done   chan struct{}
}

// chunk is what is hashed next, and the buffer that it is in.
type chunk struct{ octets, buffer []byte }

func newWindow(in io.Reader) *window {
	return &window{in: in, buffer: make([]byte, 0, windowOctets)}
}

// offset is that of the next octet.
func (w *window) offset() int64 { return w.base + int64(w.start) }

// ensure makes n octets available, from start.
func (w *window) ensure(n int) error {
	for len(w.buffer)-w.start < n {
		if w.eof || n > cap(w.buffer) {
			return errMalformed
		}
		if w.start+n > cap(w.buffer) {
			w.slide()
		}
		read, err := w.in.Read(w.buffer[len(w.buffer):cap(w.buffer)])
		w.buffer = w.buffer[:len(w.buffer)+read]
		switch {
		case errors.Is(err, io.EOF):
			w.eof = true
		case err != nil:
			return err
		}
	}
	return nil
}

// slide makes room behind what was not taken yet.
func (w *window) slide() {
	next := w.buffer
	if w.hash != nil {
		if w.chunks == nil {
			w.startHasher()
		}
		next = <-w.spare
		w.chunks <- chunk{octets: w.buffer[w.hashed:w.start], buffer: w.buffer}
	}
	kept := copy(next[:cap(next)], w.buffer[w.start:])
	w.base += int64(w.start)
	w.buffer, w.start, w.hashed = next[:kept], 0, 0
}

// startHasher begins to hash in a goroutine, which close or endHash ends.
func (w *window) startHasher() {
	w.chunks, w.spare, w.done = make(chan chunk), make(chan []byte, 2), make(chan struct{})
	w.spare <- make([]byte, 0, windowOctets)
	go func(h hash.Hash) {
		defer close(w.done)
		for c := range w.chunks {
			h.Write(c.octets) // a hash never fails
			w.spare <- c.buffer
		}
	}(w.hash)
}

// close ends the hasher, whatever was read.
func (w *window) close() {
	if w.chunks != nil {
		close(w.chunks)
		<-w.done
		w.chunks = nil
	}
}

// beginHash hashes from the offset on, which must still be in memory.
func (w *window) beginHash(h hash.Hash, from int64) error {
	if from < w.base {
		return errMalformed
	}
	w.hash, w.hashed = h, int(from-w.base)
	return nil
}

// endHash hashes what was taken, and nothing that follows.
func (w *window) endHash() {
	w.close()
	w.hash.Write(w.buffer[w.hashed:w.start]) // a hash never fails
	w.hash = nil
}

// peek reads the next element's tag and how long its header and content are.
func (w *window) peek() (tag asn1.Tag, header int, length int64, err error) {
	if err := w.ensure(2); err != nil {
		return 0, 0, 0, err
	}
	b := w.buffer[w.start:]
	tag = asn1.Tag(b[0])
	if tag&0x1f == 0x1f {
		return 0, 0, 0, errMalformed
	}
	if b[1] < 0x80 {
		return tag, 2, int64(b[1]), nil
	}
	octets := int(b[1] & 0x7f)
	if octets == 0 || octets > 4 {
		return 0, 0, 0, errMalformed
	}
	if err := w.ensure(2 + octets); err != nil {
		return 0, 0, 0, err
	}
	for _, o := range w.buffer[w.start+2 : w.start+2+octets] {
		length = length<<8 | int64(o)
	}
	// DER allows only the shortest form (X.690, section 10.1).
	if length < 0x80 || length>>(8*(octets-1)) == 0 {
		return 0, 0, 0, errMalformed
	}
	return tag, 2 + octets, length, nil
}

// enter takes the header of an element and returns where the element ends.
func (w *window) enter(want asn1.Tag, limit int64) (end int64, err error) {
	tag, header, length, err := w.peek()
	if err != nil {
		return 0, err
	}
	end = w.offset() + int64(header) + length
	if tag != want || end > limit {
		return 0, errMalformed
	}
	w.start += header
	return end, nil
}

// element takes a whole element that ends before limit. It is in memory until
// the next one is taken.
func (w *window) element(limit int64) (cryptobyte.String, asn1.Tag, error) {
	tag, header, length, err := w.peek()
	if err != nil {
		return nil, 0, err
	}
	whole := int64(header) + length
	if whole > maxElementOctets || w.offset()+whole > limit {
		return nil, 0, errMalformed
	}
	if err := w.ensure(int(whole)); err != nil {
		return nil, 0, err
	}
	e := w.buffer[w.start : w.start+int(whole)]
	w.start += int(whole)
	return e, tag, nil
}

// finished reports whether nothing follows.
func (w *window) finished() bool {
	return errors.Is(w.ensure(1), errMalformed) && w.eof && w.start == len(w.buffer)
}
