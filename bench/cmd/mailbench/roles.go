package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"mailpact/bench/load"
	"mailpact/bench/sink"
)

// newLoad makes the role that package trial starts as a process of its own:
// options as JSON in, report as JSON out.
func newLoad() *cobra.Command {
	return &cobra.Command{
		Use: "load", Short: "Send messages (started by run)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var o load.Options
			if err := json.NewDecoder(c.InOrStdin()).Decode(&o); err != nil {
				return fmt.Errorf("reading the load's options: %w", err)
			}
			report, err := load.Run(c.Context(), o)
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(report)
		},
	}
}

// newSink makes the other role: options in, address out; how many messages to
// wait for in, a word when they have come out; at the end of its input it
// reports and ends.
func newSink() *cobra.Command {
	return &cobra.Command{
		Use: "sink", Short: "Take messages (started by run)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			in, out := json.NewDecoder(c.InOrStdin()), json.NewEncoder(c.OutOrStdout())
			var o sink.Options
			if err := in.Decode(&o); err != nil {
				return fmt.Errorf("reading the sink's options: %w", err)
			}
			// Interrupted, the sink goes when its input ends, which is when run goes.
			k, err := sink.Listen(context.WithoutCancel(c.Context()), o)
			if err != nil {
				return err
			}
			if err := out.Encode(k.Addr().String()); err != nil {
				return err
			}
			var w sink.Wait
			for in.Decode(&w) == nil {
				k.Wait(c.Context(), w)
				if err := out.Encode(true); err != nil {
					break
				}
			}
			return out.Encode(k.Close())
		},
	}
}
