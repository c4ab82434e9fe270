package admin

import (
	"context"
	"errors"
	"fmt"
	"os"

	"mailpact/internal/directory"
)

// OriginOptions are what a command line says about the configuration.
type OriginOptions struct {
	File          string // configuration file; empty: the defaults
	DataDirectory string // instead of the file's or the default one; may be empty
}

// Origin returns where the configuration of a server on this machine comes from.
func Origin(o OriginOptions) directory.Origin {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // the file may name the server; if it does not, that is a fault with a mend
	}
	return directory.Origin{
		File: o.File, Hostname: hostname, DataDirectory: o.DataDirectory,
		DefaultDataDirectory: directory.DefaultDataDirectory(os.Geteuid(), os.Getenv), Check: CheckFiles,
	}
}

// ChangeFunc changes the overlay and puts the whole in force. It returns what
// directory.Origin.Change returns.
type ChangeFunc func(context.Context, directory.OverlayChange) (*directory.Configuration, uint64, error)

// needsServer is the answer of an operation that a Service without a server does not have.
func needsServer(name string) *Error {
	return &Error{Kind: KindUnavailable, Object: name, Detail: "works on a running server only", Fix: "mailpact serve"}
}

// changeOverlay runs one change and turns its error into one of ours.
func (s *Service) changeOverlay(ctx context.Context, c directory.OverlayChange) (*directory.Configuration, uint64, error) {
	if s.change == nil {
		return nil, 0, &Error{Kind: KindUnavailable, Object: "configuration", Detail: "this server was started without a place to keep changes"}
	}
	cfg, version, err := s.change(ctx, c)
	var operation *Error
	var faults directory.Faults
	switch {
	case err == nil || errors.As(err, &operation):
		return cfg, version, err
	case errors.As(err, &faults):
		return nil, 0, &Error{Kind: KindConflict, Object: "configuration", Detail: "the change does not go together with the rest: " + faults.Error()}
	case errors.Is(err, directory.ErrOverlayBusy) || errors.Is(err, directory.ErrOverlayChanged):
		return nil, 0, &Error{Kind: KindConflict, Object: "configuration", Detail: err.Error(), Fix: "run the command again"}
	}
	return nil, 0, fmt.Errorf("changing the configuration: %w", err)
}
