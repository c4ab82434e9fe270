package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"time"
)

// Session decides what the server loop may not decide: it stands behind one
// connection and is called by one goroutine at a time, in the order that the
// loop has already enforced (no MAIL before EHLO, no second MAIL in a
// transaction, no DATA without an accepted recipient).
//
// A method refuses by returning an error. Only the text of a Reply found with
// errors.As crosses the wire; any other error becomes 451 4.3.0 with the
// session's id, and is given to ServerOptions.OnError. A zero Reply with a nil
// error means the loop's own positive reply.
//
// The context of every method lives until the session ends: the server's
// stopping does not end it.
type Session interface {
	// Greeting returns the banner reply (220, without an enhanced code), or a
	// 4yz/5yz reply that ends the session.
	Greeting(ctx context.Context) Reply
	// Hello is told the EHLO or HELO argument and answers with the keywords
	// to advertise. It is called again after STARTTLS.
	Hello(ctx context.Context, h Hello) (HelloResponse, error)
	// StartTLS returns the configuration for the handshake, or an error that
	// answers the command (454) and leaves the session in the clear.
	StartTLS(ctx context.Context) (*tls.Config, error)
	// HandshakeDone is told how the handshake ended, with a nil error when
	// it succeeded. After a failure state is nil and the loop closes the connection.
	HandshakeDone(ctx context.Context, state *tls.ConnectionState, err error)
	// Mail begins a transaction.
	Mail(ctx context.Context, from ReversePath, p MailParameters) (Reply, error)
	// Recipient adds one recipient to the transaction.
	Recipient(ctx context.Context, to ForwardPath, p RecipientParameters) (Reply, error)
	// Data receives the message, by DATA and dot-unstuffed or by BDAT, and
	// returns the final reply. Between chunks the loop carries out commands, so
	// that Verify can be called while Data reads.
	// The body must not be used after it returns. What is left unread the
	// loop discards.
	//
	// The message may be committed only after Read returned io.EOF (or WriteTo,
	// which the body implements, a nil error): nothing else says that it ended
	// properly. Any other error means that there is no message, and must lead to
	// an error: ErrMessageTooLarge, ErrBareLine, ErrLineTooLong, for which the
	// loop has the reply, or one that wraps io.ErrUnexpectedEOF when the
	// connection broke. A positive reply without io.EOF becomes 451 4.3.0.
	Data(ctx context.Context, body io.Reader) (Reply, error)
	// Reset ends a transaction that Mail has begun: RSET, a new EHLO, STARTTLS,
	// the end of Data with whatever reply, or the end of the session.
	Reset()
	// Verify answers VRFY; the argument is escaped and cut.
	Verify(ctx context.Context, argument string) Reply
	// Close ends the session; cause says why (see EndCause).
	Close(cause EndCause)
}

// Hello is the argument of EHLO or HELO.
type Hello struct {
	Name     string // as the client gave it, at most 255 octets, printable
	Extended bool   // EHLO
}

// HelloResponse is what EHLO advertises. A HELO is answered by its Greeting alone.
type HelloResponse struct {
	Greeting string // first line: "mail.contoso.com Hello [192.0.2.1]"
	STARTTLS bool   // advertise STARTTLS; never advertised once TLS is on
	// MaxMessageBytes is the SIZE argument; 0 advertises SIZE without a number.
	MaxMessageBytes int64
	// Supported are the keywords that ask something of the Session and that it
	// is ready for: BINARYMIME, DSN, SMTPUTF8. The others are offered anyway.
	Supported KeywordSet
	// Mechanisms are the SASL mechanisms that AUTH offers, in upper case; none: it
	// is not offered. The Session must then be an Authenticator.
	Mechanisms []string
	// AuthNeedsTLS says that there are no Mechanisms because there is no TLS yet,
	// which an AUTH that comes all the same is told.
	AuthNeedsTLS bool
	// Withheld are keywords that are neither offered nor taken.
	Withheld KeywordSet
}

// MailParameters are the ESMTP parameters of MAIL FROM.
type MailParameters struct {
	Size int64    // SIZE=, octets; 0 when not declared
	Body BodyType // BODY=
	// UTF8 is SMTPUTF8: local parts and header may hold more than ASCII.
	UTF8   bool
	Return Return // RET=
	// EnvelopeID is ENVID= as it came, xtext (see DecodeXtext); "" for none.
	EnvelopeID string
}

// BodyType is the BODY parameter (RFC 6152). The zero value means none was
// given. The numbers are stored with queued messages and do not change.
type BodyType uint8

// The body types.
const (
	BodyUnspecified BodyType = iota
	Body7Bit
	Body8BitMIME
	// BodyBinaryMIME (RFC 3030): behind the header section, CR and LF may stand
	// alone, so that the message can be sent by BDAT only.
	BodyBinaryMIME
)

// RecipientParameters are the ESMTP parameters of RCPT TO.
type RecipientParameters struct {
	Notify            Notify            // NOTIFY=
	OriginalRecipient OriginalRecipient // ORCPT=
}

// EndCause says why a session ended.
type EndCause uint8

// The causes.
const (
	EndUnknown  EndCause = iota
	EndQuit              // client sent QUIT
	EndRemote            // client closed or reset the connection
	EndLocal             // we closed: a closing reply, too many errors, shutdown
	EndTimeout           // an inactivity or session timeout
	EndTLS               // the handshake failed
	EndInternal          // a panic or an I/O fault of ours
)

// Transcript receives a session's protocol events as they happen. A nil
// Transcript costs nothing. Lines come without CRLF; AUTH payloads and mail
// data never appear. Calls come from one goroutine at a time.
type Transcript interface {
	Sent(line string)
	Received(line string)
	Info(data, context string)
}

// ServerOptions are the limits and names of a server loop. Limits that are 0
// take the default named in their comment; the largest value of their type
// means no limit.
type ServerOptions struct {
	SessionID         string        // shown in 451 4.3.0
	MaxMessageBytes   int64         // 10 MB
	MaxRecipients     int           // 200 accepted per message
	MaxProtocolErrors int           // 5, then 421 4.7.0 and close
	MaxLineBytes      int           // text line in DATA, 1000 by RFC; default 64 KB, see decisions
	InactivityTimeout time.Duration // 5 min between commands
	SessionTimeout    time.Duration // 10 min in all
	BareLines         BareLinePolicy
	Transcript        Transcript
	// OnError is told internal errors (not replies) of the session; may be nil.
	OnError func(err error)
}

// BareLinePolicy says what happens to a bare CR or LF in mail data.
type BareLinePolicy uint8

// The policies. The zero value rejects.
const (
	BareLinesReject    BareLinePolicy = iota // 554 5.6.0 at end of data
	BareLinesNormalize                       // each becomes CRLF
)
