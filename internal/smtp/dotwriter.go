package smtp

import (
	"bufio"
	"bytes"
)

// dotWriter writes a message body with dot-stuffing (RFC 5321, section 4.5.2)
// into a buffer. It takes the body in slices of any size. Content with a bare CR
// or LF is refused with ErrBareLine: a receiver that takes one for a line end
// would find the end of the data where we have not put it.
type dotWriter struct {
	out       *bufio.Writer
	lineStart bool
	cr        bool  // the last octet was a CR
	err       error // the first error, of the content or of writing
}

func newDotWriter(out *bufio.Writer) dotWriter { return dotWriter{out: out, lineStart: true} }

// Write implements io.Writer.
func (d *dotWriter) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	start := 0 // of the octets not yet written
	for i := 0; i < len(p); {
		if d.cr {
			if p[i] != '\n' {
				d.err = ErrBareLine
				return i, d.err
			}
			d.cr, d.lineStart = false, true
			i++
			continue
		}
		if d.lineStart && p[i] == '.' {
			d.put(p[start:i])
			d.put(p[i : i+1]) // twice, the other one with what follows
			start = i
		}
		d.lineStart = false
		end := len(p)
		if cr := bytes.IndexByte(p[i:], '\r'); cr >= 0 {
			end, d.cr = i+cr, true
		}
		if bytes.IndexByte(p[i:end], '\n') >= 0 {
			d.err = ErrBareLine
			return i, d.err
		}
		i = end
		if d.cr {
			i++
		}
	}
	d.put(p[start:])
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// finish ends the last line if it has no end, and the data.
func (d *dotWriter) finish() error {
	if d.cr && d.err == nil {
		d.err = ErrBareLine
	}
	if d.err != nil {
		return d.err
	}
	if !d.lineStart {
		d.put(crlf)
	}
	d.put(endOfData)
	return d.err
}

// endOfData follows the CRLF of the last line. Nobody writes to it.
var endOfData = []byte(".\r\n")

func (d *dotWriter) put(p []byte) {
	if d.err == nil {
		_, d.err = d.out.Write(p)
	}
}
