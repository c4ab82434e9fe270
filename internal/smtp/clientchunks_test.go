package smtp_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
)

const (
	ehloChunking     = "250-peer.test\n250-PIPELINING\n250 CHUNKING"
	ehloChunkingSlow = "250-peer.test\n250 CHUNKING"
	ehloBinary       = "250-peer.test\n250-PIPELINING\n250-CHUNKING\n250 BINARYMIME"
	chunkBytes       = 64 << 10
)

// One row per way in which a message can go by BDAT. The script goes on behind EHLO.
func TestSendChunks(t *testing.T) {
	on, chunk, say, hear := smtptest.On, smtptest.Chunk, smtptest.Say, smtptest.Hear
	line := strings.Repeat("0123456789abcd\r\n", 1)
	large := strings.Repeat(line, chunkBytes/16)
	envelope := func(replies ...smtptest.Step) smtptest.Script {
		return append(smtptest.Script{hear("MAIL*"), hear("RCPT*")}, replies...)
	}
	tests := []struct {
		name     string
		ehlo     string
		content  string
		script   smtptest.Script
		want     string
		accepted bool
		err      string
		carry    string
		again    string // what stands before the next MAIL; "closed" for a session that is over
	}{
		{
			name: "in one write", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), say("250 ok\n250 ok\n250 2.0.0 kept as 1")),
			want:   "250 2.0.0 kept as 1", accepted: true, carry: "hello\r\n",
		},
		{
			name: "dots and the end of the last line stay", ehlo: ehloChunking, content: ".\r\n..x",
			script: envelope(chunk("BDAT 6 LAST"), say("250 ok\n250 ok\n250 kept")),
			want:   "250 kept", accepted: true, carry: ".\r\n..x",
		},
		{
			name: "nothing", ehlo: ehloChunking,
			script: envelope(chunk("BDAT 0 LAST"), say("250 ok\n250 ok\n250 kept")),
			want:   "250 kept", accepted: true, carry: "",
		},
		{
			name: "in lock step", ehlo: ehloChunkingSlow, content: large + large + "end",
			script: smtptest.Script{
				on("MAIL*", "250 ok"), on("RCPT*", "250 ok"),
				chunk("BDAT 65536"), say("250 one"), chunk("BDAT 65536"), say("250 two"), chunk("BDAT 3 LAST"), say("250 kept"),
			},
			want: "250 kept", accepted: true, carry: large + large + "end",
		},
		{
			name: "one chunk on its way while the next is sent", ehlo: ehloChunking, content: large + large + "end",
			script: envelope(say("250 ok\n250 ok"),
				chunk("BDAT 65536"), chunk("BDAT 65536"), say("250 one"), chunk("BDAT 3 LAST"), say("250 two\n250 kept")),
			want: "250 kept", accepted: true, carry: large + large + "end",
		},
		{
			name: "exactly a chunk", ehlo: ehloChunking, content: large,
			script: envelope(say("250 ok\n250 ok"), chunk("BDAT 65536"), chunk("BDAT 0 LAST"), say("250 one\n250 kept")),
			want:   "250 kept", accepted: true, carry: large,
		},
		{
			name: "the recipient is refused behind the chunk", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), say("250 ok\n550 5.1.1 nobody\n554 5.5.1 no recipients")),
			want:   "550 5.1.1 nobody", again: "RSET",
		},
		{
			name: "the recipient of a large message is refused", ehlo: ehloChunking, content: large + "end",
			script: envelope(say("250 ok\n550 5.1.1 nobody")),
			want:   "550 5.1.1 nobody", again: "RSET",
		},
		{
			name: "MAIL is refused behind the chunk", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), say("451 4.7.1 later\n503 no\n503 no")),
			want:   "451 4.7.1 later",
		},
		{
			name: "the message is refused", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), say("250 ok\n250 ok\n554 5.7.1 spam")),
			want:   "554 5.7.1 spam", accepted: true, again: "RSET",
		},
		{
			name: "a chunk is refused while the next is sent", ehlo: ehloChunking, content: large + large + "end",
			script: envelope(say("250 ok\n250 ok"), chunk("BDAT 65536"), chunk("BDAT 65536"), say("552 5.3.4 too large\n503 5.5.1 no")),
			want:   "552 5.3.4 too large", accepted: true, again: "RSET",
		},
		{
			name: "the chunk before the last is refused", ehlo: ehloChunking, content: large + "end",
			script: envelope(say("250 ok\n250 ok"), chunk("BDAT 65536"), chunk("BDAT 3 LAST"), say("452 4.3.1 full\n503 5.5.1 no")),
			want:   "452 4.3.1 full", accepted: true, again: "RSET",
		},
		{
			name: "a chunk is refused in lock step", ehlo: ehloChunkingSlow, content: large + "end",
			script: smtptest.Script{on("MAIL*", "250 ok"), on("RCPT*", "250 ok"), chunk("BDAT 65536"), say("552 5.3.4 too large")},
			want:   "552 5.3.4 too large", accepted: true, again: "RSET",
		},
		{
			name: "421 to a chunk", ehlo: ehloChunking, content: large + large,
			script: envelope(say("250 ok\n250 ok"), chunk("BDAT 65536"), chunk("BDAT 65536"), say("421 4.3.2 bye")),
			want:   "421 4.3.2 bye", accepted: true, err: "421", again: "closed",
		},
		{
			name: "354 to a chunk", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), say("250 ok\n250 ok\n354 go")),
			want:   "", accepted: true, err: "malformed", again: "closed",
		},
		{
			name: "closed before the reply to MAIL", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), smtptest.Close()),
			want:   "", err: "EOF", again: "closed",
		},
		{
			name: "closed before the last reply", ehlo: ehloChunking, content: "hello\r\n",
			script: envelope(chunk("BDAT 7 LAST"), say("250 ok\n250 ok"), smtptest.Close()),
			want:   "", accepted: true, err: "EOF", again: "closed",
		},
		{
			name: "a bare LF is not sent", ehlo: ehloChunking, content: "a\nb\r\n", script: smtptest.Script{smtptest.Await()},
			want: "", err: smtp.ErrBareLine.Error(), again: "closed",
		},
		{
			name: "nor one behind the first chunk", ehlo: ehloChunking, content: large + "a\rb",
			script: envelope(say("250 ok\n250 ok"), chunk("BDAT 65536"), smtptest.Await()),
			want:   "", accepted: true, err: smtp.ErrBareLine.Error(), again: "closed",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := append(smtptest.Script{}, tt.script...)
			if tt.again == "RSET" {
				script = append(script, on("RSET", "250 ok"))
			}
			if tt.again != "closed" {
				script = append(script, smtptest.Serve(smtptest.Table{}))
			}
			c, peer := connect(t, tt.ehlo, script...)
			result, err := c.Send(t.Context(), transaction(t, tt.content, "b@two.example"))
			if diff := cmp.Diff([]string{tt.want}, texts(result.Recipients)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if result.Accepted != tt.accepted {
				t.Errorf("accepted %v", result.Accepted)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v", err)
			}
			if got := peer.Messages(); tt.carry != "" && (len(got) != 1 || got[0] != tt.carry) {
				t.Error("the peer has another message")
			}
			if tt.again == "closed" {
				if err := c.Reset(t.Context()); !errors.Is(err, smtp.ErrClientClosed) {
					t.Errorf("the session goes on: %v", err)
				}
				return
			}
			if tt.again == "RSET" {
				if err := c.Reset(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		})
	}
}

