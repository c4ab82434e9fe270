package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"mailpact/internal/smtp"
)

// FuzzBDAT sends content in chunks, between which other commands may stand, to a
// Session that now and then refuses. What the Session is given is the content
// and nothing else, no octet of a chunk is taken for a command, and every
// command has its reply.
func FuzzBDAT(f *testing.F) {
	f.Add("QUIT\r\nMAIL FROM:<x@y.z>\r\n.\r\n", []byte{3, 200, 0, 7}, uint8(0))
	f.Add("a\r\n\r\n\n\r\x00", []byte{1, 1, 1, 255}, uint8(1))
	f.Add("H: x\r\n\r\nRSET\r\nBDAT 5 LAST\r\n", []byte{9, 0}, uint8(6))
	f.Add("DATA\r\n", []byte{}, uint8(15))
	f.Add("0", []byte{0}, uint8(13)) // what the client has sent behind an empty chunk that is refused
	f.Fuzz(func(t *testing.T, content string, cuts []byte, mode uint8) {
		if len(content) > 4000 || len(cuts) > 40 {
			t.Skip()
		}
		const (
			binaryMode = 1 << iota
			refusedRCPT
			refusedEarly // the Session does not read the body
			commands     // other commands stand between the chunks
		)
		s := &chunkSession{}
		envelope := "EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<b@b.c>\r\n"
		if mode&binaryMode != 0 {
			envelope = "EHLO x\r\nMAIL FROM:<a@b.c> BODY=BINARYMIME\r\nRCPT TO:<b@b.c>\r\n"
		}
		if mode&refusedRCPT != 0 {
			s.rcptErr = smtp.NewReply(550, smtp.EnhancedCode{5, 1, 1}, "no such user")
		}
		s.deaf = mode&refusedEarly != 0
		var said strings.Builder
		said.WriteString(envelope)
		replies, rest := 7, content // the greeting's, EHLO's, MAIL's, RCPT's, the last chunk's, VRFY's and QUIT's
		for _, cut := range cuts {
			n := min(int(cut), len(rest))
			fmt.Fprintf(&said, "BDAT %d\r\n%s", n, rest[:n])
			if mode&commands != 0 {
				said.WriteString("NOOP\r\n")
				replies++
			}
			rest = rest[n:]
			replies++
		}
		fmt.Fprintf(&said, "BDAT %d LAST\r\n%sVRFY end\r\nQUIT\r\n", len(rest), rest)
		var out bytes.Buffer
		conn := &scriptedConn{in: strings.NewReader(said.String()), out: &out}
		cause := smtp.ServeSession(t.Context(), conn, s, smtp.ServerOptions{MaxProtocolErrors: 1000, MaxMessageBytes: 1 << 20})
		if cause != smtp.EndQuit {
			t.Fatalf("cause %v:\n%s", cause, out.String())
		}
		if s.mails != 1 || s.rcpts != 1 || s.verified != 1 {
			t.Fatalf("%d MAIL, %d RCPT, %d VRFY: a chunk was read as commands", s.mails, s.rcpts, s.verified)
		}
		want := []string(nil)
		if mode&(refusedRCPT|refusedEarly) == 0 && valid(content, mode&binaryMode != 0) {
			want = []string{content}
		}
		if fmt.Sprintf("%q", s.bodies) != fmt.Sprintf("%q", want) {
			t.Fatalf("got %q, want %q", s.bodies, want)
		}
		if got := strings.Count(out.String(), "\r\n") - strings.Count(out.String(), "\r\n250-"); got != replies {
			t.Fatalf("%d replies, want %d:\n%s", got, replies, out.String())
		}
	})
}

// valid reports whether content obeys the rules of line ends.
func valid(content string, binary bool) bool {
	text := content
	if binary {
		switch i := strings.Index(content, "\r\n\r\n"); {
		case strings.HasPrefix(content, "\r\n"):
			text = ""
		case i >= 0:
			text = content[:i]
		}
	}
	return !strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n")
}

// chunkSession keeps what it is given.
type chunkSession struct {
	orderly
	mails, rcpts, verified int
	rcptErr                error
	deaf                   bool
	bodies                 []string
}

func (s *chunkSession) Mail(context.Context, smtp.ReversePath, smtp.MailParameters) (smtp.Reply, error) {
	s.mails++
	return smtp.Reply{}, nil
}

func (s *chunkSession) Recipient(context.Context, smtp.ForwardPath, smtp.RecipientParameters) (smtp.Reply, error) {
	s.rcpts++
	return smtp.Reply{}, s.rcptErr
}

func (s *chunkSession) Data(_ context.Context, body io.Reader) (smtp.Reply, error) {
	if s.deaf {
		return smtp.Reply{}, smtp.NewReply(550, smtp.EnhancedCode{5, 7, 1}, "no")
	}
	b, err := io.ReadAll(body)
	if err == nil {
		s.bodies = append(s.bodies, string(b))
	} else if !errors.Is(err, smtp.ErrBareLine) {
		return smtp.Reply{}, err
	}
	return smtp.Reply{}, err
}

func (s *chunkSession) Verify(context.Context, string) smtp.Reply {
	s.verified++
	return smtp.Reply{}
}
