package smtp_test

import (
	"context"
	"crypto/tls"
	"io"
	"strings"

	"mailpact/internal/smtp"
)

// recorder is a Session that keeps what it is told and, by its fields, refuses.
type recorder struct {
	greeting, mailReply, rcptReply, dataReply smtp.Reply
	mailErr, rcptErr, dataErr                 error
	hello                                     smtp.HelloResponse
	tls                                       *tls.Config
	onData                                    func(ctx context.Context, body io.Reader) (smtp.Reply, error)
	onMail                                    func(smtp.ReversePath) (smtp.Reply, error)

	calls    []string
	mails    []smtp.MailParameters
	rcpts    []smtp.RecipientParameters
	messages []message
	current  message
	state    *tls.ConnectionState
	tlsErr   error
	cause    smtp.EndCause
}

type message struct {
	From string
	To   []string
	Body string
}

func (r *recorder) call(words ...string) { r.calls = append(r.calls, strings.Join(words, " ")) }

func (r *recorder) Greeting(context.Context) smtp.Reply {
	r.call("Greeting")
	if r.greeting.IsZero() {
		return smtp.NewReply(220, smtp.EnhancedCode{}, "mail.example ready")
	}
	return r.greeting
}

func (r *recorder) Hello(_ context.Context, h smtp.Hello) (smtp.HelloResponse, error) {
	r.call("Hello", h.Name)
	resp := r.hello
	if resp.Greeting == "" {
		resp.Greeting = "mail.example Hello"
	}
	resp.STARTTLS = r.tls != nil
	resp.Supported = smtp.KeywordBINARYMIME | smtp.KeywordDSN | smtp.KeywordSMTPUTF8
	return resp, nil
}

func (r *recorder) StartTLS(context.Context) (*tls.Config, error) {
	r.call("StartTLS")
	return r.tls, nil
}

func (r *recorder) HandshakeDone(_ context.Context, s *tls.ConnectionState, err error) {
	r.call("HandshakeDone")
	r.state, r.tlsErr = s, err
}

func (r *recorder) Mail(_ context.Context, from smtp.ReversePath, p smtp.MailParameters) (smtp.Reply, error) {
	r.call("Mail", from.String())
	r.current = message{From: from.String()}
	r.mails = append(r.mails, p)
	if r.onMail != nil {
		return r.onMail(from)
	}
	return r.mailReply, r.mailErr
}

func (r *recorder) Recipient(_ context.Context, to smtp.ForwardPath, p smtp.RecipientParameters) (smtp.Reply, error) {
	r.call("Recipient", to.String())
	r.rcpts = append(r.rcpts, p)
	if r.rcptErr == nil {
		r.current.To = append(r.current.To, to.String())
	}
	return r.rcptReply, r.rcptErr
}

func (r *recorder) Data(ctx context.Context, body io.Reader) (smtp.Reply, error) {
	r.call("Data")
	if r.onData != nil {
		return r.onData(ctx, body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return smtp.Reply{}, err
	}
	if r.dataErr != nil {
		return smtp.Reply{}, r.dataErr
	}
	r.current.Body = string(b)
	r.messages = append(r.messages, r.current)
	return r.dataReply, nil
}

func (r *recorder) Reset() { r.call("Reset") }

func (r *recorder) Verify(_ context.Context, argument string) smtp.Reply {
	r.call("Verify", argument)
	return smtp.Reply{}
}

func (r *recorder) Close(cause smtp.EndCause) {
	r.call("Close")
	r.cause = cause
}
