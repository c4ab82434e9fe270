package account

import (
	"context"
	"os/exec"
	"time"
)

// Usage is CPU time.
type Usage struct {
	User   time.Duration `json:"user"`
	System time.Duration `json:"system"`
}

// Total returns the whole.
func (u Usage) Total() time.Duration { return u.User + u.System }

// Minus returns what was used since before.
func (u Usage) Minus(before Usage) Usage {
	return Usage{User: u.User - before.User, System: u.System - before.System}
}

// Plus returns the sum.
func (u Usage) Plus(other Usage) Usage {
	return Usage{User: u.User + other.User, System: u.System + other.System}
}

// Group is a server's processes.
type Group interface {
	// Command makes a command whose process, with its descendants, belongs
	// to the group. One process at a time is started so.
	Command(name string, args ...string) *exec.Cmd
	// Usage returns the CPU time of the group so far.
	Usage() (Usage, error)
	// AnonymousBytes returns the anonymous memory in use now.
	AnonymousBytes() (int64, error)
	// How names the method, for the report.
	How() string
	// Close ends what is left of the group.
	Close() error
}

// NewGroup returns a group with the best accounts that the machine has.
func NewGroup(name string) Group {
	if g, err := newCgroup(cgroupRoot, name); err == nil {
		return g
	}
	return &processTree{}
}

// sampleInterval is how often a peak is looked for. A shorter peak is missed.
const sampleInterval = 200 * time.Millisecond

// Peak follows a group's memory until ctx ends, and then sends the peak.
func Peak(ctx context.Context, g Group) <-chan int64 {
	out := make(chan int64, 1)
	go func() {
		var peak int64
		tick := time.NewTicker(sampleInterval)
		defer tick.Stop()
		for {
			if n, err := g.AnonymousBytes(); err == nil {
				peak = max(peak, n)
			}
			select {
			case <-ctx.Done():
				out <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return out
}
