package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The waits of RFC 5321, section 4.5.3.2, each with its paragraph.
const (
	defaultGreetingTimeout  = 5 * time.Minute  // .1
	defaultCommandTimeout   = 5 * time.Minute  // .2 MAIL, .3 RCPT
	dataInitiationTimeout   = 2 * time.Minute  // .4
	defaultDataBlockTimeout = 3 * time.Minute  // .5
	defaultDataEndTimeout   = 10 * time.Minute // .6
)

// ErrSTARTTLSNotOffered says that the last EHLO reply did not offer STARTTLS.
var ErrSTARTTLSNotOffered = errors.New("the server does not offer STARTTLS")

// ErrClientClosed is returned for everything after Close, Quit or an error that
// closed the connection.
var ErrClientClosed = errors.New("the client session is over")

// ClientOptions configure a client session.
type ClientOptions struct {
	LocalName string // EHLO argument
	AllowHELO bool   // fall back to HELO when EHLO is answered 5yz; never set where TLS is demanded
	ForceHELO bool   // say HELO and never EHLO: no extensions, so no TLS
	// LMTP speaks RFC 2033: LHLO takes the place of EHLO, there is no HELO, and
	// the data is answered for each recipient.
	LMTP       bool
	Transcript Transcript
	// The waits of RFC 5321, section 4.5.3.2; 0 takes that section's value.
	// A context that ends earlier wins. The wait for the answer to DATA is
	// CommandTimeout, but at most the 2 minutes of that section.
	GreetingTimeout, CommandTimeout, DataBlockTimeout, DataEndTimeout time.Duration
}

// Extensions are the keywords of the last EHLO reply that the client knows.
type Extensions struct {
	STARTTLS, Pipelining, EightBitMIME, EnhancedStatusCodes bool
	Chunking, BinaryMIME, DSN, SMTPUTF8                     bool
	Size                                                    bool
	MaxMessageBytes                                         int64 // SIZE argument; 0: none declared
	Raw                                                     []string
}

// Transaction is one message for one or more recipients of one host.
type Transaction struct {
	From       ReversePath
	Recipients []ForwardPath
	// Parameters and RecipientParameters, which is nil or has one for each of
	// Recipients, are said where the server offers their extension.
	Parameters          MailParameters
	RecipientParameters []RecipientParameters
	// Content is read once, as wire octets (CRLF line ends, not yet
	// dot-stuffed). By DATA it is not read when no recipient was accepted; by
	// BDAT its first chunk may have been read before anything was sent.
	Content io.Reader
}

// Result is what the host said: one reply per recipient, in order of
// Transaction.Recipients. A recipient whose RCPT was accepted carries the final
// reply (of DATA or of the end of data; by LMTP its own). MAIL refused gives each
// that reply. A
// zero Reply means that the connection broke before the host had answered for
// the recipient; the error of Send says how.
type Result struct {
	Recipients []Reply
	Final      Reply // zero when the data was never sent; by LMTP the last one
	// Accepted: the host has accepted a recipient. Until then it cannot have
	// taken the message.
	Accepted bool
}

// ReplyError says that the peer refused a command. Command is its verb, and
// "greeting" for the banner. errors.As finds the Reply in it.
type ReplyError struct {
	Command string
	Reply   Reply
}

// Error returns the command and the reply.
func (e *ReplyError) Error() string { return e.Command + " was answered " + e.Reply.String() }

// Unwrap returns the Reply, which is an error.
func (e *ReplyError) Unwrap() error { return e.Reply }

// TLSError says that TLS could not be established; the connection is closed.
type TLSError struct {
	Err error
	// AfterHandshake: our side of the handshake was done, and the peer sent an
	// alert or closed before it answered the next EHLO. In TLS 1.3 this is how
	// a server refuses our certificate.
	AfterHandshake bool
}

