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

// Configure reads the file, or makes the configuration of a server without one.
// The error is Faults when the configuration is at fault.
func Configure(o ConfigureOptions) (*directory.Configuration, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // the file may name the server; if it does not, that is a fault with a mend
	}
	data := DefaultDataDirectory()
	if o.File != "" {
		cfg, faults := directory.Load(o.File, directory.LoadOptions{
			Hostname: hostname, DefaultDataDirectory: data, DataDirectory: o.DataDirectory, Listen: o.Listen,
			Check: admin.CheckFiles,
		})
		return cfg, faults.Err()
	}
	if o.DataDirectory != "" {
		data = o.DataDirectory
	}
	if data == "" {
		return nil, errors.New("there is no home directory to keep data in; name one with --data")
	}
	return directory.Default(directory.DefaultOptions{Hostname: hostname, DataDirectory: data, Listen: o.Listen})
}

// DefaultDataDirectory is where a server's data lies unless it is told otherwise.
func DefaultDataDirectory() string {
	return directory.DefaultDataDirectory(os.Geteuid(), os.Getenv)
}
