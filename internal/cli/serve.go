package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"mailpact/internal/server"
)

func newServe() *cobra.Command {
	var o server.ConfigureOptions
	var level string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server in the foreground",
		Long: `Run the server until SIGTERM or SIGINT, which let running transactions finish.
SIGHUP reads the configuration file again; if it is at fault, the old one stays.

Without --config it makes a data directory, a self-signed certificate for every
name it knows (12 months) and default connectors, and says what to do next. The
word "ready" stands alone on a line of stderr once every listener is bound.

Exit codes: 0 ended by a signal, 1 failed, 2 the configuration cannot be used.`,
		Example: `  mailpact serve --listen 127.0.0.1:2525
  mailpact serve --config /etc/mailpact/mailpact.yaml`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), o, level, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&o.File, "config", "", "configuration file")
	c.Flags().StringVar(&o.DataDirectory, "data", "", "data directory, instead of the file's or the default one")
	c.Flags().StringVar(&o.Listen, "listen", "", "address and port of the receive connector, instead of port 25 of every address")
	c.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return c
}

func serve(ctx context.Context, o server.ConfigureOptions, level string, out, errOut io.Writer) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return &usageError{fmt.Errorf("--log-level %q: use debug, info, warn or error", level)}
	}
	// From the first moment to the last: a SIGHUP that nobody waits for would
	// end the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	logger := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: l}))
	cfg, err := server.Configure(o)
	if err != nil {
		var faults server.Faults
		if errors.As(err, &faults) {
			for _, f := range faults {
				fmt.Fprintln(errOut, printable(f.String()))
			}
			err = fmt.Errorf("the configuration has %d fault(s); nothing was started", len(faults))
		}
		return &usageError{err}
	}
	sockets, err := server.InheritedListeners(os.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	s, err := server.New(ctx, server.Options{Configuration: cfg, Origin: o.Origin(), Logger: logger, Inherited: sockets})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return errors.Join(err, stop(ctx, s))
	}
	if o.File == "" {
		writeFirstSteps(out, s)
	}
	fmt.Fprintln(errOut, "ready")
	run(ctx, s, runOptions{hangup: hangup, logger: logger})
	logger.Info("stopping: transactions under way may finish")
	return stop(ctx, s)
}

// runOptions are what a running server is led by.
type runOptions struct {
	hangup <-chan os.Signal
	logger *slog.Logger
}

// run waits for the end, and reloads at SIGHUP.
func run(ctx context.Context, s *server.Server, o runOptions) {
	notifier := server.NotifierFromEnvironment(os.Getenv, os.Getpid())
	logFault(o.logger, notifier.Ready())
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() { notifier.Watch(ctx, s.Alive) })
	for {
		select {
		case <-o.hangup:
			logFault(o.logger, notifier.Reloading())
			_ = s.Reconfigure(ctx) // how it went is logged, and a finding until the next one succeeds
			logFault(o.logger, notifier.Ready())
		case <-ctx.Done():
			logFault(o.logger, notifier.Stopping())
			return
		}
	}
}

func logFault(logger *slog.Logger, err error) {
	if err != nil {
		logger.Warn(err.Error())
	}
}

func stop(ctx context.Context, s *server.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), server.StopBound)
	defer cancel()
	return s.Stop(ctx)
}

// writeFirstSteps says what a server without a file has made, and what is next.
func writeFirstSteps(w io.Writer, s *server.Server) {
	setup := s.Setup()
	fmt.Fprintf(w, "No configuration file was given, so this is a server with defaults.\n\n")
	fmt.Fprintf(w, "  data directory  %s\n", setup.DataDirectory)
	for _, l := range setup.Listeners {
		fmt.Fprintf(w, "  listening       %s (%s)\n", l.Address, l.Connector)
	}
	for _, c := range setup.SelfSigned {
		fmt.Fprintf(w, "  certificate     self-signed for %s, until %s\n", c.Names, c.NotAfter)
	}
	fmt.Fprintf(w, `
It accepts mail for no domain yet. What to do next:
  1. mailpact config sample > mailpact.yaml   and name your domains, connectors and partners
  2. mailpact config check mailpact.yaml
  3. mailpact serve --config mailpact.yaml
See the whole story first:  mailpact lab
Look at this server:        mailpact --socket %s status
`, setup.AdminSocket)
}
