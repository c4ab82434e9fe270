package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mailpact/internal/lab"
)

func newLab() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "lab",
		Short: "Show two organisations exchanging domain-secured mail, on this machine",
		Long: `Contoso and Woodgrove Bank as two complete servers on loopback addresses, each with
a private CA, a third partner with a self-signed certificate, a DNS server, and a
sender who is nobody's partner. Each scene shows the replies seen on the wire and
whether the outcome was the expected one. Then the servers stay up until Ctrl-C.

Exit codes: 0 every outcome was the expected one, 1 one was not.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			// A closed terminal or pipe must end the lab like Ctrl-C, because it has files to remove.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			err := lab.Run(ctx, lab.Options{Out: c.OutOrStdout(), Color: wantsColor(c.OutOrStdout()), Once: once, Command: thisProgram()})
			if errors.Is(err, lab.ErrUnexpected) || errors.Is(err, context.Canceled) {
				return &silentError{code: ExitNo}
			}
			return err
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end after the last scene")
	return c
}

// thisProgram is how the user has called, or can call, this program.
func thisProgram() string {
	name := os.Args[0]
	if strings.Contains(name, "go-build") {
		return "go run ./cmd/mailpact"
	}
	return name
}

// wantsColor reports whether w is a terminal whose user has not asked for none
// (NO_COLOR, TERM=dumb).
func wantsColor(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
