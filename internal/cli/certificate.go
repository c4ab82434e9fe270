package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newCertificate(g *globals) *cobra.Command {
	return group("cert", "Look at certificates: the server's own, and whether any is good", newCertificateList(g), newCertificateVerify(g))
}

func newCertificateList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the server's own certificates",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.CertificateListResponse](c.Context(), g.client(), "certificate.list", nil)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				rows := make([][]string, len(r.Certificates))
				for i, x := range r.Certificates {
					rows[i] = []string{x.Thumbprint, strings.Join(x.Services, ","), localTime(x.NotAfter), x.Status, x.Subject, strings.Join(x.Names, " ")}
				}
				return table(w, []string{"Thumbprint", "Services", "NotAfter", "Status", "Subject", "Names"}, rows)
			})
		},
	}
}

func newCRL(g *globals) *cobra.Command {
	return group("crl", "Look at the cached certificate revocation lists", &cobra.Command{
		Use:   "list",
		Short: "List the cached CRLs and how fresh they are",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.CRLListResponse](c.Context(), g.client(), "crl.list", nil)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				if len(r.CRLs) == 0 {
					_, err := fmt.Fprintln(w, "No CRL has been needed yet.")
					return err
				}
				rows := make([][]string, len(r.CRLs))
				for i, x := range r.CRLs {
					rows[i] = []string{x.URL, x.Number, strconv.Itoa(x.Entries), localTime(x.ThisUpdate), localTime(x.NextUpdate), x.LastError}
				}
				return table(w, []string{"URL", "Number", "Entries", "ThisUpdate", "NextUpdate", "LastError"}, rows)
			})
		},
	})
}
