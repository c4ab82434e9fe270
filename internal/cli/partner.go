package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

// maxBundleUpload bounds a bundle file, in octets.
const maxBundleUpload = 600 << 10

func newPartner(g *globals) *cobra.Command {
	o := &certificateOptions{globals: g}
	verbs := []*cobra.Command{newPartnerExport(o), newPartnerImport(o), newPartnerList(o), newPartnerShow(o), newPartnerRemove(o)}
	for _, v := range verbs {
		o.addFlags(v)
	}
	return group("partner", "Set up trust with partners", verbs...)
}

func newPartnerExport(o *certificateOptions) *cobra.Command {
	var q admin.PartnerExportRequest
	var anchors string
	var out outputFile
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the signed bundle with which partners set up trust in us",
		Long: `Write one signed file for partners: our domains, mail hosts, roots, CRL addresses,
certificates and contact. What no flag says comes from the configuration. The key
that signs is made the first time; its fingerprint goes to the partner over
another channel than the file (telephone, in person).

  mailpact partner export --out contoso.bundle
  mailpact partner export --anchor outside-root.pem --out contoso.bundle`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if anchors != "" {
				data, err := readUpload(c, anchors, maxPEMUpload)
				if err != nil {
					return err
				}
				q.Anchors = string(data)
			}
			r, err := callCertificate[admin.PartnerExportResponse](c, o, "partner.export", q)
			if err != nil {
				return err
			}
			if err := out.write(r.Bundle, 0o644); err != nil {
				return err
			}
			if out.path == "" && !o.json {
				if _, err := c.OutOrStdout().Write(r.Bundle); err != nil {
					return err
				}
				_, err := fmt.Fprintf(c.ErrOrStderr(), "fingerprint: %s\n", admin.Groups(r.Fingerprint))
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				if err := list(w, [2]string{"Written", out.path}, [2]string{"Domains", strings.Join(r.Domains, " ")}, [2]string{"Anchors", strings.Join(r.Anchors, "; ")},
					[2]string{"Expires", localTime(r.Expires)}, [2]string{"Fingerprint", admin.Groups(r.Fingerprint)}); err != nil {
					return err
				}
				_, err := fmt.Fprintln(w, "Tell the partner the fingerprint over another channel than the file.")
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&q.Organization, "organization", "", "our name (default: transportConfig.authservID)")
	f.StringVar(&q.Contact, "contact", "", "whom the partner asks (default: the postmaster)")
	f.StringSliceVar(&q.Domains, "domain", nil, "only this accepted domain; repeatable (default: all)")
	f.StringSliceVar(&q.Hosts, "host", nil, "name of a mail host; repeatable (default: those of the domain-secure receive connectors)")
	f.StringVar(&anchors, "anchor", "", "PEM file with the roots of our certificates (default: our own authority, or our self-signed certificate)")
	f.StringVar(&q.NameRule, "name-rule", "", "which names in our certificates stand for our domains: exact, listed (those of --host) or domain (default exact if our certificate names them all, else listed)")
	f.IntVar(&q.Days, "days", 0, "how long the bundle can be imported (default 90)")
	out.addFlag(c, "write to this file; it must not exist")
	return c
}

func newPartnerImport(o *certificateOptions) *cobra.Command {
	var q admin.PartnerImportRequest
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Show what a partner's bundle would change, and with --apply change it",
		Long: `Read a partner's bundle and show what it would change; --apply changes it, at once
and as a whole, beside the configuration file. The first bundle of a partner needs
--fingerprint, which the partner has told over another channel; later ones must be
signed by the same key. Its anchors vouch for its own domains alone; a bundle that
names our domains, or those of another partner, is refused. FILE is - for standard
input.

  mailpact partner import fabrikam.bundle --fingerprint "3f9c 22ab ..."
  mailpact partner import fabrikam.bundle --fingerprint "3f9c 22ab ..." --apply`,
		Args: exactArguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Bundle, err = readUpload(c, args[0], maxBundleUpload); err != nil {
				return err
			}
			r, err := callCertificate[admin.PartnerImportResponse](c, o, "partner.import", q)
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error { return writeImport(w, r) })
		},
	}
	f := c.Flags()
	f.StringVar(&q.Fingerprint, "fingerprint", "", "the signer's fingerprint, as told over another channel; needed the first time")
	f.BoolVar(&q.Apply, "apply", false, "make the changes")
	f.StringVar(&q.Mode, "mode", "", "mode of new partners: enforce or test (default enforce)")
	f.StringVar(&q.Revocation, "revocation", "", "whether certificates under its anchors need a CRL: required or none (default required)")
	return c
}

