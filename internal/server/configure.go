package server

import (
	"errors"
	"os"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
)

// ConfigureOptions are what a command line says about the configuration.
type ConfigureOptions struct {
	File          string // configuration file; empty: defaults
	DataDirectory string // instead of the file's or the default; may be empty
	Listen        string // binding of the only receive connector; may be empty
}

// Faults are all faults of a configuration.
type Faults = directory.Faults

// Configure reads the file, or makes the configuration of a server without one,
// and adds what operations have changed. The error is Faults when the
// configuration is at fault.
func Configure(o ConfigureOptions) (*directory.Configuration, error) {
	origin := o.Origin()
	if origin.File == "" && origin.DataDirectory == "" && origin.DefaultDataDirectory == "" {
		return nil, errors.New("there is no home directory to keep data in; name one with --data")
	}
	return origin.Read()
}

// Origin returns where the configuration comes from, for Options.
func (o ConfigureOptions) Origin() *directory.Origin {
	origin := admin.Origin(admin.OriginOptions{File: o.File, DataDirectory: o.DataDirectory})
	origin.Listen = o.Listen
	return &origin
}

// DefaultDataDirectory is where a server's data lies unless it is told otherwise.
func DefaultDataDirectory() string {
	return directory.DefaultDataDirectory(os.Geteuid(), os.Getenv)
}
