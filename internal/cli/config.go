package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newConfig(g *globals) *cobra.Command {
	return group("config", "Check and show configuration files", newConfigCheck(g), newConfigSample())
}

func newConfigCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Long: `Check a configuration file as 'mailpact serve' would, without starting anything.
Every fault is reported at once, with its line and what mends it. Findings do
not stop a server; a finding of level error fails its health.

Exit codes: 0 the file is valid, 1 it has faults, 2 it cannot be read.`,
		Args: exactArguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := admin.CheckConfiguration(admin.ConfigCheckRequest{File: args[0]})
			if err != nil {
				return &usageError{err}
			}
			if err := g.render(c, r, func(w io.Writer) error { return writeCheck(w, args[0], r) }); err != nil {
				return err
			}
			if !r.Valid {
				return &silentError{code: ExitNo}
			}
			return nil
		},
	}
}

func writeCheck(w io.Writer, file string, r admin.ConfigCheckResponse) error {
	for _, f := range r.Faults {
		if _, err := fmt.Fprintln(w, printable(f.String())); err != nil {
			return err
		}
	}
	if err := writeFindings(w, r.Findings); err != nil {
		return err
	}
	if r.Valid {
		_, err := fmt.Fprintf(w, "%s is valid, with %d finding(s).\n", printable(file), len(r.Findings))
		return err
	}
	_, err := fmt.Fprintf(w, "%s has %d fault(s).\n", printable(file), len(r.Faults))
	return err
}

// writeFindings prints findings with what mends each.
func writeFindings(w io.Writer, findings []admin.Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", f.Level, printable(f.Object), printable(f.Text)); err != nil {
			return err
		}
		if f.Fix != "" {
			if _, err := fmt.Fprintf(w, "  mend: %s\n", printable(f.Fix)); err != nil {
				return err
			}
		}
	}
	return nil
}

func newConfigSample() *cobra.Command {
	return &cobra.Command{
		Use:   "sample",
		Short: "Print a commented configuration file to start from",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(admin.SampleConfiguration())
			return err
		},
	}
}
