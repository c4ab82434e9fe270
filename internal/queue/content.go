package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"mailpact/internal/store"
)

// The sizes of content buffers. The largest is a row of content.
var bufferSizes = [...]int{16 << 10, 64 << 10, store.ContentRowBytes}

// rowClass is the class of buffers that hold a row of content.
const rowClass = len(bufferSizes) - 1

// keptRows is how many staged rows of one message stay in memory at most: 4 MB.
// More would spend the budget on a few messages whose reading back is the least
// of what they cost.
const keptRows = 4 << 20 / store.ContentRowBytes

// memory hands out buffers within the budget.
type memory struct {
	budget int64
	used   atomic.Int64
	pools  [len(bufferSizes)]sync.Pool
}

// get returns an empty buffer of a size class, or ErrMemory.
func (m *memory) get(class int) (*[]byte, error) {
	size := int64(bufferSizes[class])
	if err := m.draw(size); err != nil {
		return nil, err
	}
	if b, ok := m.pools[class].Get().(*[]byte); ok {
		return b, nil
	}
	b := make([]byte, 0, size)
	return &b, nil
}

// draw takes octets of the budget, or gives them back when octets is negative.
func (m *memory) draw(octets int64) error {
	if m.used.Add(octets) > m.budget && octets > 0 {
		m.used.Add(-octets)
		return ErrMemory
	}
	return nil
}

// put gives a buffer back. If others may still read it, it is left to the
// garbage collector.
func (m *memory) put(b *[]byte, class int, shared bool) {
	m.used.Add(-int64(bufferSizes[class]))
	if !shared {
		*b = (*b)[:0]
		m.pools[class].Put(b)
	}
}

// mayKeep reports whether accepted content may stay in memory. It leaves half
// of the budget to messages that are coming in, so that a slow destination does
// not turn them away.
func (m *memory) mayKeep() bool { return m.used.Load() <= m.budget/2 }

// content is the queue's Content.
type content struct {
	ctx     context.Context // of the call of NewContent, whose work Write continues
	q       *Queue
	buffer  *[]byte // nil when ended
	class   int
	staging store.Staging
	rows    []*[]byte // what is staged, as long as memory allows; nil: it is to be read back
	size    int64
	held    int64 // of the budget, for the caller's buffers
	err     error // the first fault of Write; what follows it would leave a gap
}

// NewContent begins a message's content. ErrMemory says that the global budget
// is spent (452), ErrFull that the disk is (452); ErrStopped that the queue is
// not running. ctx bounds the writes to the
// content, too.
func (q *Queue) NewContent(ctx context.Context) (Content, error) {
	if !q.running.Load() {
		return nil, ErrStopped
	}
	if err := q.o.Ready(); err != nil {
		return nil, fmt.Errorf("beginning a message: %w", err)
	}
	b, err := q.memory.get(0)
	if err != nil {
		return nil, err
	}
	return &content{ctx: ctx, q: q, buffer: b}, nil
}

// Write implements io.Writer.
func (c *content) Write(p []byte) (int, error) {
	if c.buffer == nil {
		return 0, errors.New("writing to content that has ended")
	}
	written := 0
	for len(p) > 0 && c.err == nil {
		b := *c.buffer
		if len(b) == cap(b) {
			c.err = c.grow()
			continue
		}
		n := copy(b[len(b):cap(b)], p)
		*c.buffer = b[:len(b)+n]
		p, written = p[n:], written+n
	}
	c.size += int64(written)
	return written, c.err
}

// grow makes room in a full buffer: by a larger one, or by staging the largest.
func (c *content) grow() error {
	if c.class == rowClass {
		return c.stage()
	}
	larger, err := c.q.memory.get(c.class + 1)
	if err != nil {
		return err
	}
	*larger = append(*larger, *c.buffer...)
	c.q.memory.put(c.buffer, c.class, false)
	c.buffer, c.class = larger, c.class+1
	return nil
}

