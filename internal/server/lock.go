package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockDataDirectory makes the data directory, for its owner only, and keeps a
// second server out of it. The lock ends with the process, however it ends.
func lockDataDirectory(dir string) (unlock func(context.Context) error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making data directory: %w (choose another with --data, or run as a user who may)", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking data directory %s: another server uses it (stop it, or choose another directory with --data)", dir)
		}
		return nil, fmt.Errorf("locking data directory %s: %w", dir, err)
	}
	return func(context.Context) error { return f.Close() }, nil
}
