package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"mailpact/internal/accounts"
	"mailpact/internal/admin"
	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/domainsec"
	"mailpact/internal/revocation"
	"mailpact/internal/trust"
)

// identity is one version of what we trust, what we show and whom we know: all
// come from files and are read together.
type identity struct {
	certificates *certstore.Store
	verifier     *trust.Verifier
	accounts     *accounts.Accounts
}

// findings are what is unwise about what we show and whom we trust.
func (i *identity) findings(cfg *directory.Configuration) []directory.Finding {
	return append(i.certificates.Findings(cfg.CertificateNames(), len(cfg.Partners) > 0), i.verifier.Findings(cfg.Partners)...)
}

// liveIdentity answers from the identity in force, which a reload replaces. It
// is safe for concurrent use.
type liveIdentity struct {
	current atomic.Pointer[identity]
	seen    *seenCertificates // nil: nothing is remembered
}

// Select returns our certificates for name, the one to use first.
func (l *liveIdentity) Select(name directory.CertificateName, usable func(*certstore.Certificate) bool) []*certstore.Certificate {
	return l.current.Load().certificates.Select(name, usable)
}

// All returns all our certificates.
func (l *liveIdentity) All() []*certstore.Certificate { return l.current.Load().certificates.All() }

// Judge gathers what is known of a peer's certificate.
func (l *liveIdentity) Judge(ctx context.Context, r trust.Request) *domainsec.PeerFacts {
	facts := l.current.Load().verifier.Judge(ctx, r)
	if l.seen != nil {
		l.seen.note(facts, r.Partner)
	}
	return facts
}

// NameMatches compares names and nothing else.
func (l *liveIdentity) NameMatches(leaf *x509.Certificate, p *directory.Partner) string {
	return l.current.Load().verifier.NameMatches(leaf, p)
}

// OwnStatus asks about our own certificate.
func (l *liveIdentity) OwnStatus(ctx context.Context, chain []*x509.Certificate) trust.PathStatus {
	return l.current.Load().verifier.OwnStatus(ctx, chain)
}

// openTrust opens the resolver, the CRL cache, and the first identity.
func (s *Server) openTrust(context.Context) error {
	cfg := s.o.Configuration
	s.resolver = dnsx.NewStub(cfg.Server.Resolvers, dnsx.StubOptions{})
	var err error
	if s.crls, err = revocation.Open(revocation.Options{
		Directory: filepath.Join(cfg.Server.DataDirectory, "crl"), Settings: cfg.Revocation, Resolver: s.resolver, Logger: s.o.Logger, Now: s.o.Now,
	}); err != nil {
		return err
	}
	s.issuers = s.crls.Issuers()
	s.undo.push("CRL cache", func(context.Context) error { s.crls.Stop(); return nil })
	first, err := s.readIdentity(cfg)
	if err != nil {
		return err
	}
	s.identity.current.Store(first)
	s.own = newOwnCertificates(&s.identity, s.renewSelfSigned, s.o.Logger)
	s.own.checked = s.lookAtExpiry
	if !cfg.Revocation.AllowPrivateTargets { // else inside is where the partners are
		s.own.reach = s.crls.Reach
	}
	return nil
}

// readIdentity reads the files that cfg names, and makes a self-signed
// certificate when it names none. Nothing in force is touched.
func (s *Server) readIdentity(cfg *directory.Configuration) (*identity, error) {
	store, err := openCertificates(cfg, s.o.Now)
	if err != nil {
		return nil, err
	}
	if len(cfg.Certificates) == 0 {
		if err := s.ensureSelfSigned(store, cfg); err != nil {
			return nil, err
		}
	}
	verifier, err := trust.New(trust.Options{
		Config: cfg.Trust, Revocation: admin.PathRevocation{Checker: s.crls}, Issuers: s.issuers, SystemRoots: s.o.SystemRoots, Now: s.o.Now,
	})
	if err != nil {
		return nil, err
	}
	known, err := readAccounts(cfg.Server.AccountsFile)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	return &identity{certificates: store, verifier: verifier, accounts: known}, nil
}

// openCertificates opens our own certificates with the seal of their keys: the
// file that cfg names, or what systemd hands over.
func openCertificates(cfg *directory.Configuration, now func() time.Time) (*certstore.Store, error) {
	seal, err := certstore.OpenSeal(cfg.Server.KeySealFile, os.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return nil, err
	}
	return certstore.Open(certstore.Options{
		Files: cfg.Certificates, KeysDirectory: filepath.Join(cfg.Server.DataDirectory, "keys"), Seal: seal, Now: now,
	})
}

func (s *Server) ensureSelfSigned(store *certstore.Store, cfg *directory.Configuration) error {
	names := cfg.KnownNames()
	created, err := store.EnsureSelfSigned(names)
	if err != nil {
		return fmt.Errorf("making a self-signed certificate: %w", err)
	}
	if created {
		s.o.Logger.Info("made a self-signed certificate", slog.Any("names", names))
	}
	return nil
}

// renewSelfSigned keeps certificates of our own making from expiring.
func (s *Server) renewSelfSigned() error {
	cfg := s.directory.Current()
	if len(cfg.Certificates) > 0 {
		return nil
	}
	return s.ensureSelfSigned(s.identity.current.Load().certificates, cfg)
}

// SelfSigned is a certificate that the server made because the configuration names none.
type SelfSigned struct {
	Names    string
	NotAfter string // date
}

// selfMade returns the self-signed certificate in use, if there is one.
func (s *Server) selfMade() []SelfSigned {
	cfg := s.directory.Current()
	if len(cfg.Certificates) > 0 {
		return nil
	}
	for _, c := range s.identity.Select(directory.CertificateName(cfg.Server.FQDN), nil) {
		if c.SelfSigned {
			return []SelfSigned{{Names: strings.Join(c.Names(), ", "), NotAfter: c.Leaf().NotAfter.Format("2006-01-02")}}
		}
	}
	return nil
}
