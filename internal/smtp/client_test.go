package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
)

const (
	greeting = "220 peer.test ESMTP"
	ehlo     = "250-peer.test\n250-PIPELINING\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250 SIZE 1000"
	ehloSlow = "250-peer.test\n250 8BITMIME"
)

// connect returns a client that has said EHLO to a peer that goes on with steps.
func connect(t *testing.T, ehlo string, steps ...smtptest.Step) (*smtp.Client, *smtptest.Peer) {
	t.Helper()
	script := append(smtptest.Script{smtptest.Say(greeting), smtptest.On("EHLO client.example", ehlo)}, steps...)
	peer := smtptest.Listen(t, script)
	conn, err := net.Dial("tcp", peer.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example"})
	if _, err := c.Greeting(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, peer
}

func reverse(t testing.TB, s string) smtp.ReversePath {
	t.Helper()
	p, err := smtp.ParseReversePath("<" + s + ">")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func forward(t testing.TB, addresses ...string) []smtp.ForwardPath {
	t.Helper()
	var out []smtp.ForwardPath
	for _, s := range addresses {
		p, err := smtp.ParseForwardPath("<" + s + ">")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func transaction(t testing.TB, content string, to ...string) smtp.Transaction {
	return smtp.Transaction{From: reverse(t, "a@one.example"), Recipients: forward(t, to...), Content: strings.NewReader(content)}
}

// texts shows replies as strings, "" for the zero Reply.
func texts(replies []smtp.Reply) []string {
	out := make([]string, len(replies))
	for i, r := range replies {
		if !r.IsZero() {
			out[i] = r.String()
		}
	}
	return out
}

// One row per way in which a transaction can go. The script goes on behind EHLO.
func TestSend(t *testing.T) {
	on, data, say, hear := smtptest.On, smtptest.Data, smtptest.Say, smtptest.Hear
	tests := []struct {
		name   string
		ehlo   string
		script smtptest.Script
		to     []string
		want   []string // per recipient
		final  string
		err    string // part of the error, "" for none
		carry  string // message that the peer has
	}{
		{
			name: "pipelined", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL FROM:<a@one.example>"), hear("RCPT TO:<b@two.example>"), hear("DATA"),
				say("250 2.1.0 ok\n250 2.1.5 ok\n354 go"), data("250 2.0.0 kept as 1"),
			},
			want: []string{"250 2.0.0 kept as 1"}, final: "250 2.0.0 kept as 1", carry: "hello\r\n",
		},
		{
			name: "in lock step", ehlo: ehloSlow, to: []string{"b@two.example", "c@two.example"},
			script: smtptest.Script{
				on("MAIL FROM:<a@one.example>", "250 ok"), on("RCPT TO:<b@two.example>", "250 ok"),
				on("RCPT TO:<c@two.example>", "250 ok"), on("DATA", "354 go"), data("250 kept"),
			},
			want: []string{"250 kept", "250 kept"}, final: "250 kept", carry: "hello\r\n",
		},
		{
			name: "one of three refused", ehlo: ehlo, to: []string{"b@two.example", "c@two.example", "d@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("RCPT*"), hear("DATA"),
				say("250 ok\n250 ok\n550-5.1.1 no such user\n550 5.1.1 really\n250 ok\n354 go"), data("250 kept"),
			},
			want: []string{"250 kept", "550 5.1.1 no such user really", "250 kept"}, final: "250 kept", carry: "hello\r\n",
		},
		{
			name: "MAIL refused", ehlo: ehlo, to: []string{"b@two.example", "c@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("DATA"),
				say("454 4.7.5 bad certificate\n503 no\n503 no\n503 no"), on("QUIT", "221 bye"),
			},
			want: []string{"454 4.7.5 bad certificate", "454 4.7.5 bad certificate"},
		},
		{
			name: "MAIL refused in lock step", ehlo: ehloSlow, to: []string{"b@two.example"},
			script: smtptest.Script{on("MAIL*", "550 no"), on("QUIT", "221 bye")},
			want:   []string{"550 no"},
		},
		{
			name: "MAIL refused, DATA taken", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("550 no\n250 ok\n354 go"), data("503 nothing"), on("QUIT", "221 bye"),
			},
			want: []string{"550 no"},
		},
		{
			name: "all refused, DATA refused", ehlo: ehlo, to: []string{"b@two.example", "c@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("DATA"), say("250 ok\n550 b\n450 c\n554 none"), on("QUIT", "221 bye"),
			},
			want: []string{"550 b", "450 c"},
		},
		{
			name: "all refused, DATA taken: a lone dot", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("250 ok\n550 b\n354 go"), data("554 none"), on("QUIT", "221 bye"),
			},
			want: []string{"550 b"}, carry: "",
		},
		{
			name: "all refused in lock step: no DATA", ehlo: ehloSlow, to: []string{"b@two.example"},
			script: smtptest.Script{on("MAIL*", "250 ok"), on("RCPT*", "550 b"), on("QUIT", "221 bye")},
			want:   []string{"550 b"},
		},
		{
			name: "DATA refused", ehlo: ehlo, to: []string{"b@two.example", "c@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("DATA"), say("250 ok\n550 b\n250 ok\n451 4.3.0 later"), on("QUIT", "221 bye"),
			},
			want: []string{"550 b", "451 4.3.0 later"},
		},
		{
			name: "end of data refused", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("250 ok\n250 ok\n354 go"), data("550 5.7.1 spam"),
			},
			want: []string{"550 5.7.1 spam"}, final: "550 5.7.1 spam", carry: "hello\r\n",
		},
		{
			name: "421 to MAIL", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("421 4.3.2 going down")},
			want:   []string{"421 4.3.2 going down"}, err: "MAIL was answered 421 4.3.2 going down",
		},
		{
			name: "421 to the second recipient", ehlo: ehlo, to: []string{"b@two.example", "c@two.example", "d@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("RCPT*"), hear("DATA"), say("250 ok\n550 b\n421 down"),
			},
			want: []string{"550 b", "421 down", "421 down"}, err: "RCPT was answered 421 down",
		},
		{
			name: "421 to the end of data", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("250 ok\n250 ok\n354 go"), data("421 down"),
			},
			want: []string{"421 down"}, final: "421 down", err: "421 down", carry: "hello\r\n",
		},
		{
			name: "closed behind a refused recipient", ehlo: ehlo, to: []string{"b@two.example", "c@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("RCPT*"), hear("DATA"), say("250 ok\n550 b"),
			},
			want: []string{"550 b", ""}, err: "reading reply: EOF",
		},
		{
			name: "closed in a reply", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), smtptest.Raw("250-ok\r\n25")},
			want:   []string{""}, err: "unexpected EOF",
		},
		{
			name: "closed instead of a final reply", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("250 ok\n250 ok\n354 go"), smtptest.Hear("hello"), smtptest.Hear("."),
			},
			want: []string{""}, err: "reading reply: EOF",
		},
		{
			name: "garbage", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("hello there")},
			want:   []string{""}, err: "malformed SMTP reply: no reply code",
		},
		{
			name: "bare LF in a reply", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), smtptest.Raw("250 ok\n")},
			want:   []string{""}, err: "does not end with CRLF",
		},
		{
			name: "two codes in a reply", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("250-ok\n550 no")},
			want:   []string{""}, err: "codes 250 and 550 in one",
		},
		{
			name: "endless reply", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), say(strings.TrimSuffix(strings.Repeat("250-ok\n", 100), "\n")), smtptest.Await(),
			},
			want: []string{""}, err: "more than 100 lines",
		},
		{
			name: "endless reply line", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{
				hear("MAIL*"), hear("RCPT*"), hear("DATA"), smtptest.Raw("250 " + strings.Repeat("x", 4096-4)), smtptest.Await(),
			},
			want: []string{""}, err: "line longer than 2048 octets",
		},
		{
			name: "250 to DATA", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("250 ok\n250 ok\n250 ok"), smtptest.Await()},
			want:   []string{""}, err: "250 to DATA",
		},
		{
			name: "354 to MAIL", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), say("354 ok"), smtptest.Await()},
			want:   []string{""}, err: "354 to MAIL",
		},
		{
			name: "control characters in a reply", ehlo: ehlo, to: []string{"b@two.example"},
			script: smtptest.Script{hear("MAIL*"), hear("RCPT*"), hear("DATA"), smtptest.Raw("550 5.7.1 a\tb\x00\xff\r\n503 x\r\n503 x\r\n"), on("QUIT", "221 bye")},
			want:   []string{`550 5.7.1 a\x09b\x00\xFF`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, peer := connect(t, tt.ehlo, tt.script...)
			result, err := c.Send(t.Context(), transaction(t, "hello", tt.to...))
			if tt.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, texts(result.Recipients)); diff != "" {
				t.Errorf("recipients (-want +got):\n%s", diff)
			}
			if got := texts([]smtp.Reply{result.Final})[0]; got != tt.final {
				t.Errorf("final %q, want %q", got, tt.final)
			}
			if err == nil && tt.final == "" {
				if err := c.Quit(t.Context()); err != nil {
					t.Errorf("the session cannot go on: %v", err)
				}
			}
			if err != nil {
				if _, err := c.Send(t.Context(), transaction(t, "x", "b@two.example")); !errors.Is(err, smtp.ErrClientClosed) {
					t.Errorf("after an error: %v", err)
				}
			}
			c.Close()
			peer.Wait()
			if got := strings.Join(peer.Messages(), ""); got != tt.carry {
				t.Errorf("the peer has %q, want %q", got, tt.carry)
			}
		})
	}
}

