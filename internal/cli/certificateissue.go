package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

// issueFlags adds what a new certificate or request can be told.
func issueFlags(c *cobra.Command, q *admin.CertificateIssueRequest) {
	f := c.Flags()
	f.StringVar(&q.SubjectName, "subject", "", `distinguished name: "C=US, O=Contoso, CN=mail1.contoso.com" (keys C, DC, S, L, O, OU, CN)`)
	f.StringSliceVar(&q.DomainNames, "domain", nil, "domain names, also wildcards; repeatable, or separated by commas")
	f.BoolVar(&q.IncludeAcceptedDomains, "include-accepted-domains", false, "add the accepted domains")
	f.BoolVar(&q.IncludeServerNames, "include-server-names", false, "add the names of the server and of its connectors")
	f.StringVar(&q.FriendlyName, "friendly-name", "", "what you call it, at most 63 characters")
	f.StringVar(&q.Key, "key", "", "P256 (default), P384, RSA2048, RSA3072 or RSA4096")
	f.BoolVar(&q.Exportable, "exportable", false, "allow the key to be exported later")
}

func newCertificateNew(o *certificateOptions) *cobra.Command {
	var q admin.CertificateIssueRequest
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a self-signed certificate of 12 months",
		Long: `Make a self-signed certificate of 12 months. Without any names it carries those
of the server, of its connectors and of the accepted domains. Partners trust it
only if they are given it.

  mailpact cert new --services SMTP
  mailpact cert new --domain mail.contoso.com,contoso.com --key RSA2048`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.issue(c, q) },
	}
	issueFlags(c, &q)
	servicesFlag(c, &q.Services)
	return c
}

func newCertificateClone(o *certificateOptions) *cobra.Command {
	var q admin.CertificateIssueRequest
	c := &cobra.Command{
		Use:   "clone THUMBPRINT",
		Short: "Make a self-signed certificate with the names of another, and a new key",
		Long: `Make a self-signed certificate with the subject and names of another. Only what
it says is taken over; the key is new. For a CA's certificate see 'mailpact cert
renew'.

  mailpact cert list --domain mail1.contoso.com    # the first is in use
  mailpact cert clone C4248CD7065C87CB942D60F7293FEB7D533A4AFC --services SMTP`,
		Args: exactArguments("THUMBPRINT"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Template = args[0]
			return o.issue(c, q)
		},
	}
	issueFlags(c, &q)
	servicesFlag(c, &q.Services)
	return c
}

func (o *certificateOptions) issue(c *cobra.Command, q admin.CertificateIssueRequest) error {
	r, err := callCertificate[admin.CertificateChangeResponse](c, o, "certificate.new", q)
	if err != nil {
		return err
	}
	return o.done(c, r, r.CertificateRow, r.Notes, "self-signed certificate made")
}

func servicesFlag(c *cobra.Command, services *[]string) {
	c.Flags().StringSliceVar(services, "services", nil, "enable it for SMTP, IMAP, POP, Web")
}

func newCertificateRequest(o *certificateOptions) *cobra.Command {
	var q admin.CertificateIssueRequest
	var out outputFile
	c := &cobra.Command{
		Use:   "request",
		Short: "Make a key and a certificate request (PKCS #10) for a CA",
		Long: `Make a key, which stays here, and a request for a CA. Without --domain and
--include flags it asks for the names of the server and of its connectors. The
request is pending until 'mailpact cert import' brings the answer.

  mailpact cert request --subject "C=US, O=contoso corp, CN=mail1.contoso.com" \
      --include-accepted-domains --out mail1.csr
  mailpact cert request --subject "DC=com, DC=contoso, CN=mail1.contoso.com" \
      --domain mail.contoso.com --friendly-name "Internet certificate" --out request.req
  mailpact cert request --domain '*.contoso.com' --key RSA4096 --out wildcard.csr`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return o.request(c, q, &out) },
	}
	issueFlags(c, &q)
	out.addFlag(c, "write the request to this file; it must not exist")
	return c
}

