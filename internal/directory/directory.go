package directory

import (
	"sync"
	"sync/atomic"
)

// Snapshot is a configuration and the version under which it came into force.
type Snapshot struct {
	Configuration *Configuration
	Version       uint64 // 1 for the first; only grows
}

// Directory holds the configuration in force. Its methods may be called by
// many goroutines; readers never wait.
type Directory struct {
	mu      sync.Mutex // orders Replace
	current atomic.Pointer[Snapshot]
}

// New returns a Directory with c in force as version 1. The caller must not
// change c afterwards.
func New(c *Configuration) *Directory {
	d := &Directory{}
	d.current.Store(&Snapshot{Configuration: c, Version: 1})
	return d
}

// Current returns the configuration in force. It stays as it is while it is
// used; whoever wants to see changes calls Current again.
func (d *Directory) Current() *Configuration { return d.current.Load().Configuration }

// Snapshot returns the configuration in force together with its version.
func (d *Directory) Snapshot() Snapshot { return *d.current.Load() }

// Version returns the version of the configuration in force.
func (d *Directory) Version() uint64 { return d.current.Load().Version }

// Replace puts c in force and returns its version. The caller has validated c
// and must not change it afterwards.
func (d *Directory) Replace(c *Configuration) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.current.Load().Version + 1
	d.current.Store(&Snapshot{Configuration: c, Version: v})
	return v
}
