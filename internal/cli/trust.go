package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newTrust(g *globals) *cobra.Command {
	return group("trust", "Look at whom the server trusts, and whether that can be right", newTrustList(g), newTrustCheck(g))
}

// configFlag adds --config, with which a command needs no server.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "", "configuration file to look at instead of asking the server")
}

func newTrustList(g *globals) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "list",
		Short: "List anchors and intermediates with scope, thumbprint and expiry",
		Long: `List the private anchors and the intermediates of the trust settings: what each
vouches for, until when, and which partners rest on it. "Tied" are the partners
that name the very anchor by its SHA-256 thumbprint. The system's roots are not
listed one by one.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := trustList(c, g, config)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error { return writeTrust(w, r) })
		},
	}
	configFlag(c, &config)
	return c
}

func trustList(c *cobra.Command, g *globals, config string) (admin.TrustListResponse, error) {
	if config == "" {
		return admin.Call[admin.TrustListResponse](c.Context(), g.client(), "trust.list", nil)
	}
	cfg, err := admin.ReadConfiguration(config)
	if err != nil {
		return admin.TrustListResponse{}, &usageError{err}
	}
	return admin.ListTrust(cfg, time.Now()), nil
}

func writeTrust(w io.Writer, r admin.TrustListResponse) error {
	roots := "do not count"
	if r.SystemRoots {
		roots = "count"
	}
	if _, err := fmt.Fprintf(w, "The system's roots %s.\n", roots); err != nil {
		return err
	}
	for _, u := range r.Unreadable {
		if _, err := fmt.Fprintf(w, "unreadable: %s\n", printable(u)); err != nil {
			return err
		}
	}
	for i := range r.Trusted {
		x := &r.Trusted[i]
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := list(w,
			[2]string{"Kind", x.Kind}, [2]string{"Subject", x.Subject}, [2]string{"Issuer", x.Issuer},
			[2]string{"Thumbprint", x.Thumbprint}, [2]string{"SHA-256", x.SHA256},
			[2]string{"NotAfter", localTime(x.NotAfter)}, [2]string{"Status", x.Status}, [2]string{"Key", x.Key},
			[2]string{"Scope", strings.Join(x.Scope, ", ")}, [2]string{"Revocation", x.Revocation},
			[2]string{"Partners", strings.Join(x.Partners, ", ")}, [2]string{"Tied", strings.Join(x.TiedTo, ", ")},
			[2]string{"File", x.File},
		); err != nil {
			return err
		}
	}
	return nil
}

func newTrustCheck(g *globals) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the trust settings: files, expiry, partners nobody vouches for",
		Long: `Check the trust settings and their files as they are now: what cannot be read, what
has expired or will within 30 days, which partner no anchor can vouch for, which
anchor vouches for nobody.

Exit codes: 0 nothing of level error, 1 something, 2 the configuration cannot be used,
3 server not reached.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := trustCheck(c, g, config)
			if err != nil {
				return err
			}
			if err := g.render(c, r, func(w io.Writer) error { return writeTrustCheck(w, r) }); err != nil {
				return err
			}
			if !r.Valid {
				return &silentError{code: ExitNo}
			}
			return nil
		},
	}
	configFlag(c, &config)
	return c
}

func trustCheck(c *cobra.Command, g *globals, config string) (admin.TrustCheckResponse, error) {
	if config == "" {
		return admin.Call[admin.TrustCheckResponse](c.Context(), g.client(), "trust.check", nil)
	}
	cfg, err := admin.ReadConfiguration(config)
	if err != nil {
		return admin.TrustCheckResponse{}, &usageError{err}
	}
	return admin.CheckTrust(cfg, time.Now()), nil
}

func writeTrustCheck(w io.Writer, r admin.TrustCheckResponse) error {
	if err := writeFindings(w, r.Findings); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d certificate(s) checked, %d finding(s).\n", r.Checked, len(r.Findings))
	return err
}
