package smtp_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
)

// lmtp returns a client that has said LHLO to a peer that goes on with steps.
func lmtp(t *testing.T, lhlo string, steps ...smtptest.Step) (*smtp.Client, *smtptest.Peer) {
	t.Helper()
	peer := smtptest.Listen(t, append(smtptest.Script{smtptest.Say("220 box.test LMTP"), smtptest.On("LHLO client.example", lhlo)}, steps...))
	conn, err := net.Dial("tcp", peer.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example", LMTP: true, AllowHELO: true, ForceHELO: true})
	greet(t, c)
	return c, peer
}

// One row per way in which a transaction by LMTP can go (RFC 2033, section 4.2).
func TestLMTP(t *testing.T) {
	on, chunk, data, say, hear := smtptest.On, smtptest.Chunk, smtptest.Data, smtptest.Say, smtptest.Hear
	const (
		lhlo         = "250-box.test\n250 PIPELINING"
		lhloSlow     = "250 box.test"
		lhloChunking = "250-box.test\n250-PIPELINING\n250 CHUNKING"
	)
	large := strings.Repeat("0123456789abcd\r\n", chunkBytes/16)
	rcpts := smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("RCPT*")}
	envelope := func(steps ...smtptest.Step) smtptest.Script {
		return append(append(smtptest.Script{}, rcpts...), steps...)
	}
	tests := []struct {
		name    string
		lhlo    string
		content string
		script  smtptest.Script
		want    []string
		err     string
	}{
		{
			name: "each has a reply", lhlo: lhlo, content: "x\r\n",
			script: envelope(hear("DATA"), say("250 ok\n250 ok\n250 ok\n250 ok\n354 go"), data("250 b has it\n452 4.2.2 c is full\n250 d has it")),
			want:   []string{"250 b has it", "452 4.2.2 c is full", "250 d has it"},
		},
		{
			name: "one was refused before", lhlo: lhlo, content: "x\r\n",
			script: envelope(hear("DATA"), say("250 ok\n250 ok\n550 5.1.1 nobody\n250 ok\n354 go"), data("250 b has it\n550 5.7.1 d will not")),
			want:   []string{"250 b has it", "550 5.1.1 nobody", "550 5.7.1 d will not"},
		},
		{
			name: "in lock step", lhlo: lhloSlow, content: "x\r\n",
			script: smtptest.Script{
				on("MAIL*", "250 ok"), on("RCPT*", "550 no"), on("RCPT*", "250 ok"), on("RCPT*", "250 ok"), on("DATA", "354 go"),
				data("250 c has it\n250 d has it"),
			},
			want: []string{"550 no", "250 c has it", "250 d has it"},
		},
		{
			name: "by BDAT", lhlo: lhloChunking, content: "x\r\n",
			script: envelope(say("250 ok\n250 ok\n250 ok\n250 ok"), chunk("BDAT 3 LAST"), say("250 b has it\n452 4.2.2 c is full\n250 d has it")),
			want:   []string{"250 b has it", "452 4.2.2 c is full", "250 d has it"},
		},
		{
			name: "by several BDAT", lhlo: lhloChunking, content: large + "x\r\n",
			script: envelope(say("250 ok\n250 ok\n250 ok\n250 ok"), chunk("BDAT 65536"), chunk("BDAT 3 LAST"),
				say("250 go on\n250 b has it\n452 4.2.2 c is full\n250 d has it")),
			want: []string{"250 b has it", "452 4.2.2 c is full", "250 d has it"},
		},
		{
			name: "all refused, by BDAT", lhlo: lhloChunking, content: "x\r\n",
			script: envelope(say("250 ok\n550 1\n550 2\n550 3")),
			want:   []string{"550 1", "550 2", "550 3"},
		},
		{
			name: "all refused", lhlo: lhlo, content: "x\r\n",
			script: envelope(hear("DATA"), say("250 ok\n550 1\n550 2\n550 3\n503 none")),
			want:   []string{"550 1", "550 2", "550 3"},
		},
		{
			name: "all refused, and 354", lhlo: lhlo, content: "x\r\n",
			script: envelope(hear("DATA"), say("250 ok\n550 1\n550 2\n550 3\n354 go"), smtptest.Await()),
			want:   []string{"550 1", "550 2", "550 3"}, err: "malformed",
		},
		{
			name: "a chunk is refused while the last is sent", lhlo: lhloChunking, content: large + "x\r\n",
			script: envelope(say("250 ok\n250 ok\n250 ok\n250 ok"), chunk("BDAT 65536"), chunk("BDAT 3 LAST"), say("552 5.3.4 too large"), smtptest.Await()),
			want:   []string{"552 5.3.4 too large", "552 5.3.4 too large", "552 5.3.4 too large"}, err: "552",
		},
		{
			name: "421 in the middle", lhlo: lhlo, content: "x\r\n",
			script: envelope(hear("DATA"), say("250 ok\n250 ok\n250 ok\n250 ok\n354 go"), data("250 b has it\n421 4.3.2 bye")),
			want:   []string{"250 b has it", "421 4.3.2 bye", "421 4.3.2 bye"}, err: "421",
		},
		{
			name: "closed in the middle", lhlo: lhlo, content: "x\r\n",
			script: envelope(hear("DATA"), say("250 ok\n250 ok\n250 ok\n250 ok\n354 go"), data("250 b has it"), smtptest.Close()),
			want:   []string{"250 b has it", "", ""}, err: "EOF",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, peer := lmtp(t, tt.lhlo, append(tt.script, smtptest.Await())...)
			result, err := c.Send(t.Context(), transaction(t, tt.content, "b@two.example", "c@two.example", "d@two.example"))
			if diff := cmp.Diff(tt.want, texts(result.Recipients)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v", err)
			}
			c.Close()
			if tt.err == "" {
				peer.Wait()
			}
		})
	}
}

// LHLO has no HELO to fall back to.
func TestLHLORefused(t *testing.T) {
	peer := smtptest.Listen(t, smtptest.Script{smtptest.Say("220 box"), smtptest.On("LHLO client.example", "500 what"), smtptest.Await()})
	conn, err := net.Dial("tcp", peer.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example", LMTP: true, AllowHELO: true})
	if _, err := c.Greeting(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *smtp.ReplyError
	if _, err := c.Hello(t.Context()); !errors.As(err, &refused) || refused.Command != "LHLO" {
		t.Errorf("error %v", err)
	}
	c.Close()
	peer.Wait()
	if lines := peer.Records()[0].Lines; len(lines) != 1 {
		t.Errorf("we said %q", lines)
	}
}
