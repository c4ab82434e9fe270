package send

import (
	"context"
	"errors"
	"fmt"
	"io"

	"mailpact/internal/domainsec"
	"mailpact/internal/message"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// transact gives the message to a session and returns the outcome for each
// recipient. It returns a failure instead when the host said nothing about the
// message and has seen nothing of it, so that the next may be tried. The
// session is not the caller's any more.
func (s *Sender) transact(ctx context.Context, a *attempt, c *session, j job) ([]queue.Outcome, *failure) {
	m := j.delivery.Message
	if r := unable(c.client.Extensions(), m); !r.IsZero() {
		s.release(ctx, a, c)
		return same(j, queue.Outcome{Disposition: queue.Failed, Reply: r, LastError: r.String(), RemoteHost: c.remote}), nil
	}
	t := smtp.Transaction{From: m.From, Recipients: j.recipients, Parameters: smtp.MailParameters{Size: m.Size, Body: m.Body}}
	if c.log != nil {
		c.log.Message(protocollog.ContextSending)
	}
	content := &content{ctx: ctx, job: j, filter: a.connector != nil}
	t.Content = content
	res, err := c.client.Send(ctx, t)
	closeErr := content.close()
	c.messages++
	if err != nil || closeErr != nil {
		return s.broken(c, j, res, errors.Join(err, closeErr), content)
	}
	return s.answered(ctx, a, c, j, res), nil
}

// unable returns why a host with extensions x cannot take m, as the reply that
// m fails with; zero when it can.
func unable(x smtp.Extensions, m *queue.Message) smtp.Reply {
	switch {
	case x.Size && x.MaxMessageBytes > 0 && m.Size > x.MaxMessageBytes:
		return replyPeerTooLarge()
	case m.Body == smtp.BodyBinaryMIME && (!x.Chunking || !x.BinaryMIME):
		return replyBinary() // it is not converted: that would break its signatures
	}
	return smtp.Reply{}
}

// answered turns the host's replies into outcomes.
func (s *Sender) answered(ctx context.Context, a *attempt, c *session, j job, res smtp.Result) []queue.Outcome {
	out := make([]queue.Outcome, len(j.recipients))
	delivered := false
	for i := range out {
		out[i] = outcomeOf(c, a, replyAt(res, i))
		delivered = delivered || out[i].Disposition == queue.Delivered
	}
	if delivered && a.level == domainsec.LevelDomainSecure {
		s.o.Counters.DomainSecuredMessageSent()
	}
	s.release(ctx, a, c)
	return out
}

// replyAt is the reply for recipient i; a host whose replies do not suffice has
// accepted nothing.
func replyAt(res smtp.Result, i int) smtp.Reply {
	if i < len(res.Recipients) {
		return res.Recipients[i]
	}
	return smtp.Reply{}
}

func outcomeOf(c *session, a *attempt, r smtp.Reply) queue.Outcome {
	o := queue.Outcome{Reply: r, RemoteHost: c.remote}
	switch {
	case r.Code >= 200 && r.Code < 300:
		o.Disposition = queue.Delivered
		o.Secured = a.level == domainsec.LevelDomainSecure
	case r.Permanent():
		o.Disposition, o.LastError = queue.Failed, r.String()
	case r.IsZero():
		o.Reply = replyBroken(nil)
		o.LastError = o.Reply.String()
	default:
		o.LastError = r.String()
	}
	return o
}

// broken ends a session whose transaction did not come to its end; the client
// has closed the connection. When the host has accepted no recipient, and so
// cannot have taken the message, the next session may be tried, after a 421 too;
// otherwise the recipients wait, except those that the host had refused for good.
//
// A host whose replies were lost may have taken it all the same. It then gets,
// or another host does, a second copy, now or after a wait (RFC 5321, section
// 4.5.3.2.6).
func (s *Sender) broken(c *session, j job, res smtp.Result, err error, content *content) ([]queue.Outcome, *failure) {
	c.close(err.Error())
	if errors.Is(err, smtp.ErrBareLine) {
		r := replyBareLine()
		return same(j, queue.Outcome{Disposition: queue.Failed, Reply: r, LastError: r.String(), RemoteHost: c.remote}), nil
	}
	if content.err != nil {
		s.o.Logger.Error("reading a queued message", "message", j.delivery.Message.ID, "session", c.id, "error", content.err)
		r := replyContent()
		return same(j, queue.Outcome{Reply: r, LastError: fmt.Sprintf("%s (%v)", r, content.err), RemoteHost: c.remote}), nil
	}
	reply := replyOf(smtp.Reply{}, err)
	if !content.opened || !res.Accepted {
		return nil, &failure{remote: c.remote, reply: reply, detail: err.Error(), silent: timedOut(err)}
	}
	out := make([]queue.Outcome, len(j.recipients))
	for i := range out {
		out[i] = queue.Outcome{Reply: reply, LastError: fmt.Sprintf("%s (%v)", reply, err), RemoteHost: c.remote}
		if r := replyAt(res, i); r.Permanent() || r.Temporary() {
			out[i].Reply, out[i].LastError = r, r.String()
			if r.Permanent() {
				out[i].Disposition = queue.Failed
			}
		}
	}
	return out, nil
}

// release gives a session that is ready for the next message to the pool.
func (s *Sender) release(ctx context.Context, a *attempt, c *session) {
	limit := int64(0)
	idle := min(a.idle, s.o.IdleTimeout)
	if a.connector != nil {
		limit = a.connector.SMTPMaxMessagesPerConnection
	}
	if limit > 0 && c.messages >= limit || ctx.Err() != nil {
		s.abandon(ctx, c, &failure{})
		return
	}
	s.pool.put(c, idle)
}

// content opens the message when the host wants it, and takes away what may not
// leave. A hand-off keeps our own fields: the inner system is to see them.
type content struct {
	ctx    context.Context //nolint:containedctx // the reader lives for one transaction, whose context it is
	job    job
	filter bool

	opened bool
	err    error // of the queue, not of the network
	source io.ReadCloser
	r      io.Reader
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if !c.opened {
		c.opened = true
		if c.source, c.err = c.job.delivery.Open(c.ctx); c.err != nil {
			return 0, c.err
		}
		c.r = c.source
		if c.filter {
			c.r = message.NewOutboundFilter(c.source, message.Firewall{AuthservID: c.job.config.TransportConfig.AuthservID}, 0)
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func (c *content) close() error {
	if c.source == nil {
		return nil
	}
	return c.source.Close()
}