// After a transaction that the server may hold open, Send says RSET by itself.
func TestSendResetsAfterChunks(t *testing.T) {
	c, peer := connect(t, ehloChunking,
		smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Chunk("BDAT 7 LAST"), smtptest.Say("250 ok\n250 ok\n554 5.7.1 no"),
		smtptest.Hear("RSET"), smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Chunk("BDAT 7 LAST"),
		smtptest.Say("250 ok\n250 ok\n250 ok\n250 kept"), smtptest.On("QUIT", "221 bye"))
	for _, want := range []int{554, 250} {
		if result, err := c.Send(t.Context(), transaction(t, "hello\r\n", "b@two.example")); err != nil || result.Final.Code != want {
			t.Fatalf("%v, %v", result, err)
		}
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	peer.Wait()
}

// Content that breaks off is never sent as if it were whole, whatever its error wraps.
func TestSendChunksOfBrokenContent(t *testing.T) {
	for _, broken := range []error{io.ErrUnexpectedEOF, fmt.Errorf("disk: %w", io.EOF), errors.New("disk")} {
		c, peer := connect(t, ehloChunking, smtptest.Await())
		tr := transaction(t, "", "b@two.example")
		tr.Content = io.MultiReader(strings.NewReader("hello\r\n"), iotest.ErrReader(broken))
		if _, err := c.Send(t.Context(), tr); !errors.Is(err, broken) {
			t.Errorf("%v: %v", broken, err)
		}
		peer.Wait()
		if lines := peer.Records()[0].Lines; len(lines) != 1 {
			t.Errorf("%v: sent %q", broken, lines)
		}
	}
}

func TestSendBinary(t *testing.T) {
	const binary = "MIME-Version: 1.0\r\n\r\n\r\x00\n\n.\r\n"
	tr := func(content string) smtp.Transaction {
		tr := transaction(t, content, "b@two.example")
		tr.Parameters.Body = smtp.BodyBinaryMIME
		return tr
	}
	c, peer := connect(t, ehloBinary,
		smtptest.Hear("MAIL FROM:<a@one.example> BODY=BINARYMIME"), smtptest.Hear("RCPT*"), smtptest.Chunk("BDAT 28 LAST"),
		smtptest.Say("250 ok\n250 ok\n250 kept"))
	if result, err := c.Send(t.Context(), tr(binary)); err != nil || result.Final.Code != 250 {
		t.Fatalf("%v, %v", result, err)
	}
	peer.Wait()
	if got := peer.Messages(); len(got) != 1 || got[0] != binary {
		t.Errorf("the peer has %q", got)
	}
	for _, ehlo := range []string{ehloChunking, "250-peer.test\n250-PIPELINING\n250 BINARYMIME", ehlo} {
		c, peer := connect(t, ehlo, smtptest.On("QUIT", "221 bye"))
		if _, err := c.Send(t.Context(), tr(binary)); err == nil {
			t.Errorf("binary content was sent to %q", ehlo)
		}
		if err := c.Quit(t.Context()); err != nil { // nothing was said
			t.Error(err)
		}
		peer.Wait()
	}
}
