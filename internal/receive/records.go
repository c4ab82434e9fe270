package receive

import (
	"mailpact/internal/counters"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/smtp"
	"mailpact/internal/tracking"
)

// Records is the Recorder that writes the server's records. Each part may be
// nil and is then left out. It is safe for concurrent use.
type Records struct {
	Protocol *protocollog.Log
	Tracking *tracking.Log
	Counters *counters.Set
}

var _ Recorder = (*Records)(nil)

// Session begins a session's protocol log.
func (r *Records) Session(s SessionRecord) SessionLog {
	if r.Protocol == nil {
		return nil
	}
	return r.Protocol.Session(protocollog.SessionOptions{
		Connector: s.Connector, SessionID: s.SessionID, Local: s.Local, Remote: s.Remote,
	})
}

// Received counts an accepted message and writes its RECEIVE event.
func (r *Records) Received(m MessageRecord) {
	if r.Counters != nil {
		r.Counters.MessageReceived()
	}
	if r.Tracking == nil {
		return
	}
	q := m.Message
	to := make([]tracking.Recipient, len(q.Recipients))
	for i, p := range q.Recipients {
		to[i].Address = p.Mailbox.String()
	}
	sender, info := "<>", ""
	if !q.From.Null() {
		sender = q.From.Mailbox.String()
	}
	if q.SecuredDomain != "" {
		info = "domain-secured: " + string(q.SecuredDomain)
	}
	r.Tracking.Record(tracking.Event{
		Time:     m.Time,
		ClientIP: q.SourceIP, ClientHostname: m.ClientHostname,
		ServerIP: m.ServerIP, ServerHostname: m.ServerHostname,
		SourceContext: q.SessionID,
		ConnectorID:   m.Connector,
		Source:        tracking.SourceSMTP, EventID: tracking.Receive,
		InternalMessageID: int64(q.ID), MessageID: q.InternetMessageID,
		Recipients: to, TotalBytes: q.Size, Subject: q.Subject,
		SenderAddress: sender, ReturnPath: sender, MessageInfo: info,
	})
}

// DomainSecured counts a marked message.
func (r *Records) DomainSecured(partner smtp.Domain, usage string) {
	if r.Counters != nil {
		r.Counters.DomainSecuredMessageReceived(string(partner), usage)
	}
}

// Refused counts a refusal.
func (r *Records) Refused(reason domainsec.Reason, connector string) {
	if r.Counters != nil {
		r.Counters.Refusal(reason.String(), connector)
	}
}

// WouldRefuse counts what enforcing partner would have refused.
func (r *Records) WouldRefuse(reason domainsec.Reason, partner smtp.Domain) {
	if r.Counters != nil {
		r.Counters.WouldRefuse(reason.String(), string(partner))
	}
}

// Unmarked counts a message that got no mark because of its From field.
func (r *Records) Unmarked() {
	if r.Counters != nil {
		r.Counters.UnmarkedFromMismatch()
	}
}
