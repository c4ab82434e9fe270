package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mailpact/internal/admin"
)

// maxPasswordBytes bounds a password.
const maxPasswordBytes = 1024

// secretFile is a flag that names the file of a password: what stands on a
// command line is seen by every user of the machine.
type secretFile struct{ flag, path string }

func (s *secretFile) addFlag(c *cobra.Command, name, help string) {
	s.flag = name
	c.Flags().StringVar(&s.path, name, "", help)
}

// read returns the password: from the file, else from the person at the terminal.
func (s *secretFile) read(c *cobra.Command, prompt string) (admin.Secret, error) {
	if s.path != "" {
		data, err := readUpload(c, s.path, maxPasswordBytes)
		if err != nil {
			return "", err
		}
		return admin.Secret(strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")), nil
	}
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", &usageError{fmt.Errorf("a password is needed: name its file with --%s (/dev/null for an empty one)", s.flag)}
	}
	return askPassword(in, c.ErrOrStderr(), prompt)
}

func askPassword(in *os.File, out io.Writer, prompt string) (admin.Secret, error) {
	fmt.Fprint(out, prompt)
	data, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(out)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if len(data) > maxPasswordBytes {
		return "", &usageError{errors.New("the password is too long")}
	}
	return admin.Secret(data), nil
}

// optionalTime reads a time of RFC 3339; empty is nil.
func optionalTime(flag, s string) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--%s: %q is no time like 2027-01-04T06:00:00Z", flag, s)}
	}
	return &t, nil
}