func TestSendSeveralOverOneConnection(t *testing.T) {
	conn, peer := smtptest.Pipe(t, smtptest.Script{smtptest.Serve(smtptest.Table{
		Replies: map[string]string{"RCPT TO:<bad": "550 5.1.1 no"},
	})})
	counted := &countingConn{Conn: conn}
	c := smtp.NewClient(counted, smtp.ClientOptions{LocalName: "client.example"})
	greet(t, c)
	for _, to := range []string{"b@two.example", "bad@two.example", "c@two.example"} {
		before := counted.writes.Load()
		if _, err := c.Send(t.Context(), transaction(t, "to "+to, to)); err != nil {
			t.Fatal(err)
		}
		if n := counted.writes.Load() - before; n != 2 {
			t.Errorf("a message to %s took %d writes, want 2", to, n)
		}
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	peer.Wait()
	if diff := cmp.Diff([]string{"to b@two.example\r\n", "", "to c@two.example\r\n"}, peer.Messages()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// After a transaction that never came to data, RSET goes ahead of the next one.
func TestSendResetsUnfinishedTransaction(t *testing.T) {
	c, peer := connect(t, ehlo,
		smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Hear("DATA"), smtptest.Say("250 ok\n550 no\n554 none"),
		smtptest.Hear("RSET"), smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Hear("DATA"),
		smtptest.Say("250 reset\n250 ok\n250 ok\n354 go"), smtptest.Data("250 kept"))
	for i := range 2 {
		if _, err := c.Send(t.Context(), transaction(t, "x", "b@two.example")); err != nil {
			t.Fatalf("message %d: %v", i+1, err)
		}
	}
	peer.Wait()
}

// More recipients than fit a write are sent in several, so that neither side
// waits for the other to read.
func TestSendManyRecipients(t *testing.T) {
	var to, want []string
	for i := range 2000 {
		to = append(to, fmt.Sprintf("recipient.with.a.long.name.%d@two.example", i))
		want = append(want, "250 2.6.0 Queued mail for delivery")
	}
	server, client := net.Pipe()
	s := &recorder{}
	done := make(chan smtp.EndCause, 1)
	go func() { done <- smtp.ServeSession(t.Context(), server, s, smtp.ServerOptions{MaxRecipients: 5000}) }()
	c := smtp.NewClient(client, smtp.ClientOptions{LocalName: "client.example"})
	greet(t, c)
	result, err := c.Send(t.Context(), transaction(t, "x\r\n", to...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, texts(result.Recipients)); diff != "" {
		t.Error(diff)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	if diff := cmp.Diff([]message{{From: "a@one.example", To: to, Body: "x\r\n"}}, s.messages); diff != "" {
		t.Error(diff)
	}
}

func TestSendParameters(t *testing.T) {
	tests := []struct {
		name, ehlo string
		p          smtp.MailParameters
		want       string
	}{
		{"all offered", ehlo, smtp.MailParameters{Size: 12, Body: smtp.Body8BitMIME}, "MAIL FROM:<a@one.example> SIZE=12 BODY=8BITMIME"},
		{"none offered", "250 peer.test", smtp.MailParameters{Size: 12, Body: smtp.Body8BitMIME}, "MAIL FROM:<a@one.example>"},
		{"none known", ehlo, smtp.MailParameters{}, "MAIL FROM:<a@one.example>"},
		{"7 bit", ehlo, smtp.MailParameters{Body: smtp.Body7Bit}, "MAIL FROM:<a@one.example>"},
		{"DSN offered", "250-peer.test\n250 DSN", smtp.MailParameters{Return: smtp.ReturnHeaders, EnvelopeID: "x+2By"}, "MAIL FROM:<a@one.example> RET=HDRS ENVID=x+2By"},
		{"DSN not offered", ehlo, smtp.MailParameters{Return: smtp.ReturnFull, EnvelopeID: "x+2By"}, "MAIL FROM:<a@one.example>"},
		{"SMTPUTF8", "250-peer.test\n250-DSN\n250 SMTPUTF8", smtp.MailParameters{UTF8: true, Return: smtp.ReturnFull}, "MAIL FROM:<a@one.example> SMTPUTF8 RET=FULL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, peer := connect(t, tt.ehlo, smtptest.Hear(tt.want), smtptest.Say("421 enough"))
			tr := transaction(t, "x", "b@two.example")
			tr.Parameters = tt.p
			if _, err := c.Send(t.Context(), tr); err == nil {
				t.Error("no error")
			}
			peer.Wait()
		})
	}
}

func TestSendRecipientParameters(t *testing.T) {
	p := []smtp.RecipientParameters{
		{Notify: smtp.NotifySuccess | smtp.NotifyDelay, OriginalRecipient: "rfc822;B+2B@two.example"}, {}, {Notify: smtp.NotifyNever},
	}
	tests := map[string][]string{
		"250-peer.test\n250 DSN": {
			"RCPT TO:<b@two.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B+2B@two.example",
			"RCPT TO:<c@two.example>", "RCPT TO:<d@two.example> NOTIFY=NEVER",
		},
		"250 peer.test": {"RCPT TO:<b@two.example>", "RCPT TO:<c@two.example>", "RCPT TO:<d@two.example>"},
	}
	for ehlo, want := range tests {
		c, peer := connect(t, ehlo, smtptest.On("MAIL FROM:<a@one.example>", "250 ok"), smtptest.On(want[0], "250 ok"),
			smtptest.On(want[1], "250 ok"), smtptest.On(want[2], "250 ok"), smtptest.On("DATA", "354 go"), smtptest.Data("250 ok"))
		tr := transaction(t, "x", "b@two.example", "c@two.example", "d@two.example")
		tr.RecipientParameters = p
		if _, err := c.Send(t.Context(), tr); err != nil {
			t.Error(err)
		}
		peer.Wait()
		c.Close()
	}
}

// A local part beyond ASCII goes only where SMTPUTF8 is offered, and is said.
func TestSendUTF8(t *testing.T) {
	tr := transaction(t, "x\r\n", "b@two.example")
	tr.Recipients[0].Mailbox.LocalPart = "bj\u00f6rn"
	tr.From.Mailbox.LocalPart = "\u00e5 \u00e4"
	for _, said := range []bool{false, true} {
		for _, ehlo := range []string{"250 peer.test", "250-peer.test\n250 SMTPUTF8"} {
			if said && ehlo != "250 peer.test" {
				continue
			}
			tr.Parameters.UTF8 = said
			c, _ := connect(t, ehlo)
			if _, err := c.Send(t.Context(), tr); err == nil {
				t.Errorf("sent with SMTPUTF8 %v to %q", said, ehlo)
			}
			c.Close()
		}
	}
	c, peer := connect(t, "250-peer.test\n250 SMTPUTF8", smtptest.On("MAIL FROM:<\"\u00e5 \u00e4\"@one.example> SMTPUTF8", "250 ok"),
		smtptest.On("RCPT TO:<bj\u00f6rn@two.example>", "250 ok"), smtptest.On("DATA", "354 go"), smtptest.Data("250 ok"))
	if _, err := c.Send(t.Context(), tr); err != nil {
		t.Error(err)
	}
	peer.Wait()
	c.Close()
}

// Content that cannot be read to its end must never look like a message.
func TestSendContentError(t *testing.T) {
	broken := errors.New("disk broken")
	for name, content := range map[string]io.Reader{
		"read error":          io.MultiReader(strings.NewReader("half a message\r\n"), iotest.ErrReader(broken)),
		"bare LF":             strings.NewReader("one\ntwo\r\n"),
		"bare CR":             strings.NewReader("one\rtwo\r\n"),
		"bare CR at the end":  strings.NewReader("one\r"),
		"dot behind a bare":   strings.NewReader("one\n.\r\nMAIL FROM:<>\r\n"),
		"bare LF, big enough": strings.NewReader(strings.Repeat("0123456789012345\r\n", 5000) + "x\ny"),
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := connect(t, ehlo, smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Hear("DATA"),
				smtptest.Say("250 ok\n250 ok\n354 go"), smtptest.Data("250 kept"))
			tr := transaction(t, "", "b@two.example")
			tr.Content = content
			result, err := c.Send(t.Context(), tr)
			if want := map[bool]error{true: broken, false: smtp.ErrBareLine}[name == "read error"]; !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
			if !result.Recipients[0].IsZero() || !result.Final.IsZero() {
				t.Errorf("result %v", result)
			}
			if r := peer.Records(); len(r[0].Messages) > 0 {
				t.Errorf("the peer has %q", r[0].Messages)
			}
		})
	}
}

// A server that stops taking the data and says why is understood.
func TestSendInterruptedWithReply(t *testing.T) {
	c, peer := connect(t, ehlo, smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Hear("DATA"),
		smtptest.Say("250 ok\n250 ok\n354 go"), smtptest.Hear("x*"), smtptest.Say("552 5.3.4 too much"), smtptest.Close())
	tr := transaction(t, "", "b@two.example")
	tr.Content = strings.NewReader(strings.Repeat("x\r\n", 10<<20))
	result, err := c.Send(t.Context(), tr)
	var refused *smtp.ReplyError
	if !errors.As(err, &refused) || refused.Reply.Code != 552 {
		t.Errorf("error %v", err)
	}
	if got := texts(result.Recipients)[0]; got != "552 5.3.4 too much" {
		t.Errorf("recipient %q", got)
	}
	peer.Wait()
}

func TestSendRefusesWhatIsNoAddress(t *testing.T) {
	c, _ := connect(t, ehlo)
	good := transaction(t, "x", "b@two.example")
	for name, spoil := range map[string]func(*smtp.Transaction){
		"nobody":             func(tr *smtp.Transaction) { tr.Recipients = nil },
		"line end in sender": func(tr *smtp.Transaction) { tr.From.Mailbox.LocalPart = "a\r\nRSET" },
		"line end in domain": func(tr *smtp.Transaction) { tr.From.Mailbox.Domain = "one.example>\r\nRSET" },
		"sender not UTF-8":   func(tr *smtp.Transaction) { tr.From.Mailbox.LocalPart = "\xff" },
		"ENVID of two lines": func(tr *smtp.Transaction) { tr.Parameters.EnvelopeID = "x\r\nRSET" },
		"ORCPT of two lines": func(tr *smtp.Transaction) {
			tr.RecipientParameters = []smtp.RecipientParameters{{OriginalRecipient: "rfc822;x\r\nRSET"}}
		},
		"parameters of nobody": func(tr *smtp.Transaction) { tr.RecipientParameters = make([]smtp.RecipientParameters, 2) },
		"empty recipient":      func(tr *smtp.Transaction) { tr.Recipients = []smtp.ForwardPath{{}} },
		"space in literal": func(tr *smtp.Transaction) {
			tr.Recipients = []smtp.ForwardPath{{Mailbox: smtp.Mailbox{LocalPart: "a", Literal: "[1.2.3.4] X"}}}
		},
	} {
		tr := good
		spoil(&tr)
		if _, err := c.Send(t.Context(), tr); err == nil || errors.Is(err, smtp.ErrClientClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Close()
}

func greet(t testing.TB, c *smtp.Client) {
	t.Helper()
	if _, err := c.Greeting(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestGreeting(t *testing.T) {
	tests := []struct{ name, greeting, want, err string }{
		{"good", "220-one\n220 two", "220 one two", ""},
		{"refused", "554 5.7.1 go away", "554 5.7.1 go away", "greeting was answered 554 5.7.1 go away"},
		{"not now", "421 4.3.2 busy", "421 4.3.2 busy", "greeting was answered 421 4.3.2 busy"},
		{"wrong code", "250 hello", "250 hello", "greeting was answered 250 hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, _ := smtptest.Pipe(t, smtptest.Script{smtptest.Say(tt.greeting)})
			c := smtp.NewClient(conn, smtp.ClientOptions{})
			r, err := c.Greeting(t.Context())
			if got := r.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := fmt.Sprint(err); err != nil && got != tt.err || err == nil && tt.err != "" {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			var reply smtp.Reply
			if tt.err != "" && (!errors.As(err, &reply) || reply.String() != tt.want) {
				t.Errorf("no Reply in the error: %v", reply)
			}
		})
	}
}

func TestHelloFallsBackOnlyWhenAllowed(t *testing.T) {
	for _, allow := range []bool{false, true} {
		conn, peer := smtptest.Pipe(t, smtptest.Script{
			smtptest.Say(greeting), smtptest.On("EHLO client.example", "502 5.5.1 what"),
			smtptest.On("*", "250 peer.test"),
		})
		c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example", AllowHELO: allow})
		if _, err := c.Greeting(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := c.Hello(t.Context())
		var refused *smtp.ReplyError
		if allow && (err != nil || r.Code != 250) || !allow && (!errors.As(err, &refused) || refused.Reply.Code != 502) {
			t.Errorf("allow %v: %v, %v", allow, r, err)
		}
		if !allow {
			if err := c.Reset(t.Context()); err != nil {
				t.Errorf("a refused EHLO is not the end: %v", err)
			}
		}
		peer.Wait()
		if got := peer.Records()[0].Lines[1]; allow != (got == "HELO client.example") {
			t.Errorf("allow %v: second line %q", allow, got)
		}
		c.Close()
	}
}

func TestExtensions(t *testing.T) {
	c, _ := connect(t, "250-peer.test PIPELINING\n250-size 1000\n250-STARTTLS\n250-8bitmime\n250-X-UNKNOWN a b\n250 ENHANCEDSTATUSCODES")
	want := smtp.Extensions{
		STARTTLS: true, EightBitMIME: true, EnhancedStatusCodes: true, Size: true, MaxMessageBytes: 1000,
		Raw: []string{"size 1000", "STARTTLS", "8bitmime", "X-UNKNOWN a b", "ENHANCEDSTATUSCODES"},
	}
	if diff := cmp.Diff(want, c.Extensions()); diff != "" {
		t.Error(diff)
	}
	c.Close()
}

func TestClientStartTLS(t *testing.T) {
	offer := "250-peer.test\n250-PIPELINING\n250 STARTTLS"
	insecure := &tls.Config{InsecureSkipVerify: true}
	t.Run("good", func(t *testing.T) {
		c, peer := connect(t, offer, smtptest.On("STARTTLS", "220 go"), smtptest.StartTLS(serverTLS(t)),
			smtptest.On("EHLO client.example", ehlo), smtptest.On("QUIT", "221 bye"))
		if c.TLS() != nil {
			t.Error("TLS before STARTTLS")
		}
		if err := c.StartTLS(t.Context(), insecure); err != nil {
			t.Fatal(err)
		}
		if c.TLS() == nil || len(c.TLS().PeerCertificates) != 1 {
			t.Errorf("state %+v", c.TLS())
		}
		if x := c.Extensions(); x.STARTTLS || x.Pipelining || x.Raw != nil {
			t.Errorf("extensions survived the handshake: %+v", x)
		}
		if _, err := c.Send(t.Context(), transaction(t, "x", "b@two.example")); err == nil {
			t.Error("Send before the second EHLO")
		}
		if _, err := c.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.StartTLS(t.Context(), insecure); err == nil {
			t.Error("STARTTLS inside TLS")
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Fatal(err)
		}
		peer.Wait()
	})
	t.Run("not offered", func(t *testing.T) {
		c, peer := connect(t, ehlo, smtptest.On("QUIT", "221 bye"))
		if err := c.StartTLS(t.Context(), insecure); !errors.Is(err, smtp.ErrSTARTTLSNotOffered) {
			t.Errorf("error %v", err)
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Error(err)
		}
		peer.Wait()
	})
	t.Run("refused", func(t *testing.T) {
		c, peer := connect(t, offer, smtptest.On("STARTTLS", "454 4.7.0 no"), smtptest.On("QUIT", "221 bye"))
		var refused *smtp.ReplyError
		if err := c.StartTLS(t.Context(), insecure); !errors.As(err, &refused) || refused.Reply.Code != 454 {
			t.Errorf("error %v", err)
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Error(err)
		}
		peer.Wait()
	})
	failures := map[string]struct {
		cfg   *tls.Config
		steps []smtptest.Step
	}{
		"plain octets behind 220": {insecure, []smtptest.Step{smtptest.Hear("STARTTLS"), smtptest.Raw("220 go\r\n250-evil\r\n"), smtptest.Await()}},
		"no TLS at all":           {insecure, []smtptest.Step{smtptest.On("STARTTLS", "220 go"), smtptest.Raw("500 what\r\n"), smtptest.Await()}},
		"closed":                  {insecure, []smtptest.Step{smtptest.On("STARTTLS", "220 go"), smtptest.Close()}},
		"certificate refused by us": {&tls.Config{ServerName: "other.example"}, []smtptest.Step{
			smtptest.On("STARTTLS", "220 go"), smtptest.StartTLS(serverTLS(t)),
		}},
	}
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			c, _ := connect(t, offer, f.steps...)
			err := c.StartTLS(t.Context(), f.cfg)
			var te *smtp.TLSError
			if !errors.As(err, &te) || te.AfterHandshake {
				t.Errorf("error %v", err)
			}
			if _, err := c.Hello(t.Context()); !errors.Is(err, smtp.ErrClientClosed) {
				t.Errorf("the session goes on: %v", err)
			}
		})
	}
}

// In TLS 1.3 a server refuses our certificate after our handshake is done.
func TestClientCertificateRefused(t *testing.T) {
	server := serverTLS(t)
	server.ClientAuth = tls.RequireAndVerifyClientCert
	c, _ := connect(t, "250-peer.test\n250 STARTTLS", smtptest.On("STARTTLS", "220 go"), smtptest.StartTLS(server))
	if err := c.StartTLS(t.Context(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Hello(t.Context())
	var te *smtp.TLSError
	if !errors.As(err, &te) || !te.AfterHandshake {
		t.Errorf("error %v", err)
	}
}

func TestClientWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := smtp.ClientOptions{
			LocalName: "client.example", GreetingTimeout: time.Minute, CommandTimeout: 2 * time.Minute,
			DataBlockTimeout: 3 * time.Minute, DataEndTimeout: 4 * time.Minute,
		}
		send := func(c *smtp.Client) error {
			_, err := c.Send(t.Context(), transaction(t, "x", "b@two.example"))
			return err
		}
		envelope := []smtptest.Step{smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Hear("DATA")}
		tests := []struct {
			name  string
			steps []smtptest.Step
			do    func(*smtp.Client) error
			want  time.Duration
		}{
			{"reply to MAIL", envelope, send, 2 * time.Minute},
			{"reply to DATA", append(envelope[:3:3], smtptest.Say("250 ok\n250 ok")), send, 2 * time.Minute},
			{"end of data", append(envelope[:3:3], smtptest.Say("250 ok\n250 ok\n354 go"), smtptest.Hear("x"), smtptest.Hear(".")), send, 4 * time.Minute},
			{"data not taken", append(envelope[:3:3], smtptest.Say("250 ok\n250 ok\n354 go")), func(c *smtp.Client) error {
				tr := transaction(t, "", "b@two.example")
				tr.Content = strings.NewReader(strings.Repeat("x\r\n", 100000))
				_, err := c.Send(t.Context(), tr)
				return err
			}, 3 * time.Minute},
			{"reply to a chunk with its envelope", []smtptest.Step{smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Chunk("BDAT 1 LAST")}, send, 4 * time.Minute},
			{"reply to a chunk", []smtptest.Step{smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Say("250 ok\n250 ok"), smtptest.Chunk("BDAT*"), smtptest.Chunk("BDAT*")}, func(c *smtp.Client) error {
				tr := transaction(t, "", "b@two.example")
				tr.Content = strings.NewReader(strings.Repeat("x\r\n", 100000))
				_, err := c.Send(t.Context(), tr)
				return err
			}, 2 * time.Minute},
			{"chunk not taken", []smtptest.Step{smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Say("250 ok\n250 ok")}, func(c *smtp.Client) error {
				tr := transaction(t, "", "b@two.example")
				tr.Content = strings.NewReader(strings.Repeat("x\r\n", 100000))
				_, err := c.Send(t.Context(), tr)
				return err
			}, 3 * time.Minute},
			{"RSET", []smtptest.Step{smtptest.Hear("RSET")}, func(c *smtp.Client) error { return c.Reset(t.Context()) }, 2 * time.Minute},
		}
		for _, tt := range tests {
			client, server := net.Pipe()
			hold := make(chan struct{})
			go func() { // a peer without patience of its own
				p := smtptest.NewManual(server)
				keywords := ehlo
				if strings.Contains(tt.name, "chunk") {
					keywords = ehloChunking
				}
				_ = p.Play(append([]smtptest.Step{smtptest.Say(greeting), smtptest.On("EHLO*", keywords)}, tt.steps...))
				<-hold
			}()
			c := smtp.NewClient(client, o)
			greet(t, c)
			began := time.Now()
			err := tt.do(c)
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%s: error %v", tt.name, err)
			}
			if d := time.Since(began); d != tt.want {
				t.Errorf("%s: waited %v, want %v", tt.name, d, tt.want)
			}
			close(hold)
			server.Close()
		}
	})
}

func TestClientContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []string{"cancelled", "deadline", "before"} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			client, server := net.Pipe()
			go func() { _, _ = io.WriteString(server, "220 hello\r\n") }()
			c := smtp.NewClient(client, smtp.ClientOptions{LocalName: "x"})
			if _, err := c.Greeting(ctx); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, server) }()
			want := context.DeadlineExceeded
			switch how {
			case "cancelled":
				want = context.Canceled
				time.AfterFunc(time.Second, cancel)
			case "before":
				want = context.Canceled
				cancel()
			}
			began := time.Now()
			_, err := c.Hello(ctx)
			if !errors.Is(err, want) {
				t.Errorf("%s: error %v", how, err)
			}
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("%s: it took %v", how, d)
			}
			cancel()
			c.Close()
			server.Close()
		}
	})
}

func TestClientTranscript(t *testing.T) {
	var tr transcript
	conn, peer := smtptest.Pipe(t, smtptest.Script{smtptest.Serve(smtptest.Table{})})
	c := smtp.NewClient(conn, smtp.ClientOptions{LocalName: "client.example", Transcript: &tr})
	greet(t, c)
	if _, err := c.Send(t.Context(), transaction(t, "very private", "b@two.example")); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	peer.Wait()
	want := []string{
		"< 220 peer.test ESMTP", "> EHLO client.example",
		"< 250-peer.test", "< 250-PIPELINING", "< 250-8BITMIME", "< 250-ENHANCEDSTATUSCODES", "< 250 SIZE",
		"> MAIL FROM:<a@one.example>", "> RCPT TO:<b@two.example>", "> DATA",
		"< 250 2.0.0 OK", "< 250 2.0.0 OK", "< 354 go ahead", "< 250 2.0.0 kept",
		"> QUIT", "< 221 2.0.0 bye",
	}
	if diff := cmp.Diff(want, tr.lines); diff != "" {
		t.Errorf("transcript (-want +got):\n%s", diff)
	}
}
