package queuetest_test

import (
	"testing"

	"mailpact/internal/queue/queuetest"
)

// TestMemory holds the engine that tests use to the suite of the real one.
func TestMemory(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queuetest.Store { return queuetest.NewMemory() })
}
