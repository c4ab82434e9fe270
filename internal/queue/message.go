package queue

import (
	"context"
	"io"
	"time"

	"mailpact/internal/smtp"
)

// MessageID is the queue's own number of a message; 0 is none.
type MessageID int64

// Message is the envelope of a message and what is remembered of its arrival.
type Message struct {
	ID                MessageID // set by Accept
	From              smtp.ReversePath
	Recipients        []smtp.ForwardPath
	Body              smtp.BodyType
	Size              int64 // octets of the content, prepended fields included
	Received          time.Time
	InternetMessageID string // Message-ID field without checks, cut to 255; may be empty
	Subject           string // raw, cut to 255
	SessionID         string
	Connector         string // receive connector, or "" for a message of our own
	SourceIP          string
	SecuredDomain     smtp.Domain // set when it arrived domain-secured for that domain
	// UTF8: an address or the header needs SMTPUTF8 (RFC 6531) at the next hop.
	UTF8 bool
	// Return and EnvelopeID are RET and ENVID (RFC 3461) as they came.
	Return     smtp.Return
	EnvelopeID string
	// RecipientParameters has the DSN parameters of Recipients, in their order;
	// nil: no recipient has any.
	RecipientParameters []smtp.RecipientParameters
	// OnDurable is called by Accept once the message is durable, with ID set,
	// and before its delivery can begin, so that records of its arrival stand
	// before those of its delivery. It is not kept; nil: nobody is told.
	OnDurable func(*Message)
}

// durable tells OnDurable, and lets go of what it holds.
func (m *Message) durable() {
	if told := m.OnDurable; told != nil {
		m.OnDurable = nil
		told(m)
	}
}

// Key names the queue a recipient belongs to: where it goes and what the next
// hop must prove. It is part of the durable state, so that a lower requirement
// takes effect only on resubmission.
type Key struct {
	DeliveryType  string      // "DnsConnectorDelivery", "SmartHostConnectorDelivery", "SmtpRelayToHandOff", "Unreachable"
	NextHopDomain string      // recipient domain, smart host list or hand-off address
	TLSDomain     smtp.Domain // the recipient domain when it must be domain-secured
	Connector     string
}

// Router tells the queue which key a recipient domain has now.
type Router interface {
	// Route never fails: what cannot be routed has DeliveryType "Unreachable"
	// and a hold reason, which becomes LastError.
	Route(domain smtp.Domain) (k Key, hold string)
}

// Delivery is one attempt for one message and those of its recipients that share a key.
type Delivery struct {
	Message    *Message
	Key        Key
	Recipients []smtp.ForwardPath
	// Open returns the content from its first octet, for a reader per attempt.
	Open    func(ctx context.Context) (io.ReadCloser, error)
	Attempt int // 1 for the first
}

// Disposition is how an attempt ended for one recipient.
type Disposition uint8

// The dispositions. The zero value defers, because an outcome that says
// nothing about permanence must not lose mail.
const (
	Deferred Disposition = iota
	Delivered
	Failed
)

// Outcome is one recipient's result of an attempt.
type Outcome struct {
	Disposition Disposition
	// Reply is the reply that caused it: the remote host's, or one of ours.
	Reply      smtp.Reply
	LastError  string // what an administrator reads; "" when delivered
	RemoteHost string // "mail.example [192.0.2.1]:25"; "" when none was reached
	// Secured: the recipient was delivered over a domain-secured session.
	Secured bool
	// Transfer: of one who was delivered, who reports that.
	Transfer Transfer
	// ConnectionFailed says that no session could be used: name resolution,
	// connecting, the greeting, TLS or Domain Security failed, so that every
	// message for this destination would fare alike. The whole queue then
	// waits for its next retry, and one delivery tries before the others. A
	// deferral without a RemoteHost counts as such even when this is false.
	ConnectionFailed bool
}

// Deliverer carries deliveries. It is called from many goroutines and returns
// one outcome per recipient, in order; a recipient without an outcome is
// deferred.
type Deliverer interface {
	// Deliver makes one attempt. When ctx ends, the queue stops: whatever is
	// known to be delivered or refused is reported, the rest is deferred,
	// which then does not count as an attempt. d and its readers must not be
	// used after Deliver has returned.
	Deliver(ctx context.Context, d *Delivery) []Outcome
}

// Reporter makes delivery status notifications; dsn implements it through server.
type Reporter interface {
	// Report is called once per message and event with the recipients
	// concerned. It returns the DSN's content, or nil when none is due.
	Report(r Report) ([]byte, error)
}

// ReportKind is the Action of a DSN.
type ReportKind uint8

// The kinds.
const (
	ReportUnknown ReportKind = iota
	ReportFailed
	ReportDelayed
	ReportRelayed
	ReportDelivered
)

// Report is what a DSN says.
type Report struct {
	Kind       ReportKind
	Message    *Message
	Recipients []ReportRecipient
	// Header is the original's header section, at most 64 KB, without the empty line.
	Header []byte
	// Content is the whole original, where it is to be returned; else nil.
	Content []byte
	Expires time.Time // for delayed
	Now     time.Time
}

// ReportRecipient is one recipient of a report.
type ReportRecipient struct {
	To          smtp.ForwardPath
	Parameters  smtp.RecipientParameters
	Reply       smtp.Reply
	LastError   string
	RemoteHost  string
	LastAttempt time.Time
}

// Content collects one message's octets before it is accepted. Up to 256 KB are
// held in memory, more is staged in the store. It must be ended by Queue.Accept
// or Discard. It is used by one goroutine at a time.
type Content interface {
	// Write appends octets. Its errors are ErrMemory when the global budget
	// is spent (452), or the store's.
	io.Writer
	// Hold draws octets of the budget, in all, for buffers of the caller that
	// belong to the message, and gives back what is more than that; ErrMemory
	// leaves what was held. The end of the content gives back the rest.
	Hold(octets int64) error
	// Discard forgets the content. It is a no-op after Accept.
	Discard()
	// Size is the number of octets written.
	Size() int64
}
