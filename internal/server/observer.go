package server

import (
	"net"
	"strings"

	"mailpact/internal/counters"
	"mailpact/internal/queue"
	"mailpact/internal/tracking"
)

// observer writes what becomes of messages into the records. receive records
// the arrivals of others' messages itself, because it knows their sessions.
type observer struct {
	counters *counters.Set
	tracking *tracking.Log
	hostname string
}

var _ queue.Observer = (*observer)(nil)

// Accepted records reports: messages of our own.
func (o *observer) Accepted(m *queue.Message) {
	if m.Connector != "" {
		return
	}
	e := o.event(tracking.DSN, tracking.SourceDSN, queue.Event{Time: m.Received, Message: m, Recipients: m.Recipients})
	o.tracking.Record(e)
}

// Delivered counts and records.
func (o *observer) Delivered(e queue.Event) {
	o.counters.MessagesDelivered(len(e.Recipients))
	o.tracking.Record(o.event(tracking.Send, tracking.SourceSMTP, e))
}

// Deferred counts and records.
func (o *observer) Deferred(e queue.Event) {
	o.counters.MessagesDeferred(len(e.Recipients))
	o.tracking.Record(o.event(tracking.Defer, tracking.SourceQueue, e))
}

// Failed counts and records.
func (o *observer) Failed(e queue.Event) {
	o.counters.MessagesFailed(len(e.Recipients))
	o.tracking.Record(o.event(tracking.Fail, tracking.SourceSMTP, e))
}

// Expired counts and records.
func (o *observer) Expired(e queue.Event) {
	o.counters.MessagesFailed(len(e.Recipients))
	o.tracking.Record(o.event(tracking.Fail, tracking.SourceQueue, e))
}

// Removed counts and records what an administrator has taken out of the queue.
func (o *observer) Removed(e queue.Event) {
	o.counters.MessagesFailed(len(e.Recipients))
	o.tracking.Record(o.event(tracking.Fail, tracking.SourceAdmin, e))
}

// Poisoned records.
func (o *observer) Poisoned(e queue.Event) {
	o.tracking.Record(o.event(tracking.Poison, tracking.SourceQueue, e))
}

func (o *observer) event(id tracking.EventID, source tracking.Source, e queue.Event) tracking.Event {
	m := e.Message
	sender := "<>"
	if !m.From.Null() {
		sender = m.From.Mailbox.String()
	}
	out := tracking.Event{
		Time: e.Time, ClientHostname: o.hostname, SourceContext: m.SessionID, ConnectorID: e.Key.Connector,
		Source: source, EventID: id, InternalMessageID: int64(m.ID), MessageID: m.InternetMessageID,
		TotalBytes: m.Size, Subject: m.Subject, SenderAddress: sender, ReturnPath: sender,
		Recipients: make([]tracking.Recipient, len(e.Recipients)),
	}
	for i, r := range e.Recipients {
		out.Recipients[i].Address = r.Mailbox.String()
		if i >= len(e.Outcomes) {
			continue
		}
		x := e.Outcomes[i]
		out.Recipients[i].Status = x.LastError
		if x.LastError == "" && !x.Reply.IsZero() {
			out.Recipients[i].Status = x.Reply.String()
		}
		if x.RemoteHost != "" {
			out.ServerHostname, out.ServerIP = splitHost(x.RemoteHost)
		}
		if x.Secured {
			// The recipient's domain is what the session proved; the queue's key has none for a partner in test mode.
			out.MessageInfo = "domain-secured: " + string(r.Mailbox.Domain)
		}
	}
	return out
}

// splitHost takes "name [address]:port" apart; what has another form is a name.
func splitHost(s string) (name, address string) {
	name, rest, ok := strings.Cut(s, " [")
	if !ok {
		if host, _, err := net.SplitHostPort(s); err == nil {
			return host, host
		}
		return s, ""
	}
	address, _, _ = strings.Cut(rest, "]")
	return name, address
}
