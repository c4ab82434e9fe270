package smtp_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailpact/internal/smtp"
)

// Whatever our client sends, our server hands out: any number of messages over
// one connection, in memory.
func TestRoundTrip(t *testing.T) {
	line := rapid.StringMatching(`\.{0,3}[ -~é]{0,100}`)
	rapid.Check(t, func(rt *rapid.T) {
		var want []message
		for range rapid.IntRange(1, 4).Draw(rt, "messages") {
			m := message{From: "a@one.example", Body: strings.Join(rapid.SliceOfN(line, 0, 500).Draw(rt, "lines"), "\r\n")}
			for range rapid.IntRange(1, 3).Draw(rt, "recipients") {
				m.To = append(m.To, rapid.StringMatching(`[a-z]{1,10}`).Draw(rt, "to")+"@two.example")
			}
			want = append(want, m)
		}
		server, client := net.Pipe()
		s := &recorder{}
		done := make(chan smtp.EndCause, 1)
		go func() { done <- smtp.ServeSession(t.Context(), server, s, smtp.ServerOptions{}) }()
		c := smtp.NewClient(client, smtp.ClientOptions{LocalName: "client.example"})
		greet(t, c)
		sendAll(t, c, want)
		if cause := <-done; cause != smtp.EndQuit {
			rt.Fatalf("cause %v", cause)
		}
		if diff := cmp.Diff(want, s.messages); diff != "" {
			rt.Fatalf("-sent +received:\n%s", diff)
		}
	})
}

func TestRoundTripOverTLS(t *testing.T) {
	server, client := loopback(t)
	s := &recorder{tls: serverTLS(t)}
	done := make(chan smtp.EndCause, 1)
	go func() { done <- smtp.ServeSession(t.Context(), server, s, smtp.ServerOptions{}) }()
	c := smtp.NewClient(client, smtp.ClientOptions{LocalName: "client.example"})
	greet(t, c)
	if err := c.StartTLS(t.Context(), &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []message{
		{From: "a@one.example", To: []string{"b@two.example"}, Body: strings.Repeat("0123456789\r\n..\r\n", 100000)},
		{From: "a@one.example", To: []string{"b@two.example", "c@two.example"}, Body: "short\r\n"},
	}
	sendAll(t, c, want)
	if cause := <-done; cause != smtp.EndQuit {
		t.Fatalf("cause %v", cause)
	}
	if diff := cmp.Diff(want, s.messages); diff != "" {
		t.Fatal("the messages differ")
	}
}

// sendAll sends messages and quits. It puts the final CRLF, which the client
// adds, into the messages that have none.
func sendAll(t *testing.T, c *smtp.Client, messages []message) {
	t.Helper()
	for i, m := range messages {
		result, err := c.Send(t.Context(), transaction(t, m.Body, m.To...))
		if err != nil || result.Final.Code != 250 {
			t.Fatalf("message %d: %v, %v", i, result, err)
		}
		if m.Body != "" && !strings.HasSuffix(m.Body, "\r\n") {
			messages[i].Body += "\r\n"
		}
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
