package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"

	"mailpact/bench/account"
	"mailpact/bench/stage"
	"mailpact/internal/admin"
)

// Mailpact is the product.
type Mailpact struct {
	options Options
	command []string
	process *process
}

// NewMailpact returns Mailpact, not yet running. The command includes "serve".
func NewMailpact(o Options, command []string) *Mailpact {
	return &Mailpact{options: o, command: command}
}

// Name implements Peer.
func (m *Mailpact) Name() string { return "Mailpact" }

// Start implements Peer.
func (m *Mailpact) Start(ctx context.Context, g account.Group) error {
	o := &m.options
	config, err := m.configure()
	if err != nil {
		return err
	}
	args := append(slices.Clone(m.command[1:]), "--config", config, "--log-level", "warn")
	m.process, err = start(ctx, g.Command(m.command[0], args...), o.file("log"), o.Address)
	return err
}

// configure writes the configuration file and returns its path.
func (m *Mailpact) configure() (string, error) {
	o := &m.options
	_, sinkPort, err := net.SplitHostPort(o.SinkAddress)
	if err != nil {
		return "", fmt.Errorf("configuring Mailpact: %w", err)
	}
	file := o.file("mailpact.yaml")
	return file, render("mailpact.yaml.tmpl", file, map[string]string{
		"Address": o.Address, "SinkPort": sinkPort, "DNS": o.Stage.DNS.String(), "Root": o.Stage.RootFile,
		"Certificate": o.Stage.Gateway.CertificateFile, "Key": o.Stage.Gateway.KeyFile,
		"Gateway": stage.GatewayHost, "Client": stage.ClientDomain, "Sink": stage.SinkDomain,
	})
}

// Check implements Peer: each message must have come in, and gone out, domain-secured.
func (m *Mailpact) Check(ctx context.Context, messages int64) error {
	s, err := admin.Call[admin.Counters](ctx, admin.NewClient(m.options.file("data/admin.sock")), "counters.show", nil)
	if err != nil {
		return fmt.Errorf("reading Mailpact's counters: %w", err)
	}
	if s.DomainSecuredMessagesReceived < uint64(messages) || s.DomainSecuredMessagesSent < uint64(messages) || len(s.Refusals) > 0 {
		b, _ := json.Marshal(s) // plain numbers
		return fmt.Errorf("of %d messages not all were domain-secured on both sides: %s\n%s", messages, b, tail(m.process.log))
	}
	return nil
}

// Stop implements Peer.
func (m *Mailpact) Stop() error {
	if m.process == nil {
		return nil
	}
	return m.process.stop()
}
