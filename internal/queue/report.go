package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// maxReportedHeader is the most of an original header that a report is given.
const maxReportedHeader = 64 << 10

// expiredReply is what a sender reads when a message's time is over. The
// enhanced code's class differs from the reply's on purpose: the message failed
// for good because of a condition that was temporary (reference, section 7).
func expiredReply() smtp.Reply {
	return smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{4, 4, 7}, Lines: []string{"QUEUE.Expired;message expired"}}
}

// expire ends a delivery whose time is over.
func (q *Queue) expire(d *delivery, now time.Time) {
	if err := q.load(d); err != nil {
		q.unread(d, err, now)
		return
	}
	q.mu.Lock()
	last := d.state.lastError
	if last == "" {
		last = d.lane.lastError // it had no turn of its own
	}
	q.mu.Unlock()
	g := group{tried: d.state.lastAttempt}
	for _, to := range d.state.recipients {
		g.add(to, Outcome{Disposition: Failed, Reply: expiredReply(), LastError: last, RemoteHost: d.state.remoteHost})
	}
	t := &settlement{row: store.Settlement{Message: d.m.id, Remove: []uint32{d.seq}}}
	if err := q.report(t, d, ReportFailed, g, now); err != nil {
		q.o.Logger.Error("making a report of an expired message", "message", d.m.id, "error", err)
		q.mu.Lock()
		defer q.mu.Unlock()
		if errors.Is(err, errPanic) {
			d.state.trials++
		}
		if d.state.trials >= maxTrials && d.wish == 0 {
			d.wish = poisoned
		}
		if !q.returned(d) {
			q.wait(d, later(now, q.settings().RetryInterval))
		}
		return
	}
	tell(q.o.Observer.Expired, Event{Time: now, Message: d.envelope, Key: d.lane.key, Attempt: d.state.attempts}, g)
	t.then = func(time.Time) {
		delete(d.lane.active, d)
	}
	d.forget()
	q.settle(t)
}

// notAfterExpiry is due, or the time at which the delivery expires before that.
func (q *Queue) notAfterExpiry(d *delivery, due time.Time) time.Time {
	return earliest(due, directory.Deadline(d.m.received, q.settings().Expiration))
}

// delayDue reports whether the sender is to be told of the delay now.
func (q *Queue) delayDue(d *delivery, now time.Time) bool {
	at := directory.Deadline(d.m.received, q.settings().DelayNotification)
	return !d.state.delayTold && !at.IsZero() && !now.Before(at)
}

// tellDelay tells the sender of a delivery that waits, once.
func (q *Queue) tellDelay(d *delivery, now time.Time) {
	if err := q.load(d); err != nil {
		q.unread(d, err, now)
		return
	}
	t := &settlement{row: store.Settlement{Message: d.m.id}}
	q.addDelayReport(t, d, now)
	q.put(t, d, d.due)
	t.then = func(now time.Time) {
		switch {
		case q.returned(d):
		case d.held:
			q.wait(d, later(now, holdDelay(q.settings())))
		default:
			d.forget()
			q.makeReady(d)
		}
	}
	q.settle(t)
}

// addDelayReport adds the report of a delay, for all of the delivery's
// recipients, to a settlement. A delay is told once or, if that fails, never.
func (q *Queue) addDelayReport(t *settlement, d *delivery, now time.Time) {
	d.state.delayTold = true
	g := group{tried: d.state.lastAttempt}
	q.mu.Lock()
	last := d.state.lastError
	if last == "" {
		last = d.lane.lastError
	}
	q.mu.Unlock()
	for _, to := range d.state.recipients {
		g.add(to, Outcome{LastError: last, RemoteHost: d.state.remoteHost})
	}
	if err := q.report(t, d, ReportDelayed, g, now); err != nil {
		q.o.Logger.Warn("making a report of a delay", "message", d.m.id, "error", err)
	}
}

