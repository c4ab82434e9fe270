// Command mailbench measures Mailpact beside tuned Postfix. bench/run builds
// and runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use: "mailbench", Short: "Measure Mailpact beside tuned Postfix",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(newRun(), newIdle(), newLoad(), newSink(), newServe())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "mailbench: %v\n", err)
		os.Exit(1)
	}
}
