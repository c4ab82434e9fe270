package send

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// Router finds the way; *routing.Router is one.
type Router interface {
	Route(d smtp.Domain) routing.Route
	RouteSecured(d smtp.Domain) routing.Route
	Hosts(ctx context.Context, r routing.Route) ([]routing.Host, error)
}

// Verifier gathers what is known of certificates; *trust.Verifier is one. Both
// methods are called before each message of a domain-secured session, so they
// answer from a cache where they can.
type Verifier interface {
	Judge(ctx context.Context, r trust.Request) *domainsec.PeerFacts
	OwnStatus(ctx context.Context, chain []*x509.Certificate) trust.PathStatus
}

// Certificates chooses our own certificate; *certstore.Store is one.
type Certificates interface {
	Select(name directory.CertificateName, usable func(*certstore.Certificate) bool) []*certstore.Certificate
}

// Counters counts what happens to domain-secured mail. The methods may be
// called by many goroutines.
type Counters interface {
	// DomainSecuredMessageSent counts a message that was accepted over a domain-secured session.
	DomainSecuredMessageSent()
	// DomainSecuredOutboundSessionFailure counts a session that did not become, or stay, domain-secured.
	DomainSecuredOutboundSessionFailure()
	// WouldRefuse counts a message to a partner in test mode that would not
	// have been sent if the partner were enforced.
	WouldRefuse(reason, partner string)
}

// SessionLog is one session's part of the protocol log; *protocollog.Session is one.
type SessionLog interface {
	smtp.Transcript
	Connected()
	Disconnected(context string)
	Message(context string)
	Certificate(label string, c protocollog.CertificateRows)
}

// Options are what a Sender works with. Config, Router, Verifier and
// Certificates are required.
type Options struct {
	// Config returns the configuration as it is now.
	Config       func() *directory.Configuration
	Router       Router
	Verifier     Verifier
	Certificates Certificates
	Counters     Counters // nil counts nothing
	// ProtocolLog begins the log of a session. It is called for connectors
	// whose level is Verbose; nil logs nothing.
	ProtocolLog func(o protocollog.SessionOptions) SessionLog
	Logger      *slog.Logger     // nil discards
	Now         func() time.Time // nil is time.Now

	// The waits of one step; 0 takes the default in the comment. The SMTP
	// replies have those of RFC 5321, section 4.5.3.2.
	DialTimeout      time.Duration // 30 s for one address
	HandshakeTimeout time.Duration // 60 s
	QuitTimeout      time.Duration // 5 s, for the reply to QUIT
	// SetUpTimeout bounds the way to a session that is ready for mail, over all
	// hosts of an attempt, and their names; 0 is 5 minutes. No single host gets
	// more than half of what is left while others follow.
	SetUpTimeout time.Duration
	// TransactionTimeout bounds one message over one session, besides a second
	// for every 16 KB of it; 0 is 25 minutes, of which RFC 5321 wants 10 for the
	// last reply alone.
	TransactionTimeout time.Duration
	// IdleTimeout bounds how long an unused session is kept, besides the
	// connector's ConnectionInactivityTimeout; 0 is 1 minute.
	IdleTimeout time.Duration
}

// Sender is a queue.Deliverer. It is safe for concurrent use. Stop ends it.
type Sender struct {
	o    Options
	pool *pool

	ownMu sync.Mutex
	// owns are our certificates by the name they were chosen for.
	owns map[directory.CertificateName]ownUntil

	cacheMu sync.Mutex
	// sessions are the TLS session caches by connector, for sessions that are
	// not domain-secured.
	sessions map[string]tls.ClientSessionCache
}

var _ queue.Deliverer = (*Sender)(nil)

// New makes a Sender, which runs until Stop.
func New(o Options) *Sender {
	if o.Counters == nil {
		o.Counters = noCounters{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	orDefault := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	orDefault(&o.DialTimeout, 30*time.Second)
	orDefault(&o.HandshakeTimeout, time.Minute)
	orDefault(&o.QuitTimeout, 5*time.Second)
	orDefault(&o.SetUpTimeout, 5*time.Minute)
	orDefault(&o.TransactionTimeout, 25*time.Minute)
	orDefault(&o.IdleTimeout, time.Minute)
	return &Sender{
		o: o, pool: newPool(o.QuitTimeout),
		owns:     make(map[directory.CertificateName]ownUntil),
		sessions: make(map[string]tls.ClientSessionCache),
	}
}

// Stop ends the idle sessions with QUIT and waits for that until ctx is done,
// then closes them. Deliveries under way are not interrupted (whoever started
// them cancels their context); their sessions end with them.
func (s *Sender) Stop(ctx context.Context) { s.pool.stop(ctx) }

type noCounters struct{}

func (noCounters) DomainSecuredMessageSent()            {}
func (noCounters) DomainSecuredOutboundSessionFailure() {}
func (noCounters) WouldRefuse(string, string)           {}

// sessionCache returns the cache of TLS sessions for a connector. Sessions of
// different connectors are kept apart, because they may stand for different
// certificates of ours.
func (s *Sender) sessionCache(connector string) tls.ClientSessionCache {
	s.cacheMu.Lock()
	defer s.cacheMu.Unlock()
	c := s.sessions[connector]
	if c == nil {
		c = tls.NewLRUClientSessionCache(256)
		s.sessions[connector] = c
	}
	return c
}
