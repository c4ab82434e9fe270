package receive

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// Options are what a Server needs. Configuration, Certificates, Judge, Queue
// and Recorder must be set.
type Options struct {
	// Configuration returns the configuration in force. It is asked at the
	// start of each session and at each MAIL; it must be cheap, never return
	// nil, and return the same pointer as long as nothing has changed.
	Configuration func() *directory.Configuration
	Certificates  Certificates
	Judge         Judge
	Queue         Accepter
	Recorder      Recorder
	// Accounts knows who may authenticate; nil: nobody can.
	Accounts Accounts
	// OwnUsable reports whether our own certificate may be shown as far as
	// its revocation is known; it must answer at once. nil: all may. A
	// certificate it refuses is still offered when no other one fits.
	OwnUsable func(*certstore.Certificate) bool
	// Logger receives the operational log. nil: nobody reads it.
	Logger *slog.Logger
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Listen opens a listener for "host:port". nil: the operating system's TCP.
	Listen func(ctx context.Context, address string) (net.Listener, error)
}

// Certificates chooses our own certificates; certstore.Store implements it.
type Certificates interface {
	// Select returns the certificates that are meant by name, the one to use first.
	Select(name directory.CertificateName, usable func(*certstore.Certificate) bool) []*certstore.Certificate
}

// Judge finds out what a peer's certificate proves; trust.Verifier implements
// it. Both methods are called from many goroutines.
type Judge interface {
	// Judge may fetch CRLs and is called for listed domains only.
	Judge(ctx context.Context, r trust.Request) *domainsec.PeerFacts
	// NameMatches compares names and nothing else.
	NameMatches(presented *x509.Certificate, partner *directory.Partner) string
}

// Accepter makes messages durable; queue.Queue implements it.
type Accepter interface {
	// NewContent begins a message. queue.ErrMemory asks the client to come back later.
	NewContent(ctx context.Context) (queue.Content, error)
	// Accept returns nil only once the message is durable.
	Accept(ctx context.Context, m *queue.Message, c queue.Content) error
}

// Recorder takes what the records keep of this room's work. It is called from
// many goroutines and must not wait for a disk. Records implements it over the
// record rooms.
type Recorder interface {
	// Session begins a session's protocol log, or returns nil when nobody keeps one.
	Session(s SessionRecord) SessionLog
	// Received records an accepted message.
	Received(m MessageRecord)
	// DomainSecured counts a message that was accepted with the mark of partner,
	// whose certificates allow the purposes of usage, a domainsec.PathFacts.Usage.
	DomainSecured(partner smtp.Domain, usage string)
	// Refused counts a refusal by Domain Security.
	Refused(r domainsec.Reason, connector string)
	// WouldRefuse counts what a partner in test mode would have been refused for.
	WouldRefuse(r domainsec.Reason, partner smtp.Domain)
	// Unmarked counts a message whose From names a listed domain without the
	// transaction being secured for it, and which was accepted without mark.
	Unmarked()
}

// SessionRecord names a session for its protocol log.
type SessionRecord struct {
	Connector     string // "Server\Connector"
	SessionID     string
	Local, Remote string // host:port
}

// SessionLog is the protocol log of one session; protocollog.Session implements
// it. Calls come from one goroutine at a time.
type SessionLog interface {
	smtp.Transcript
	Connected()
	// Disconnected is the last call; context is "Local", "Remote" or an error.
	Disconnected(context string)
	// Certificate writes a certificate's rows; label is one of protocollog's.
	Certificate(label string, c protocollog.CertificateRows)
	// Message says that a transaction begins.
	Message(context string)
}

// MessageRecord is an accepted message as message tracking sees it.
type MessageRecord struct {
	Time           time.Time
	Message        *queue.Message
	ClientHostname string // EHLO argument
	ServerIP       string
	ServerHostname string // the connector's FQDN
	Connector      string // "Server\Connector"
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OwnUsable == nil {
		o.OwnUsable = func(*certstore.Certificate) bool { return true }
	}
	if o.Listen == nil {
		o.Listen = ListenTCP
	}
	return o
}

// minimumTLSVersion is the oldest version that is negotiated (RFC 8996).
const minimumTLSVersion = tls.VersionTLS12
