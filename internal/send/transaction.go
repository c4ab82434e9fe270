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
	t := smtp.Transaction{
		From: m.From, Recipients: j.recipients, RecipientParameters: m.ParametersOf(j.recipients),
		Parameters: smtp.MailParameters{Size: m.Size, Body: m.Body, UTF8: m.UTF8, Return: m.Return, EnvelopeID: m.EnvelopeID},
	}
	if c.log != nil {
		c.log.Message(protocollog.ContextSending)
	}
	content := &content{ctx: ctx, job: j, filter: a.connector != nil}
	t.Content = content
	res, err := c.client.Send(ctx, t)
	closeErr := content.close()
	c.messages++
	if err != nil || closeErr != nil {
		return s.broken(a, c, j, res, errors.Join(err, closeErr), content)
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
	case m.UTF8 && !x.SMTPUTF8:
		return replyUTF8()
	}
	return smtp.Reply{}
}

// answered turns the host's replies into outcomes.
func (s *Sender) answered(ctx context.Context, a *attempt, c *session, j job, res smtp.Result) []queue.Outcome {
	out := s.outcomes(a, c, j, res, replyBroken(nil), "")
	s.release(ctx, a, c)
	return out
}

// outcomes returns what the host's replies mean for each recipient, and counts
// them. One without a reply is deferred with silence, about which detail says more.
func (s *Sender) outcomes(a *attempt, c *session, j job, res smtp.Result, silence smtp.Reply, detail string) []queue.Outcome {
	out := make([]queue.Outcome, len(j.recipients))
	delivered := false
	for i := range out {
		r := replyAt(res, i)
		if r.IsZero() {
			out[i] = queue.Outcome{Reply: silence, LastError: silence.String() + detail, RemoteHost: c.remote}
			continue
		}
		out[i] = outcomeOf(c, a, r)
		delivered = delivered || out[i].Disposition == queue.Delivered
	}
	if delivered && a.level == domainsec.LevelDomainSecure && !c.overridden {
		s.o.Counters.DomainSecuredMessageSent()
	}
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
		o.Secured = a.level == domainsec.LevelDomainSecure && !c.overridden
		o.Transfer = transferOf(c, a)
	case r.Permanent():
		o.Disposition, o.LastError = queue.Failed, r.String()
	default:
		o.LastError = r.String()
	}
	return o
}

// transferOf says who reports a delivery that a sender wants to hear of.
func transferOf(c *session, a *attempt) queue.Transfer {
	switch {
	case c.client.Extensions().DSN:
		return queue.TransferPassedOn
	case a.route.LMTP: // which answers for a mailbox (RFC 2033, section 1)
		return queue.TransferFinal
	default:
		return queue.TransferRelayed
	}
}

// broken ends a session whose transaction did not come to its end; the client
// has closed the connection. When the host has accepted no recipient, and so
// cannot have taken the message, the next session may be tried, after a 421 too;
// otherwise the recipients wait, except those for whom the host had answered: with
// a refusal, or by LMTP with the message in their mailboxes.
//
// A host whose replies were lost may have taken it all the same. It then gets,
// or another host does, a second copy, now or after a wait (RFC 5321, section
// 4.5.3.2.6).
func (s *Sender) broken(a *attempt, c *session, j job, res smtp.Result, err error, content *content) ([]queue.Outcome, *failure) {
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
	return s.outcomes(a, c, j, res, reply, fmt.Sprintf(" (%v)", err)), nil
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
