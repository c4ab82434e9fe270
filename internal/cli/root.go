package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
	"mailpact/internal/server"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// globals are the flags that every command has.
type globals struct {
	json   bool
	socket string
}

// client returns a client for the server's admin socket.
func (g *globals) client() *admin.Client {
	path := g.socket
	if path == "" {
		path = filepath.Join(server.DefaultDataDirectory(), "admin.sock")
	}
	return admin.NewClient(path)
}

// Run runs the command line args (without the program's name) and returns the
// exit code. SIGINT and SIGTERM end the command's context.
func Run(args []string, s Streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	code := exitCode(err)
	var silent *silentError
	if err != nil && !errors.As(err, &silent) {
		fmt.Fprintf(s.Err, "mailpact: %v\n", err)
	}
	return code
}

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "mailpact",
		Short: "Mail gateway for mutually authenticated TLS",
		Long: `Mailpact receives, queues and sends mail. For partner domains it does so only
over mutually authenticated TLS, checks certificate chain, name and revocation,
marks what was proven and refuses everything else.

See it first:   mailpact lab
Run it:         mailpact serve

Exit codes: 0 yes, 1 no or failed, 2 usage or unreadable input, 3 server not reached.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().BoolVar(&g.json, "json", false, "print JSON")
	root.PersistentFlags().StringVar(&g.socket, "socket", "", "admin socket of the server (default: admin.sock in the default data directory)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (see '%s --help')", err, c.CommandPath())}
	})
	root.SetHelpCommand(newHelp())
	root.AddCommand(
		newServe(),
		newConfig(g),
		newAccount(),
		newQueue(g),
		newMessage(g),
		newCertificate(g),
		newTrust(g),
		newCRL(g),
		newAuthority(g),
		newPartner(g),
		newProxy(g),
		newCounters(g),
		newStatus(g),
		newLab(),
		newVersion(g),
	)
	return root
}

// newHelp is cobra's help command but for what does not exist, which is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Help about any command",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return &usageError{err}
			}
			if err := noArguments(about, rest); err != nil {
				return err
			}
			about.InitDefaultHelpFlag() // so that it is listed
			return about.Help()
		},
	}
}

// noArguments refuses arguments and, where a command groups others, names the nearest.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	c.SuggestionsMinimumDistance = 2 // without one only prefixes are near
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return &usageError{fmt.Errorf("%q is not known to '%s'%s (see '%s --help')", args[0], c.CommandPath(), hint, c.CommandPath())}
}

// exactArguments is cobra.ExactArgs with our exit code and the argument's name.
func exactArguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return &usageError{fmt.Errorf("'%s' takes %s, not %d arguments", c.CommandPath(), strings.Join(names, " "), len(args))}
		}
		return nil
	}
}

// group makes a noun that only holds verbs.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_ = c.Help()
			return &silentError{code: ExitUsage}
		},
	}
	c.AddCommand(verbs...)
	return c
}
