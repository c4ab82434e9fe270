package smtp_test

import (
	"strings"
	"testing"

	"mailpact/internal/smtp"
)

// Commands that bring no message forward come to an end, whatever they are.
func TestFruitlessCommandsEnd(t *testing.T) {
	tests := []struct {
		name, round string
		session     *recorder
		goesOn      bool
	}{
		{name: "NOOP", round: "NOOP\r\n"},
		{name: "EHLO", round: "EHLO client.example\r\n"},
		{name: "VRFY and HELP", round: "VRFY a\r\nHELP\r\n"},
		{name: "transactions that are given up", round: "MAIL FROM:<a@one.example>\r\nRSET\r\n"},
		{
			name: "refused senders", round: "MAIL FROM:<a@one.example>\r\n",
			session: &recorder{mailErr: smtp.NewReply(454, smtp.EnhancedCode{4, 7, 5}, "no")},
		},
		{
			name: "refused recipients", session: &recorder{rcptErr: smtp.NewReply(550, smtp.EnhancedCode{5, 7, 1}, "no")},
			round: "MAIL FROM:<a@one.example>\r\n" + strings.Repeat("RCPT TO:<b@two.example>\r\n", 20) + "RSET\r\n",
		},
		{
			name: "messages with many recipients", goesOn: true,
			round: "MAIL FROM:<a@one.example>\r\n" + strings.Repeat("RCPT TO:<b@two.example>\r\n", 200) + "DATA\r\n\r\n.\r\n",
		},
		{
			name: "messages after one RSET each", goesOn: true,
			round: "RSET\r\nMAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n\r\n.\r\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.session
			if s == nil {
				s = &recorder{}
			}
			server, client := loopback(t)
			c, cause := serveOn(t.Context(), t, server, client, s, smtp.ServerOptions{})
			c.Write("EHLO client.example\r\n" + strings.Repeat(tt.round, 1+1000/strings.Count(tt.round, "\r\n")) + "QUIT\r\n")
			var last string
			for !strings.HasPrefix(last, "421") && !strings.HasPrefix(last, "221") {
				last = c.Reply()
			}
			if got := strings.HasPrefix(last, "221"); got != tt.goesOn {
				t.Errorf("the session ended with %q", last)
			}
			c.Close()
			cause()
		})
	}
}