func newCertificateRenew(o *certificateOptions) *cobra.Command {
	var q admin.CertificateIssueRequest
	var out outputFile
	c := &cobra.Command{
		Use:   "renew THUMBPRINT",
		Short: "Make a request with the names of a certificate, and a new key",
		Long: `Make a request for a CA that asks for what a certificate has: subject, names and
kind of key. The key is new. The present certificate stays in use until the
answer is imported and enabled.

  mailpact cert renew C4248CD7 --out renewal.csr
  mailpact cert import answer.pem                   # stands by
  mailpact cert enable THUMBPRINT --services SMTP --from 2027-01-04T06:00:00Z`,
		Args: exactArguments("THUMBPRINT"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Template = args[0]
			return o.request(c, q, &out)
		},
	}
	issueFlags(c, &q)
	out.addFlag(c, "write the request to this file; it must not exist")
	return c
}

func (o *certificateOptions) request(c *cobra.Command, q admin.CertificateIssueRequest, out *outputFile) error {
	if err := out.check(); err != nil {
		return err
	}
	r, err := callCertificate[admin.CertificateRequestResponse](c, o, "certificate.request", q)
	if err != nil {
		return err
	}
	if err := out.write([]byte(r.Request), 0o644); err != nil {
		return fmt.Errorf("%w (the request is pending: mailpact cert export %s --out FILE)", err, r.Thumbprint)
	}
	if out.path == "" && !o.json {
		for _, n := range r.Notes {
			fmt.Fprintf(c.ErrOrStderr(), "note: %s\n", printable(n))
		}
		_, err := fmt.Fprint(c.OutOrStdout(), r.Request)
		return err
	}
	return o.done(c, r, r.CertificateRow, r.Notes, "request pending")
}

func newCertificateEnable(o *certificateOptions) *cobra.Command {
	var q admin.CertificateEnableRequest
	var from string
	c := &cobra.Command{
		Use:   "enable THUMBPRINT",
		Short: "Enable a certificate for services, now or from a time on",
		Long: `Enable a certificate for services, beside those that it has. Of several that
carry a name the newest from a CA is presented, from the next handshake on. With
--from it stands by until then, so that partners can be told before.

  mailpact cert enable AB493A0C9A6C0327162FE04EF74609CB8FB7FE24 --services SMTP
  mailpact cert enable AB493A0C --services SMTP --from 2027-01-04T06:00:00Z`,
		Args: exactArguments("THUMBPRINT"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Thumbprint = args[0]
			var err error
			if q.From, err = optionalTime("from", from); err != nil {
				return err
			}
			if len(q.Services) == 0 {
				return &usageError{errors.New("name the services: --services SMTP")}
			}
			r, err := callCertificate[admin.CertificateChangeResponse](c, o, "certificate.enable", q)
			if err != nil {
				return err
			}
			what := "enabled"
			if r.EnabledFrom != nil {
				what = "enabled from " + localTime(*r.EnabledFrom)
			}
			return o.done(c, r, r.CertificateRow, r.Notes, what)
		},
	}
	servicesFlag(c, &q.Services)
	c.Flags().StringVar(&from, "from", "", "when its services begin (RFC 3339); default: now")
	return c
}

func newCertificateRemove(o *certificateOptions) *cobra.Command {
	var q admin.CertificateRemoveRequest
	c := &cobra.Command{
		Use:   "remove THUMBPRINT",
		Short: "Remove a certificate that is not in use, or a pending request",
		Long: `Remove a certificate with its key, or a pending request. The certificate in use
is refused until another as good carries its names: enable the replacement first.`,
		Args: exactArguments("THUMBPRINT"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Thumbprint = args[0]
			r, err := callCertificate[admin.CertificateRow](c, o, "certificate.remove", q)
			if err != nil {
				return err
			}
			what := "removed"
			if q.DryRun {
				what = "could be removed"
			}
			return o.done(c, r, r, nil, what)
		},
	}
	addDryRun(c, &q.DryRun)
	return c
}

func newCertificateSeal(o *certificateOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "seal",
		Short: "Seal the private keys that lie unsealed in the data directory",
		Long: `Encrypt the private keys in the data directory (AES-256-GCM) under the seal that
server.keySealFile names or systemd hands over. Keys that are made or imported
while there is a seal are sealed from the start. Without the seal's file sealed
keys are lost: keep it apart from the data directory and from its backups.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := callCertificate[admin.CertificateSealResponse](c, o, "certificate.seal", admin.Empty{})
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "private keys sealed: %d\n", r.Keys)
				return err
			})
		},
	}
}
