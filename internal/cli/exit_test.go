package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

// TestExitCodes is the one table from errors to exit codes, wrapped or not.
func TestExitCodes(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, ExitYes},
		{"any error", errors.New("broken"), ExitNo},
		{"ended by a signal", context.Canceled, ExitNo},
		{"usage", &usageError{errors.New("unknown flag")}, ExitUsage},
		{"no server", &admin.UnreachableError{Socket: "admin.sock", Err: io.EOF}, ExitUnreachable},
		{"reported already", &silentError{code: ExitNo}, ExitNo},
		{"reported already, usage", &silentError{code: ExitUsage}, ExitUsage},
		{"invalid", &admin.Error{Kind: admin.KindInvalid}, ExitUsage},
		{"not found", &admin.Error{Kind: admin.KindNotFound}, ExitNo},
		{"conflict", &admin.Error{Kind: admin.KindConflict}, ExitNo},
		{"not permitted", &admin.Error{Kind: admin.KindNotPermitted}, ExitNo},
		{"unavailable", &admin.Error{Kind: admin.KindUnavailable}, ExitNo},
		{"internal", &admin.Error{Kind: admin.KindInternal}, ExitNo},
		{"unknown kind", &admin.Error{Kind: "odd"}, ExitNo},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(tt.err); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if tt.err == nil {
				return
			}
			if got := exitCode(fmt.Errorf("listing: %w", tt.err)); got != tt.want {
				t.Errorf("wrapped: got %d, want %d", got, tt.want)
			}
		})
	}
}

// TestEveryCommand walks the tree: each command says in a sentence what it does,
// and refuses what it does not know with the exit code of usage.
func TestEveryCommand(t *testing.T) {
	walked := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		walked++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short help %q is no clause without a full stop", c.CommandPath(), c.Short)
		}
		if c.RunE == nil || c.Run != nil {
			t.Errorf("%s: it does not return its error", c.CommandPath())
		}
		args := append(strings.Fields(c.CommandPath())[1:], "--frobnicate")
		var out, errOut bytes.Buffer
		if code := Run(args, Streams{In: strings.NewReader(""), Out: &out, Err: &errOut}); code != ExitUsage {
			t.Errorf("mailpact %s: exit code %d, want %d", strings.Join(args, " "), code, ExitUsage)
		}
		if out.Len() > 0 || !strings.Contains(errOut.String(), "--frobnicate") {
			t.Errorf("mailpact %s: stdout %q, stderr %q", strings.Join(args, " "), out.String(), errOut.String())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
	if walked < 20 {
		t.Errorf("only %d commands were walked", walked)
	}
}
