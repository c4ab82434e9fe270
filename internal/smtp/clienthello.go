package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// errPlainAfterSTARTTLS reports octets that the server sent behind its 220: they
// are not part of TLS, so somebody else may have sent them.
var errPlainAfterSTARTTLS = errors.New("plain octets behind the answer to STARTTLS")

// Hello says EHLO (LHLO by LMTP), or HELO when EHLO was answered 5yz and
// AllowHELO is set or when ForceHELO is, and learns the extensions. After STARTTLS it must be called again. A refusal is a
// *ReplyError; a session that ends here after a handshake is a *TLSError with
// AfterHandshake set.
func (c *Client) Hello(ctx context.Context) (Reply, error) {
	if !validHelloName([]byte(c.o.LocalName)) {
		return Reply{}, fmt.Errorf("EHLO name %q: not one printable word", c.o.LocalName)
	}
	var r Reply
	command := "EHLO"
	if c.o.LMTP {
		command = "LHLO"
	}
	err := c.step(ctx, func() (err error) {
		if !c.o.ForceHELO || c.o.LMTP {
			if r, err = c.exchange(command+" "+c.o.LocalName, c.o.CommandTimeout); err != nil {
				return err
			}
		}
		if !c.o.LMTP && (c.o.ForceHELO || r.Permanent() && c.o.AllowHELO) {
			command = "HELO"
			r, err = c.exchange("HELO "+c.o.LocalName, c.o.CommandTimeout)
		}
		return err
	})
	if err != nil {
		if c.hello == helloAfterHandshake && ctx.Err() == nil && !isTimeout(err) && !errors.Is(err, ErrMalformedReply) {
			return Reply{}, &TLSError{Err: err, AfterHandshake: true}
		}
		return Reply{}, err
	}
	if r.Code != 250 {
		return r, c.refused(command, r)
	}
	c.hello, c.unfinished = helloDone, false
	c.extensions = Extensions{}
	if command != "HELO" {
		c.extensions = parseExtensions(r.Lines)
	}
	return r, nil
}

// parseExtensions reads the keywords of an EHLO reply (RFC 5321, section 4.1.1.1).
func parseExtensions(lines []string) Extensions {
	var x Extensions
	for _, line := range lines[1:] {
		x.Raw = append(x.Raw, line)
		keyword, argument, _ := strings.Cut(line, " ")
		switch word := []byte(keyword); {
		case equalFoldASCII(word, "STARTTLS"):
			x.STARTTLS = true
		case equalFoldASCII(word, "PIPELINING"):
			x.Pipelining = true
		case equalFoldASCII(word, "8BITMIME"):
			x.EightBitMIME = true
		case equalFoldASCII(word, "ENHANCEDSTATUSCODES"):
			x.EnhancedStatusCodes = true
		case equalFoldASCII(word, "CHUNKING"):
			x.Chunking = true
		case equalFoldASCII(word, "BINARYMIME"):
			x.BinaryMIME = true
		case equalFoldASCII(word, "DSN"):
			x.DSN = true
		case equalFoldASCII(word, "SMTPUTF8"):
			x.SMTPUTF8 = true
		case equalFoldASCII(word, "SIZE"):
			x.Size = true
			// RFC 1870, section 3: 0 or nothing means that no limit is declared.
			x.MaxMessageBytes, _ = parseSize(bytes.TrimSpace([]byte(argument)))
		}
	}
	return x
}

// StartTLS says STARTTLS and shakes hands with cfg. The extensions are
// forgotten, and Hello must be called before Send. Errors: ErrSTARTTLSNotOffered
// with nothing sent, *ReplyError when the command was refused, *TLSError with
// the connection closed when the handshake failed. There is no way back to the
// clear.
func (c *Client) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if c.closed {
		return ErrClientClosed
	}
	if c.TLS() != nil {
		return errors.New("TLS is already on")
	}
	if !c.extensions.STARTTLS {
		return ErrSTARTTLSNotOffered
	}
	r, err := c.command(ctx, "STARTTLS", c.o.CommandTimeout)
	if err != nil {
		return err
	}
	if r.Code != 220 {
		if r.Positive() {
			c.Close()
		}
		return c.refused("STARTTLS", r)
	}
	if err := c.step(ctx, func() error { return c.handshake(ctx, cfg) }); err != nil {
		return &TLSError{Err: err}
	}
	return nil
}

func (c *Client) handshake(ctx context.Context, cfg *tls.Config) error {
	if c.in.Buffered() > 0 {
		return errPlainAfterSTARTTLS
	}
	by := c.wire.earlier(time.Now().Add(c.o.CommandTimeout))
	if err := c.wire.setDeadline(by, false); err != nil {
		return err
	}
	if err := c.wire.setDeadline(by, true); err != nil {
		return err
	}
	conn := tls.Client(c.wire.raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	c.wire.stream, c.state = conn, &state
	c.hello, c.extensions, c.unfinished = helloAfterHandshake, Extensions{}, false
	return nil
}
