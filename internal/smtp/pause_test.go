package smtp_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
)

// tarpit refuses every recipient after a minute.
type tarpit struct{ recorder }

func (*tarpit) Recipient(context.Context, smtp.ForwardPath, smtp.RecipientParameters) (smtp.Reply, error) {
	r := smtp.NewReply(550, smtp.EnhancedCode{5, 1, 1}, "User unknown")
	r.Delay = time.Minute
	return smtp.Reply{}, r
}

func TestDelayedReply(t *testing.T) {
	const unknown = "550 5.1.1 User unknown"
	tests := []struct {
		name string
		end  time.Duration // of the session's time
		do   func(t *testing.T, c *smtptest.Client, stop context.CancelFunc)
		took time.Duration
	}{
		{"alone", time.Hour, func(_ *testing.T, c *smtptest.Client, _ context.CancelFunc) {
			c.Write("RCPT TO:<b@two.example>\r\n")
			if r := c.ReplyWithin(time.Hour); r != unknown {
				t.Errorf("got %q", r)
			}
		}, time.Minute},
		{"earlier replies of a pipeline do not wait", time.Hour, func(t *testing.T, c *smtptest.Client, _ context.CancelFunc) {
			began := time.Now()
			c.Write("NOOP\r\nRCPT TO:<b@two.example>\r\nNOOP\r\n")
			c.Reply()
			if d := time.Since(began); d != 0 {
				t.Errorf("the first reply waited %v", d)
			}
			if r := c.ReplyWithin(time.Hour); r != unknown {
				t.Errorf("got %q", r)
			}
			c.Reply()
		}, time.Minute},
		{"the server stops", time.Hour, func(t *testing.T, c *smtptest.Client, stop context.CancelFunc) {
			c.Write("RCPT TO:<b@two.example>\r\n")
			time.Sleep(10 * time.Second) // of the bubble's clock
			stop()
			if r := c.Reply(); r != unknown {
				t.Errorf("got %q", r)
			}
		}, 10 * time.Second},
		{"the session's time is over", 20 * time.Second, func(t *testing.T, c *smtptest.Client, _ context.CancelFunc) {
			c.Write("RCPT TO:<b@two.example>\r\n")
			if r := c.Reply(); r != unknown { // while there is time to write it
				t.Errorf("got %q", r)
			}
			if r := c.ReplyWithin(time.Hour); r[:3] != "421" {
				t.Errorf("got %q", r)
			}
		}, 20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				server, client := net.Pipe()
				ended := make(chan struct{})
				go func() {
					smtp.ServeSession(ctx, server, &tarpit{}, smtp.ServerOptions{InactivityTimeout: 30 * time.Minute, SessionTimeout: tt.end})
					close(ended)
				}()
				c := smtptest.NewClient(t, client)
				c.Reply() // the greeting
				c.Expect("EHLO client.example", "250")
				c.Expect("MAIL FROM:<a@one.example>", "250")
				began := time.Now()
				tt.do(t, c, stop)
				if d := time.Since(began); d != tt.took {
					t.Errorf("it took %v, want %v", d, tt.took)
				}
				c.Close()
				<-ended
			})
		})
	}
}
