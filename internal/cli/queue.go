package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newQueue(g *globals) *cobra.Command {
	return group("queue", "Look at the queues, suspend, resume, retry and empty them",
		newQueueList(g), newQueueShow(g), newQueueSuspend(g), newQueueResume(g), newQueueRetry(g), newQueueRemove(g))
}

func newQueueList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the queues",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.QueueListResponse](c.Context(), g.client(), "queue.list", nil)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error { return writeQueues(w, r.Queues) })
		},
	}
}

func writeQueues(w io.Writer, queues []admin.QueueRow) error {
	if len(queues) == 0 {
		_, err := fmt.Fprintln(w, "No queue holds a message.")
		return err
	}
	rows := make([][]string, len(queues))
	for i, q := range queues {
		rows[i] = []string{q.Identity, q.DeliveryType, q.Status, strconv.FormatInt(q.MessageCount, 10), q.NextHopDomain, q.TLSDomain, q.LastError}
	}
	return table(w, []string{"Identity", "DeliveryType", "Status", "Messages", "NextHopDomain", "TlsDomain", "LastError"}, rows)
}

func newQueueShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show IDENTITY",
		Short: "Show one queue",
		Args:  exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			q, err := admin.Call[admin.QueueRow](c.Context(), g.client(), "queue.show", admin.QueueRequest{Identity: args[0]})
			if err != nil {
				return err
			}
			return g.render(c, q, func(w io.Writer) error {
				return list(w,
					[2]string{"Identity", q.Identity},
					[2]string{"DeliveryType", q.DeliveryType},
					[2]string{"NextHopDomain", q.NextHopDomain},
					[2]string{"TlsDomain", q.TLSDomain},
					[2]string{"NextHopConnector", q.NextHopConnector},
					[2]string{"Status", q.Status},
					[2]string{"MessageCount", strconv.FormatInt(q.MessageCount, 10)},
					[2]string{"ActiveCount", strconv.FormatInt(q.ActiveCount, 10)},
					[2]string{"NextRetryTime", localTime(q.NextRetryTime)},
					[2]string{"LastError", q.LastError},
				)
			})
		},
	}
}

func newQueueRetry(g *globals) *cobra.Command {
	var request admin.QueueRetryRequest
	c := &cobra.Command{
		Use:   "retry IDENTITY",
		Short: "Try a queue's messages now",
		Long: `Make the messages of one queue due now. With --resubmit each recipient is routed
anew first, which is how a lowered security requirement takes effect. A suspended
queue has to be resumed instead.`,
		Args: exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			request.Identity = args[0]
			r, err := admin.Call[admin.QueueRetryResponse](c.Context(), g.client(), "queue.retry", request)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				due := "due now"
				if request.DryRun {
					due = "to be made due"
				}
				_, err := fmt.Fprintf(w, "%s %s.\n", messages(r.Messages), due)
				return err
			})
		},
	}
	c.Flags().BoolVar(&request.Resubmit, "resubmit", false, "route the messages anew")
	addDryRun(c, &request.DryRun)
	return c
}

func newQueueSuspend(g *globals) *cobra.Command {
	return newQueueChange(g, queueChange{
		operation: "queue.suspend", use: "suspend IDENTITY", short: "Deliver nothing of a queue until it is resumed",
		long: `Suspend a queue, until 'mailpact queue resume' and over restarts. Messages that are
being delivered are not interrupted, and others may still come in. Suspended
messages do not expire; their senders are told of the delay.`,
		done: "is suspended", would: "would be suspended",
	})
}

func newQueueResume(g *globals) *cobra.Command {
	return newQueueChange(g, queueChange{
		operation: "queue.resume", use: "resume IDENTITY", short: "End the suspension of a queue",
		long: `End the suspension of a queue. Messages that were suspended themselves stay so (see
'mailpact message resume'). Of the queue Poison, which holds what was being
delivered when the server died again and again, every message is routed anew and
tried once more.`,
		done: "is resumed", would: "would be resumed",
	})
}

// queueChange is what suspending and resuming differ in.
type queueChange struct{ operation, use, short, long, done, would string }

func newQueueChange(g *globals, q queueChange) *cobra.Command {
	var request admin.QueueChangeRequest
	c := &cobra.Command{
		Use: q.use, Short: q.short, Long: q.long,
		Args: exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			request.Identity = args[0]
			r, err := admin.Call[admin.QueueRow](c.Context(), g.client(), q.operation, request)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				done := q.done
				if request.DryRun {
					done = q.would
				}
				_, err := fmt.Fprintf(w, "Queue %s (%s) %s. It holds %s, %d of them being delivered.\n",
					r.Identity, printable(cmp.Or(r.NextHopDomain, r.DeliveryType)), done, messages(int(r.MessageCount)), r.ActiveCount)
				return err
			})
		},
	}
	addDryRun(c, &request.DryRun)
	return c
}

func newQueueRemove(g *globals) *cobra.Command {
	var o changeOptions
	c := &cobra.Command{
		Use:   "remove IDENTITY",
		Short: "Remove the messages of a queue",
		Long: `Remove the messages of one queue and tell their senders. Recipients that wait in
other queues stay there, and so does the queue: suspend it to keep it from
delivering what comes next. A message that is being delivered is removed
afterwards, unless its delivery succeeds.`,
		Args: exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			o.queue = args[0]
			return o.run(c, g, change{
				call: func(ctx context.Context, client *admin.Client, r admin.MessageChangeRequest) (admin.MessageChangeResponse, error) {
					return admin.Call[admin.MessageChangeResponse](ctx, client, "queue.remove", admin.QueueRemoveRequest{
						Identity: r.Queue, From: r.From, NDR: r.NDR, DryRun: r.DryRun, After: r.After,
					})
				},
				done: "removed",
			}, nil)
		},
	}
	c.Flags().StringVar(&o.from, "from", "", "only messages of this sender (<> for reports)")
	o.addNDR(c)
	addDryRun(c, &o.dryRun)
	return c
}

// addDryRun adds the flag of everything that changes something.
func addDryRun(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "dry-run", false, "change nothing, only say what would be done")
}

// messages is a number of messages in words.
func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
