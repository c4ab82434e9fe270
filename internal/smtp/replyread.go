package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits of a peer's reply.
const (
	// maxPeerReplyLineBytes is more than the 512 octets of RFC 5321, section
	// 4.5.3.1.5, because servers exceed them in texts with links.
	maxPeerReplyLineBytes = 2048
	maxPeerReplyLines     = 100
)

// ErrMalformedReply says that the peer's reply does not follow RFC 5321,
// section 4.2, or is none that the command can have.
var ErrMalformedReply = errors.New("malformed SMTP reply")

// readReply reads one reply. When brief is set, the text of a positive reply is
// not kept. The text is escaped to printable ASCII: it ends up in logs and
// reports.
func readReply(in *bufio.Reader, brief bool, t Transcript) (Reply, error) {
	var r Reply
	for n := range maxPeerReplyLines {
		line, err := readReplyLine(in)
		if err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Reply{}, fmt.Errorf("reading reply: %w", err)
		}
		if t != nil {
			t.Received(printable(line))
		}
		code, last, text, err := parseReplyLine(line)
		if err != nil {
			return Reply{}, err
		}
		if n == 0 {
			r.Code = code
			r.Enhanced, text = cutEnhanced(text, code)
		} else {
			if code != r.Code {
				return Reply{}, fmt.Errorf("%w: codes %d and %d in one", ErrMalformedReply, r.Code, code)
			}
			if e, rest := cutEnhanced(text, code); e == r.Enhanced {
				text = rest
			}
		}
		if !brief || !r.Positive() {
			r.Lines = append(r.Lines, string(appendPrintable(nil, text, maxPeerReplyLineBytes)))
		}
		if last {
			return r, nil
		}
	}
	return Reply{}, fmt.Errorf("%w: more than %d lines", ErrMalformedReply, maxPeerReplyLines)
}

// readReplyLine returns the next line without CRLF, valid until the next read.
func readReplyLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > maxPeerReplyLineBytes:
		return nil, fmt.Errorf("%w: line longer than %d octets", ErrMalformedReply, maxPeerReplyLineBytes)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case !endsInItsOnlyCR(line):
		return nil, fmt.Errorf("%w: a line does not end with CRLF", ErrMalformedReply)
	}
	return line[:len(line)-2], nil
}

// parseReplyLine takes "250-text", "250 text" or "250" apart.
func parseReplyLine(line []byte) (code int, last bool, text []byte, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, nil, fmt.Errorf("%w: no reply code", ErrMalformedReply)
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch {
	case len(line) == 3:
		return code, true, nil, nil
	case line[3] == ' ':
		return code, true, line[4:], nil
	case line[3] == '-':
		return code, false, line[4:], nil
	}
	return 0, false, nil, fmt.Errorf("%w: code not followed by space or hyphen", ErrMalformedReply)
}

// cutEnhanced takes an enhanced code off the start of a reply's text (RFC
// 2034, section 4). One whose class is not the reply's is text.
func cutEnhanced(text []byte, code int) (EnhancedCode, []byte) {
	var e EnhancedCode
	rest := text
	for i := range e {
		digits := 0
		for digits < len(rest) && digits < 3 && isDigit(rest[digits]) {
			e[i] = e[i]*10 + uint16(rest[digits]-'0')
			digits++
		}
		if digits == 0 {
			return EnhancedCode{}, text
		}
		rest = rest[digits:]
		if i < len(e)-1 {
			if len(rest) == 0 || rest[0] != '.' {
				return EnhancedCode{}, text
			}
			rest = rest[1:]
		}
	}
	if int(e[0]) != code/100 || len(rest) > 0 && rest[0] != ' ' {
		return EnhancedCode{}, text
	}
	return e, bytes.TrimPrefix(rest, []byte{' '})
}

func (c *Client) readReply() (Reply, error) { return readReply(c.in, false, c.o.Transcript) }
