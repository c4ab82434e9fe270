package send

import (
	"context"
	"crypto/tls"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
)

// connectorAttempt fixes what every attempt has.
func connectorAttempt(route routing.Route, config *directory.Configuration) *attempt {
	c := route.SendConnector
	a := &attempt{route: route, connector: c, fqdn: c.FQDN, idle: c.ConnectionInactivityTimeout}
	if a.fqdn == "" {
		a.fqdn = config.Server.FQDN
	}
	a.certificate = c.OwnCertificate(config.Server.FQDN)
	if c.SourceIPAddress.IsValid() && !c.SourceIPAddress.IsUnspecified() {
		a.source = c.SourceIPAddress.Unmap()
	}
	return a
}

// ordinaryAttempt fixes an attempt for mail that need not be domain-secured. A
// level that is not known is taken for the highest that this way can reach.
func ordinaryAttempt(route routing.Route, config *directory.Configuration) *attempt {
	a := &attempt{route: route, fqdn: config.Server.FQDN, certificate: directory.CertificateName(config.Server.FQDN), idle: time.Minute}
	if route.SendConnector != nil {
		a = connectorAttempt(route, config)
	}
	switch l := route.Requirement.Level; l {
	case domainsec.LevelPlain, domainsec.LevelOpportunistic:
		a.level = l
	default:
		a.level = domainsec.LevelTLSRequired
	}
	return a
}

// tlsUse says what a connection does about STARTTLS.
type tlsUse uint8

const (
	tlsWithCertificate    tlsUse = iota // ours is shown when asked for
	tlsWithoutCertificate               // none is shown
	tlsNone
)

// openOrdinary opens a session with one address for mail that need not be
// domain-secured. A host that does not get on with our certificate is tried
// without; plain text comes last, on a connection of its own, and only where
// the level allows it.
func (s *Sender) openOrdinary(ctx context.Context, a *attempt, t target) (*session, *failure) {
	if a.level == domainsec.LevelPlain {
		return s.openWith(ctx, a, t, tlsNone)
	}
	c, f := s.openWith(ctx, a, t, tlsWithCertificate)
	if f != nil && f.tls && f.presented {
		c, f = s.openWith(ctx, a, t, tlsWithoutCertificate)
	}
	if f != nil && f.tls && a.level == domainsec.LevelOpportunistic {
		return s.openWith(ctx, a, t, tlsNone)
	}
	return c, f
}

func (s *Sender) openWith(ctx context.Context, a *attempt, t target, use tlsUse) (*session, *failure) {
	c, f := s.dial(ctx, a, t)
	if f != nil || use == tlsNone {
		return c, f
	}
	if !c.offered {
		if a.level == domainsec.LevelOpportunistic {
			return c, nil
		}
		return nil, s.refuse(ctx, a, c, domainsec.NoTLS, &failure{detail: "the server does not offer STARTTLS"})
	}
	err := s.startTLS(ctx, c, s.ordinaryConfig(ctx, a, c, t, use))
	if err == nil {
		if _, err = c.client.Hello(ctx); err == nil {
			return c, nil
		}
		if !endedByPeer(err) && !c.refusedByHello(err) {
			return nil, s.abandon(ctx, c, &failure{reply: replyOf(smtp.Reply{}, err), detail: err.Error()})
		}
	}
	return nil, s.refuse(ctx, a, c, domainsec.HandshakeFailed,
		&failure{detail: err.Error(), tls: true, presented: c.handshake.shown()})
}

// refuse ends a session for want of encryption.
func (s *Sender) refuse(ctx context.Context, a *attempt, c *session, r domainsec.Reason, f *failure) *failure {
	f.reply = replyReason(r, c.id)
	s.o.Logger.Info("STARTTLS with the next hop failed", "session", c.id, "domain", a.route.NextHopDomain,
		"connector", a.route.Connector, "remote", c.remote, "reasons", r.String(), "detail", f.detail)
	return s.abandon(ctx, c, f)
}

// ordinaryConfig is the TLS configuration for hosts that prove nothing: any
// certificate will do, as the alternative would be no encryption at all.
func (s *Sender) ordinaryConfig(ctx context.Context, a *attempt, c *session, t target, use tlsUse) *tls.Config {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.serverName(),
		InsecureSkipVerify: true, //nolint:gosec // nothing is claimed of the server
	}
	if a.level == domainsec.LevelOpportunistic {
		// RFC 7435: old encryption is better than the plain text that would follow.
		config.MinVersion = tls.VersionTLS10
	}
	if use == tlsWithoutCertificate {
		// A session that is resumed stands for the certificate shown when it
		// began, so this one must be new.
		config.GetClientCertificate = c.handshake.present(func() *certstore.Certificate { return nil })
		return config
	}
	config.GetClientCertificate = c.handshake.present(func() *certstore.Certificate { return s.chooseOwn(ctx, a.certificate).certificate })
	config.ClientSessionCache = s.sessionCache(a.route.Connector)
	return config
}
