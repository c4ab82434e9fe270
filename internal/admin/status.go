package admin

import (
	"context"
	"runtime/debug"
	"time"

	"mailpact/internal/directory"
)

// Empty is the request of operations that take nothing.
type Empty struct{}

// Status is the server's state.
type Status struct {
	FQDN      string     `json:"fqdn"`
	Role      string     `json:"role"`
	Version   string     `json:"version"`
	Started   time.Time  `json:"started"`
	Listeners []Listener `json:"listeners"`
	// Healthy is false while a finding of level error exists or a part of the server is failing.
	Healthy  bool      `json:"healthy"`
	Findings []Finding `json:"findings"`
}

// Listener is one bound address of a receive connector.
type Listener struct {
	Connector string `json:"connector"`
	Address   string `json:"address"`
}

// Finding is something an administrator should know: a fault of the
// configuration that does not stop it, or a part of the server that is failing.
type Finding = directory.Finding

// StatusShow returns the server's state.
func (s *Service) StatusShow(_ context.Context, _ Empty) (Status, error) {
	cfg := s.directory.Current()
	findings := s.findings()
	healthy := true
	for _, f := range findings {
		healthy = healthy && f.Level != directory.LevelError
	}
	return Status{
		FQDN: string(cfg.Server.FQDN), Role: string(cfg.Server.Role), Version: Version(), Started: s.started,
		Listeners: s.listeners(), Healthy: healthy, Findings: findings,
	}, nil
}

// Version is the module's version as the build recorded it, or "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