// report adds a report about some of a delivery's recipients to a settlement, as
// far as the sender wants one (RFC 3461, section 5.2), and never one for a null
// reverse-path (RFC 5321, section 4.5.5).
func (q *Queue) report(t *settlement, d *delivery, kind ReportKind, g group, now time.Time) error {
	m := d.envelope
	if q.o.Reporter == nil || m.From == (smtp.ReversePath{}) {
		return nil
	}
	g, parameters := g.wanted(m, kind)
	if len(g.recipients) == 0 {
		return nil
	}
	r := Report{Kind: kind, Message: m, Now: now, Expires: directory.Deadline(d.m.received, q.settings().Expiration)}
	var err error
	if r.Header, r.Content, err = q.original(d, kind == ReportFailed && returnsContent(m)); err != nil {
		return fmt.Errorf("reading the original: %w", err)
	}
	for i, to := range g.recipients {
		o := &g.outcomes[i]
		r.Recipients = append(r.Recipients, ReportRecipient{
			To: to, Parameters: parameters[i], Reply: o.Reply, LastError: o.LastError, RemoteHost: o.RemoteHost, LastAttempt: g.tried,
		})
	}
	dsn, err := q.makeReport(r)
	if err != nil || dsn == nil {
		return err
	}
	p := q.prepare(&Message{
		Recipients: []smtp.ForwardPath{{Mailbox: m.From.Mailbox}}, Size: int64(len(dsn)), Received: now,
		Body: bodyTypeOf(dsn), UTF8: !m.From.Mailbox.ASCII(),
		InternetMessageID: headerField(dsn, "Message-ID"), Subject: headerField(dsn, "Subject"),
	})
	p.row.Content = dsn
	t.reports = append(t.reports, p)
	t.row.Append = append(t.row.Append, p.row)
	return nil
}

func (q *Queue) makeReport(r Report) (dsn []byte, err error) {
	defer q.guard("report", r.Message.ID, &err)
	return q.o.Reporter.Report(r)
}

// returnsContent reports whether a report of failure is to return the whole
// message: its sender has asked for that (RFC 3461, section 6.2), it is not too
// large, and it is no secret between partners, which a report does not keep.
func returnsContent(m *Message) bool {
	return m.Return == smtp.ReturnFull && m.SecuredDomain == "" && m.Body != smtp.BodyBinaryMIME && m.Size <= maxReportedHeader
}

// bodyTypeOf is the BODY of a report.
func bodyTypeOf(dsn []byte) smtp.BodyType {
	for _, c := range dsn {
		if c >= 0x80 {
			return smtp.Body8BitMIME
		}
	}
	return smtp.Body7Bit
}

// original returns the header section of a delivery's message, at most
// maxReportedHeader octets of it, cut at a line; and all of its content if asked
// to, which must not be longer.
func (q *Queue) original(d *delivery, whole bool) (header, content []byte, err error) {
	r, err := q.open(context.WithoutCancel(q.work), d) // an outcome needs its report also when the queue stops
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := io.ReadAll(io.LimitReader(r, maxReportedHeader))
	if err != nil {
		return nil, nil, err
	}
	if whole {
		content = b
	}
	return headerSection(b), content, nil
}

// headerSection returns the header section of a message, or of its beginning,
// without the empty line.
func headerSection(b []byte) []byte {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return nil
	}
	if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
		return b[:end+2]
	}
	if end := bytes.LastIndex(b, []byte("\r\n")); end >= 0 {
		return b[:end+2]
	}
	return nil
}

// headerField returns the value of a field of a report of our own, which is
// well-formed; "" when there is none. Folded lines are joined.
func headerField(content []byte, name string) string {
	for len(content) > 0 {
		line, rest, _ := bytes.Cut(content, []byte("\r\n"))
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
			var more []byte
			more, rest, _ = bytes.Cut(rest, []byte("\r\n"))
			line = append(line[:len(line):len(line)], more...)
		}
		if len(line) == 0 {
			return ""
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		if textproto.CanonicalMIMEHeaderKey(string(field)) == textproto.CanonicalMIMEHeaderKey(name) {
			return string(bytes.TrimSpace(value))
		}
		content = rest
	}
	return ""
}
