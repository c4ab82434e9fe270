package smtp

import "io"

// An idle session keeps only the small buffer of its commands. A body is read
// through a large one, which stays until the input that came behind the body
// has been used up.

// grow puts the large buffer in the place of the small one.
func (l *loop) grow() {
	if l.in != l.lines {
		return
	}
	// What the small buffer holds stays in place: nobody reads into it until
	// shrink. Peeking at what is buffered and discarding it cannot fail.
	rest, _ := l.lines.Peek(l.lines.Buffered())
	_, _ = l.lines.Discard(len(rest))
	l.rest = readRest{rest: rest, then: &l.wire}
	l.in = takeReader(&bodyReaders, &l.rest)
}

// shrink gives the large buffer back, which must be empty, and so must be what
// grow has left for it to read, or never needed again.
func (l *loop) shrink() {
	if l.in != l.lines {
		putReader(&bodyReaders, l.in)
		l.in = l.lines
		// They would keep what the pool lets go.
		l.body, l.chunks = dotReader{}, chunkReader{}
	}
}

// readRest reads what another buffer held and then from below.
type readRest struct {
	rest []byte
	then io.Reader
}

func (r *readRest) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.then.Read(p)
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
