package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mailpact/internal/admin"
)

func newAccount() *cobra.Command {
	return group("account", "Make accounts for clients that authenticate", newAccountLine())
}

func newAccountLine() *cobra.Command {
	return &cobra.Command{
		Use:   "line NAME",
		Short: "Print the accounts file's line for a name and a password",
		Long: `Print the line of the accounts file (server.accountsFile) for a name and a
password, which is asked for twice, or read from standard input where that is no
terminal. Only a hash of it stands in the line. The file must not be readable for
everybody; a running server reads it again on SIGHUP.

Exit codes: 0 printed, 2 the name or the password cannot be used.`,
		Example: `  mailpact account line alice@contoso.com >>/etc/mailpact/accounts
  pass show mail/printer | mailpact account line printer >>/etc/mailpact/accounts`,
		Args: exactArguments("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			password, err := readPassword(c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return &usageError{err}
			}
			line, err := admin.AccountLine(args[0], password)
			if err != nil {
				return &usageError{err}
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), line)
			return err
		},
	}
}

// maxPasswordInput bounds what is read as a password.
const maxPasswordInput = 4 << 10

// readPassword asks a person twice, without showing it, or reads the one line of
// an input that is no terminal.
func readPassword(in io.Reader, out io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		first, err := ask(f, out, "Password: ")
		if err != nil {
			return "", err
		}
		second, err := ask(f, out, "Again: ")
		if err != nil {
			return "", err
		}
		if first != second {
			return "", errors.New("the two passwords differ")
		}
		return first, nil
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPasswordInput))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

func ask(f *os.File, out io.Writer, prompt string) (string, error) {
	fmt.Fprint(out, prompt)
	defer fmt.Fprintln(out)
	b, err := term.ReadPassword(int(f.Fd()))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(b), nil
}
