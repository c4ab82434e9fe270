package message

import (
	"fmt"
	"io"
	"math"
	"sync"
)

// outboundBuffers holds header buffers of outbound filters between messages.
// It is a cache, not state: nothing depends on what is in it.
var outboundBuffers = sync.Pool{New: func() any { return &Header{buf: make([]byte, 0, 2*firstHeaderBuffer)} }}

// maxPooledBuffer keeps rare huge buffers out of the pool.
const maxPooledBuffer = 64 << 10

// NewOutboundFilter returns the message in r without the fields that fw
// removes, for every way out but direct trust. The header section is read at
// the first Read; its limit is headerLimit octets, and 0 is none: the message
// was accepted under the limit of its connector, and our own fields came on top.
// A larger one ends in ErrHeaderTooLarge, wrapped, before anything is returned.
// The reader implements io.WriterTo and is not safe for concurrent use.
func NewOutboundFilter(r io.Reader, fw Firewall, headerLimit int64) io.Reader {
	if headerLimit <= 0 {
		headerLimit = math.MaxInt64
	}
	return &outboundFilter{r: r, fw: fw, limit: headerLimit}
}

type outboundFilter struct {
	r     io.Reader
	fw    Firewall
	limit int64

	header  *Header // nil before the first Read and once rest has been read
	rest    []byte
	started bool
	err     error // sticky
}

// start reads and filters the header section; rest is what remains of it and
// the octets that were read along.
func (f *outboundFilter) start() error {
	f.started = true
	h, _ := outboundBuffers.Get().(*Header)
	*h = Header{buf: h.buf[:0], fields: h.fields[:0]}
	if err := h.read(f.r, f.limit); err != nil {
		f.err = fmt.Errorf("filtering header: %w", err)
		return f.err
	}
	f.header = h
	f.err = h.readErr
	f.rest = h.buf
	if h.Remove(f.fw) != nil {
		// What stays moves to the front of the buffer, in order, so no copy overtakes its source.
		n := 0
		for _, field := range h.fields {
			n += copy(h.buf[n:], field.raw)
		}
		n += copy(h.buf[n:], h.separator)
		n += copy(h.buf[n:], h.rest)
		f.rest = h.buf[:n]
	}
	return nil
}

// release gives the header's buffer back when all of it has been read.
func (f *outboundFilter) release() {
	if f.header != nil && cap(f.header.buf) <= maxPooledBuffer {
		outboundBuffers.Put(f.header)
	}
	f.header, f.rest = nil, nil
}

// Read implements io.Reader.
func (f *outboundFilter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !f.started {
		if err := f.start(); err != nil {
			return 0, err
		}
	}
	if len(f.rest) > 0 {
		n := copy(p, f.rest)
		f.rest = f.rest[n:]
		return n, nil
	}
	f.release()
	if f.err != nil {
		return 0, f.err
	}
	var n int
	n, f.err = f.r.Read(p)
	return n, f.err
}

// WriteTo implements io.WriterTo, so that io.Copy needs no buffer of its own.
func (f *outboundFilter) WriteTo(w io.Writer) (int64, error) {
	if !f.started {
		if err := f.start(); err != nil {
			return 0, err
		}
	}
	var total int64
	if len(f.rest) > 0 {
		n, err := w.Write(f.rest)
		total += int64(n)
		f.rest = f.rest[n:]
		if err != nil {
			return total, err
		}
	}
	f.release()
	if f.err == nil {
		n, err := io.Copy(w, f.r)
		total += n
		if err != nil {
			return total, err
		}
		f.err = io.EOF
	}
	if f.err != io.EOF { //nolint:errorlint // io.Reader promises io.EOF itself, not a wrapped one
		return total, f.err
	}
	return total, nil
}
