package receive

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/trust"
)

// securedMemory is how long an address that had a secured transaction is
// spared certificateRequestBackoff.
const securedMemory = 24 * time.Hour

// StartTLS returns the configuration for the handshake.
func (x *session) StartTLS(context.Context) (*tls.Config, error) {
	s, now := x.server, x.server.o.Now()
	if !x.rc.HasTLS() {
		return nil, refusal(kindTLSUnavailable, x.id)
	}
	cert, _ := s.ownCertificate(x.rc, now)
	if cert == nil {
		return nil, refusal(kindTLSUnavailable, x.id)
	}
	x.request = &configKey{certificate: cert.TLS, request: x.rc.DomainSecureEnabled && !s.spared(x, now)}
	return x.connector.tlsConfig(*x.request, x.rc.DomainSecureEnabled), nil
}

// spared reports whether x's address is not to be asked for a certificate.
func (s *Server) spared(x *session, now time.Time) bool {
	return x.rc.CertificateRequestBackoff > 0 && s.backoff.has(x.remote.Addr(), now) && !s.secured.has(x.remote.Addr(), now)
}

// tlsConfig returns the connector's TLS configuration for a certificate. It is
// made once and shared by all sessions, so that tickets work and nothing is
// built per session.
//
// On a connector that is DomainSecureEnabled the client is asked for its
// certificate without a list of acceptable authorities, and any answer, none
// included, lets the handshake pass: nothing is verified here, the verdict
// falls at MAIL. Such a connector issues no session tickets, because a resumed
// session would prove the possession of no key.
func (c *connector) tlsConfig(k configKey, domainSecure bool) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cfg := c.configs[k]; cfg != nil && cfg.SessionTicketsDisabled == domainSecure {
		return cfg
	}
	for old := range c.configs {
		if old.certificate != k.certificate { // the certificate has been replaced
			delete(c.configs, old)
		}
	}
	cfg := &tls.Config{
		Certificates:           []tls.Certificate{*k.certificate},
		MinVersion:             minimumTLSVersion,
		ClientAuth:             tls.NoClientCert,
		SessionTicketsDisabled: domainSecure,
	}
	if k.request {
		cfg.ClientAuth = tls.RequestClientCert
	}
	c.configs[k] = cfg
	return cfg
}

// HandshakeDone keeps what the handshake has shown.
func (x *session) HandshakeDone(_ context.Context, state *tls.ConnectionState, err error) {
	if x.log != nil && x.request != nil {
		own := describe(x.request.certificate.Leaf)
		x.certificate(protocollog.LabelSending, &own)
	}
	if err != nil {
		x.handshakeFailed(err)
		return
	}
	x.account = "" // RFC 3207, section 4.2: a stranger again
	x.asked = x.request != nil && x.request.request
	x.peer = state.PeerCertificates
	x.chain = trust.HashChain(x.peer)
	x.tls = &domainsec.TLSFacts{
		Version:      domainsec.TLSVersionName(state.Version),
		CipherSuite:  tls.CipherSuiteName(state.CipherSuite),
		PresentedOwn: true,
	}
	if len(x.peer) > 0 {
		f := describe(x.peer[0])
		x.peerFacts, x.peerSHA1 = &f, f.SHA1
		x.certificate(protocollog.LabelReceived, &f)
	}
	x.info("", "TLS protocol "+x.tls.Version+" negotiation succeeded using "+x.tls.CipherSuite)
	x.judgeAhead()
}

// handshakeFailed logs the failure and, when it was over the client's
// certificate, has the client's address not asked for one for a while: it may
// then at least send its ordinary mail.
func (x *session) handshakeFailed(err error) {
	word, overCertificate := handshakeFault(err)
	x.info("", "TLS negotiation failed with error "+word)
	l := x.logger()
	backoff := x.rc.CertificateRequestBackoff
	if !overCertificate || x.request == nil || !x.request.request {
		l.Info("TLS handshake failed", keyReason, word, keyDetail, cut(err.Error()))
		return
	}
	now := x.server.o.Now()
	if backoff > 0 && !x.server.secured.has(x.remote.Addr(), now) {
		x.server.backoff.put(x.remote.Addr(), now, directoryDeadline(now, backoff))
		l.Warn("TLS handshake failed over the client's certificate; its address is not asked for one for a while",
			keyReason, word, keyDetail, cut(err.Error()), "certificateRequestBackoff", backoff)
		return
	}
	l.Warn("TLS handshake failed over the client's certificate", keyReason, word, keyDetail, cut(err.Error()))
}

// directoryDeadline is directory.Deadline with a time that can be compared for "never".
func directoryDeadline(now time.Time, d time.Duration) time.Time {
	if end := directory.Deadline(now, d); !end.IsZero() {
		return end
	}
	return time.Unix(1<<40, 0)
}

// handshakeFault names a handshake's error in one word, and reports whether it
// was over the certificate that the client sent. crypto/tls has no type for
// that, only its text; a test makes each such failure and would notice a change.
func handshakeFault(err error) (word string, overCertificate bool) {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &record):
		return "InvalidToken", false
	case errors.As(err, &op) && op.Op == "remote error", errors.As(err, &alert):
		return "PeerRefused", false
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "SocketError", false
	case strings.Contains(err.Error(), "client certificate"), strings.Contains(err.Error(), "client sent certificate"):
		return "CertUnknown", true
	}
	return "HandshakeFailed", false
}

// presented returns the leaf of what the client presented, or nil.
func (x *session) presented() *x509.Certificate {
	if len(x.peer) == 0 {
		return nil
	}
	return x.peer[0]
}
