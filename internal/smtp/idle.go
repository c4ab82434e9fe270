package smtp

import (
	"bufio"
	"io"
)

// A session that waits for a command holds no buffer: its first octet is read
// into the session itself, and only then is there something to buffer. Most
// sessions at most times wait.

// await waits for the client's next command, without buffers while there is
// none. It reports what ended the wait otherwise.
func (l *loop) await() error {
	if l.in != l.lines || l.lines.Buffered() > 0 || len(l.head.rest) > 0 {
		return nil
	}
	if err := l.out.release(); err != nil {
		return err
	}
	putReader(&lineReaders, l.lines)
	n, err := l.wire.Read(l.first[:])
	l.head = readRest{rest: l.first[:n], then: &l.wire}
	l.lines = takeReader(&lineReaders, &l.head)
	l.in = l.lines
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// replyWriter is a bufio.Writer that holds its buffer from the first octet
// written until release.
type replyWriter struct {
	to  io.Writer
	buf *bufio.Writer // nil: nothing is buffered, and nothing has failed
}

func (w *replyWriter) take() *bufio.Writer {
	if w.buf == nil {
		w.buf = takeWriter(&lineWriters, w.to)
	}
	return w.buf
}

// Write is bufio.Writer's.
func (w *replyWriter) Write(p []byte) (int, error) { return w.take().Write(p) }

// AvailableBuffer is bufio.Writer's.
func (w *replyWriter) AvailableBuffer() []byte { return w.take().AvailableBuffer() }

// Buffered is bufio.Writer's.
func (w *replyWriter) Buffered() int {
	if w.buf == nil {
		return 0
	}
	return w.buf.Buffered()
}

// Flush is bufio.Writer's. A write that has failed fails again.
func (w *replyWriter) Flush() error {
	if w.buf == nil {
		return nil
	}
	return w.buf.Flush()
}

// release flushes and gives the buffer back. After an error, which a flush
// would return again, the buffer stays.
func (w *replyWriter) release() error {
	if err := w.Flush(); err != nil {
		return err
	}
	w.discard()
	return nil
}

// discard gives the buffer back with whatever it holds.
func (w *replyWriter) discard() {
	if w.buf != nil {
		putWriter(&lineWriters, w.buf)
		w.buf = nil
	}
}
