package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

// maxVerifyFile bounds an input of certificates; a CRL may be larger.
const (
	maxVerifyFile = 16 << 20
	maxVerifyCRL  = 1 << 30
)

// verifyFlags are the flags of 'cert verify' that name files.
type verifyFlags struct {
	config                     string
	at                         string
	roots, intermediates, crls []string
}

func newCertificateVerify(g *globals) *cobra.Command {
	var f verifyFlags
	var request admin.CertificateVerifyRequest
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Judge a certificate as a session would: every path tried, one verdict",
		Long: `Judge the first certificate of FILE (PEM or DER) by the rules that a session with
its owner is judged by. Further certificates in FILE are what he would present
with it. Every path that was tried is shown, with what is wrong with it and what
was learnt about revocation. No server is needed.

Trusted are the certificates of --root alone, each as name and key; without
--root the trust settings of --config, or else the system's roots.

--domain asks for the Domain Security rule (and, with --config, the partner's own
rules and the anchors' scopes), --host for a host name or IP address by RFC 9525;
without either no name is looked at. The purpose "mail" wants serverAuth or
clientAuth in every certificate of the path, "server" and "client" want that one.

Revocation: "fetch" asks the distribution points, "files" only the lists given
with --crl (a missing or stale list is then not valid), "none" does not ask.
The default is "files" with --crl, else "fetch".

Exit codes: 0 valid, 1 not valid, 2 bad usage or unreadable input. With --json the
boolean "valid" says the same, and "temporary" whether the fault may pass by itself.`,
		Example: `  mailpact cert verify --domain woodgrovebank.com --root woodgrove-root.pem mail1.pem
  mailpact cert verify --json --config /etc/mailpact/mailpact.yaml --domain woodgrovebank.com mail1.pem
  mailpact cert verify --root root.pem --crl root.crl --crl issuing.crl --host mail1.woodgrovebank.com --purpose server chain.pem`,
		Args: exactArguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			var e admin.VerifyEnvironment
			if err := f.read(args[0], &request, &e); err != nil {
				return &usageError{err}
			}
			r, err := admin.VerifyCertificate(c.Context(), e, request)
			if err != nil {
				return err
			}
			if err := g.render(c, r, func(w io.Writer) error { return writeVerification(w, r) }); err != nil {
				return err
			}
			if !r.Valid {
				return &silentError{code: ExitNo}
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.roots, "root", nil, "file of trust anchors, which replace all others (repeatable)")
	flags.StringArrayVar(&f.intermediates, "intermediates", nil, "file of further CA certificates (repeatable)")
	flags.StringArrayVar(&f.crls, "crl", nil, "file with a CRL; only these are used (repeatable)")
	flags.StringVar(&f.config, "config", "", "configuration file with trust settings and partners")
	flags.StringVar(&f.at, "time", "", "judge for this moment, such as 2026-11-30T12:00:00Z (default: now)")
	flags.StringVar(&request.Revocation, "revocation", "", "fetch, files or none")
	flags.StringVar(&request.Domain, "domain", "", "mail domain the certificate is to speak for")
	flags.StringVar(&request.Host, "host", "", "host name or IP address it is to stand for")
	flags.StringVar(&request.Purpose, "purpose", "", "mail, server or client (default: mail)")
	flags.StringArrayVar(&request.Policies, "policy", nil, "acceptable certificate policy, a dotted OID (repeatable; default: any)")
	flags.BoolVar(&request.ExplicitPolicy, "explicit-policy", false, "require an acceptable policy (RFC 5280, section 6.1.1)")
	flags.BoolVar(&request.InhibitPolicyMapping, "inhibit-policy-mapping", false, "do not follow policy mappings")
	flags.BoolVar(&request.InhibitAnyPolicy, "inhibit-any-policy", false, "do not let anyPolicy stand for a policy")
	return c
}

// read reads the files that the flags name.
func (f *verifyFlags) read(file string, r *admin.CertificateVerifyRequest, e *admin.VerifyEnvironment) (err error) {
	if r.Certificate, err = readInput(file, maxVerifyFile); err != nil {
		return err
	}
	for _, list := range []struct {
		names []string
		into  *[]admin.File
		limit int64
	}{{f.roots, &r.Roots, maxVerifyFile}, {f.intermediates, &r.Intermediates, maxVerifyFile}, {f.crls, &r.CRLs, maxVerifyCRL}} {
		for _, name := range list.names {
			input, err := readInput(name, list.limit)
			if err != nil {
				return err
			}
			*list.into = append(*list.into, input)
		}
	}
	if f.at != "" {
		if r.Time, err = time.Parse(time.RFC3339, f.at); err != nil {
			return fmt.Errorf("--time %q: write it like 2026-11-30T12:00:00Z", f.at)
		}
	}
	if f.config != "" {
		e.Configuration, err = admin.ReadConfiguration(f.config)
	}
	return err
}

func readInput(name string, limit int64) (admin.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return admin.File{}, fmt.Errorf("opening input: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return admin.File{}, fmt.Errorf("reading input: %w", err)
	case int64(len(content)) > limit:
		return admin.File{}, fmt.Errorf("reading input: %s has more than %d octets", name, limit)
	}
	return admin.File{Name: name, Content: content}, nil
}
