package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mailpact/bench/account"
	"mailpact/bench/load"
	"mailpact/bench/peers"
	"mailpact/bench/stage"
)

// idleOptions are the flags of idle.
type idleOptions struct {
	sessions int
	settle   time.Duration
	binary   string
	atMost   int64
	profile  string
}

// newIdle makes the command that measures what sessions cost that do nothing.
func newIdle() *cobra.Command {
	var o idleOptions
	c := &cobra.Command{
		Use:   "idle",
		Short: "Measure the memory of idle TLS sessions",
		Long: `Starts Mailpact, opens sessions (EHLO, STARTTLS with a client certificate, EHLO,
NOOP), leaves them alone, and reads the anonymous memory of the server's process
before and after. Client and server are processes of their own.

Exit code 1: a session could not be opened, had died when it was asked at the end,
or cost more than --at-most octets.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return idle(c.Context(), o, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.IntVar(&o.sessions, "sessions", 10000, "sessions to open")
	f.DurationVar(&o.settle, "settle", 10*time.Second, "how long they are left alone before memory is read")
	f.StringVar(&o.binary, "mailpact", "bin/mailpact", "the program to measure")
	f.Int64Var(&o.atMost, "at-most", 40<<10, "octets that a session may cost")
	f.StringVar(&o.profile, "profile", "", "run Mailpact inside the bench, and write its profiles to this folder")
	return c
}

func idle(ctx context.Context, o idleOptions, out io.Writer) (err error) {
	directory, err := os.MkdirTemp("", "mailpact-idle-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	st, err := stage.Open(directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	address, err := stage.FreeAddress()
	if err != nil {
		return err
	}
	command, err := o.command()
	if err != nil {
		return err
	}
	group := account.NewGroup("mailpact-" + filepath.Base(directory))
	defer func() { err = errors.Join(err, group.Close()) }()
	// Nothing is sent: that nobody listens at the sink's address does not matter.
	peer := peers.NewMailpact(peers.Options{Stage: st, Directory: directory, Address: address, SinkAddress: address}, command)
	defer func() { err = errors.Join(err, peer.Stop()) }()
	if err := peer.Start(ctx, group); err != nil {
		return err
	}
	return o.measure(ctx, out, group, load.Options{
		Address: address, ServerName: stage.GatewayHost, Credentials: st.Client, EHLO: stage.ClientDomain, Connections: o.sessions,
	})
}

// command is what starts the server.
func (o *idleOptions) command() ([]string, error) {
	if o.profile == "" {
		binary, err := filepath.Abs(o.binary)
		if err != nil {
			return nil, fmt.Errorf("finding Mailpact: %w", err)
		}
		return []string{binary, "serve"}, nil
	}
	profiles, err := filepath.Abs(o.profile)
	if err != nil {
		return nil, fmt.Errorf("making the folder for profiles: %w", err)
	}
	if err := os.MkdirAll(profiles, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for profiles: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return []string{program, "serve", "--profile", profiles}, nil
}

func (o *idleOptions) measure(ctx context.Context, out io.Writer, g account.Group, l load.Options) error {
	// One session first, so that what is made once is there before.
	warm, err := load.Open(ctx, load.Options{
		Address: l.Address, ServerName: l.ServerName, Credentials: l.Credentials, EHLO: l.EHLO, Connections: 1,
	})
	if err != nil {
		return err
	}
	warm.Close()
	before, err := g.AnonymousBytes()
	if err != nil {
		return err
	}
	began := time.Now()
	sessions, err := load.Open(ctx, l)
	if err != nil {
		return err
	}
	defer sessions.Close()
	if err := sessions.Ask(); err != nil {
		return err
	}
	opened := time.Since(began)
	fresh, err := g.AnonymousBytes()
	if err != nil {
		return err
	}
	select {
	case <-time.After(o.settle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := g.AnonymousBytes()
	if err != nil {
		return err
	}
	if err := sessions.Ask(); err != nil {
		return err
	}
	each := (after - before) / int64(l.Connections)
	fmt.Fprintf(out, "%d idle TLS sessions, opened in %s: %.1f MB before, %.1f MB when all were open, %.1f MB after %s of quiet: %.1f KB a session\n",
		l.Connections, opened.Round(10*time.Millisecond), megabytes(before), megabytes(fresh), megabytes(after), o.settle, float64(each)/1024)
	if each > o.atMost {
		return fmt.Errorf("an idle session costs %d octets, more than %d", each, o.atMost)
	}
	return nil
}

func megabytes(octets int64) float64 { return float64(octets) / (1 << 20) }
