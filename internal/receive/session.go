package receive

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// session is one connection, from banner to QUIT. It is smtp.Session; the loop
// calls it from one goroutine at a time.
type session struct {
	server    *Server
	connector *connector
	// rc is the connector as it was when the session began.
	rc     *directory.ReceiveConnector
	conn   net.Conn
	id     string
	label  string // "Server\Connector"
	remote netip.AddrPort
	local  netip.AddrPort
	// upstream is the proxy that has named remote; invalid: none.
	upstream netip.AddrPort
	source   *source    // counts what the client does
	log      SessionLog // nil unless the connector is verbose

	account       string // who has authenticated; "": nobody
	logonFailures int64

	hello     smtp.Hello
	greeting  string
	offered   bool // we had a certificate to offer STARTTLS with
	asked     bool // the handshake asked for the client's certificate
	request   *configKey
	tls       *domainsec.TLSFacts
	peer      []*x509.Certificate         // what the client presented, its own first
	chain     trust.ChainID               // of peer, hashed once
	peerFacts *domainsec.CertificateFacts // nil: it presented none
	peerSHA1  string
	marks     marks

	told         domainsec.Permissions // what the protocol log last named
	toldOnce     bool
	transactions int
	refused      int // MAIL commands that Domain Security has refused
	tx           transaction
	remembered   bool // see remember
}

// transaction is what one MAIL began.
type transaction struct {
	view       *view
	from       smtp.ReversePath
	parameters smtp.MailParameters
	rights     domainsec.Permissions
	verdict    domainsec.Verdict
	candidates []domainsec.Verdict // null reverse-path only: what the peer is good for
	recipients []smtp.ForwardPath
	// reports are the DSN parameters of recipients, in their order; nil as
	// long as none has any.
	reports []smtp.RecipientParameters
}

