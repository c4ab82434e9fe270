package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newCertificate(g *globals) *cobra.Command {
	o := &certificateOptions{globals: g}
	own := []*cobra.Command{
		newCertificateList(o), newCertificatePending(o), newCertificateShow(o),
		newCertificateNew(o), newCertificateRequest(o), newCertificateClone(o), newCertificateRenew(o),
		newCertificateImport(o), newCertificateExport(o), newCertificateEnable(o), newCertificateRemove(o),
		newCertificateSeal(o),
	}
	for _, verb := range own {
		o.addFlags(verb)
	}
	c := group("cert", "Make, import, enable, look at and verify certificates", append(own, newCertificateVerify(g), newCertificatePartners(g))...)
	c.Long = `The server's own certificates. From nothing to STARTTLS with a CA:

  mailpact cert request --subject "C=US, O=Contoso, CN=mail1.contoso.com" \
      --include-accepted-domains --out mail1.csr
  # send mail1.csr to the CA; it answers with a certificate or a chain
  mailpact cert import answer.p7b --services SMTP --backup mail1.pfx --backup-password-file pw

A running server shows the new certificate in its next handshake, without a
restart. With --data (and --config, for names) a command works on the files of
a server that does not run.`
	return c
}

func newCertificateList(o *certificateOptions) *cobra.Command {
	var q admin.CertificateListRequest
	c := &cobra.Command{
		Use:   "list",
		Short: "List the server's own certificates, in the order of choice",
		Long: `List the server's own certificates in the order in which one is chosen, and the
requests that wait for an answer. With --domain only those that STARTTLS chooses
from under this name: the first is in use. Use is "current" for a certificate
that is presented now, "next" for one that stands by to follow it.

  mailpact cert list --domain mail1.contoso.com`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.list(c, q, "There is no certificate.") },
	}
	c.Flags().StringVar(&q.Domain, "domain", "", "only those that would be chosen from under this name")
	return c
}

func newCertificatePending(o *certificateOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "pending",
		Short: "List the requests that wait for a CA's answer",
		Long: `List the requests that wait for a CA's answer. 'mailpact cert import' binds an
answer to the request that has its key.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.list(c, admin.CertificateListRequest{Pending: true}, "No request is pending.")
		},
	}
}

func (o *certificateOptions) list(c *cobra.Command, q admin.CertificateListRequest, nothing string) error {
	r, err := callCertificate[admin.CertificateListResponse](c, o, "certificate.list", q)
	if err != nil {
		return err
	}
	return o.render(c, r, func(w io.Writer) error {
		if len(r.Certificates) == 0 {
			_, err := fmt.Fprintln(w, nothing)
			return err
		}
		rows := make([][]string, len(r.Certificates))
		for i, x := range r.Certificates {
			rows[i] = []string{
				x.Thumbprint, dash(strings.Join(x.Services, ",")), localTime(x.NotAfter), x.Status, dash(x.Use), x.Subject, strings.Join(x.Names, " "),
			}
		}
		return table(w, []string{"Thumbprint", "Services", "NotAfter", "Status", "Use", "Subject", "Names"}, rows)
	})
}

// dash stands in a table for what is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newCertificateShow(o *certificateOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "show THUMBPRINT",
		Short: "Show a certificate or a pending request in full",
		Long: `Show a certificate or a pending request. Of a thumbprint, SHA-1 or SHA-256, the
first eight digits are enough.`,
		Args: exactArguments("THUMBPRINT"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := callCertificate[admin.CertificateShowResponse](c, o, "certificate.show", admin.CertificateShowRequest{Thumbprint: args[0]})
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				if err := writeCertificate(w, r.CertificateRow); err != nil {
					return err
				}
				if err := list(w, [2]string{"Detail", r.Detail}); err != nil {
					return err
				}
				_, err := fmt.Fprint(w, "\n", r.PEM)
				return err
			})
		},
	}
}

func newCertificatePartners(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "partners",
		Short: "List the certificates that partners have shown lately",
		Long: `List the good certificates that partners have shown in sessions with this server.
'mailpact status' warns when 30, 14 and 3 days of one are left.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.CertificatePartnersResponse](c.Context(), g.client(), "certificate.partners", nil)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				if len(r.Certificates) == 0 {
					_, err := fmt.Fprintln(w, "No partner has shown a good certificate yet.")
					return err
				}
				rows := make([][]string, len(r.Certificates))
				for i, x := range r.Certificates {
					rows[i] = []string{x.Domain, x.Thumbprint, localTime(x.NotAfter), localTime(x.LastSeen), ways(x), x.Subject}
				}
				return table(w, []string{"Domain", "Thumbprint", "NotAfter", "LastSeen", "Ways", "Subject"}, rows)
			})
		},
	}
}

// ways says in which directions a certificate was shown.
func ways(x admin.PartnerCertificate) string {
	switch {
	case x.Inbound && x.Outbound:
		return "in,out"
	case x.Inbound:
		return "in"
	}
	return "out"
}

// writeCertificate prints a certificate, one property a line.
func writeCertificate(w io.Writer, x admin.CertificateRow) error {
	from := ""
	if x.EnabledFrom != nil {
		from = localTime(*x.EnabledFrom)
	}
	dates := [2]string{}
	if !x.NotAfter.IsZero() {
		dates = [2]string{localTime(x.NotBefore), localTime(x.NotAfter)}
	}
	return list(w,
		[2]string{"Thumbprint", x.Thumbprint},
		[2]string{"SHA256", x.SHA256},
		[2]string{"FriendlyName", x.FriendlyName},
		[2]string{"Subject", x.Subject},
		[2]string{"Issuer", x.Issuer},
		[2]string{"SerialNumber", x.SerialNumber},
		[2]string{"CertificateDomains", strings.Join(x.Names, ", ")},
		[2]string{"NotBefore", dates[0]},
		[2]string{"NotAfter", dates[1]},
		[2]string{"IsSelfSigned", yesNo(x.SelfSigned)},
		[2]string{"Key", x.Key},
		[2]string{"KeyExportable", yesNo(x.Exportable)},
		[2]string{"KeySealed", yesNo(x.KeySealed)},
		[2]string{"Services", dash(strings.Join(x.Services, ", "))},
		[2]string{"EnabledFrom", from},
		[2]string{"Use", x.Use},
		[2]string{"Status", x.Status},
		[2]string{"File", x.File},
	)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
