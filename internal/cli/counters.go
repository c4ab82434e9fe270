package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newCounters(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "counters",
		Short: "Show the Domain Security counters and refusals by reason",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := admin.Call[admin.Counters](c.Context(), g.client(), "counters.show", nil)
			if err != nil {
				return err
			}
			return g.render(c, s, func(w io.Writer) error { return writeCounters(w, s) })
		},
	}
}

func writeCounters(w io.Writer, s admin.Counters) error {
	count := func(n uint64) string { return strconv.FormatUint(n, 10) }
	if err := list(w,
		[2]string{"Domain-Secured Messages Received", count(s.DomainSecuredMessagesReceived)},
		[2]string{"Domain-Secured Messages Sent", count(s.DomainSecuredMessagesSent)},
		[2]string{"Domain-Secured Outbound Session Failures", count(s.DomainSecuredOutboundSessionFailures)},
	); err != nil {
		return err
	}
	if len(s.Refusals) == 0 {
		_, err := fmt.Fprintln(w, "\nNothing was refused.")
		return err
	}
	if _, err := fmt.Fprintln(w, "\nRefusals by reason"); err != nil {
		return err
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Refusals)) {
		if _, err := fmt.Fprintf(w, "  %-24s %d\n", printable(reason), s.Refusals[reason]); err != nil {
			return err
		}
	}
	return nil
}
