package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"mailpact/internal/directory"
	"mailpact/internal/dsn"
	"mailpact/internal/message"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/send"
	"mailpact/internal/smtp"
	"mailpact/internal/store/sqlite"
)

// openTransport opens the store and wires routing, sending and the queue. The
// queue comes last: it uses the others, and is stopped before them.
func (s *Server) openTransport(ctx context.Context) error {
	cfg := s.o.Configuration
	engine, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(cfg.Server.DataDirectory, "queue.db"), Logger: s.o.Logger})
	if err != nil {
		return fmt.Errorf("opening the queue's store: %w", err)
	}
	s.store = engine
	s.undo.push("store", closing(engine.Close))
	s.router = routing.New(routing.Options{Config: s.directory.Current, Resolver: s.resolver, SelfAddresses: s.selfAddresses})
	s.sender = send.New(send.Options{
		Config: s.directory.Current, Router: s.router, Verifier: &s.identity, Certificates: &s.identity,
		Counters: s.counters, ProtocolLog: s.sendSession, Logger: s.o.Logger, Now: s.o.Now,
	})
	s.undo.push("connection pools", func(ctx context.Context) error { s.sender.Stop(ctx); return nil })
	s.queue, err = queue.Open(queue.Options{
		Engine: engine, Router: queueRouter{s.router}, Deliverer: s.sender,
		Reporter: &reporter{config: s.directory.Current}, Observer: &observer{counters: s.counters, tracking: s.tracking, hostname: string(cfg.Server.FQDN)},
		Settings: func() directory.Queue { return s.directory.Current().Queue }, Ready: engine.Ready,
		Logger: s.o.Logger, Now: s.o.Now,
	})
	if err != nil {
		return fmt.Errorf("opening the queue: %w", err)
	}
	s.undo.push("queue", s.queue.Stop)
	return nil
}

func (s *Server) sendSession(o protocollog.SessionOptions) send.SessionLog {
	return s.sendLog.Session(o)
}

// queueRouter shows routing to the queue.
type queueRouter struct{ router *routing.Router }

// Route returns the key of d's queue and, unless it may go, why it has to wait.
func (q queueRouter) Route(d smtp.Domain) (queue.Key, string) {
	r := q.router.Route(d)
	return queue.Key{DeliveryType: r.DeliveryType, NextHopDomain: r.NextHopDomain, TLSDomain: r.TLSDomain, Connector: r.Connector}, r.Hold
}

// reporter makes the queue's reports with dsn.
type reporter struct {
	config func() *directory.Configuration
}

// Report builds one report, or returns nil for a sender that gets none.
func (r *reporter) Report(q queue.Report) ([]byte, error) {
	m := q.Message
	if m.From.Null() {
		return nil, nil
	}
	cfg := r.config()
	o := dsn.Options{
		Kind: reportKind(q.Kind), ReportingMTA: cfg.Server.FQDN, From: cfg.TransportConfig.Postmaster, To: m.From.Mailbox,
		ID: fmt.Sprintf("dsn.%d.%d.%d", m.ID, q.Kind, q.Now.UnixNano()), Now: q.Now, Arrival: m.Received, Expires: q.Expires,
		Subject: m.Subject, OriginalMessageID: m.InternetMessageID, EnvelopeID: m.EnvelopeID, UTF8: m.UTF8,
		Original: withoutOwnFields(slices.Concat(q.Header, []byte("\r\n")), cfg.TransportConfig.AuthservID, false),
	}
	if q.Content != nil {
		o.Content = withoutOwnFields(q.Content, cfg.TransportConfig.AuthservID, true)
	}
	for _, to := range q.Recipients {
		o.Recipients = append(o.Recipients, dsn.Recipient{
			Address: to.To.Mailbox.String(), OriginalRecipient: to.Parameters.OriginalRecipient, Reply: to.Reply, LastError: to.LastError, RemoteHost: to.RemoteHost, LastAttempt: to.LastAttempt,
		})
	}
	return dsn.Build(o)
}

// reportKind is the kind of report of the queue as dsn calls it.
func reportKind(k queue.ReportKind) dsn.Kind {
	switch k {
	case queue.ReportFailed:
		return dsn.KindFailed
	case queue.ReportDelayed:
		return dsn.KindDelayed
	case queue.ReportRelayed:
		return dsn.KindRelayed
	case queue.ReportDelivered:
		return dsn.KindDelivered
	default:
		return dsn.KindUnknown // which dsn refuses
	}
}

// withoutOwnFields takes the organisation's own fields out of a message that goes
// back to its sender, and returns its header, with the body if wanted. A header
// that cannot be read is not returned at all.
func withoutOwnFields(original []byte, authservID string, whole bool) []byte {
	in := bytes.NewReader(original)
	h, err := message.ReadHeader(in, int64(len(original)))
	if err != nil {
		return nil
	}
	h.Remove(message.Firewall{AuthservID: authservID})
	out := h.AppendTo(nil)
	if !whole {
		return out
	}
	body, err := io.ReadAll(h.Body(in))
	if err != nil {
		return nil
	}
	return append(out, body...)
}
