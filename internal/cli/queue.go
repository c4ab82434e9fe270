package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newQueue(g *globals) *cobra.Command {
	return group("queue", "Look at the queues and retry them", newQueueList(g), newQueueShow(g), newQueueRetry(g))
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
anew first, which is how a lowered security requirement takes effect.`,
		Args: exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			request.Identity = args[0]
			r, err := admin.Call[admin.QueueRetryResponse](c.Context(), g.client(), "queue.retry", request)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d messages are due now.\n", r.Messages)
				return err
			})
		},
	}
	c.Flags().BoolVar(&request.Resubmit, "resubmit", false, "route the messages anew")
	return c
}

func newMessage(g *globals) *cobra.Command {
	return group("message", "Look at queued messages", newMessageList(g), newMessageShow(g))
}

func newMessageList(g *globals) *cobra.Command {
	var request admin.MessageListRequest
	c := &cobra.Command{
		Use:   "list",
		Short: "List queued messages",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := admin.Call[admin.MessageListResponse](c.Context(), g.client(), "message.list", request)
			if err != nil {
				return err
			}
			return g.render(c, r, func(w io.Writer) error { return writeMessages(w, r) })
		},
	}
	c.Flags().StringVar(&request.Queue, "queue", "", "only messages of this queue")
	c.Flags().IntVar(&request.Limit, "limit", 1000, "at most this many")
	return c
}

func writeMessages(w io.Writer, r admin.MessageListResponse) error {
	if len(r.Messages) == 0 {
		_, err := fmt.Fprintln(w, "No message is queued.")
		return err
	}
	rows := make([][]string, len(r.Messages))
	for i, m := range r.Messages {
		rows[i] = []string{strconv.FormatInt(m.ID, 10), m.From, strconv.Itoa(len(m.Recipients)), localTime(m.Received), strconv.FormatInt(m.Size, 10), m.Subject}
	}
	return table(w, []string{"Identity", "FromAddress", "Recipients", "Received", "Size", "Subject"}, rows)
}

func newMessageShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show IDENTITY",
		Short: "Show one queued message",
		Args:  exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return &usageError{fmt.Errorf("%q is not a message's number (see 'mailpact message list')", args[0])}
			}
			m, err := admin.Call[admin.MessageRow](c.Context(), g.client(), "message.show", admin.MessageRequest{ID: id})
			if err != nil {
				return err
			}
			return g.render(c, m, func(w io.Writer) error { return writeMessage(w, m) })
		},
	}
}

func writeMessage(w io.Writer, m admin.MessageRow) error {
	if err := list(w,
		[2]string{"Identity", strconv.FormatInt(m.ID, 10)},
		[2]string{"FromAddress", m.From},
		[2]string{"Subject", m.Subject},
		[2]string{"InternetMessageId", m.InternetMessageID},
		[2]string{"Size", strconv.FormatInt(m.Size, 10)},
		[2]string{"DateReceived", localTime(m.Received)},
		[2]string{"ExpirationTime", localTime(m.Expires)},
		[2]string{"SourceIP", m.SourceIP},
		[2]string{"SecuredDomain", m.SecuredDomain},
	); err != nil {
		return err
	}
	for _, r := range m.Recipients {
		if _, err := fmt.Fprintf(w, "\n%s\n", printable(r.Address)); err != nil {
			return err
		}
		if err := list(w,
			[2]string{"  Queue", r.Queue},
			[2]string{"  Status", r.Status},
			[2]string{"  LastError", strings.TrimSpace(r.LastError)},
		); err != nil {
			return err
		}
	}
	return nil
}
