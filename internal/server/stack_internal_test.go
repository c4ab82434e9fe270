package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUnwind undoes in reverse order, whatever fails, and only once.
func TestUnwind(t *testing.T) {
	var done []string
	var s stack
	broken := errors.New("broken")
	for _, name := range []string{"first", "second", "third"} {
		s.push(name, func(context.Context) error {
			done = append(done, name)
			if name == "second" {
				return broken
			}
			return nil
		})
	}
	err := s.unwind(t.Context())
	if diff := cmp.Diff([]string{"third", "second", "first"}, done); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "stopping second: ") {
		t.Errorf("got %v; want it to name the step and keep the cause", err)
	}
	if err := s.unwind(t.Context()); err != nil || len(done) != 3 {
		t.Errorf("a second call undoes %v, %v", done[3:], err)
	}
}