func (s *Server) newSession(c *connector, rc *directory.ReceiveConnector, a arrival) *session {
	x := &session{
		server:    s,
		connector: c,
		rc:        rc,
		conn:      a.conn,
		id:        string(smtp.NewSessionID()),
		label:     hostLabel(s.currentView().configuration.Server.FQDN) + `\` + c.name,
		remote:    a.remote,
		local:     a.local,
		upstream:  a.upstream,
	}
	if rc.ProtocolLoggingLevel == directory.LoggingVerbose {
		x.log = s.o.Recorder.Session(SessionRecord{
			Connector: x.label, SessionID: x.id,
			Local: a.local.String(), Remote: a.remote.String(),
		})
	}
	return x
}

// hostLabel is the server's name as it stands before a connector's: the first label.
func hostLabel(d smtp.Domain) string {
	host, _, _ := strings.Cut(string(d), ".")
	return host
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// loopOptions are the limits that the loop keeps.
func (x *session) loopOptions() smtp.ServerOptions {
	o := smtp.ServerOptions{
		SessionID:         x.id,
		MaxMessageBytes:   x.rc.MaxMessageSize,
		MaxRecipients:     count(x.rc.MaxRecipientsPerMessage),
		MaxProtocolErrors: count(x.rc.MaxProtocolErrors),
		InactivityTimeout: x.rc.ConnectionInactivityTimeout,
		SessionTimeout:    x.rc.ConnectionTimeout,
		BareLines:         x.rc.BareLineFeeds,
		OnError: func(err error) {
			x.logger().Error("a session met an internal error", keyError, err)
		},
	}
	if x.log != nil {
		o.Transcript = x.log
	}
	return o
}

// count turns a configured number into an int, on machines of any width.
func count(n int64) int {
	const most = int(^uint(0) >> 1)
	if n > int64(most) {
		return most
	}
	return int(n)
}

// Greeting answers the connection.
func (x *session) Greeting(context.Context) smtp.Reply {
	if x.log != nil {
		x.log.Connected()
		if x.upstream.IsValid() {
			x.info(x.upstream.String(), "PROXY header received")
		}
	}
	x.tellRights(x.ordinaryRights())
	text := x.rc.Banner
	if text == "" {
		text = string(x.rc.FQDN) + " Mailpact ESMTP ready at " + x.server.o.Now().Format(time.RFC1123Z)
	}
	return smtp.NewReply(220, smtp.EnhancedCode{}, text)
}

// Hello answers EHLO and HELO.
func (x *session) Hello(_ context.Context, h smtp.Hello) (smtp.HelloResponse, error) {
	if x.rc.RequireEHLODomain && !isDomain(h.Name) {
		return smtp.HelloResponse{}, x.tarpit(refusal(kindDomainRequired, x.id))
	}
	x.hello = h
	if x.greeting == "" {
		x.greeting = string(x.rc.FQDN) + " Hello [" + x.remote.Addr().String() + "]"
	}
	r := smtp.HelloResponse{
		Greeting: x.greeting, MaxMessageBytes: x.rc.MaxMessageSize,
		Supported: smtp.KeywordBINARYMIME | smtp.KeywordDSN | smtp.KeywordSMTPUTF8, Withheld: x.rc.Withheld,
	}
	if x.rc.MaxMessageSize == directory.Unlimited || x.rc.SizeWithoutValue {
		r.MaxMessageBytes = 0
	}
	if x.tls == nil && x.rc.HasTLS() {
		now := x.server.o.Now()
		cert, state := x.server.ownCertificate(x.rc, now)
		x.server.tellOwn(x.connector, x.rc, cert, state, now)
		x.offered = cert != nil
		r.STARTTLS = x.offered
	}
	r.Mechanisms, r.AuthNeedsTLS = x.takesLogon()
	return r, nil
}

// isDomain reports whether an EHLO argument is a domain and not an address
// literal, nothing, or rubbish.
func isDomain(name string) bool {
	if name == "" || strings.HasPrefix(name, "[") {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	_, err := smtp.ParseDomain(name)
	return err == nil
}

// Verify leaves VRFY to the loop, which tells nobody who exists.
func (x *session) Verify(context.Context, string) smtp.Reply { return smtp.Reply{} }

// Reset forgets the transaction.
func (x *session) Reset() {
	x.tx = transaction{}
}

// Close ends the protocol log.
func (x *session) Close(cause smtp.EndCause) {
	x.Reset()
	if x.log != nil {
		x.log.Disconnected(disconnectContext(cause))
	}
}

func disconnectContext(cause smtp.EndCause) string {
	switch cause {
	case smtp.EndQuit, smtp.EndLocal:
		return protocollog.ContextLocal
	case smtp.EndRemote:
		return protocollog.ContextRemote
	case smtp.EndTimeout:
		return "Timed out"
	case smtp.EndTLS:
		return "TLS negotiation failed"
	case smtp.EndInternal:
		return "Internal error"
	default:
		return "Unknown"
	}
}

// tellRights writes the rights into the protocol log when they have changed.
func (x *session) tellRights(p domainsec.Permissions) {
	if x.log == nil || x.toldOnce && x.told == p {
		return
	}
	x.told, x.toldOnce = p, true
	x.log.Info(p.String(), protocollog.ContextPermissions)
}

// certificate writes a certificate's rows into the protocol log.
func (x *session) certificate(label string, f *domainsec.CertificateFacts) {
	if x.log != nil {
		x.log.Certificate(label, protocollog.CertificateRows{
			Subject: f.Subject, Issuer: f.Issuer, Serial: f.SerialNumber, Thumbprint: f.SHA1, Names: f.Names,
		})
	}
}

// logger returns the operational log with the session's id in each line.
func (x *session) logger() *slog.Logger {
	l := x.server.o.Logger.With(keySession, x.id, keyConnector, x.connector.name, keyRemote, x.remote.String())
	if x.upstream.IsValid() {
		l = l.With(keyUpstream, x.upstream.String())
	}
	return l
}

// info writes an information row into the protocol log.
func (x *session) info(data, context string) {
	if x.log != nil {
		x.log.Info(data, context)
	}
}

// sourceIP is the client's address without port.
func (x *session) sourceIP() string {
	if !x.remote.IsValid() {
		return ""
	}
	return x.remote.Addr().String()
}

// message is the envelope that the queue keeps.
func (x *session) message(now time.Time) *queue.Message {
	return &queue.Message{
		From:                x.tx.from,
		Recipients:          x.tx.recipients,
		Body:                x.tx.parameters.Body,
		Received:            now,
		SessionID:           x.id,
		Connector:           x.connector.name,
		SourceIP:            x.sourceIP(),
		Return:              x.tx.parameters.Return,
		EnvelopeID:          x.tx.parameters.EnvelopeID,
		RecipientParameters: x.tx.reports,
	}
}
