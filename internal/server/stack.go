package server

import (
	"context"
	"errors"
	"fmt"
)

// step is one thing to undo.
type step struct {
	name string
	undo func(ctx context.Context) error
}

// stack undoes steps in reverse order.
type stack struct{ steps []step }

func (s *stack) push(name string, undo func(ctx context.Context) error) {
	s.steps = append(s.steps, step{name: name, undo: undo})
}

// unwind undoes every step, whatever the others return, and joins the errors. A
// second call does nothing.
func (s *stack) unwind(ctx context.Context) error {
	var errs []error
	for i := len(s.steps) - 1; i >= 0; i-- {
		if err := s.steps[i].undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", s.steps[i].name, err))
		}
	}
	s.steps = nil
	return errors.Join(errs...)
}
