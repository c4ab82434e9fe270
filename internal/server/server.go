package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"mailpact/internal/accounts"
	"mailpact/internal/admin"
	"mailpact/internal/counters"
	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/receive"
	"mailpact/internal/revocation"
	"mailpact/internal/routing"
	"mailpact/internal/send"
	"mailpact/internal/store/sqlite"
	"mailpact/internal/tracking"
)

// StopBound is how long a stop should be given: transactions under way finish
// within it or are cut.
const StopBound = 30 * time.Second

// Options are what a Server is built from.
type Options struct {
	// Configuration is valid and complete; the server does not change it.
	Configuration *directory.Configuration
	// Origin is where Configuration came from. nil: it is not read again, and
	// operations cannot change it.
	Origin *directory.Origin
	Logger *slog.Logger // nil: nobody reads
	// SystemRoots replaces the machine's roots; nil: the machine's.
	SystemRoots *x509.CertPool
	// Inherited are listening sockets that a service manager has opened. A
	// binding whose address one of them has uses it; one that no binding
	// uses is an error.
	Inherited []net.Listener
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Server is one running gateway.
type Server struct {
	o         Options
	directory *directory.Directory
	started   time.Time
	undo      stack
	reloads   reloads
	inherited inheritance

	counters   *counters.Set
	receiveLog *protocollog.Log
	sendLog    *protocollog.Log
	tracking   *tracking.Log
	resolver   dnsx.Resolver
	crls       *revocation.Checker
	issuers    *revocation.Issuers
	identity   liveIdentity
	own        *ownCertificates
	expiry     expiryTeller
	router     *routing.Router
	sender     *send.Sender
	store      *sqlite.Engine
	queue      *queue.Queue
	receive    *receive.Server
	admin      *admin.Service
	socket     *admin.Socket
	http       *httpServer
	authority  *ownAuthority
}

// Setup is what a person wants to know of a server without a file.
type Setup struct {
	DataDirectory, AdminSocket string
	Listeners                  []admin.Listener
	SelfSigned                 []SelfSigned
}

// New opens and binds everything and serves nothing. After an error nothing is
// left open.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, directory: directory.New(o.Configuration), started: o.Now(), counters: counters.New()}
	s.inherited.free = o.Inherited
	s.undo.push("inherited sockets", func(context.Context) error { return s.inherited.close() })
	for _, build := range []func(context.Context) error{
		s.openData, s.openRecords, s.openSeen, s.openTrust, s.openTransport, s.openListeners, s.openAuthority, s.openManagement,
	} {
		if err := build(ctx); err != nil {
			return nil, errors.Join(err, s.undo.unwind(ctx))
		}
	}
	return s, nil
}

// Start serves. It must be called once, after New. An error means that the
// queue could not be read back; Stop is due then as ever.
func (s *Server) Start(ctx context.Context) error {
	s.own.start(&s.undo)
	s.crls.Start(context.WithoutCancel(ctx)) // ended by Stop, not by the caller's context
	if err := s.queue.Start(ctx); err != nil {
		return fmt.Errorf("reading the queue back: %w", err)
	}
	s.socket.Start()
	s.http.start()
	s.authority.start(&s.undo)
	s.receive.Start()
	s.logFindings()
	for _, l := range s.listeners() {
		s.o.Logger.Info("listening", slog.String("connector", l.Connector), slog.String("address", l.Address))
	}
	return nil
}

// logFindings tells the log what an administrator should know now.
func (s *Server) logFindings() {
	for _, f := range s.findings() {
		s.o.Logger.Warn("finding", slog.String("level", string(f.Level)), slog.String("object", f.Object), slog.String("text", f.Text), slog.String("fix", f.Fix))
	}
}

// Stop ends everything in reverse order: listeners first, then sessions, whose
// transactions may finish until ctx ends, then deliveries, then the stores. A
// second call does nothing.
func (s *Server) Stop(ctx context.Context) error { return s.undo.unwind(ctx) }

// Setup returns what New has set up.
func (s *Server) Setup() Setup {
	cfg := s.directory.Current()
	return Setup{DataDirectory: cfg.Server.DataDirectory, AdminSocket: cfg.Server.AdminSocket, Listeners: s.listeners(), SelfSigned: s.selfMade()}
}

func (s *Server) openData(context.Context) error {
	unlock, err := lockDataDirectory(s.o.Configuration.Server.DataDirectory)
	if err != nil {
		return err
	}
	s.undo.push("data directory lock", unlock)
	return nil
}