// Error returns what failed.
func (e *TLSError) Error() string {
	if e.AfterHandshake {
		return "the server ended the session after the TLS handshake: " + e.Err.Error()
	}
	return "TLS handshake: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *TLSError) Unwrap() error { return e.Err }

// Client is one client session. It is not safe for concurrent use. Every method
// that returns an error other than a *ReplyError (and one that carries a 421)
// has closed the connection.
type Client struct {
	o    ClientOptions
	wire clientWire
	in   *bufio.Reader
	out  *bufio.Writer // of a step; between steps an idle session keeps none

	hello      helloState
	extensions Extensions
	state      *tls.ConnectionState
	// unfinished: MAIL was accepted in a transaction that never came to its
	// data, so that RSET must come before the next MAIL.
	unfinished bool
	closed     bool

	line []byte // command being built, reused
}

// helloState says what was said since the connection or its TLS began.
type helloState uint8

const (
	helloNot helloState = iota
	helloAfterHandshake
	helloDone
)

// NewClient begins a client session on conn, which it owns from now on. On a
// *tls.Conn the session counts as secured; its handshake is done by the first
// read if it has not been done before. NewClient does no I/O.
func NewClient(conn net.Conn, o ClientOptions) *Client {
	if o.GreetingTimeout == 0 {
		o.GreetingTimeout = defaultGreetingTimeout
	}
	if o.CommandTimeout == 0 {
		o.CommandTimeout = defaultCommandTimeout
	}
	if o.DataBlockTimeout == 0 {
		o.DataBlockTimeout = defaultDataBlockTimeout
	}
	if o.DataEndTimeout == 0 {
		o.DataEndTimeout = defaultDataEndTimeout
	}
	c := &Client{o: o}
	c.wire.raw, c.wire.stream, c.wire.block = conn, conn, o.DataBlockTimeout
	c.in = takeReader(&lineReaders, &c.wire)
	return c
}

// TLS returns the state of the connection's TLS, nil in the clear.
func (c *Client) TLS() *tls.ConnectionState {
	if c.state == nil {
		if t, ok := c.wire.stream.(*tls.Conn); ok {
			state := t.ConnectionState()
			if !state.HandshakeComplete {
				return nil
			}
			c.state = &state
		}
	}
	return c.state
}

// Extensions returns what the last EHLO reply offered; STARTTLS forgets it.
func (c *Client) Extensions() Extensions { return c.extensions }

// Greeting reads the banner. Any but 220 is returned with a *ReplyError.
func (c *Client) Greeting(ctx context.Context) (Reply, error) {
	var r Reply
	err := c.step(ctx, func() (err error) {
		c.wire.wait(c.o.GreetingTimeout)
		r, err = c.readReply()
		return err
	})
	if err != nil {
		return Reply{}, err
	}
	if r.Code != 220 {
		return r, c.refused("greeting", r)
	}
	return r, nil
}

// Reset says RSET and so ends a transaction that was left open.
func (c *Client) Reset(ctx context.Context) error {
	r, err := c.command(ctx, "RSET", c.o.CommandTimeout)
	if err != nil {
		return err
	}
	if r.Code != 250 {
		return c.refused("RSET", r)
	}
	c.unfinished = false
	return nil
}

// Quit says QUIT, waits for the answer and closes the connection.
func (c *Client) Quit(ctx context.Context) error {
	r, err := c.command(ctx, "QUIT", c.o.CommandTimeout)
	if err != nil {
		return err
	}
	// The server may have closed first, which is no fault after QUIT.
	_ = c.Close()
	if !r.Positive() {
		return &ReplyError{Command: "QUIT", Reply: r}
	}
	return nil
}

// Close closes the connection without a word. Closing twice is no error.
func (c *Client) Close() error {
	if c.closed {
		return nil
	}
	err := c.wire.stream.Close()
	c.abandon()
	return err
}

// abandon closes the connection without TLS's farewell, which could have to
// wait for a peer that does not read.
func (c *Client) abandon() {
	if c.closed {
		return
	}
	c.closed = true
	c.TLS() // what it was stays known
	c.wire.raw.Close()
	putReader(&lineReaders, c.in)
	c.in = nil
}

// command sends one line without arguments and reads its reply.
func (c *Client) command(ctx context.Context, line string, wait time.Duration) (Reply, error) {
	var r Reply
	err := c.step(ctx, func() (err error) {
		r, err = c.exchange(line, wait)
		return err
	})
	return r, err
}

// exchange sends one line and reads its reply, inside a step.
func (c *Client) exchange(line string, wait time.Duration) (Reply, error) {
	c.line = append(append(c.line[:0], line...), '\r', '\n')
	c.put(c.line)
	if err := c.out.Flush(); err != nil {
		return Reply{}, fmt.Errorf("sending %.8s: %w", line, err)
	}
	c.wire.wait(wait)
	return c.readReply()
}

// put buffers one command line, CRLF included.
func (c *Client) put(line []byte) {
	if c.o.Transcript != nil {
		c.o.Transcript.Sent(printable(line[:len(line)-2]))
	}
	// A write error stays in the writer and comes back at the next flush.
	_, _ = c.out.Write(line)
}

// step runs f, during which the end of ctx interrupts I/O. An error that is
// not a refusal closes the connection: nobody can tell any more which reply
// belongs to what.
func (c *Client) step(ctx context.Context, f func() error) error {
	if c.closed {
		return ErrClientClosed
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	release := c.wire.attach(ctx)
	c.out = takeWriter(&bodyWriters, &c.wire)
	err := f()
	putWriter(&bodyWriters, c.out)
	c.out = nil
	release()
	if err == nil {
		return nil
	}
	timedOut := isTimeout(err)
	c.abandon()
	switch cause := context.Cause(ctx); {
	case cause != nil && (timedOut || errors.Is(err, net.ErrClosed)):
		return fmt.Errorf("%w (%w)", cause, err)
	case timedOut && c.wire.expired():
		return fmt.Errorf("%w (%w)", context.DeadlineExceeded, err)
	}
	return err
}

// refused makes the error for a reply that refuses a command. After a 421 the
// server is gone.
func (c *Client) refused(command string, r Reply) error {
	if r.Code == 421 {
		c.Close()
	}
	return &ReplyError{Command: command, Reply: r}
}
