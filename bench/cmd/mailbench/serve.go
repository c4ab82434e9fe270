package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"

	"mailpact/internal/server"
)

// newServe makes `mailpact serve` with a profiler. The product has none: what
// is not on its ports cannot be asked of it.
func newServe() *cobra.Command {
	var profiles, config, level string
	c := &cobra.Command{
		Use: "serve", Short: "Run Mailpact's server and write profiles of it (started by run --profile)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c.Context(), config, profiles) },
	}
	c.Flags().StringVar(&profiles, "profile", ".", "folder for the profiles")
	c.Flags().StringVar(&config, "config", "", "configuration file")
	c.Flags().StringVar(&level, "log-level", "", "ignored; as of mailpact serve")
	return c
}

func serve(ctx context.Context, config, profiles string) (err error) {
	cfg, err := server.Configure(server.ConfigureOptions{File: config})
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.New(ctx, server.Options{Configuration: cfg, Logger: logger})
	if err != nil {
		return err
	}
	cpu, err := os.Create(filepath.Join(profiles, "cpu.prof"))
	if err != nil {
		return errors.Join(fmt.Errorf("writing profile: %w", err), s.Stop(ctx))
	}
	runtime.SetMutexProfileFraction(20)
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return errors.Join(fmt.Errorf("writing profile: %w", err), s.Stop(ctx))
	}
	startErr := s.Start(ctx)
	if startErr == nil {
		<-ctx.Done()
	}
	pprof.StopCPUProfile()
	err = errors.Join(startErr, cpu.Close(), writeProfiles(profiles))
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(err, s.Stop(stopCtx))
}

func writeProfiles(directory string) error {
	for _, name := range []string{"allocs", "mutex"} {
		f, err := os.Create(filepath.Join(directory, name+".prof"))
		if err != nil {
			return fmt.Errorf("writing profile: %w", err)
		}
		if err := errors.Join(pprof.Lookup(name).WriteTo(f, 0), f.Close()); err != nil {
			return fmt.Errorf("writing profile: %w", err)
		}
	}
	return nil
}
