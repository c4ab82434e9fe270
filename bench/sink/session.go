package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"time"

	"mailpact/bench/wire"
)

const handshakeTimeout = 30 * time.Second

// session is one connection to the sink.
type session struct {
	s       *server
	conn    net.Conn
	reader  *wire.Reader
	replies []byte
	finder  finder
	secured bool
}

func (c *session) reply(text string) { c.replies = append(c.replies, text...) }

func (c *session) flush() error {
	if len(c.replies) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.replies)
	c.replies = c.replies[:0]
	return err
}

// serve answers commands until the client goes. How a session ends is of no
// interest here: a message that was not acknowledged comes again.
func (c *session) serve(ctx context.Context) {
	defer func() { c.conn.Close() }()
	c.reader = wire.NewReader(c.conn, 64<<10)
	c.reply("220 " + c.s.options.Hostname + " ESMTP\r\n")
	for {
		if c.reader.Buffered() == 0 && c.flush() != nil {
			return
		}
		line, err := c.reader.Line()
		if err != nil {
			return
		}
		if !c.answer(ctx, line) {
			return
		}
	}
}

// answer handles one command; false ends the session.
func (c *session) answer(ctx context.Context, line []byte) bool {
	switch {
	case verb(line, "MAIL"):
		c.finder.reset()
		if !c.secured {
			c.reply("530 5.7.0 STARTTLS first\r\n")
			return true
		}
		c.reply("250 2.1.0 ok\r\n")
	case verb(line, "RCPT"):
		c.reply("250 2.1.5 ok\r\n")
	case verb(line, "DATA"):
		return c.data()
	case verb(line, "EHLO"):
		c.reply("250-" + c.s.options.Hostname + "\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 104857600\r\n")
		if !c.secured {
			c.reply("250-STARTTLS\r\n")
		}
		c.reply("250 ENHANCEDSTATUSCODES\r\n")
	case verb(line, "STARTTLS") && !c.secured:
		return c.startTLS(ctx)
	case verb(line, "RSET"), verb(line, "NOOP"):
		c.reply("250 2.0.0 ok\r\n")
	case verb(line, "QUIT"):
		c.reply("221 2.0.0 bye\r\n")
		_ = c.flush() // it goes anyway
		return false
	default:
		c.reply("500 5.5.2 not here\r\n")
	}
	return true
}

func (c *session) data() bool {
	c.reply("354 go\r\n")
	if c.flush() != nil {
		return false
	}
	if _, err := c.reader.Data(c.finder.look); err != nil {
		return false
	}
	c.s.ledger.add(c.finder.number, time.Now())
	c.reply("250 2.0.0 ok\r\n")
	return true
}

func (c *session) startTLS(ctx context.Context) bool {
	c.reply("220 2.0.0 go\r\n")
	if c.flush() != nil {
		return false
	}
	t := tls.Server(c.conn, c.s.tls)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.s.refused.Add(1)
		return false
	}
	c.s.handshakes.Add(1)
	if t.ConnectionState().DidResume {
		c.s.resumed.Add(1)
	}
	c.conn, c.secured = t, true
	c.reader.Reset(t)
	return true
}

func verb(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
