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
		if _, err := fmt.Fprintln(w, "\nNothing was refused."); err != nil {
			return err
		}
	} else if err := writeReasons(w, "Refusals by reason", s.Refusals); err != nil {
		return err
	}
	for _, partner := range slices.Sorted(maps.Keys(s.WouldHaveFailed)) {
		heading := "In test mode, would have failed for " + printable(partner)
		if err := writeReasons(w, heading, s.WouldHaveFailed[partner]); err != nil {
			return err
		}
	}
	for _, partner := range slices.Sorted(maps.Keys(s.ReceivedByUsage)) {
		heading := "Domain-secured messages by usage of the certificates of " + printable(partner)
		if err := writeReasons(w, heading, s.ReceivedByUsage[partner]); err != nil {
			return err
		}
	}
	return nil
}

func writeReasons(w io.Writer, heading string, reasons map[string]uint64) error {
	if _, err := fmt.Fprintf(w, "\n%s\n", heading); err != nil {
		return err
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		if _, err := fmt.Fprintf(w, "  %-24s %d\n", printable(reason), reasons[reason]); err != nil {
			return err
		}
	}
	return nil
}
