package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// ClientOptions configure a client session.
type ClientOptions struct {
	LocalName  string // EHLO argument
	AllowHELO  bool   // fall back to HELO when EHLO is answered 5yz; never set where TLS is demanded
	Transcript Transcript
	// The waits of RFC 5321, section 4.5.3.2; 0 takes that section's value.
	GreetingTimeout, CommandTimeout, DataBlockTimeout, DataEndTimeout time.Duration
}

// Extensions are the keywords of the last EHLO reply that the client knows.
type Extensions struct {
	STARTTLS, Pipelining, EightBitMIME, EnhancedStatusCodes bool
	Size                                                    bool
	MaxMessageBytes                                         int64 // SIZE argument; 0: none declared
	Raw                                                     []string
}

// Transaction is one message for one or more recipients of one host.
type Transaction struct {
	From       ReversePath
	Recipients []ForwardPath
	Parameters MailParameters
	// Content is read once, as wire octets (CRLF line ends, not yet
	// dot-stuffed). It is not read when no recipient was accepted.
	Content io.Reader
}

// Result is what the host said: one reply per recipient, in order of
// Transaction.Recipients. A recipient whose RCPT was accepted carries the final
// reply (of DATA or of the end of data). MAIL refused gives each that reply.
type Result struct {
	Recipients []Reply
	Final      Reply // zero when the data was never sent
}

// ReplyError says that the peer refused a command.
type ReplyError struct {
	Command string
	Reply   Reply
}

// TLSError says that the handshake failed; the connection is closed.
type TLSError struct{ Err error }

// Client is one client session. It is not safe for concurrent use.
type Client struct{ conn net.Conn }

func NewClient(conn net.Conn, o ClientOptions) *Client                    { panic("seam") }
func (c *Client) Greeting(ctx context.Context) (Reply, error)             { panic("seam") }
func (c *Client) Hello(ctx context.Context) (Reply, error)                { panic("seam") }
func (c *Client) Extensions() Extensions                                  { panic("seam") }
func (c *Client) StartTLS(ctx context.Context, cfg *tls.Config) error     { panic("seam") }
func (c *Client) TLS() *tls.ConnectionState                               { panic("seam") }
func (c *Client) Send(ctx context.Context, t Transaction) (Result, error) { panic("seam") }
func (c *Client) Reset(ctx context.Context) error                         { panic("seam") }
func (c *Client) Quit(ctx context.Context) error                          { panic("seam") }
func (c *Client) Close() error                                            { panic("seam") }
func ServeSession(ctx context.Context, conn net.Conn, s Session, o ServerOptions) EndCause {
	panic("seam")
}
func ParseDomain(s string) (Domain, error)   { panic("seam") }
func ParseMailbox(s string) (Mailbox, error) { panic("seam") }
func (m Mailbox) String() string             { panic("seam") }
func (p ReversePath) Null() bool             { panic("seam") }
func (p ReversePath) String() string         { panic("seam") }
func (p ForwardPath) String() string         { panic("seam") }
func (e *ReplyError) Error() string          { panic("seam") }
func (e *TLSError) Error() string            { panic("seam") }
func (e *TLSError) Unwrap() error            { panic("seam") }
