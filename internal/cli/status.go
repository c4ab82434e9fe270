package cli

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the server's state, findings and health",
		Long: `Show the running server: version, listeners, findings of the configuration
and whether it is healthy. Exit code 1 when it is not.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := admin.Call[admin.Status](c.Context(), g.client(), "status.show", nil)
			if err != nil {
				return err
			}
			if err := g.render(c, s, func(w io.Writer) error { return writeStatus(w, s) }); err != nil {
				return err
			}
			if !s.Healthy {
				return &silentError{code: ExitNo}
			}
			return nil
		},
	}
}

func writeStatus(w io.Writer, s admin.Status) error {
	health := "good"
	if !s.Healthy {
		health = "FAILING"
	}
	listeners := make([]string, len(s.Listeners))
	for i, l := range s.Listeners {
		listeners[i] = l.Connector + " " + l.Address
	}
	if err := list(w,
		[2]string{"Server", s.FQDN},
		[2]string{"Role", s.Role},
		[2]string{"Version", s.Version},
		[2]string{"Running since", localTime(s.Started)},
		[2]string{"Listeners", strings.Join(listeners, ", ")},
		[2]string{"Health", health},
	); err != nil {
		return err
	}
	for _, f := range s.Findings {
		if _, err := fmt.Fprintf(w, "\n%s: %s: %s\n", f.Level, printable(f.Object), printable(f.Text)); err != nil {
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

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the program's version",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{admin.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return g.render(c, v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "mailpact %s (%s %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
				return err
			})
		},
	}
}
