package receive

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
)

// connector is what a receive connector's sessions share.
type connector struct {
	name        string
	connections atomic.Int64
	sources     *sourceTable
	// bound is the connector as it was when its listeners were opened; it
	// serves while the configuration in force no longer has one of its name.
	bound *directory.ReceiveConnector

	mu      sync.Mutex
	configs map[configKey]*tls.Config // at most a few: see tlsConfig
	own     ownState                  // last state told, so that a fault is told once
	toldAt  time.Time
}

// configKey tells the TLS configurations of a connector apart.
type configKey struct {
	certificate *tls.Certificate
	request     bool // ask the client for its certificate
}

func newConnector(rc *directory.ReceiveConnector) *connector {
	return &connector{name: rc.Name, bound: rc, sources: newSourceTable(), configs: make(map[configKey]*tls.Config)}
}

// ownState says how our own certificate stands on a connector.
type ownState uint8

const (
	ownUnknown ownState = iota
	ownGood
	ownExpiresSoon
	ownOutOfDate
	ownRefused // revoked, as far as OwnUsable knows
	ownMissing
)

// String returns the word that Status shows.
func (o ownState) String() string {
	switch o {
	case ownGood:
		return "good"
	case ownExpiresSoon:
		return "expires soon"
	case ownOutOfDate:
		return "expired"
	case ownRefused:
		return "revoked"
	case ownMissing:
		return "missing"
	default:
		return "unknown"
	}
}

// expiresSoon is how long before its end a certificate of ours is complained about.
const expiresSoon = 14 * 24 * time.Hour

// toldAgain is after what time a fault of our certificate that lasts is told again.
const toldAgain = 24 * time.Hour

// ownCertificate chooses the certificate that connector rc offers STARTTLS
// with. An expired or revoked one is offered all the same when no other fits,
// because mail in the clear is worse and the verdict on the peer does not
// depend on it; nil means that STARTTLS cannot be offered.
func (s *Server) ownCertificate(rc *directory.ReceiveConnector, now time.Time) (*certstore.Certificate, ownState) {
	found := s.o.Certificates.Select(rc.OwnCertificate(), s.o.OwnUsable)
	if len(found) == 0 {
		return nil, ownMissing
	}
	c := found[0]
	switch end := c.TLS.Leaf.NotAfter; {
	case !c.Current(now):
		return c, ownOutOfDate
	case !s.o.OwnUsable(c):
		return c, ownRefused
	case end.Sub(now) < expiresSoon:
		return c, ownExpiresSoon
	}
	return c, ownGood
}

// tellOwn writes the event of a certificate fault when it begins and once a day
// as long as it lasts; a session is not the place to repeat it.
func (s *Server) tellOwn(c *connector, rc *directory.ReceiveConnector, cert *certstore.Certificate, state ownState, now time.Time) {
	c.mu.Lock()
	told := c.own == state && now.Sub(c.toldAt) < toldAgain
	if !told {
		c.own, c.toldAt = state, now
	}
	c.mu.Unlock()
	if told || state == ownGood {
		return
	}
	l := s.o.Logger.With(keyConnector, c.name, "fqdn", string(rc.FQDN))
	switch state {
	case ownMissing:
		l.Error("STARTTLS is not offered: no certificate enabled for SMTP is what the connector's tlsCertificateName or fqdn names; "+
			"make one with mailpact cert, add one under certificates with services: [SMTP], or correct the connector", keyEvent, eventNoCertificate)
	case ownOutOfDate:
		l.Error("the certificate that STARTTLS is offered with has expired or is not valid yet; replace it",
			keyEvent, eventCertificateExpired, keyThumbprint, thumbprint(cert.TLS.Leaf), "notAfter", cert.TLS.Leaf.NotAfter)
	case ownRefused:
		l.Error("the certificate that STARTTLS is offered with has been revoked; replace it",
			keyEvent, eventCertificateExpired, keyThumbprint, thumbprint(cert.TLS.Leaf))
	case ownExpiresSoon:
		l.Warn("the certificate that STARTTLS is offered with expires soon; replace it",
			keyEvent, eventCertificateExpiresSoon, keyThumbprint, thumbprint(cert.TLS.Leaf), "notAfter", cert.TLS.Leaf.NotAfter)
	}
}

// ConnectorStatus is how a receive connector stands, for health and for status.
type ConnectorStatus struct {
	Name        string
	Addresses   []net.Addr
	Connections int64
	// Certificate is the certificate STARTTLS is offered with; nil when the
	// connector does not offer it or has none.
	Certificate *domainsec.CertificateFacts
	// CertificateStatus is "good", "expires soon", "expired", "revoked" or
	// "missing"; "" when the connector does not offer STARTTLS.
	CertificateStatus string
}

// Status returns the connectors in the order of the configuration.
func (s *Server) Status() []ConnectorStatus {
	now := s.o.Now()
	v := s.currentView()
	s.mu.Lock()
	connectors := slices.Clone(s.connectors)
	s.mu.Unlock()
	out := make([]ConnectorStatus, 0, len(connectors))
	for _, c := range connectors {
		rc := v.connector(c)
		st := ConnectorStatus{Name: c.name, Connections: c.connections.Load()}
		for _, l := range s.bound() {
			if slices.ContainsFunc(v.door(l).places, func(p place) bool { return p.connector == c }) {
				st.Addresses = append(st.Addresses, l.Addr())
			}
		}
		if len(st.Addresses) == 0 && st.Connections == 0 && v.connectors[c.name] == nil {
			continue // gone
		}
		if rc.HasTLS() {
			cert, state := s.ownCertificate(rc, now)
			st.CertificateStatus = state.String()
			if cert != nil {
				f := describe(cert.TLS.Leaf)
				st.Certificate = &f
			}
		}
		out = append(out, st)
	}
	return out
}

// describe returns a certificate's facts as logs and marks show them.
func describe(c *x509.Certificate) domainsec.CertificateFacts { return trust.DescribeCertificate(c) }

// thumbprint is a certificate's SHA-1 thumbprint as logs show it.
func thumbprint(c *x509.Certificate) string { return describe(c).SHA1 }
