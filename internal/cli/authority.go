package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
	"mailpact/internal/server"
)

// maxPEMUpload bounds the files that 'mailpact ca' reads, in octets.
const maxPEMUpload = 512 << 10

// authorityOptions are the flags of all commands of 'mailpact ca'.
type authorityOptions struct {
	certificateOptions
	dir string
}

func newAuthority(g *globals) *cobra.Command {
	o := &authorityOptions{certificateOptions: certificateOptions{globals: g}}
	verbs := []*cobra.Command{
		newAuthorityInit(o), newAuthorityImport(o), newAuthorityIssue(o), newAuthorityCrossSign(o), newAuthorityRevoke(o),
		newAuthorityPublish(o), newAuthorityList(o), newAuthorityShow(o),
	}
	for _, v := range verbs {
		o.addFlags(v)
		v.Flags().StringVar(&o.dir, "dir", "", "work on the authority in this directory, without any server")
	}
	c := group("ca", "Run a small certification authority", verbs...)
	c.Long = `Run a certification authority of your own: for your servers, and to certify the
authorities of partners for their domains. Its files lie in ca below the data
directory (authority.directory), with the key for the server's user alone.

Without flags a command works through the running server. With --data, --config or
--dir it works on the files in this process.`
	return c
}

// callAuthority runs an operation on the authority that the flags name.
func callAuthority[Response any](c *cobra.Command, o *authorityOptions, name string, request any) (Response, error) {
	if o.dir == "" {
		return callCertificate[Response](c, &o.certificateOptions, name, request)
	}
	var none Response
	if o.socket != "" || o.offline != (server.ConfigureOptions{}) {
		return none, &usageError{errors.New("--dir names an authority that no server has; leave --socket, --data and --config out")}
	}
	return callInProcess[Response](c.Context(), admin.AuthorityAlone(o.dir), name, request)
}

func newAuthorityInit(o *authorityOptions) *cobra.Command {
	var q admin.AuthorityInitRequest
	var out outputFile
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the authority: a root, or with --request an issuing CA under an outside root",
		Long: `Make the authority's key (ECDSA P-256) and its certificate. --crl-url is written into
everything that it issues, so it must be an address that partners can reach and
that stays; http, because what proves a certificate cannot need one itself.

With --request no root is made but a request (PKCS #10) for an outside root, which
goes to --out or standard output; 'mailpact ca import' takes the answer.

  mailpact ca init --name "Contoso Mail Root" --crl-url http://pki.contoso.com/mail.crl
  mailpact ca init --name "Contoso Mail CA" --request --crl-url http://pki.contoso.com/mail.crl --out ca.csr`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			r, err := callAuthority[admin.AuthorityShowResponse](c, o, "authority.init", q)
			if err != nil {
				return err
			}
			if q.Request && out.path == "" && !o.json {
				_, err := io.WriteString(c.OutOrStdout(), r.Request)
				return err
			}
			data := r.Certificate
			if q.Request {
				data = r.Request
			}
			if err := out.write([]byte(data), 0o644); err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error { return writeAuthority(w, r) })
		},
	}
	f := c.Flags()
	f.StringVar(&q.CommonName, "name", "", "the authority's name (needed)")
	f.StringVar(&q.Organization, "organization", "", "the organisation's name")
	f.StringVar(&q.CRLURL, "crl-url", "", "address where the CRL will be: http://HOST/FILE")
	f.StringVar(&q.IssuerURL, "issuer-url", "", "address where the authority's certificate will be: http://HOST/FILE")
	f.IntVar(&q.Days, "days", 0, "how long the root lasts (default 3650)")
	f.IntVar(&q.CRLHours, "crl-hours", 0, "from one CRL to its nextUpdate; renewed at half of it (default 168)")
	f.BoolVar(&q.Request, "request", false, "make a request for an outside root instead of a root")
	out.addFlag(c, "write the root's certificate, or the request, to this file; it must not exist")
	return c
}

func newAuthorityImport(o *authorityOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Import the outside root's answer to the request of 'ca init --request'",
		Long: `Import the certificate that answers the request, in PEM with the certificates above
it, or alone. FILE is - for standard input.`,
		Args: exactArguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := readUpload(c, args[0], maxPEMUpload)
			if err != nil {
				return err
			}
			r, err := callAuthority[admin.AuthorityShowResponse](c, o, "authority.complete", admin.AuthorityCompleteRequest{Answer: string(data)})
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error { return writeAuthority(w, r) })
		},
	}
}

