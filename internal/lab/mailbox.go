package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"mailpact/internal/smtp"
)

// mailbox stands for the mail system inside an organisation: it takes every
// message that its gateway hands off and keeps it.
type mailbox struct {
	addr     string
	listener net.Listener
	cancel   context.CancelFunc
	sessions sync.WaitGroup

	mu      sync.Mutex
	kept    [][]byte
	changed chan struct{} // closed and replaced at each message
}

func openMailbox(host string) (*mailbox, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("opening mailbox: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &mailbox{addr: l.Addr().String(), listener: l, cancel: cancel, changed: make(chan struct{})}
	m.sessions.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.sessions.Go(func() { smtp.ServeSession(ctx, c, &mailboxSession{mailbox: m}, smtp.ServerOptions{}) })
		}
	})
	return m, nil
}

func (m *mailbox) close() error {
	err := m.listener.Close()
	m.cancel()
	m.sessions.Wait()
	return err
}

func (m *mailbox) keep(data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, data)
	close(m.changed)
	m.changed = make(chan struct{})
}

// wait returns the message that contains text, once it has come.
func (m *mailbox) wait(ctx context.Context, text string) ([]byte, error) {
	for {
		m.mu.Lock()
		changed := m.changed
		for _, data := range m.kept {
			if strings.Contains(string(data), text) {
				m.mu.Unlock()
				return data, nil
			}
		}
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("the message did not arrive: %w", ctx.Err())
		}
	}
}

// mailboxSession accepts everything.
type mailboxSession struct{ mailbox *mailbox }

func (s *mailboxSession) Greeting(context.Context) smtp.Reply {
	return smtp.NewReply(220, smtp.EnhancedCode{}, "mailbox ESMTP")
}

func (s *mailboxSession) Hello(context.Context, smtp.Hello) (smtp.HelloResponse, error) {
	return smtp.HelloResponse{Greeting: "mailbox"}, nil
}

func (s *mailboxSession) StartTLS(context.Context) (*tls.Config, error) {
	return nil, smtp.NewReply(454, smtp.EnhancedCode{4, 7, 0}, "TLS is not available here")
}

func (s *mailboxSession) HandshakeDone(context.Context, *tls.ConnectionState, error) {}

func (s *mailboxSession) Mail(context.Context, smtp.ReversePath, smtp.MailParameters) (smtp.Reply, error) {
	return smtp.Reply{}, nil
}

func (s *mailboxSession) Recipient(context.Context, smtp.ForwardPath, smtp.RecipientParameters) (smtp.Reply, error) {
	return smtp.Reply{}, nil
}

func (s *mailboxSession) Data(_ context.Context, body io.Reader) (smtp.Reply, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return smtp.Reply{}, err
	}
	s.mailbox.keep(data)
	return smtp.NewReply(250, smtp.EnhancedCode{2, 0, 0}, "Delivered"), nil
}

func (s *mailboxSession) Reset() {}

func (s *mailboxSession) Verify(context.Context, string) smtp.Reply {
	return smtp.NewReply(252, smtp.EnhancedCode{2, 5, 0}, "Send some mail")
}

func (s *mailboxSession) Close(smtp.EndCause) {}