func (s *Server) openRecords(context.Context) error {
	logs := filepath.Join(s.o.Configuration.Server.DataDirectory, "logs")
	var err error
	if s.receiveLog, err = protocollog.Open(protocollog.Options{
		Directory: filepath.Join(logs, "protocol", "receive"), Prefix: protocollog.ReceivePrefix, Type: protocollog.ReceiveType, Now: s.o.Now, OnError: s.logFault("receive protocol log"),
	}); err != nil {
		return err
	}
	s.undo.push("receive protocol log", closing(s.receiveLog.Close))
	if s.sendLog, err = protocollog.Open(protocollog.Options{
		Directory: filepath.Join(logs, "protocol", "send"), Prefix: protocollog.SendPrefix, Type: protocollog.SendType, Now: s.o.Now, OnError: s.logFault("send protocol log"),
	}); err != nil {
		return err
	}
	s.undo.push("send protocol log", closing(s.sendLog.Close))
	if s.tracking, err = tracking.Open(tracking.Options{Directory: filepath.Join(logs, "tracking"), Now: s.o.Now, OnError: s.logFault("message tracking log")}); err != nil {
		return err
	}
	s.undo.push("message tracking log", closing(s.tracking.Close))
	return nil
}

func (s *Server) openListeners(context.Context) error {
	var err error
	s.receive, err = receive.New(receive.Options{
		Configuration: s.directory.Current,
		Certificates:  &s.identity,
		Judge:         &s.identity,
		Accounts:      &liveAccounts{identity: &s.identity, desk: accounts.NewDesk()},
		Queue:         s.queue,
		Recorder:      &receive.Records{Protocol: s.receiveLog, Tracking: s.tracking, Counters: s.counters},
		OwnUsable:     s.own.usable,
		Listen:        s.inherited.listen,
		Logger:        s.o.Logger,
		Now:           s.o.Now,
	})
	if err != nil {
		return err
	}
	s.undo.push("receive connectors", s.receive.Stop)
	return s.inherited.check()
}

func (s *Server) openManagement(context.Context) error {
	cfg := s.o.Configuration
	s.admin = admin.New(admin.Options{
		Directory: s.directory, Queue: s.queue, Counters: s.counters, Certificates: ownStore{s}, PartnerCertificates: s.partnerCertificates, CRLs: s.crls,
		Listeners: s.listeners, Change: s.overlayChange(), Authority: s.authority.registry, Findings: s.findings, Logger: s.o.Logger, Started: s.started, Now: s.o.Now,
	})
	var err error
	if s.socket, err = s.admin.ListenSocket(cfg.Server.AdminSocket); err != nil {
		return err
	}
	s.undo.push("admin socket", s.socket.Stop)
	if s.http, err = listenHTTP(cfg.Server.HTTP, s.admin, s.counters); err != nil {
		return err
	}
	s.undo.push("HTTP listener", s.http.stop)
	return nil
}

// listeners returns what is bound now.
func (s *Server) listeners() []admin.Listener {
	out := []admin.Listener{}
	for _, c := range s.receive.Status() {
		for _, a := range c.Addresses {
			out = append(out, admin.Listener{Connector: c.Name, Address: a.String()})
		}
	}
	return out
}

// selfAddresses returns where this server receives mail, so that routing sees loops.
func (s *Server) selfAddresses() []netip.AddrPort {
	if s.receive == nil {
		return nil
	}
	var out []netip.AddrPort
	for _, a := range s.receive.Addrs() {
		if t, ok := a.(*net.TCPAddr); ok {
			out = append(out, t.AddrPort())
		}
	}
	return out
}

// findings returns what an administrator should know now.
func (s *Server) findings() []admin.Finding {
	cfg := s.directory.Current()
	f := admin.ConfigurationFindings(cfg)
	f = append(f, s.identity.current.Load().findings(cfg)...)
	f = append(f, s.own.findings()...)
	f = append(f, s.identity.seen.findings(cfg)...)
	f = append(f, s.authority.findings()...)
	f = append(f, s.crls.Findings()...)
	f = append(f, s.reloads.findings()...)
	f = append(f, diskFindings(s.store.Condition(), cfg.Server.DataDirectory)...)
	for _, l := range []struct {
		name string
		lost int64
	}{
		{"receive protocol log", s.receiveLog.Lost()},
		{"send protocol log", s.sendLog.Lost()},
		{"message tracking log", s.tracking.Lost()},
	} {
		if l.lost > 0 {
			f = append(f, admin.Finding{
				Level: directory.LevelWarning, Object: l.name, Text: fmt.Sprintf("%d rows could not be written", l.lost),
				Fix: "Make room on the disk of " + filepath.Join(cfg.Server.DataDirectory, "logs"),
			})
		}
	}
	return f
}

// logFault returns what a record tells of its disk's faults: mail goes on, and
// somebody should know.
func (s *Server) logFault(which string) func(error) {
	return func(err error) { s.o.Logger.Error("writing the "+which, slog.String("error", err.Error())) }
}

func closing(c func() error) func(context.Context) error {
	return func(context.Context) error { return c() }
}
