package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"

	"mailpact/bench/account"
	"mailpact/bench/stage"
)

// Postfix is a Postfix instance of its own, tuned for this load.
type Postfix struct {
	options Options
	process *process
}

// NewPostfix returns Postfix, not yet running.
func NewPostfix(o Options) *Postfix { return &Postfix{options: o} }

// PostfixMissing says why Postfix cannot be measured here; nil: it can.
func PostfixMissing() error {
	if _, err := exec.LookPath("postfix"); err != nil {
		return errors.New("Postfix is not installed (sudo scripts/peers)")
	}
	if os.Geteuid() != 0 {
		return errors.New("Postfix needs root")
	}
	return nil
}

// PostfixVersion returns the version of the installed Postfix.
func PostfixVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "postconf", "-dh", "mail_version").Output()
	if err != nil {
		return "of unknown version"
	}
	return string(out[:max(0, len(out)-1)])
}

// Name implements Peer.
func (p *Postfix) Name() string { return "Postfix" }

// Start implements Peer.
func (p *Postfix) Start(ctx context.Context, g account.Group) error {
	o := &p.options
	owner, err := user.Lookup("postfix")
	if err != nil {
		return fmt.Errorf("configuring Postfix: %w", err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return fmt.Errorf("configuring Postfix: %w", err)
	}
	for _, name := range []string{"etc", "spool", "data"} {
		if err := os.Mkdir(o.file(name), 0o755); err != nil {
			return fmt.Errorf("configuring Postfix: %w", err)
		}
	}
	if err := os.Chown(o.file("data"), uid, -1); err != nil {
		return fmt.Errorf("configuring Postfix: %w", err)
	}
	if err := p.configure(); err != nil {
		return err
	}
	if maps, err := os.ReadFile("/usr/share/postfix/dynamicmaps.cf"); err == nil {
		if err := os.WriteFile(filepath.Join(o.file("etc"), "dynamicmaps.cf"), maps, 0o644); err != nil {
			return fmt.Errorf("configuring Postfix: %w", err)
		}
	}
	// check also makes the queue's folders.
	if out, err := p.command(ctx, "check").CombinedOutput(); err != nil {
		return fmt.Errorf("configuring Postfix: %w\n%s", err, out)
	}
	p.process, err = start(ctx, g.Command("postfix", "-c", o.file("etc"), "start-fg"), o.file("log"), o.Address)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(o.file("maillog")))
	}
	return nil
}

// configure writes main.cf and master.cf into the folder etc.
func (p *Postfix) configure() error {
	o := &p.options
	_, sinkPort, err := net.SplitHostPort(o.SinkAddress)
	if err != nil {
		return fmt.Errorf("configuring Postfix: %w", err)
	}
	values := map[string]string{
		"Directory": o.Directory, "Address": o.Address, "SinkPort": sinkPort, "Root": o.Stage.RootFile,
		"Certificate": o.Stage.Gateway.CertificateFile, "Key": o.Stage.Gateway.KeyFile,
		"Gateway": stage.GatewayHost, "SinkHost": stage.SinkHost,
	}
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := render(name+".tmpl", filepath.Join(o.file("etc"), name), values); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postfix) command(ctx context.Context, verb string) *exec.Cmd {
	return exec.CommandContext(ctx, "postfix", "-c", p.options.file("etc"), verb)
}

// Check implements Peer. What Postfix relays without a certificate is refused
// by its configuration inbound and by the sink outbound; nothing is left to ask.
func (p *Postfix) Check(context.Context, int64) error { return nil }

// Stop implements Peer.
func (p *Postfix) Stop() error {
	if p.process == nil {
		return nil
	}
	out, err := p.command(context.Background(), "stop").CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("stopping Postfix: %w\n%s", err, out), p.process.stop())
	}
	return p.process.wait()
}
