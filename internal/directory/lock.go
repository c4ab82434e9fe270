package directory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that somebody else held a lock for longer than one would wait.
var ErrLocked = errors.New("somebody else holds the lock")

// lockPoll is how often a lock is tried: the kernel tells nobody when it is free.
const lockPoll = 20 * time.Millisecond

// LockFile makes the file at path if it is not there, and locks it against other
// holders in all processes. It waits at most for patience, or until ctx ends, and
// then returns ErrLocked. The lock ends with unlock, or with the process.
func LockFile(ctx context.Context, path string, patience time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, errors.Join(ErrLocked, f.Close())
		}
	}
}
