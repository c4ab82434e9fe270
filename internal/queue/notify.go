package queue

import (
	"errors"
	"time"

	"mailpact/internal/smtp"
)

// Transfer says what has become of a message that was delivered to a next hop,
// and so who tells a sender who has asked for that (RFC 3461, section 5.2).
type Transfer uint8

// The transfers. The zero value reports, because a sender who was promised a
// word must not be left without one.
const (
	// TransferRelayed: the next hop does not take requests for reports, so that
	// we report the message as relayed.
	TransferRelayed Transfer = iota
	// TransferPassedOn: the next hop was given the request and will report.
	TransferPassedOn
	// TransferFinal: the message is in the recipient's mailbox, which we report.
	TransferFinal
)

// ParametersOf returns the DSN parameters of recipients, in their order; nil when
// no recipient of the message has any.
func (m *Message) ParametersOf(recipients []smtp.ForwardPath) []smtp.RecipientParameters {
	if len(m.RecipientParameters) != len(m.Recipients) || len(m.Recipients) == 0 {
		return nil
	}
	out := make([]smtp.RecipientParameters, len(recipients))
	next := 0
	for i := range recipients {
		// Nearly always the recipients are in the message's order.
		for range m.Recipients {
			at := next
			if next++; next == len(m.Recipients) {
				next = 0
			}
			if m.Recipients[at] == recipients[i] {
				out[i] = m.RecipientParameters[at]
				break
			}
		}
	}
	return out
}

// wanted returns the part of g that its sender wants to be told about by a
// report of a kind.
func (g group) wanted(m *Message, kind ReportKind) (group, []smtp.RecipientParameters) {
	element := smtp.NotifyFailure
	switch kind {
	case ReportDelayed:
		element = smtp.NotifyDelay
	case ReportRelayed, ReportDelivered:
		element = smtp.NotifySuccess
	case ReportUnknown, ReportFailed:
	}
	parameters := m.ParametersOf(g.recipients)
	if parameters == nil {
		if smtp.Notify(0).Wants(element) {
			return g, make([]smtp.RecipientParameters, len(g.recipients))
		}
		return group{}, nil
	}
	left, of := group{tried: g.tried}, parameters[:0]
	for i := range g.recipients {
		if p := parameters[i]; p.Notify.Wants(element) {
			left.add(g.recipients[i], g.outcomes[i])
			of = append(of, p)
		}
	}
	return left, of
}

// reportSuccess adds the reports of recipients that were delivered, as far as
// their sender has asked for them. The message is gone either way.
func (q *Queue) reportSuccess(t *settlement, d *delivery, delivered group, now time.Time) {
	if len(d.envelope.RecipientParameters) == 0 {
		return
	}
	relayed, final := group{tried: now}, group{tried: now}
	for i, o := range delivered.outcomes {
		switch o.Transfer {
		case TransferRelayed:
			relayed.add(delivered.recipients[i], o)
		case TransferFinal:
			final.add(delivered.recipients[i], o)
		case TransferPassedOn:
		}
	}
	err := errors.Join(q.report(t, d, ReportRelayed, relayed, now), q.report(t, d, ReportDelivered, final, now))
	if err != nil {
		q.o.Logger.Warn("making a report of a delivery", "message", d.m.id, "error", err)
	}
}
