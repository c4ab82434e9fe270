package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newCertificateImport(o *certificateOptions) *cobra.Command {
	var q admin.CertificateImportRequest
	var password, backupPassword secretFile
	var backup outputFile
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Import a CA's answer, or a PFX with certificate and key",
		Long: `Import the answer to a pending request: PEM, DER or PKCS #7, alone or with its
chain. It is bound to the key that waits for it. Or import a certificate with its
key: a PFX (PKCS #12), old or new, or PEM. FILE is - for standard input. The key
cannot be exported later unless --exportable says so; --backup writes one PFX of
certificate and key now, for the day the machine is lost.

Passwords come from a file or a terminal, never from the command line.

  mailpact cert import answer.p7b --services SMTP --backup mail1.pfx --backup-password-file pw
  mailpact cert import mail1.pfx --password-file pw --services SMTP`,
		Args: exactArguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := backup.check(); err != nil {
				return err
			}
			q.Backup = backup.path != ""
			var err error
			if q.Data, err = readUpload(c, args[0], admin.MaxImportBytes); err != nil {
				return err
			}
			if admin.IsPFX(q.Data) {
				if q.Password, err = password.read(c, "Password of "+args[0]+": "); err != nil {
					return err
				}
			}
			if q.Backup {
				if q.BackupPassword, err = backupPassword.read(c, "Password for "+backup.path+": "); err != nil {
					return err
				}
			}
			r, err := callCertificate[admin.CertificateImportResponse](c, o, "certificate.import", q)
			if err != nil {
				return err
			}
			if err := backup.write(r.Backup, 0o600); err != nil {
				return fmt.Errorf("the certificate was imported, but its backup not written: %w", err)
			}
			r.Backup = nil // the file has it; output goes into logs
			what := "imported"
			if r.Bound {
				what = "answer bound to its key"
			}
			return o.done(c, r, r.CertificateRow, r.Notes, what)
		},
	}
	f := c.Flags()
	password.addFlag(c, "password-file", "file with the PFX's password; - is standard input")
	f.StringVar(&q.FriendlyName, "friendly-name", "", "what you call it, at most 63 characters")
	f.BoolVar(&q.Exportable, "exportable", false, "allow the key to be exported later")
	servicesFlag(c, &q.Services)
	backup.flag(c, "backup", "write a PFX of certificate and key to this file; it must not exist")
	backupPassword.addFlag(c, "backup-password-file", "file with the password for --backup; - is standard input")
	return c
}

func newCertificateExport(o *certificateOptions) *cobra.Command {
	var q admin.CertificateExportRequest
	var password secretFile
	var out outputFile
	c := &cobra.Command{
		Use:   "export THUMBPRINT",
		Short: "Export a certificate, with its key if that is exportable",
		Long: `Export a certificate and its chain in PEM, or with --with-key a PFX, if the key is
exportable. A pending request is written again. Without --out, PEM goes to
standard output.

  mailpact cert export AB493A0C --out mail1.pem
  mailpact cert export AB493A0C --with-key --password-file pw --out mail1.pfx`,
		Args: exactArguments("THUMBPRINT"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Thumbprint = args[0]
			if q.Key && out.path == "" {
				return &usageError{errors.New("a PFX goes into a file: name it with --out")}
			}
			if err := out.check(); err != nil {
				return err
			}
			mode := os.FileMode(0o644)
			if q.Key {
				var err error
				if q.Password, err = password.read(c, "Password for "+out.path+": "); err != nil {
					return err
				}
				mode = 0o600
			}
			r, err := callCertificate[admin.CertificateExportResponse](c, o, "certificate.export", q)
			if err != nil {
				return err
			}
			if err := out.write(r.Data, mode); err != nil {
				return err
			}
			if out.path == "" && !o.json {
				_, err := c.OutOrStdout().Write(r.Data)
				return err
			}
			if out.path != "" {
				r.Data = nil // the file has it; output goes into logs
			}
			return o.render(c, r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "written: %s\n", out.path)
				return err
			})
		},
	}
	c.Flags().BoolVar(&q.Key, "with-key", false, "write a PFX with the private key")
	c.Flags().BoolVar(&q.Legacy, "legacy", false, "protect the PFX as Windows Server 2016 and older want it (3DES, SHA-1)")
	password.addFlag(c, "password-file", "file with the password for the PFX; - is standard input")
	out.addFlag(c, "write to this file; it must not exist")
	return c
}

// readUpload reads a file, or standard input for "-".
func readUpload(c *cobra.Command, path string, limit int64) ([]byte, error) {
	in := c.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, &usageError{err}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, &usageError{fmt.Errorf("reading %s: %w", path, err)}
	}
	if int64(len(data)) > limit {
		return nil, &usageError{fmt.Errorf("%s has more than %d octets, the limit of what is read", path, limit)}
	}
	return data, nil
}

// outputFile is a new file that a command writes.
type outputFile struct{ path string }

func (f *outputFile) addFlag(c *cobra.Command, help string) { f.flag(c, "out", help) }

func (f *outputFile) flag(c *cobra.Command, name, help string) {
	c.Flags().StringVar(&f.path, name, "", help)
}

// check refuses a file that is there, before anything is done.
func (f *outputFile) check() error {
	if f.path == "" {
		return nil
	}
	if _, err := os.Lstat(f.path); err == nil {
		return &usageError{fmt.Errorf("%s is there already; choose another name or move it away", f.path)}
	}
	return nil
}

// write writes the file; without a path it does nothing.
func (f *outputFile) write(data []byte, mode os.FileMode) error {
	if f.path == "" {
		return nil
	}
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return errors.Join(err, w.Sync(), w.Close())
}
