package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/authority"
	"mailpact/internal/directory"
)

// rotationInterval is how often the CRL of our own authority is looked at. It is
// renewed at half of its life, so that a failure has the other half to be seen.
const rotationInterval = time.Minute

// ownAuthority serves CRL and certificate of our own authority, and renews the
// CRL in time. The authority's files may be missing, and may come later.
type ownAuthority struct {
	registry *authority.Registry
	http     *httpServer
	logger   *slog.Logger
	now      func() time.Time

	mu    sync.Mutex
	fault error // of the last look; nil: there was none
}

func (s *Server) openAuthority(context.Context) error {
	settings := s.o.Configuration.Authority
	s.authority = &ownAuthority{
		registry: authority.NewRegistry(settings.Directory, s.o.Now), http: &httpServer{}, logger: s.o.Logger, now: s.o.Now,
	}
	if settings.HTTP == "" {
		return nil
	}
	var err error
	if s.authority.http, err = bindHTTP("authority.http", settings.HTTP, s.authority.registry.Handler()); err != nil {
		return err
	}
	s.undo.push("listener of the authority", s.authority.http.stop)
	return nil
}

// start serves, and looks at the CRL now and then regularly, until undo's step runs.
func (a *ownAuthority) start(undo *stack) {
	a.rotate()
	a.http.start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(rotationInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				a.rotate()
			case <-ctx.Done():
				return
			}
		}
	}()
	undo.push("renewal of our CRL", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

func (a *ownAuthority) rotate() {
	rotated, err := a.registry.Rotate()
	if errors.Is(err, authority.ErrNoAuthority) {
		err = nil
	}
	a.mu.Lock()
	a.fault = err
	a.mu.Unlock()
	switch {
	case err != nil:
		a.logger.Error("renewing the CRL of our authority", slog.String("error", err.Error()))
	case rotated:
		a.logger.Info("renewed the CRL of our authority")
	}
}

// findings say whether partners can still use our CRL.
func (a *ownAuthority) findings() []admin.Finding {
	const object = "authority"
	info, err := a.registry.Info()
	if errors.Is(err, authority.ErrNoAuthority) || err == nil && info.Certificate == nil {
		return nil
	}
	a.mu.Lock()
	fault := a.fault
	a.mu.Unlock()
	if err == nil {
		err = fault
	}
	var out []admin.Finding
	if err != nil {
		out = append(out, admin.Finding{
			Level: directory.LevelWarning, Object: object, Text: "its CRL could not be renewed: " + err.Error(),
			Fix: "Give the server's user the right to read and write the authority's directory, and run mailpact ca publish",
		})
	}
	if !info.NextUpdate.IsZero() && !a.now().Before(info.NextUpdate) {
		out = append(out, admin.Finding{
			Level: directory.LevelError, Object: object, Fix: "Run mailpact ca publish",
			Text: fmt.Sprintf("its CRL ended on %s, and partners refuse what it has issued", info.NextUpdate.UTC().Format(time.RFC3339)),
		})
	}
	return out
}
