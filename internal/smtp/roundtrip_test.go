package smtp_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"mailpact/internal/smtp"
)

func TestSmoke(t *testing.T) {
	a, b := net.Pipe()
	s := &recorder{}
	done := make(chan smtp.EndCause)
	go func() { done <- smtp.ServeSession(t.Context(), a, s, smtp.ServerOptions{}) }()
	c := smtp.NewClient(b, smtp.ClientOptions{LocalName: "client.example"})
	ctx := context.Background()
	if _, err := c.Greeting(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	from, _ := smtp.ParseReversePath("<a@example.com>")
	to, _ := smtp.ParseForwardPath("<b@example.net>")
	res, err := c.Send(ctx, smtp.Transaction{From: from, Recipients: []smtp.ForwardPath{to}, Content: strings.NewReader("Subject: x\r\n\r\n.hello\r\n..")})
	t.Log(res, err, c.Quit(ctx), <-done)
	t.Logf("%q", s.messages)
}