func newAuthorityIssue(o *authorityOptions) *cobra.Command {
	var q admin.AuthorityIssueRequest
	var requestFile string
	var key, out outputFile
	c := &cobra.Command{
		Use:   "issue [NAME]...",
		Short: "Issue a certificate, from a request or directly for a server",
		Long: `Issue a certificate for mail servers, good for both directions (serverAuth and
clientAuth). Of a request the key, the common name, the organisation and the DNS
names are taken, or the NAMEs instead of these. Without a request a key is made
here and written to --key; it never leaves this process otherwise. --out gets the
certificate and those above it, without the root, as certificateFile wants them.

  mailpact ca issue --request mail1.csr --out mail1.pem
  mailpact ca issue mail1.contoso.com contoso.com --key mail1.key --out mail1.pem
  mailpact ca issue --authority --request issuing.csr --out issuing.pem`,
		RunE: func(c *cobra.Command, args []string) error {
			var keyPEM []byte
			for _, f := range []*outputFile{&key, &out} {
				if err := f.check(); err != nil {
					return err
				}
			}
			q.Names = args
			switch {
			case requestFile == "" && (len(args) == 0 || key.path == "" || out.path == ""):
				return &usageError{errors.New("give --request FILE, or the server's names with --key FILE and --out FILE")}
			case requestFile != "" && key.path != "":
				return &usageError{errors.New("--key is for a new key; the key of --request is where the request was made")}
			case requestFile != "":
				data, err := readUpload(c, requestFile, maxPEMUpload)
				if err != nil {
					return err
				}
				q.Request = string(data)
			default:
				request, made, err := admin.NewServerRequest(args)
				if err != nil {
					return err
				}
				q.Request, keyPEM = string(request), made
			}
			r, err := callAuthority[admin.AuthorityIssuedResponse](c, o, "authority.issue", q)
			if err != nil {
				return err
			}
			if err := key.write(keyPEM, 0o600); err != nil {
				return fmt.Errorf("the certificate %s was issued, but its key not written: %w", r.Serial, err)
			}
			return o.issued(c, r, &out)
		},
	}
	f := c.Flags()
	f.StringVar(&requestFile, "request", "", "request (PKCS #10, PEM or DER); - is standard input")
	key.flag(c, "key", "write the new key to this file; it must not exist")
	out.addFlag(c, "write the certificate and those above it to this file; it must not exist")
	f.IntVar(&q.Days, "days", 0, "how long it lasts (default 90, for an authority 1825); never longer than its issuer")
	f.BoolVar(&q.Authority, "authority", false, "certify an authority below this one, for end entities only")
	return c
}

// issued writes a new certificate to a file, or to standard output.
func (o *authorityOptions) issued(c *cobra.Command, r admin.AuthorityIssuedResponse, out *outputFile) error {
	if err := out.write([]byte(r.Chain), 0o644); err != nil {
		return fmt.Errorf("the certificate %s was issued ('mailpact ca show %s' has it), but not written: %w", r.Serial, r.Serial, err)
	}
	if out.path == "" && !o.json {
		_, err := io.WriteString(c.OutOrStdout(), r.Chain)
		return err
	}
	return o.render(c, r, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "issued: %s %s, until %s\nwritten: %s\n", r.Serial, printable(r.Subject), localTime(r.NotAfter), out.path)
		return err
	})
}

func newAuthorityCrossSign(o *authorityOptions) *cobra.Command {
	var q admin.AuthorityCertifyRequest
	var out outputFile
	c := &cobra.Command{
		Use:   "cross-sign FILE",
		Short: "Certify a partner's authority for the partner's domains alone",
		Long: `Sign the name and key of a partner's authority with name constraints: it may vouch
for --domain and what is below, for no other name and for no IP address. Whoever
trusts this authority then trusts the partner's, so far, and can stop it with one
'mailpact ca revoke'. FILE is the partner's CA certificate (PEM), obtained in a way
that you trust.

  mailpact ca cross-sign fabrikam-root.pem --domain fabrikam.com --out fabrikam-cross.pem`,
		Args: exactArguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			data, err := readUpload(c, args[0], maxPEMUpload)
			if err != nil {
				return err
			}
			q.Certificate = string(data)
			r, err := callAuthority[admin.AuthorityIssuedResponse](c, o, "authority.certify", q)
			if err != nil {
				return err
			}
			return o.issued(c, r, &out)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&q.Domains, "domain", nil, "a domain of the partner's; repeatable (needed)")
	f.IntVar(&q.PathLength, "path-length", 0, "how many authorities may stand below the partner's")
	f.IntVar(&q.Days, "days", 0, "how long it lasts (default 365); never longer than either authority")
	out.addFlag(c, "write the cross-certificate to this file; it must not exist")
	return c
}

func newAuthorityRevoke(o *authorityOptions) *cobra.Command {
	var q admin.AuthorityRevokeRequest
	c := &cobra.Command{
		Use:   "revoke SERIAL",
		Short: "Revoke a certificate",
		Long: `Revoke a certificate by its serial number ('mailpact ca list'), or as much of its
beginning as only one has. A new CRL with a higher number says so at once; partners
notice when they fetch it.

Reasons (RFC 5280, section 5.3.1): unspecified, keyCompromise, affiliationChanged,
superseded, cessationOfOperation, certificateHold, privilegeWithdrawn, and for an
authority cACompromise. A certificate that is revoked stays so, with its first reason.`,
		Args: exactArguments("SERIAL"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Serial = args[0]
			r, err := callAuthority[admin.AuthorityRecord](c, o, "authority.revoke", q)
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "revoked: %s %s (%s, %s)\n", r.Serial, printable(r.Subject), r.Reason, localTime(r.Revoked))
				return err
			})
		},
	}
	c.Flags().StringVar(&q.Reason, "reason", "", "why (default unspecified)")
	return c
}

