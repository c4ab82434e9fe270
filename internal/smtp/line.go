package smtp

import (
	"bufio"
	"bytes"
	"errors"
)

// maxCommandLineBytes is the longest command line with its CRLF (RFC 5321,
// section 4.5.3.1.4) and the room that the extensions we offer ask for: in MAIL
// 26 octets for SIZE, 17 for BODY, 10 for SMTPUTF8, 129 for RET and ENVID and 500
// for AUTH, which is more than RCPT's 530 (RFC 3461, section 5.4). It holds for the
// responses of AUTH, too: those of PLAIN and LOGIN need no more.
const maxCommandLineBytes = 512 + 26 + 17 + 10 + 129 + 500

// maxSkippedBytes is how much of an overlong line is skipped before the
// session is given up.
const maxSkippedBytes = 64 << 10

var (
	errCommandTooLong = errors.New("command line too long")
	errCommandEndless = errors.New("command line without end")
	errCommandBare    = errors.New("bare CR or LF in a command line")
)

// readCommandLine returns the next line without its CRLF. The slice is valid
// until the next read. Only CRLF ends a line; a bare CR or LF gives
// errCommandBare, after which the stream cannot be trusted. A line longer than
// maxCommandLineBytes is skipped through its CRLF and gives errCommandTooLong;
// if it is a BDAT, what follows are octets that are no command, and nobody knows
// how many, so that it gives errCommandEndless.
func readCommandLine(r *bufio.Reader) ([]byte, error) {
	searched := 0
	for {
		buf, _ := r.Peek(r.Buffered())
		if i := bytes.IndexByte(buf[searched:], '\n'); i >= 0 {
			return takeCommandLine(r, buf[:searched+i+1])
		}
		searched = len(buf)
		if searched > maxCommandLineBytes {
			if isBDAT(buf) {
				return nil, errCommandEndless
			}
			return nil, skipCommandLine(r)
		}
		if _, err := r.Peek(searched + 1); err != nil {
			return nil, err
		}
	}
}

// takeCommandLine checks line, which ends at its first LF, and consumes it.
func takeCommandLine(r *bufio.Reader, line []byte) ([]byte, error) {
	// Discarding what has been peeked cannot fail and leaves line in place.
	_, _ = r.Discard(len(line))
	if !endsInItsOnlyCR(line) {
		return nil, errCommandBare
	}
	if len(line) > maxCommandLineBytes {
		if isBDAT(line) {
			return nil, errCommandEndless
		}
		return nil, errCommandTooLong
	}
	return line[:len(line)-2], nil
}

func isBDAT(line []byte) bool {
	_, ok := cutPrefixFold(line, "BDAT")
	return ok
}

// endsInItsOnlyCR reports that line, which ends at its first LF, ends with CRLF
// and has no other CR.
func endsInItsOnlyCR(line []byte) bool {
	return len(line) >= 2 && bytes.IndexByte(line, '\r') == len(line)-2
}

// skipCommandLine drops input up to the first LF, which must be a CRLF's.
func skipCommandLine(r *bufio.Reader) error {
	previous := byte(0)
	for skipped := 0; skipped <= maxSkippedBytes; {
		if _, err := r.Peek(1); err != nil {
			return err
		}
		buf, _ := r.Peek(r.Buffered())
		end := bytes.IndexByte(buf, '\n')
		if end > 0 {
			previous = buf[end-1]
		}
		if end >= 0 {
			_, _ = r.Discard(end + 1)
			if previous != '\r' {
				return errCommandBare
			}
			return errCommandTooLong
		}
		previous = buf[len(buf)-1]
		skipped += len(buf)
		_, _ = r.Discard(len(buf))
	}
	return errCommandEndless
}
