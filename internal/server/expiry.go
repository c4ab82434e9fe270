package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"mailpact/internal/certstore"
)

// expiryTeller writes a line for each threshold that a certificate passes, once
// in a process.
type expiryTeller struct {
	mu   sync.Mutex
	told map[string]int // threshold by SHA-256 thumbprint
}

func (t *expiryTeller) tell(l *slog.Logger, whose, sha256, thumbprint, subject string, notAfter, now time.Time) {
	threshold := certstore.ExpiryThreshold(notAfter, now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if threshold == 0 || t.told[sha256] == threshold {
		return
	}
	if t.told == nil {
		t.told = map[string]int{}
	}
	t.told[sha256] = threshold
	level := slog.LevelWarn
	if threshold == 3 {
		level = slog.LevelError
	}
	l.Log(context.Background(), level, "a certificate expires soon", slog.String("whose", whose), slog.String("thumbprint", thumbprint),
		slog.String("subject", subject), slog.Time("notAfter", notAfter), slog.Int("days", certstore.DaysLeft(notAfter, now)))
}

// openSeen opens the record of partners' certificates.
func (s *Server) openSeen(context.Context) error {
	var err error
	if s.identity.seen, err = openSeen(filepath.Join(s.o.Configuration.Server.DataDirectory, "partner-certificates.json"), s.o.Now); err != nil {
		return err
	}
	s.undo.push("record of partners' certificates", func(context.Context) error { return s.identity.seen.save() })
	return nil
}

// lookAtExpiry tells the log of certificates that end soon, ours and partners',
// and saves what partners have shown.
func (s *Server) lookAtExpiry() {
	cfg, now := s.directory.Current(), s.o.Now()
	for _, name := range cfg.CertificateNames() {
		if found := s.identity.Select(name, s.own.usable); len(found) > 0 {
			c := found[0]
			s.expiry.tell(s.o.Logger, "ours", c.SHA256(), c.Thumbprint(), c.Leaf().Subject.String(), c.Leaf().NotAfter, now)
		}
	}
	for _, c := range ending(s.identity.seen.list(cfg), now) {
		s.expiry.tell(s.o.Logger, c.Domain, c.SHA256, c.Thumbprint, c.Subject, c.NotAfter, now)
	}
	if err := s.identity.seen.save(); err != nil {
		s.o.Logger.Error("the record of partners' certificates was not saved", slog.String("error", err.Error()))
	}
}
