package server_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/smtp/smtptest"
)

// between starts a server between a client and two mail systems: inner takes
// contoso.com's mail, outer that of client.example, where reports go.
func between(t *testing.T, handOff string, outer *smtptest.Peer) *gateway {
	t.Helper()
	_, port, err := net.SplitHostPort(outer.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, configuration(t, t.TempDir(), handsOff("contoso.com", handOff), func(c *directory.Configuration) {
		c.Server.Resolvers[0] = zone(t, "client.example")
		fmt.Sscan(port, &c.SendConnectors[0].Port)
	}))
}

// offering is a mail system with more keywords.
func offering(t *testing.T, keywords ...string) *smtptest.Peer {
	t.Helper()
	return smtptest.Listen(t, smtptest.Script{smtptest.Serve(smtptest.Table{Keywords: keywords})})
}

// hand hands a message in by BDAT, with its envelope in lines.
func (g *gateway) hand(content string, envelope ...string) {
	g.t.Helper()
	c := g.dial()
	for _, line := range envelope {
		c.Expect(line, "250 ")
	}
	c.Write(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
	if r := c.Reply(); !strings.HasPrefix(r, "250 2.6.0 ") {
		g.t.Fatalf("BDAT: %s", r)
	}
	c.Expect("QUIT", "221")
}

// holds fails the test unless text has every one of parts.
func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

const binaryMail = "From: <ann@client.example>\r\nMessage-ID: <bin@client.example>\r\nMIME-Version: 1.0\r\n\r\n\x00\n\r.\r\nQUIT\r\n"

func TestBinaryMIMEGoesThrough(t *testing.T) {
	inner := offering(t, "CHUNKING", "BINARYMIME")
	g := between(t, inner.Addr, sink(t, nil))
	g.hand(binaryMail, "MAIL FROM:<ann@client.example> BODY=BINARYMIME", "RCPT TO:<bob@contoso.com>")
	if got := arrived(t, inner, "<bin@client.example>"); !strings.HasSuffix(got, binaryMail) {
		t.Errorf("arrived as %q", got)
	}
	holds(t, strings.Join(inner.Records()[0].Lines, "\n"), " BODY=BINARYMIME", "BDAT ")
}

func TestBinaryMIMEBounces(t *testing.T) {
	outer, inner := sink(t, nil), offering(t, "CHUNKING")
	g := between(t, inner.Addr, outer)
	g.hand(binaryMail, "MAIL FROM:<ann@client.example> BODY=BINARYMIME RET=FULL", "RCPT TO:<bob@contoso.com>")
	report := arrived(t, outer, "multipart/report")
	holds(t, report, "Action: failed", "Status: 5.6.3", "Content-Type: text/rfc822-headers", "Message-ID: <bin@client.example>")
	if len(inner.Messages()) != 0 || strings.Contains(report, "\x00") {
		t.Error("the binary went somewhere")
	}
}

func TestSMTPUTF8GoesThrough(t *testing.T) {
	inner := offering(t, "SMTPUTF8")
	g := between(t, inner.Addr, sink(t, nil))
	g.hand(letter("änn@client.example", "Grüße"), "MAIL FROM:<änn@client.example> SMTPUTF8", "RCPT TO:<böb@contoso.com>")
	holds(t, arrived(t, inner, "Subject: Grüße"), "UTF8SMTP")
	holds(t, strings.Join(inner.Records()[0].Lines, "\n"), "MAIL FROM:<änn@client.example>", " SMTPUTF8", "RCPT TO:<böb@contoso.com>")
}

func TestSMTPUTF8Bounces(t *testing.T) {
	outer := offering(t, "SMTPUTF8")
	g := between(t, sink(t, nil).Addr, outer)
	g.hand(letter("änn@client.example", "Grüße"), "MAIL FROM:<änn@client.example> SMTPUTF8", "RCPT TO:<böb@contoso.com>")
	report := arrived(t, outer, "multipart/report")
	holds(t, report, "To: <änn@client.example>", "Status: 5.6.7", `Final-Recipient: utf-8; b\x{F6}b@contoso.com`, "message/global-headers", "Subject: Gr=C3=BC=C3=9Fe")
	holds(t, strings.Join(outer.Records()[0].Lines, "\n"), "MAIL FROM:<>", " SMTPUTF8", "RCPT TO:<änn@client.example>")
}

func TestSuccessIsReported(t *testing.T) {
	outer := sink(t, nil)
	g := between(t, sink(t, nil).Addr, outer)
	g.hand(letter("ann@client.example", "for two"), "MAIL FROM:<ann@client.example> RET=HDRS ENVID=QQ+2B1",
		"RCPT TO:<bob@contoso.com> NOTIFY=SUCCESS ORCPT=rfc822;Bob+2Bx@contoso.com", "RCPT TO:<eve@contoso.com> NOTIFY=FAILURE")
	report := arrived(t, outer, "multipart/report")
	holds(t, report, "Action: relayed", "Status: 2.0.0", "Original-Envelope-Id: QQ+1", "Original-Recipient: rfc822; Bob+x@contoso.com",
		"Final-Recipient: rfc822; bob@contoso.com", "Remote-MTA: dns; 127.0.0.1", "Diagnostic-Code: smtp; 250 2.0.0 kept", "Subject: for two")
	if strings.Contains(report, "eve@") || strings.Contains(report, "Hello.") {
		t.Errorf("the report says too much:\n%s", report)
	}
}

func TestRequestsForReportsArePassedOn(t *testing.T) {
	inner := offering(t, "DSN")
	g := between(t, inner.Addr, sink(t, nil))
	g.hand(letter("ann@client.example", "passed on"), "MAIL FROM:<ann@client.example> RET=FULL ENVID=QQ+2B1", "RCPT TO:<bob@contoso.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B@c")
	arrived(t, inner, "Subject: passed on")
	holds(t, strings.Join(inner.Records()[0].Lines, "\n"), " RET=FULL ENVID=QQ+2B1", "RCPT TO:<bob@contoso.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B@c")
	g.tracking(",SMTP,SEND,")
	if text := readAll(t, filepath.Join(g.data, "logs", "tracking", "*.log")); strings.Contains(text, ",DSN,") {
		t.Errorf("we have reported, too:\n%s", text)
	}
}

// The whole message comes back to who has asked for it, without the
// organisation's own fields; nobody is told who has said NEVER.
func TestFailureReturnsTheMessage(t *testing.T) {
	outer := sink(t, nil)
	inner := sink(t, map[string]string{"RCPT TO:": "550 5.1.1 no such user here", "DATA": "554 5.5.1 no valid recipients"})
	g := between(t, inner.Addr, outer)
	g.hand(letter("ann@client.example", "silent"), "MAIL FROM:<ann@client.example> RET=FULL", "RCPT TO:<gone@contoso.com> NOTIFY=NEVER")
	g.hand(letter("ann@client.example", "whole"), "MAIL FROM:<ann@client.example> RET=FULL", "RCPT TO:<gone@contoso.com> NOTIFY=FAILURE")
	report := arrived(t, outer, "multipart/report")
	holds(t, report, "Content-Type: message/rfc822\r\n\r\nReceived: ", letter("ann@client.example", "whole"))
	g.tracking(",SMTP,FAIL,")
	eventually(t, "the queue is empty", func() bool { return len(call[admin.MessageListResponse](g, "message.list", nil).Messages) == 0 })
	if n := len(outer.Messages()); n != 1 {
		t.Errorf("%d reports", n)
	}
}

func TestHandOffByLMTPIsDelivery(t *testing.T) {
	box := filepath.Join(shortDirectory(t), "lmtp")
	l, err := net.Listen("unix", box)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	played := make(chan struct{})
	go func() {
		defer close(played)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c := smtptest.NewManual(conn)
		defer conn.Close()
		if err := c.Play([]smtptest.Step{
			smtptest.Say("220 box LMTP"), smtptest.On("LHLO *", "250-box\n250 PIPELINING"), smtptest.Hear("MAIL*"), smtptest.Hear("RCPT*"), smtptest.Hear("RCPT*"),
			smtptest.Hear("DATA"), smtptest.Say("250 ok\n250 ok\n250 ok\n354 go"), smtptest.Data("250 2.1.5 in the box\n550 5.2.2 full"),
		}); err != nil {
			t.Error(err)
		}
	}()
	outer := sink(t, nil)
	g := between(t, "lmtp+unix://"+box, outer)
	g.hand(letter("ann@client.example", "boxed"), "MAIL FROM:<ann@client.example>",
		"RCPT TO:<bob@contoso.com> NOTIFY=SUCCESS", "RCPT TO:<full@contoso.com> NOTIFY=SUCCESS,FAILURE")
	<-played
	holds(t, arrived(t, outer, "Action: delivered"), "Final-Recipient: rfc822; bob@contoso.com", "Status: 2.1.5", "Remote-MTA: dns; localhost")
	holds(t, arrived(t, outer, "Action: failed"), "Final-Recipient: rfc822; full@contoso.com", "Status: 5.2.2")
}

// shortDirectory is a directory whose name leaves room for that of a socket.
func shortDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
