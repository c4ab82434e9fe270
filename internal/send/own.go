package send

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// own is the certificate of ours that an attempt presents when asked.
type own struct {
	certificate *certstore.Certificate // nil: none may be presented
	facts       domainsec.OwnFacts
}

// ownFor is how long what is known of our own certificate is believed. It keeps
// signatures from being verified again for every message.
const ownFor = time.Second

// ownUntil is a remembered choice.
type ownUntil struct {
	own
	until time.Time
}

// chooseOwn chooses our certificate by name and says what is known of it. One that is revoked or out of its dates is never presented.
func (s *Sender) chooseOwn(ctx context.Context, name directory.CertificateName) own {
	now := s.o.Now()
	s.ownMu.Lock()
	known, ok := s.owns[name]
	s.ownMu.Unlock()
	if ok && now.Before(known.until) {
		return known.own
	}
	o := s.lookForOwn(ctx, name, now)
	if ctx.Err() == nil {
		s.ownMu.Lock()
		s.owns[name] = ownUntil{own: o, until: now.Add(ownFor)}
		s.ownMu.Unlock()
	}
	return o
}

func (s *Sender) lookForOwn(ctx context.Context, name directory.CertificateName, now time.Time) own {
	status := make(map[*certstore.Certificate]trust.PathStatus, 1)
	candidates := s.o.Certificates.Select(name, func(c *certstore.Certificate) bool {
		status[c] = s.ownStatus(ctx, c)
		return status[c].Status != domainsec.RevocationRevoked
	})
	if len(candidates) == 0 {
		return own{facts: domainsec.OwnFacts{Detail: fmt.Sprintf("no certificate of ours is meant by %q", name)}}
	}
	c := candidates[0]
	st := status[c]
	o := own{certificate: c, facts: domainsec.OwnFacts{Chosen: true, Revocation: st.Status, Reasons: st.Reasons, Detail: st.Detail}}
	if len(st.Reasons) == 0 && !c.Current(now) {
		o.facts.Reasons = []domainsec.Reason{domainsec.CertificateExpired}
	}
	if len(o.facts.Reasons) > 0 || st.Status == domainsec.RevocationRevoked {
		o.certificate = nil
	}
	return o
}

// namedCertificateFault returns why mail waits although nobody may ask for our
// certificate: the connector names one that is not there. nil: it is, or none
// is named.
func (s *Sender) namedCertificateFault(ctx context.Context, a *attempt) *failure {
	if a.connector == nil || a.connector.TLSCertificateName == "" || a.certificate != a.connector.TLSCertificateName || a.level == domainsec.LevelPlain {
		return nil
	}
	if o := s.chooseOwn(ctx, a.certificate); !o.facts.Chosen {
		return &failure{
			reply:   smtp.NewReply(454, smtp.EnhancedCode{4, 7, 5}, "The certificate specified in TlsCertificateName of the SendConnector could not be found"),
			detail:  o.facts.Detail,
			reasons: []domainsec.Reason{domainsec.NoOwnCertificate},
		}
	}
	return nil
}

func (s *Sender) ownStatus(ctx context.Context, c *certstore.Certificate) trust.PathStatus {
	chain, err := c.Chain()
	if err != nil {
		return trust.PathStatus{Detail: err.Error()}
	}
	return s.o.Verifier.OwnStatus(ctx, chain)
}

// handshake is what a handshake showed of the server's wish for our certificate.
type handshake struct {
	// requested: the server asked (RFC 8446, section 4.3.2; RFC 5246, section 7.4.4).
	requested bool
	// presented is the certificate that it was given; nil: none.
	presented *certstore.Certificate
	state     *tls.ConnectionState // nil until it succeeded
	chain     trust.ChainID        // of the server's certificates
	serverTLS domainsec.TLSFacts
}

// shown reports whether the server knows our certificate: it was given it in
// this handshake, or in that of the session which this one resumed.
func (h *handshake) shown() bool {
	return h.presented != nil || h.state != nil && h.state.DidResume
}

// present returns the hook of crypto/tls that answers a request for our
// certificate. The list of acceptable CAs is a hint that is of no use with one
// candidate, and never a reason to send none.
func (h *handshake) present(choose func() *certstore.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h.requested = true
		if c := choose(); c != nil {
			h.presented = c
			return c.TLS, nil
		}
		return new(tls.Certificate), nil // an empty Certificate message
	}
}
