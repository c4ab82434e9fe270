package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
)

// reloads remembers how the last reload went.
type reloads struct {
	mu   sync.Mutex // held while one runs
	last struct {
		sync.Mutex
		at    time.Time
		fault error
	}
}

// Reload puts a new configuration in force without ending a session: either all
// of it or, with an error, nothing. What a process fixes at its start (data
// directory, sockets, resolvers, CRL limits) cannot change, and an attempt says
// so. Sessions under way go on with the connector they began with; every MAIL
// is decided by the new configuration.
func (s *Server) Reload(ctx context.Context, cfg *directory.Configuration) error {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	err := s.reload(ctx, cfg)
	s.noteReload(err)
	return err
}

// Reconfigure is Reload with the configuration that Options.Origin has now. It
// fails when there is no Origin.
func (s *Server) Reconfigure(ctx context.Context) error {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	err := s.reconfigure(ctx)
	s.noteReload(err)
	return err
}

func (s *Server) reconfigure(ctx context.Context) error {
	if s.o.Origin == nil {
		return errors.New("this server was started with values and has no file to read again")
	}
	cfg, err := s.o.Origin.Read()
	if err != nil {
		return err
	}
	return s.reload(ctx, cfg)
}

// changeDirectory changes what operations own of the configuration and puts
// file and overlay, as they are then, in force. No reload comes between. A change
// that fails is the caller's to report; it leaves no finding, because what was
// in force before still is.
func (s *Server) changeDirectory(ctx context.Context, c directory.OverlayChange) (*directory.Configuration, uint64, error) {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	c.Apply = func(cfg *directory.Configuration) error { return s.reload(ctx, cfg) }
	cfg, version, err := s.o.Origin.Change(ctx, c)
	if err == nil && !c.DryRun {
		s.noteReload(nil)
	}
	return cfg, version, err
}

// overlayChange is what operations change the overlay with; nil without an Origin.
func (s *Server) overlayChange() admin.ChangeFunc {
	if s.o.Origin == nil {
		return nil
	}
	return s.changeDirectory
}

func (s *Server) noteReload(err error) {
	s.reloads.last.Lock()
	s.reloads.last.at, s.reloads.last.fault = s.o.Now(), err
	s.reloads.last.Unlock()
	if err != nil {
		s.o.Logger.Error("the configuration was not reloaded; the old one stays in force", slog.String("error", err.Error()))
	}
}

// reload does everything that can fail before it touches anything live.
func (s *Server) reload(ctx context.Context, cfg *directory.Configuration) error {
	if err := fixedChanges(s.directory.Current(), cfg); err != nil {
		return err
	}
	next, err := s.readIdentity(cfg)
	if err != nil {
		return err
	}
	commit, err := s.receive.Rebind(ctx, cfg)
	if err != nil {
		return err
	}
	// From here on nothing fails.
	s.identity.current.Store(next)
	version := s.directory.Replace(cfg)
	s.crls.Configure(cfg.Revocation)
	if err := commit(); err != nil {
		s.o.Logger.Warn("closing listeners that the configuration no longer has", slog.String("error", err.Error()))
	}
	s.own.check(ctx)
	s.o.Logger.Info("the configuration was reloaded", slog.Uint64("version", version))
	s.logFindings()
	return nil
}

// fixedChanges returns an error that names everything that needs a restart.
func fixedChanges(old, next *directory.Configuration) error {
	var errs []error
	fixed := func(key string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("%s cannot change while the server runs; restart it for that", key))
		}
	}
	a, b := &old.Server, &next.Server
	fixed("server.role", a.Role == b.Role)
	fixed("server.dataDirectory", a.DataDirectory == b.DataDirectory)
	fixed("server.adminSocket", a.AdminSocket == b.AdminSocket)
	fixed("server.http", a.HTTP == b.HTTP)
	fixed("server.resolvers", slices.Equal(a.Resolvers, b.Resolvers))
	fixed("authority", old.Authority == next.Authority)
	c, d := &old.Revocation, &next.Revocation
	fixed("revocation.perURL", c.PerURL == d.PerURL)
	fixed("revocation.perChain", c.PerChain == d.PerChain)
	fixed("revocation.maxBytes", c.MaxBytes == d.MaxBytes)
	fixed("revocation.allowPrivateTargets", c.AllowPrivateTargets == d.AllowPrivateTargets)
	return errors.Join(errs...)
}

// findings is the fault of the last reload, if it failed.
func (r *reloads) findings() []admin.Finding {
	r.last.Lock()
	defer r.last.Unlock()
	if r.last.fault == nil {
		return nil
	}
	return []admin.Finding{{
		Level: directory.LevelError, Object: "configuration",
		Text: "the reload of " + r.last.at.UTC().Format(time.RFC3339) + " failed, the configuration before it is in force: " + r.last.fault.Error(),
		Fix:  "Correct the file (mailpact config check FILE) and send SIGHUP again",
	}}
}
