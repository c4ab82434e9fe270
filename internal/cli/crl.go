package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newCRL(g *globals) *cobra.Command {
	return group("crl", "Look at the cached certificate revocation lists, fetch and forget them",
		newCRLList(g), newCRLShow(g),
		newCRLChange(g, "refresh", "Fetch CRLs now", `Fetch the CRL of an address now, or all that were needed since the start, and wait
for them. One that cannot be had leaves what is held; the table says why.

  mailpact crl refresh http://crl.contoso.com/root.crl`, "asked for"),
		newCRLChange(g, "flush", "Forget cached CRLs", `Forget the CRL of an address, or all, in memory and on disk. The next certificate
that needs one waits until it is fetched. What was remembered to refuse an older
CRL is forgotten too: use it when a CA began its numbers anew.

  mailpact crl flush http://crl.contoso.com/root.crl`, "forgotten"))
}

func newCRLList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the cached CRLs and how fresh they are",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.CRLListResponse](c.Context(), g.client(), "crl.list", nil)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error { return writeCRLs(w, r.CRLs) })
		},
	}
}

func writeCRLs(w io.Writer, crls []admin.CRLRow) error {
	if len(crls) == 0 {
		_, err := fmt.Fprintln(w, "No CRL has been needed yet.")
		return err
	}
	rows := make([][]string, len(crls))
	for i, x := range crls {
		rows[i] = []string{x.URL, x.Number, strconv.Itoa(x.Entries), localTime(x.ThisUpdate), localTime(x.NextUpdate), x.Freshness, x.LastError}
	}
	return table(w, []string{"URL", "Number", "Entries", "ThisUpdate", "NextUpdate", "Freshness", "LastError"}, rows)
}

func newCRLShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show URL",
		Short: "Show what is known of the CRL of an address",
		Args:  exactArguments("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := admin.Call[admin.CRLListResponse](c.Context(), g.client(), "crl.show", admin.CRLRequest{URL: args[0]})
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				for _, x := range r.CRLs {
					if err := writeCRL(w, x); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func writeCRL(w io.Writer, x admin.CRLRow) error {
	for _, line := range [][2]string{
		{"URL", x.URL},
		{"Issuer", x.Issuer},
		{"Number", x.Number},
		{"Entries", strconv.Itoa(x.Entries)},
		{"ThisUpdate", localTime(x.ThisUpdate)},
		{"NextUpdate", localTime(x.NextUpdate)},
		{"Freshness", x.Freshness},
		{"Fetched", localTime(x.Fetched)},
		{"LastUsed", localTime(x.LastUsed)},
		{"LastError", x.LastError},
	} {
		if _, err := fmt.Fprintf(w, "%-11s %s\n", line[0]+":", printable(line[1])); err != nil {
			return err
		}
	}
	return nil
}

func newCRLChange(g *globals, verb, short, long, done string) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " [URL]",
		Short: short,
		Long:  long,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) <= 1 {
				return nil
			}
			return exactArguments("URL")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			r, err := admin.Call[admin.CRLChangeResponse](c.Context(), g.client(), "crl."+verb, admin.CRLRequest{URL: strings.Join(args, "")})
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				if _, err := fmt.Fprintf(w, "%d %s.\n", r.Count, done); err != nil || len(r.CRLs) == 0 {
					return err
				}
				return writeCRLs(w, r.CRLs)
			})
		},
	}
}

func newProxy(g *globals) *cobra.Command {
	var bypass []string
	var dryRun bool
	set := &cobra.Command{
		Use:   "set HOST:PORT",
		Short: "Fetch CRLs through an HTTP proxy from now on",
		Long: `Fetch CRLs over HTTP through a proxy from now on, also after a restart. LDAP never
goes through it. Hosts of --bypass are asked directly: * stands for any
characters, <local> for names without a dot. The configuration file stays as it
is; a proxy that it names itself can only be changed there.

  mailpact proxy set proxy.contoso.com:3128 --bypass "<local>" --bypass "*.contoso.com"`,
		Args: exactArguments("HOST:PORT"),
	}
	set.Flags().StringArrayVar(&bypass, "bypass", nil, "host that is asked without the proxy (repeatable)")
	direct := &cobra.Command{Use: "direct", Short: "Fetch CRLs without a proxy from now on", Args: noArguments}
	for _, c := range []*cobra.Command{set, direct} {
		c.Flags().BoolVar(&dryRun, "dry-run", false, "check the change and leave everything as it is")
		c.RunE = func(c *cobra.Command, args []string) error {
			r, err := admin.Call[admin.ProxySettings](c.Context(), g.client(), "proxy.set", admin.ProxySetRequest{
				Proxy: strings.Join(args, ""), Bypass: bypass, DryRun: dryRun,
			})
			return g.showProxy(c, r, err)
		}
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Show the HTTP proxy that CRLs are fetched through",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.ProxySettings](c.Context(), g.client(), "proxy.show", nil)
			return g.showProxy(c, r, err)
		},
	}
	return group("proxy", "Show and set the HTTP proxy that CRLs are fetched through", show, set, direct)
}

func (g *globals) showProxy(c *cobra.Command, r admin.ProxySettings, err error) error {
	if err != nil {
		return err
	}
	return g.render(c, r, func(w io.Writer) error {
		if r.Proxy == "" {
			_, err := fmt.Fprintln(w, "CRLs are fetched without a proxy.")
			return err
		}
		_, err := fmt.Fprintf(w, "Proxy:  %s\nBypass: %s\n", r.Proxy, strings.Join(r.Bypass, ", "))
		return err
	})
}