func writeImport(w io.Writer, r admin.PartnerImportResponse) error {
	known := "first bundle, fingerprint given"
	if r.Known {
		known = "same signer as before"
	}
	if err := list(w, [2]string{"Organization", r.Organization}, [2]string{"Contact", r.Contact}, [2]string{"Signer", admin.Groups(r.Signer)},
		[2]string{"Known", known}, [2]string{"Domains", strings.Join(r.Domains, " ")}, [2]string{"Hosts", strings.Join(r.Hosts, " ")},
		[2]string{"CRLs", strings.Join(r.CRLs, " ")}, [2]string{"Certificates", strings.Join(r.Certificates, "; ")}, [2]string{"Expires", localTime(r.Expires)}); err != nil {
		return err
	}
	for _, x := range r.Changes {
		detail := ""
		if x.Detail != "" {
			detail = ": " + x.Detail
		}
		if _, err := fmt.Fprintf(w, "%-6s %s%s\n", x.Action, printable(x.Object), printable(detail)); err != nil {
			return err
		}
	}
	last := "Nothing was changed. Run it again with --apply to make these changes."
	if r.Applied {
		last = "Applied."
	}
	_, err := fmt.Fprintln(w, last)
	return err
}

func newPartnerList(o *certificateOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the partners and where each is set up",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := callCertificate[admin.PartnerListResponse](c, o, "partner.list", nil)
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				rows := make([][]string, len(r.Partners))
				for i, p := range r.Partners {
					rows[i] = []string{p.Domain, p.Mode, strconv.FormatBool(p.Send), strconv.FormatBool(p.Receive), p.NameRule, strconv.Itoa(len(p.Anchors)), p.Source, p.Organization}
				}
				return table(w, []string{"Domain", "Mode", "Send", "Receive", "NameRule", "Anchors", "Source", "Organization"}, rows)
			})
		},
	}
}

func newPartnerShow(o *certificateOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "show DOMAIN",
		Short: "Show one partner, and the private anchors that vouch for it",
		Args:  exactArguments("DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := callCertificate[admin.PartnerShowResponse](c, o, "partner.show", admin.PartnerRequest{Domain: args[0]})
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				if err := list(w, [2]string{"Domain", r.Domain}, [2]string{"Mode", r.Mode}, [2]string{"Send", strconv.FormatBool(r.Send)},
					[2]string{"Receive", strconv.FormatBool(r.Receive)}, [2]string{"NameRule", r.NameRule}, [2]string{"Names", strings.Join(r.Names, " ")},
					[2]string{"Source", r.Source}, [2]string{"Organization", r.Organization}, [2]string{"Signer", admin.Groups(r.Signer)}); err != nil {
					return err
				}
				for _, a := range r.TrustedBy {
					if _, err := fmt.Fprintf(w, "anchor %s\n  SHA-256 %s, until %s, revocation %s\n", printable(a.Subject), a.SHA256, a.NotAfter, a.Revocation); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func newPartnerRemove(o *certificateOptions) *cobra.Command {
	var q admin.PartnerRequest
	c := &cobra.Command{
		Use:   "remove DOMAIN",
		Short: "Remove a partner that was imported, with its anchors",
		Long: `Remove a partner that a command has set up, with the anchors that vouch for nobody
else. Mail to and from the domain then goes as for any stranger: secured if it
happens to be, and never marked.`,
		Args: exactArguments("DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Domain = args[0]
			r, err := callCertificate[admin.PartnerRow](c, o, "partner.remove", q)
			if err != nil {
				return err
			}
			what := "removed"
			if q.DryRun {
				what = "to be removed"
			}
			return o.render(c, r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: partner %s\n", what, printable(r.Domain))
				return err
			})
		},
	}
	addDryRun(c, &q.DryRun)
	return c
}
