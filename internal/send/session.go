package send

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// attempt is what is fixed before anything is dialled: the way, what the next
// hop must prove, and who we are.
type attempt struct {
	route     routing.Route
	connector *directory.SendConnector // nil for a hand-off
	level     domainsec.Level
	fqdn      smtp.Domain // our name in EHLO
	// certificate is what our certificate is chosen by.
	certificate directory.CertificateName
	source      netip.Addr // invalid: any
	idle        time.Duration
	// The rest is set at LevelDomainSecure only.
	domain  smtp.Domain
	partner *directory.Partner
	own     own
}

func (a *attempt) key() poolKey {
	return poolKey{
		tlsDomain: a.domain, connector: a.route.Connector, level: a.level, certificate: a.own.certificate,
		deliveryType: a.route.DeliveryType, nextHop: a.route.NextHopDomain,
	}
}

// target is one address of a next hop, or a Unix socket.
type target struct {
	host   string
	addr   netip.AddrPort
	socket string
}

func (t target) String() string {
	if t.socket != "" {
		return fmt.Sprintf("%s [%s]", t.host, t.socket)
	}
	return fmt.Sprintf("%s [%s]:%d", t.host, t.addr.Addr(), t.addr.Port())
}

// serverName is the name for SNI; an address is not one (RFC 6066, section 3).
func (t target) serverName() string {
	if _, err := netip.ParseAddr(t.host); err == nil {
		return ""
	}
	return t.host
}

// failure says why a host could not be used.
type failure struct {
	remote string
	reply  smtp.Reply // the host's or one of ours
	detail string     // for administrators; may be empty
	// reasons: the host did not prove what was demanded.
	reasons []domainsec.Reason
	// tls: the handshake failed, or the session ended over it, before any
	// mail; presented: our certificate had been shown in it.
	tls, presented bool
	// silent: the host did not answer in time.
	silent bool
}

// session is one connection, from dialling to QUIT. One goroutine uses it at a time.
type session struct {
	key    poolKey
	id     string
	remote string
	client *smtp.Client
	log    SessionLog // nil: none
	// offered: the first EHLO reply named STARTTLS.
	offered   bool
	handshake handshake
	// overridden: it carries mail by its partner's override, which is not counted as secured.
	overridden bool

	messages  int64
	opened    time.Time
	idleUntil time.Time // while in the pool
}

// dial connects, and speaks as far as the reply to the first EHLO.
func (s *Sender) dial(ctx context.Context, a *attempt, t target) (*session, *failure) {
	conn, err := s.connect(ctx, a, t)
	if err != nil {
		return nil, &failure{remote: t.String(), reply: replyConnect(err), detail: err.Error()}
	}
	c := &session{key: a.key(), id: string(smtp.NewSessionID()), remote: t.String(), opened: time.Now()}
	o := smtp.ClientOptions{LocalName: string(a.fqdn), LMTP: a.route.LMTP}
	if a.connector != nil {
		o.ForceHELO = a.connector.ForceHELO
		if a.connector.ProtocolLoggingLevel == directory.LoggingVerbose && s.o.ProtocolLog != nil {
			c.log = s.o.ProtocolLog(protocollog.SessionOptions{
				Connector: a.connector.Name, SessionID: c.id,
				Local: conn.LocalAddr().String(), Remote: conn.RemoteAddr().String(),
			})
		}
	}
	// A host that knows no EHLO cannot prove anything; only where nothing is
	// to be proved may it be greeted by HELO.
	o.AllowHELO = a.level == domainsec.LevelOpportunistic || a.level == domainsec.LevelPlain
	if c.log != nil {
		o.Transcript = c.log
		c.log.Connected()
	}
	c.client = smtp.NewClient(conn, o)
	reply, err := c.client.Greeting(ctx)
	if err == nil {
		reply, err = c.client.Hello(ctx)
	}
	if err != nil {
		return nil, s.abandon(ctx, c, &failure{reply: replyOf(reply, err), detail: err.Error()})
	}
	c.offered = c.client.Extensions().STARTTLS
	return c, nil
}

func (s *Sender) connect(ctx context.Context, a *attempt, t target) (net.Conn, error) {
	d := net.Dialer{Timeout: s.o.DialTimeout}
	if t.socket != "" {
		return d.DialContext(ctx, "unix", t.socket)
	}
	if a.source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.source, 0))
	}
	return d.DialContext(ctx, "tcp", t.addr.String())
}

// replyOf returns the host's reply, or one of ours when it gave none.
func replyOf(reply smtp.Reply, err error) smtp.Reply {
	var refused *smtp.ReplyError
	switch {
	case errors.As(err, &refused):
		return refused.Reply
	case !reply.IsZero() && !reply.Positive():
		return reply
	}
	return replyBroken(err)
}

// abandon ends a session that carries no mail and completes its failure.
func (s *Sender) abandon(ctx context.Context, c *session, f *failure) *failure {
	f.remote = c.remote
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.QuitTimeout)
	defer cancel()
	c.quit(ctx)
	return f
}

// quit ends the session politely within ctx. On a connection that is broken
// already it only closes.
func (c *session) quit(ctx context.Context) {
	who := protocollog.ContextLocal
	if err := c.client.Quit(ctx); err != nil {
		who = protocollog.ContextRemote
	}
	c.close(who)
}

// close closes the connection; context is why.
func (c *session) close(context string) {
	// Nothing that matters is left on the connection.
	_ = c.client.Close()
	if c.log != nil {
		c.log.Disconnected(context)
	}
}

// startTLS makes the handshake and logs what it showed.
func (s *Sender) startTLS(ctx context.Context, c *session, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.HandshakeTimeout)
	defer cancel()
	err := c.client.StartTLS(ctx, config)
	c.handshake.serverTLS = domainsec.TLSFacts{PresentedOwn: c.handshake.presented != nil}
	if err == nil {
		state := c.client.TLS()
		c.handshake.state = state
		c.handshake.chain = trust.HashChain(state.PeerCertificates)
		c.handshake.serverTLS.Version = domainsec.TLSVersionName(state.Version)
		c.handshake.serverTLS.CipherSuite = tls.CipherSuiteName(state.CipherSuite)
	}
	if c.log != nil {
		c.logHandshake(err)
	}
	return err
}

// logHandshake writes the rows of reference 8.1: our certificate, if it was
// shown, the server's, and how the handshake ended.
func (c *session) logHandshake(err error) {
	if p := c.handshake.presented; p != nil {
		c.log.Certificate(protocollog.LabelSending, certificateRows(p))
	}
	if st := c.handshake.state; st != nil && len(st.PeerCertificates) > 0 {
		c.log.Certificate(protocollog.LabelReceived, rowsOf(trust.DescribeCertificate(st.PeerCertificates[0])))
	}
	if err != nil {
		c.log.Info("", "TLS negotiation failed with error "+err.Error())
		return
	}
	c.log.Info("", "TLS protocol "+c.handshake.serverTLS.Version+" negotiation succeeded using "+c.handshake.serverTLS.CipherSuite)
}

func certificateRows(c *certstore.Certificate) protocollog.CertificateRows {
	return rowsOf(trust.DescribeCertificate(c.Leaf()))
}

func rowsOf(f domainsec.CertificateFacts) protocollog.CertificateRows {
	return protocollog.CertificateRows{Subject: f.Subject, Issuer: f.Issuer, Serial: f.SerialNumber, Thumbprint: f.SHA1, Names: f.Names}
}
