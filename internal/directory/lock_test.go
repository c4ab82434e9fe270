package directory

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := LockFile(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockFile(t.Context(), path, time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("a second holder: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := LockFile(ended, path, time.Minute); !errors.Is(err, ErrLocked) {
		t.Errorf("a context that has ended: %v", err)
	}
	time.AfterFunc(5*time.Millisecond, unlock)
	again, err := LockFile(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatalf("waiting for the first: %v", err)
	}
	again()
	if _, err := LockFile(t.Context(), filepath.Join(path, "x"), time.Minute); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("where no file can be: %v", err)
	}
}
