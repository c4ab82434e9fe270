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

// ways are the sets of keywords that a server may withhold, each of which makes
// the client send in another way.
var ways = map[string]smtp.KeywordSet{
	"BDAT":                    0,
	"BDAT without PIPELINING": smtp.KeywordPIPELINING,
	"DATA":                    smtp.KeywordCHUNKING,
	"DATA without PIPELINING": smtp.KeywordCHUNKING | smtp.KeywordPIPELINING,
}

// Whatever our client sends, our server hands out: any number of messages over
// one connection, in memory.
func TestRoundTrip(t *testing.T) {
	for way, withheld := range ways {
		t.Run(way, func(t *testing.T) { checkRoundTrip(t, withheld) })
	}
}

func checkRoundTrip(t *testing.T, withheld smtp.KeywordSet) {
	line := rapid.StringMatching(`\.{0,3}[ -~é]{0,100}`)
	rapid.Check(t, func(rt *rapid.T) {
		var want []message
		for range rapid.IntRange(1, 4).Draw(rt, "messages") {
			m := message{From: "a@one.example", Body: strings.Join(rapid.SliceOfN(line, 0, 500).Draw(rt, "lines"), "\r\n")}
			if n := rapid.IntRange(0, 8).Draw(rt, "times"); n > 4 {
				m.Body = strings.Repeat(m.Body, n) // more than one chunk
			}
			for range rapid.IntRange(1, 3).Draw(rt, "recipients") {
				m.To = append(m.To, rapid.StringMatching(`[a-z]{1,10}`).Draw(rt, "to")+"@two.example")
			}
			want = append(want, m)
		}
		server, client := net.Pipe()
		s := &recorder{hello: smtp.HelloResponse{Withheld: withheld}}
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
	for way, withheld := range ways {
		t.Run(way, func(t *testing.T) { checkRoundTripOverTLS(t, withheld) })
	}
}

func checkRoundTripOverTLS(t *testing.T, withheld smtp.KeywordSet) {
	server, client := loopback(t)
	s := &recorder{tls: serverTLS(t), hello: smtp.HelloResponse{Withheld: withheld}}
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
		{From: "a@one.example", To: []string{"b@two.example"}, Body: strings.Repeat("0123456789abcd\r\n", 8<<10)},       // chunks and nothing more
		{From: "a@one.example", To: []string{"b@two.example"}, Body: "y" + strings.Repeat("0123456789abcd\r\n", 8<<10)}, // a CRLF between chunks
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
// adds by DATA, into the messages that have none.
func sendAll(t *testing.T, c *smtp.Client, messages []message) {
	t.Helper()
	for i, m := range messages {
		result, err := c.Send(t.Context(), transaction(t, m.Body, m.To...))
		if err != nil || result.Final.Code != 250 {
			t.Fatalf("message %d: %v, %v", i, result, err)
		}
		if m.Body != "" && !c.Extensions().Chunking && !strings.HasSuffix(m.Body, "\r\n") {
			messages[i].Body += "\r\n"
		}
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
