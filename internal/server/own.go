package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
)

// ownCheckInterval is how often our own certificates are checked. The CRL cache
// answers most of it; what matters is that a revocation is noticed.
const ownCheckInterval = 5 * time.Minute

// ownCertificates knows the revocation status of our own certificates, so that
// handshakes need not wait for a CRL. It is safe for concurrent use.
type ownCertificates struct {
	identity *liveIdentity
	renew    func() error // keeps certificates of our own making from expiring
	logger   *slog.Logger
	checked  func()        // called after each check; nil: nothing is
	changed  chan struct{} // holds one word that there are other certificates now

	mu     sync.Mutex
	status map[string]trust.PathStatus // by SHA-256 thumbprint
	hidden map[string]error            // why partners could not fetch its CRL, likewise
	// reach says why a partner could not fetch from CRL addresses; nil: nobody looks.
	reach func(ctx context.Context, addresses []string) error
}

func newOwnCertificates(identity *liveIdentity, renew func() error, logger *slog.Logger) *ownCertificates {
	return &ownCertificates{identity: identity, renew: renew, logger: logger, changed: make(chan struct{}, 1), status: map[string]trust.PathStatus{}, hidden: map[string]error{}}
}

// start checks all certificates now and then regularly, until undo's step runs.
func (o *ownCertificates) start(undo *stack) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(ownCheckInterval)
		defer tick.Stop()
		for {
			o.check(ctx)
			select {
			case <-tick.C:
			case <-o.changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	undo.push("check of our own certificates", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// checkSoon lets what start has begun look at the certificates without delay.
func (o *ownCertificates) checkSoon() {
	select {
	case o.changed <- struct{}{}:
	default: // it has been told already
	}
}

func (o *ownCertificates) check(ctx context.Context) {
	if err := o.renew(); err != nil {
		o.logger.Error("renewing our self-signed certificate", slog.String("error", err.Error()))
	}
	for _, c := range o.identity.All() {
		o.ask(ctx, c)
	}
	if o.checked != nil {
		o.checked()
	}
}

// ask asks for the revocation status of one of our certificates and remembers
// it. It may wait for a CRL.
func (o *ownCertificates) ask(ctx context.Context, c *certstore.Certificate) {
	status := trust.PathStatus{Status: domainsec.RevocationUnknown}
	if chain, err := c.Chain(); err != nil {
		status.Detail = err.Error()
	} else {
		status = o.identity.OwnStatus(ctx, chain)
	}
	key := c.SHA256()
	var hidden error
	if o.reach != nil {
		hidden = o.reach(ctx, c.Leaf().CRLDistributionPoints)
	}
	o.mu.Lock()
	o.hidden[key] = hidden
	before, known := o.status[key]
	o.status[key] = status
	o.mu.Unlock()
	if (!known || before.Status != status.Status) && status.Status == domainsec.RevocationRevoked {
		o.logger.Error("our own certificate is revoked and will not be presented while another fits",
			slog.String("thumbprint", c.Thumbprint()), slog.String("detail", status.Detail))
	}
}

// usable reports whether c may be shown: it is not known to be revoked.
func (o *ownCertificates) usable(c *certstore.Certificate) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.status[c.SHA256()].Status != domainsec.RevocationRevoked
}

// findings are those about the revocation of our own certificates; certstore
// knows the others.
func (o *ownCertificates) findings() []admin.Finding {
	var out []admin.Finding
	for _, c := range o.identity.All() {
		object := "certificate " + c.Thumbprint()
		o.mu.Lock()
		status, known := o.status[c.SHA256()]
		hidden := o.hidden[c.SHA256()]
		o.mu.Unlock()
		if hidden != nil && !c.SelfSigned {
			out = append(out, admin.Finding{
				Level: directory.LevelWarning, Object: object,
				Text: "partners on the Internet cannot fetch its CRL and will defer our mail: " + hidden.Error(),
				Fix:  "Have the certificate issued with an http address that leads to a public host, and publish the CRL there",
			})
		}
		switch {
		case !known || c.SelfSigned:
		case status.Status == domainsec.RevocationRevoked:
			out = append(out, admin.Finding{Level: directory.LevelError, Object: object, Text: "is revoked: " + status.Detail, Fix: "Replace it under certificates"})
		case status.Status == domainsec.RevocationUnknown:
			out = append(out, admin.Finding{
				Level: directory.LevelWarning, Object: object,
				Text: "its revocation status is unknown, so domain-secured mail cannot be sent with it: " + status.Detail,
				Fix:  "Trust its root under trust.anchors and make its CRL reachable from this server",
			})
		}
	}
	return out
}

// ownStore lets operations look at and change our own certificates.
type ownStore struct{ s *Server }

// Store returns the store in force.
func (o ownStore) Store() *certstore.Store { return o.s.identity.current.Load().certificates }

// Change calls fn with the store in force. A reload waits, or it would put a
// store in force that was read before the change.
func (o ownStore) Change(fn func(*certstore.Store) error) error {
	o.s.reloads.mu.Lock()
	defer o.s.reloads.mu.Unlock()
	if err := fn(o.Store()); err != nil {
		return err
	}
	o.s.own.checkSoon()
	return nil
}

// Status returns what the last check has found out.
func (o ownStore) Status(c *certstore.Certificate) (trust.PathStatus, bool) {
	o.s.own.mu.Lock()
	defer o.s.own.mu.Unlock()
	st, known := o.s.own.status[c.SHA256()]
	return st, known
}
