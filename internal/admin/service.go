package admin

import (
	"log/slog"
	"time"

	"mailpact/internal/authority"
	"mailpact/internal/counters"
	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/revocation"
)

// Options are the rooms that operations work on. All must be set but Logger,
// Now, Change and Authority; without a server, only what its operations use.
type Options struct {
	Directory    *directory.Directory
	Queue        *queue.Queue
	Counters     *counters.Set
	Certificates OwnCertificates
	// PartnerCertificates returns the good certificates that partners have shown.
	PartnerCertificates func() []PartnerCertificate
	CRLs                *revocation.Checker
	Listeners           func() []Listener
	// Change changes what operations own of the configuration; nil: they cannot.
	Change ChangeFunc
	// Authority is our own authority, whose files need not be there; nil: the
	// operations on it fail.
	Authority *authority.Registry
	// Offline means that there is no server: only operations marked Offline work.
	Offline bool
	// Findings returns what an administrator should know now.
	Findings func() []Finding
	// Logger is told of internal errors; nil: nobody is.
	Logger  *slog.Logger
	Started time.Time
	Now     func() time.Time
}

// Service runs operations in the server's process. It is safe for concurrent use.
type Service struct {
	directory           *directory.Directory
	queue               *queue.Queue
	counters            *counters.Set
	certificates        OwnCertificates
	partnerCertificates func() []PartnerCertificate
	crls                *revocation.Checker
	listeners           func() []Listener
	findings            func() []Finding
	change              ChangeFunc
	authority           *authority.Registry
	offline             bool
	logger              *slog.Logger
	started             time.Time
	now                 func() time.Time
	operations          []Operation
}

// New makes a Service.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{
		directory: o.Directory, queue: o.Queue, counters: o.Counters, certificates: o.Certificates, partnerCertificates: o.PartnerCertificates, crls: o.CRLs,
		listeners: o.Listeners, findings: o.Findings, change: o.Change, authority: o.Authority, offline: o.Offline, logger: o.Logger, started: o.Started, now: o.Now,
		operations: Operations(),
	}
}
