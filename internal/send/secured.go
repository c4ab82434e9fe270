package send

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// securedAttempt fixes an attempt that carries mail only over a session that is
// domain-secured for d. Our certificate is chosen and checked here, so that an
// attempt that cannot succeed dials nobody.
func (s *Sender) securedAttempt(ctx context.Context, route routing.Route, d smtp.Domain, config *directory.Configuration) *attempt {
	a := connectorAttempt(route, config)
	a.level, a.domain, a.partner = domainsec.LevelDomainSecure, d, route.Partner
	if p := route.Partner; p != nil && p.ClientCertificate != "" {
		a.certificate = p.ClientCertificate
	}
	a.own = s.chooseOwn(ctx, a.certificate)
	return a
}

// ownFault returns why no session of the attempt could become domain-secured,
// whatever the server shows; nil when nothing is known to stand in the way.
func ownFault(a *attempt) *failure {
	o := domainsec.OutboundFacts{Connector: a.connector, Own: a.own.facts}
	v := domainsec.VerdictForServer(o, a.domain, a.partner)
	for _, r := range v.Reasons {
		switch r {
		case domainsec.NoOwnCertificate, domainsec.OwnCertificateInvalid, domainsec.OwnRevocationOffline, domainsec.ConnectorNotDomainSecure:
			return &failure{reply: replyReason(r, ""), detail: a.own.facts.Detail, reasons: []domainsec.Reason{r}}
		}
	}
	return nil
}

// openSecured opens a session that is good for mail of a.domain, or says why
// there is none. Every way out of it but the last is a failure of the host.
func (s *Sender) openSecured(ctx context.Context, a *attempt, t target) (*session, *failure) {
	c, f := s.dial(ctx, a, t)
	if f != nil {
		return nil, f
	}
	if !c.offered {
		return nil, s.insecure(ctx, a, c, s.prove(ctx, a, c, shortfall{}))
	}
	if err := s.startTLS(ctx, c, securedConfig(a, c, t)); err != nil {
		short := shortfall{handshake: err.Error()}
		short.ownRefused = c.handshake.presented != nil && endedByPeer(err)
		return nil, s.insecure(ctx, a, c, s.prove(ctx, a, c, short))
	}
	if v := s.prove(ctx, a, c, shortfall{}); !s.passes(v, a, c) {
		return nil, s.insecure(ctx, a, c, v)
	}
	// In TLS 1.3 our handshake ends before the server has judged our
	// certificate; what it thinks of it shows here.
	if _, err := c.client.Hello(ctx); err != nil {
		if c.refusedByHello(err) {
			return nil, s.insecure(ctx, a, c, s.prove(ctx, a, c, shortfall{handshake: err.Error(), ownRefused: true}))
		}
		return nil, s.abandon(ctx, c, &failure{reply: replyOf(smtp.Reply{}, err), detail: err.Error()})
	}
	return c, nil
}

// securedConfig is the TLS configuration of a domain-secured session. The
// server's certificate is judged by prove, which compares it with the
// recipient's domain; crypto/tls could only compare it with the host's name,
// which comes from the DNS and proves nothing. There is no session cache: a
// resumed session shows no certificate.
func securedConfig(a *attempt, c *session, t target) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS12,
		ServerName:           t.serverName(),
		InsecureSkipVerify:   true, //nolint:gosec // prove verifies, see above
		GetClientCertificate: c.handshake.present(func() *certstore.Certificate { return a.own.certificate }),
	}
}

// shortfall is what a step that failed adds to the facts.
type shortfall struct {
	handshake  string
	ownRefused bool
}

// prove decides whether session c is good for mail of a.domain now. It is the
// only place that does, and it is asked again before each further message,
// because revocation and dates move on.
func (s *Sender) prove(ctx context.Context, a *attempt, c *session, short shortfall) domainsec.Verdict {
	o := domainsec.OutboundFacts{
		Connector:            a.connector,
		STARTTLSOffered:      c.offered,
		HandshakeDetail:      short.handshake,
		CertificateRequested: c.handshake.requested,
		Own:                  a.own.facts,
		OwnRefused:           short.ownRefused,
		Now:                  s.o.Now(),
	}
	if st := c.handshake.state; st != nil {
		o.TLS = &c.handshake.serverTLS
		o.Peer = s.o.Verifier.Judge(ctx, trust.Request{
			Presented: st.PeerCertificates, Chain: c.handshake.chain, Domain: a.domain, Direction: domainsec.Outbound, Partner: a.partner, Now: o.Now,
		})
	}
	return domainsec.VerdictForServer(o, a.domain, a.partner)
}

// passes reports whether v lets mail of a.domain pass over c: because it is
// secured, or because the partner's override passes over what is not known.
func (s *Sender) passes(v domainsec.Verdict, a *attempt, c *session) bool {
	c.overridden = v.Action == domainsec.ActionOrdinary && v.Unmarked
	if c.overridden {
		if c.log != nil {
			c.log.Info(v.Detail, "Domain Security overridden, Reason:"+reasonWords(v.Reasons))
		}
		s.o.Logger.Warn("mail for a listed domain is let through without being domain-secured", "session", c.id, "domain", a.domain,
			"connector", a.route.Connector, "remote", c.remote, "reasons", reasonWords(v.Reasons), "detail", v.Detail)
		return true
	}
	return v.Action == domainsec.ActionSecure && v.Domain == a.domain && len(v.Reasons) == 0
}

// insecure ends a session that is not, or no longer, good for a.domain, and counts it.
func (s *Sender) insecure(ctx context.Context, a *attempt, c *session, v domainsec.Verdict) *failure {
	reasons := v.Reasons
	if len(reasons) == 0 {
		reasons = []domainsec.Reason{domainsec.HandshakeFailed} // a refusal always has a reason; unknown is never good
	}
	if ctx.Err() != nil {
		// We are stopping: what could not be found out says nothing about the host.
		return s.abandon(ctx, c, &failure{reply: replyStopping()})
	}
	if c.log != nil {
		c.log.Info(v.Detail, "Domain Security failed, Reason:"+reasonWords(reasons))
	}
	s.o.Counters.DomainSecuredOutboundSessionFailure()
	s.o.Logger.Warn("session with the next hop is not domain-secured", "session", c.id, "domain", a.domain,
		"connector", a.route.Connector, "remote", c.remote, "reasons", reasonWords(reasons), "detail", v.Detail)
	return s.abandon(ctx, c, &failure{reply: replyReason(reasons[0], c.id), detail: v.Detail, reasons: reasons})
}

// endedByPeer reports whether the peer ended the connection or sent an alert.
// crypto/tls reports a peer's alert as a net.OpError of that name.
func endedByPeer(err error) bool {
	var op *net.OpError
	var late *smtp.TLSError
	return errors.As(err, &op) && op.Op == "remote error" ||
		errors.As(err, &late) && late.AfterHandshake ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// refusedByHello reports whether a failure of the second EHLO means that the
// server refused our certificate: it ended the session, or answered for policy
// reasons (RFC 3463, class x.7.x), after having been given it.
func (c *session) refusedByHello(err error) bool {
	if !c.handshake.shown() {
		return false
	}
	var refused *smtp.ReplyError
	if errors.As(err, &refused) {
		return refused.Reply.Enhanced[1] == 7
	}
	return endedByPeer(err)
}
