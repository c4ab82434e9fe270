package smtp

import (
	"bufio"
	"io"
	"sync"
)

// Sizes of the pooled buffers. The large ones carry message bodies: two TLS
// records' worth. The small ones carry commands of ours or replies.
const (
	bodyBufferBytes  = 32 << 10
	replyBufferBytes = 4 << 10
)

// The pools hold memory and no state: what comes out is reset before use, and
// what goes in has let go of its connection.
var (
	bodyReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bodyBufferBytes) }}
	bodyWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bodyBufferBytes) }}
	lineReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, replyBufferBytes) }}
	lineWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, replyBufferBytes) }}
	copyBuffers = sync.Pool{New: func() any { return new([bodyBufferBytes]byte) }}
)

func takeReader(p *sync.Pool, r io.Reader) *bufio.Reader {
	b := p.Get().(*bufio.Reader)
	b.Reset(r)
	return b
}

func putReader(p *sync.Pool, b *bufio.Reader) {
	b.Reset(nil)
	p.Put(b)
}

func takeWriter(p *sync.Pool, w io.Writer) *bufio.Writer {
	b := p.Get().(*bufio.Writer)
	b.Reset(w)
	return b
}

func putWriter(p *sync.Pool, b *bufio.Writer) {
	b.Reset(nil)
	p.Put(b)
}