// stage stores the full buffer as a row. It stays in memory for the deliveries
// that follow at once, as long as content of keptRows rows and the budget allow.
func (c *content) stage() error {
	if err := c.q.o.Engine.Stage(c.ctx, &c.staging, *c.buffer); err != nil {
		return err
	}
	staged := c.staging.Rows
	if len(c.rows) == staged-1 && staged <= keptRows && c.q.memory.mayKeep() {
		if next, err := c.q.memory.get(rowClass); err == nil {
			c.rows, c.buffer = append(c.rows, c.buffer), next
			return nil
		}
	}
	c.dropRows()
	*c.buffer = (*c.buffer)[:0]
	return nil
}

// dropRows gives back the rows that were kept.
func (c *content) dropRows() {
	for _, r := range c.rows {
		c.q.memory.put(r, rowClass, false)
	}
	c.rows = nil
}

// Hold implements Content.
func (c *content) Hold(octets int64) error {
	if c.buffer == nil {
		return errors.New("holding memory for content that has ended")
	}
	if err := c.q.memory.draw(octets - c.held); err != nil {
		return err
	}
	c.held = octets
	return nil
}

// letGo gives back what is held for the caller.
func (c *content) letGo() {
	_ = c.q.memory.draw(-c.held) // less is always granted
	c.held = 0
}

// Discard implements Content.
func (c *content) Discard() {
	if c.buffer == nil {
		return
	}
	c.letGo()
	c.dropRows()
	c.q.memory.put(c.buffer, c.class, false)
	c.buffer = nil
	if c.staging.Rows > 0 {
		c.q.o.Engine.Unstage(&c.staging)
	}
}

// Size implements Content.
func (c *content) Size() int64 { return c.size }

// take ends the content after its message has become durable. It returns the
// octets for the deliveries, or nil when they are to be read from the store.
func (c *content) take(deliveries int) *body {
	buffer, class := c.buffer, c.class
	c.buffer = nil
	c.letGo()
	if len(c.rows) < c.staging.Rows || !c.q.memory.mayKeep() {
		c.dropRows()
		c.q.memory.put(buffer, class, false)
		return nil
	}
	b := &body{memory: &c.q.memory, rows: c.rows, buffer: buffer, class: class}
	c.rows = nil
	b.holders.Store(int32(deliveries))
	return b
}

// body is the content of a message in memory. Each delivery that may want it is
// a holder; when the last has let go, the buffers are used again.
type body struct {
	memory  *memory
	rows    []*[]byte // full ones of the largest class, before buffer
	buffer  *[]byte
	class   int
	holders atomic.Int32
	readers atomic.Int32 // open ones
}

// release lets go of the body; nil is allowed.
func (b *body) release() {
	if b != nil && b.holders.Add(-1) == 0 {
		// A reader that a deliverer has not closed may still read.
		shared := b.readers.Load() != 0
		for _, r := range b.rows {
			b.memory.put(r, rowClass, shared)
		}
		b.memory.put(b.buffer, b.class, shared)
	}
}

// open returns a reader of the whole content.
func (b *body) open() io.ReadCloser {
	b.readers.Add(1)
	r := &bodyReader{body: b}
	r.turn()
	return r
}

// piece returns the buffer with number i, and nil behind the last.
func (b *body) piece(i int) []byte {
	switch {
	case i < len(b.rows):
		return *b.rows[i]
	case i == len(b.rows):
		return *b.buffer
	}
	return nil
}

type bodyReader struct {
	body *body
	next int    // number of the piece behind left
	left []byte // of the piece that is being read
}

var errReadClosed = errors.New("reading content that has been closed")

// turn goes on to the next piece.
func (r *bodyReader) turn() {
	r.left = r.body.piece(r.next)
	r.next++
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if r.body == nil {
		return 0, errReadClosed
	}
	if len(r.left) == 0 {
		r.turn()
	}
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, which spares a copy.
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	if r.body == nil {
		return 0, errReadClosed
	}
	var written int64
	for len(r.left) > 0 {
		n, err := w.Write(r.left)
		r.left = r.left[n:]
		written += int64(n)
		if err != nil {
			return written, err
		}
		if len(r.left) == 0 {
			r.turn()
		}
	}
	return written, nil
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	if r.body != nil {
		r.body.readers.Add(-1)
		r.body, r.left = nil, nil
	}
	return nil
}
