package smtp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
)

// Authenticator is a Session whose HelloResponse can offer AUTH (RFC 4954).
type Authenticator interface {
	// Authenticate begins an exchange for a mechanism that the last
	// HelloResponse has listed. An error refuses the command.
	Authenticate(ctx context.Context, mechanism string) (Exchange, error)
}

// Exchange is the server's side of one SASL exchange (RFC 4422).
type Exchange interface {
	// Next is given the client's response, which is nil when AUTH brought no
	// initial response, and must not be kept. It returns the next challenge, or
	// done when the client has proven who it is. An error ends the exchange
	// without; the text of a Reply crosses the wire (RFC 4954 wants 535, or 454
	// when nobody could look).
	Next(response []byte) (challenge []byte, done bool, err error)
}

// errCancelled ends an exchange that the client has given up.
var errCancelled = errors.New("the client has cancelled the authentication")

// authenticate carries out AUTH (RFC 4954, section 4). Nothing of what the
// client sends behind the mechanism is ever shown to a transcript.
func (l *loop) authenticate(ctx context.Context, argument []byte) {
	session, ok := l.session.(Authenticator)
	word, initial, hasInitial := bytes.Cut(argument, []byte{' '})
	switch {
	case l.greeted == greetedEHLO && l.authNeedsTLS:
		l.protocolError(&replyAuthNeedsTLS)
		return
	case !ok || !l.offers(KeywordAUTH):
		l.protocolError(&replyNotImplemented)
		return
	case l.authenticated:
		l.protocolError(&replyAuthTwice)
		return
	case l.transaction.open:
		l.protocolError(&replyAuthInMail)
		return
	case len(word) == 0:
		l.protocolError(&replyArgument)
		return
	}
	mechanism := l.mechanism(word)
	if mechanism == "" {
		l.protocolError(&replyAuthMechanism)
		return
	}
	var response []byte
	if initial = bytes.TrimLeft(initial, " "); hasInitial && len(initial) > 0 {
		if response, ok = decodeInitial(initial); !ok {
			l.protocolError(&replyAuthSyntax)
			return
		}
		clear(initial) // the buffer is another session's next
	}
	x, err := session.Authenticate(ctx, mechanism)
	if err != nil {
		r := l.refusal(err)
		l.reply(&r)
		return
	}
	l.exchange(x, response)
}

// exchange carries responses and challenges to and fro until the end.
func (l *loop) exchange(x Exchange, response []byte) {
	for {
		challenge, done, err := x.Next(response)
		clear(response) // it may be a password
		switch {
		case err != nil:
			r := l.refusal(err)
			l.reply(&r)
			return
		case done:
			l.authenticated = true
			l.reply(&replyAuthenticated)
			return
		}
		l.send(append(base64.StdEncoding.AppendEncode(append(l.out.AvailableBuffer(), "334 "...), challenge), '\r', '\n'))
		if response, err = l.readResponse(); err != nil {
			switch {
			case errors.Is(err, errCancelled):
				l.reply(&replyAuthCancelled)
			case errors.Is(err, errCommandTooLong):
				l.protocolError(&replyAuthLineTooLong)
			case errors.Is(err, errAuthSyntax):
				l.protocolError(&replyAuthSyntax)
			default:
				l.lineFailed(err)
			}
			return
		}
	}
}

// errAuthSyntax reports a response that is not base64.
var errAuthSyntax = errors.New("a response that is not base64")

// readResponse returns the client's next response, never nil without an error.
func (l *loop) readResponse() ([]byte, error) {
	if err := l.await(); err != nil {
		return nil, err
	}
	line, err := readCommandLine(l.in)
	if err != nil {
		return nil, err
	}
	defer clear(line) // the buffer is another session's next
	if l.o.Transcript != nil {
		l.o.Transcript.Received(maskedResponse)
	}
	if string(line) == "*" { // RFC 4954, section 4
		return nil, errCancelled
	}
	return decodeResponse(line)
}

// maskedResponse is what a transcript sees of a response.
const maskedResponse = "*"

// decodeInitial decodes an initial response, for which "=" is the empty one.
func decodeInitial(b []byte) ([]byte, bool) {
	if string(b) == "=" {
		return []byte{}, true
	}
	r, err := decodeResponse(b)
	return r, err == nil
}

func decodeResponse(b []byte) ([]byte, error) {
	r := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Strict().Decode(r, b)
	if err != nil {
		return nil, errAuthSyntax
	}
	return r[:n], nil
}

// mechanism returns the offered mechanism of that name, or "".
func (l *loop) mechanism(word []byte) string {
	for _, m := range l.mechanisms {
		if equalFoldASCII(word, m) {
			return m
		}
	}
	return ""
}

// takeMechanisms notes what an EHLO reply offers.
func (l *loop) takeMechanisms(h *HelloResponse) {
	l.mechanisms, l.authNeedsTLS = h.Mechanisms, h.AuthNeedsTLS && !l.tls && len(h.Mechanisms) == 0
}

// authLine is AUTH's line in the EHLO reply.
func (l *loop) authLine() string { return "AUTH " + strings.Join(l.mechanisms, " ") }
