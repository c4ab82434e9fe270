package smtptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Say sends a reply; lines are separated by "\n" and get their CRLF.
func Say(reply string) Step {
	return func(c *Conn) error { return c.say(reply) }
}

// Hear reads a line that must match pattern, in which "*" stands for any text.
func Hear(pattern string) Step {
	return func(c *Conn) error {
		line, err := c.line()
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", pattern, err)
		}
		if !match(pattern, line) {
			return fmt.Errorf("heard %q, not %q", line, pattern)
		}
		return nil
	}
}

// On is Hear and then Say.
func On(pattern, reply string) Step {
	return func(c *Conn) error {
		if err := Hear(pattern)(c); err != nil {
			return err
		}
		return c.say(reply)
	}
}

// Data reads mail data through the final dot, records it and sends reply.
// Before it stands On("DATA", "354 go ahead").
func Data(reply string) Step {
	return func(c *Conn) error {
		if err := c.data(); err != nil {
			return fmt.Errorf("reading mail data: %w", err)
		}
		return c.say(reply)
	}
}

// Chunk hears a BDAT command that matches pattern (see Hear) and reads its
// octets. Those of the chunks through the one with LAST are recorded as a message.
func Chunk(pattern string) Step {
	return func(c *Conn) error {
		if err := Hear(pattern)(c); err != nil {
			return err
		}
		return c.chunk()
	}
}

// StartTLS shakes hands as the server. Before it stands On("STARTTLS", "220 go ahead").
func StartTLS(cfg *tls.Config) Step {
	return func(c *Conn) error { return c.startTLS(cfg) }
}

// Raw sends octets as they are.
func Raw(octets string) Step {
	return func(c *Conn) error { return c.write(octets) }
}

// Await reads and drops everything until the other side closes.
func Await() Step {
	return func(c *Conn) error {
		// A reset is as good an end as a close.
		_, _ = io.Copy(io.Discard, c.in)
		return errScriptOver
	}
}

// Close closes the connection and ends the script.
func Close() Step {
	return func(*Conn) error { return errScriptOver }
}

// Table answers a client by its commands, BDAT and its octets among them.
type Table struct {
	// Replies has the reply to a line by the beginning of the line, in any case
	// of letters; the longest key that fits counts. "." is the reply to the end
	// of data and "greeting" the banner. What has no entry gets the replies of
	// an agreeable server, which offers PIPELINING, 8BITMIME, SIZE and, when TLS
	// is set, STARTTLS.
	Replies map[string]string
	// TLS lets the peer agree to STARTTLS.
	TLS *tls.Config
	// Keywords are offered besides those.
	Keywords []string
}

// Serve answers by a table until the client quits or closes.
func Serve(table Table) Step {
	return func(c *Conn) error {
		if err := c.say(table.reply("greeting", "220 peer.test ESMTP")); err != nil {
			return err
		}
		for {
			line, err := c.line()
			if errors.Is(err, io.EOF) {
				return errScriptOver
			}
			if err != nil {
				return err
			}
			if err := table.answer(c, line); err != nil {
				return err
			}
		}
	}
}

func (table Table) answer(c *Conn, line string) error {
	word, _, _ := strings.Cut(strings.ToUpper(line), " ")
	def := "500 5.5.1 unknown"
	switch word {
	case "EHLO":
		keywords := append([]string{"peer.test", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"}, table.Keywords...)
		if table.TLS != nil && c.rec.TLS == nil {
			keywords = append(keywords, "STARTTLS")
		}
		def = "250-" + strings.Join(keywords, "\n250-") + "\n250 SIZE"
	case "BDAT":
		def = "250 2.0.0 kept"
	case "HELO", "MAIL", "RCPT", "RSET", "NOOP":
		def = "250 2.0.0 OK"
	case "DATA":
		def = "354 go ahead"
	case "QUIT":
		def = "221 2.0.0 bye"
	case "STARTTLS":
		def = "454 4.7.0 no TLS"
		if table.TLS != nil {
			def = "220 2.0.0 go ahead"
		}
	}
	if word == "BDAT" {
		if err := c.chunk(); err != nil {
			return err
		}
	}
	reply := table.reply(line, def)
	if err := c.say(reply); err != nil {
		return err
	}
	positive := strings.HasPrefix(reply, "2")
	switch {
	case strings.HasPrefix(reply, "421"), word == "QUIT":
		return errScriptOver
	case word == "STARTTLS" && positive:
		return c.startTLS(table.TLS)
	case word == "DATA" && strings.HasPrefix(reply, "354"):
		if err := c.data(); err != nil {
			return err
		}
		end := table.reply(".", "250 2.0.0 kept")
		if err := c.say(end); err != nil {
			return err
		}
		if strings.HasPrefix(end, "421") {
			return errScriptOver
		}
	}
	return nil
}

func (table Table) reply(line, def string) string {
	best, found := "", def
	for key, reply := range table.Replies {
		if len(key) >= len(best) && len(key) <= len(line) && strings.EqualFold(key, line[:len(key)]) {
			best, found = key, reply
		}
	}
	return found
}

// match compares line with pattern, in which "*" stands for any text.
func match(pattern, line string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == line
	}
	if !strings.HasPrefix(line, parts[0]) {
		return false
	}
	line = line[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(line, p)
		if i < 0 {
			return false
		}
		line = line[i+len(p):]
	}
	return strings.HasSuffix(line, parts[len(parts)-1])
}
