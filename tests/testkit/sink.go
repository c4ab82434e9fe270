package testkit

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"mailpact/internal/smtp"
)

// Message is what a Sink was given.
type Message struct {
	From string
	To   []string
	Data []byte
}

// Sink accepts every message and keeps it, addresses and headers beyond ASCII
// included. It offers no TLS and knows nothing of DSN.
type Sink struct {
	Addr string
	mu   sync.Mutex
	got  []Message
}

// StartSink listens on host (a free port) until the test ends.
func StartSink(t testing.TB, host string) *Sink {
	t.Helper()
	return StartSinkAt(t, net.JoinHostPort(host, "0"))
}

// StartSinkAt is StartSink with a port.
func StartSinkAt(t testing.TB, addr string) *Sink {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{Addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				smtp.ServeSession(ctx, c, &sinkSession{sink: s}, smtp.ServerOptions{SessionID: "SINK", MaxMessageBytes: 1 << 30, MaxRecipients: 10000, BareLines: smtp.BareLinesReject})
			})
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); sessions.Wait() })
	return s
}

// Messages returns what has come so far.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.got...)
}

type sinkSession struct {
	sink *Sink
	now  Message
}

func (s *sinkSession) Greeting(context.Context) smtp.Reply {
	return smtp.NewReply(220, smtp.EnhancedCode{}, "sink.test ESMTP")
}

func (s *sinkSession) Hello(context.Context, smtp.Hello) (smtp.HelloResponse, error) {
	return smtp.HelloResponse{Greeting: "sink.test", Supported: smtp.KeywordSMTPUTF8}, nil
}

func (s *sinkSession) StartTLS(context.Context) (*tls.Config, error) {
	return nil, smtp.NewReply(454, smtp.EnhancedCode{4, 7, 0}, "TLS is not available")
}

func (s *sinkSession) HandshakeDone(context.Context, *tls.ConnectionState, error) {}

func (s *sinkSession) Mail(_ context.Context, from smtp.ReversePath, _ smtp.MailParameters) (smtp.Reply, error) {
	s.now = Message{From: from.String()}
	return smtp.Reply{}, nil
}

func (s *sinkSession) Recipient(_ context.Context, to smtp.ForwardPath, _ smtp.RecipientParameters) (smtp.Reply, error) {
	s.now.To = append(s.now.To, to.String())
	return smtp.Reply{}, nil
}

func (s *sinkSession) Data(_ context.Context, body io.Reader) (smtp.Reply, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return smtp.Reply{}, err
	}
	s.now.Data = data
	s.sink.mu.Lock()
	s.sink.got = append(s.sink.got, s.now)
	s.sink.mu.Unlock()
	return smtp.NewReply(250, smtp.EnhancedCode{2, 0, 0}, "kept"), nil
}

func (s *sinkSession) Reset() { s.now = Message{} }

func (s *sinkSession) Verify(context.Context, string) smtp.Reply {
	return smtp.NewReply(252, smtp.EnhancedCode{2, 5, 0}, "send some mail")
}

func (s *sinkSession) Close(smtp.EndCause) {}
