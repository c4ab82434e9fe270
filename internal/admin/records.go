package admin

import (
	"context"

	"mailpact/internal/counters"
)

// Counters are the counters as they are now.
type Counters = counters.Snapshot

// CountersShow returns the counters.
func (s *Service) CountersShow(_ context.Context, _ Empty) (Counters, error) {
	return s.counters.Snapshot(), nil
}