func newAuthorityPublish(o *authorityOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "publish [DIRECTORY]",
		Short: "Write a new CRL and the authority's certificate for a web server",
		Long: `Write a new CRL and the authority's certificate (DER) into the directory of a web
server, under the last parts of their addresses. Later CRLs follow by themselves.
The web server must say application/pkix-crl and application/pkix-cert. Without
DIRECTORY the one of last time is meant.

Where 'mailpact serve' has authority.http, it serves both itself, and this is not needed.`,
		RunE: func(c *cobra.Command, args []string) error {
			var q admin.AuthorityPublishRequest
			if len(args) > 1 {
				return exactArguments("DIRECTORY")(c, args)
			}
			if len(args) == 1 {
				var err error
				if q.Directory, err = absolutePath(args[0]); err != nil {
					return &usageError{err}
				}
			}
			r, err := callAuthority[admin.AuthorityPublishResponse](c, o, "authority.publish", q)
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "written: %s\n", strings.Join(r.Files, " "))
				return err
			})
		},
	}
}

func newAuthorityList(o *authorityOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what the authority has issued",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := callAuthority[admin.AuthorityListResponse](c, o, "authority.list", nil)
			if err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error {
				rows := make([][]string, len(r.Certificates))
				for i, x := range r.Certificates {
					revoked := "-"
					if !x.Revoked.IsZero() {
						revoked = localTime(x.Revoked) + " " + x.Reason
					}
					rows[i] = []string{x.Serial, string(x.Kind), localTime(x.NotAfter), revoked, x.Subject, strings.Join(x.Names, " ")}
				}
				return table(w, []string{"Serial", "Kind", "NotAfter", "Revoked", "Subject", "Names"}, rows)
			})
		},
	}
}

func newAuthorityShow(o *authorityOptions) *cobra.Command {
	var out outputFile
	c := &cobra.Command{
		Use:   "show [SERIAL]",
		Short: "Show the authority and its CRL, or one certificate that it has issued",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArguments("SERIAL")(c, args)
			}
			if err := out.check(); err != nil {
				return err
			}
			if len(args) == 1 {
				r, err := callAuthority[admin.AuthorityIssuedResponse](c, o, "authority.issued", admin.AuthorityIssuedRequest{Serial: args[0]})
				if err != nil {
					return err
				}
				if err := out.write([]byte(r.Chain), 0o644); err != nil {
					return err
				}
				return o.render(c, r, func(w io.Writer) error {
					return list(w, [2]string{"Serial", r.Serial}, [2]string{"Kind", string(r.Kind)}, [2]string{"Subject", r.Subject},
						[2]string{"Names", strings.Join(r.Names, " ")}, [2]string{"NotBefore", localTime(r.NotBefore)}, [2]string{"NotAfter", localTime(r.NotAfter)},
						[2]string{"SHA256", r.SHA256}, [2]string{"Reason", r.Reason}, [2]string{"Revoked", localTime(r.Revoked)})
				})
			}
			r, err := callAuthority[admin.AuthorityShowResponse](c, o, "authority.show", nil)
			if err != nil {
				return err
			}
			if err := out.write([]byte(r.Certificate), 0o644); err != nil {
				return err
			}
			return o.render(c, r, func(w io.Writer) error { return writeAuthority(w, r) })
		},
	}
	out.addFlag(c, "write the certificate (PEM) to this file; it must not exist")
	return c
}

func writeAuthority(w io.Writer, r admin.AuthorityShowResponse) error {
	return list(w, [2]string{"Status", r.Status}, [2]string{"Subject", r.Subject}, [2]string{"Issuer", r.Issuer}, [2]string{"SHA256", r.SHA256},
		[2]string{"NotAfter", localTime(r.NotAfter)}, [2]string{"CRL address", r.CRLURL}, [2]string{"Certificate address", r.IssuerURL},
		[2]string{"Published to", r.PublishTo}, [2]string{"Issued", fmt.Sprintf("%d, %d revoked", r.Issued, r.Revoked)},
		[2]string{"CRL number", r.CRLNumber}, [2]string{"ThisUpdate", localTime(r.ThisUpdate)}, [2]string{"NextUpdate", localTime(r.NextUpdate)})
}

// absolutePath makes a path of this process one that a server understands, and
// sees that it is a directory.
func absolutePath(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		return "", fmt.Errorf("%s is no directory", path)
	}
	return filepath.Abs(path)
}
