package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mailpact/internal/admin"
)

func newMessage(g *globals) *cobra.Command {
	return group("message", "Look at queued messages, suspend, resume and remove them",
		newMessageList(g), newMessageShow(g), newMessageSuspend(g), newMessageResume(g), newMessageRemove(g))
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
			if r.More && !g.json {
				last := r.Messages[len(r.Messages)-1].ID
				defer fmt.Fprintf(c.ErrOrStderr(), "There may be more: go on with --after %d.\n", last)
			}
			return g.render(c, r, func(w io.Writer) error { return writeMessages(w, r) })
		},
	}
	c.Flags().StringVar(&request.Queue, "queue", "", "only messages of this queue")
	c.Flags().IntVar(&request.Limit, "limit", 1000, "at most this many, up to 10000")
	c.Flags().Int64Var(&request.After, "after", 0, "only messages after this one, for the next page")
	return c
}

func writeMessages(w io.Writer, r admin.MessageListResponse) error {
	if len(r.Messages) == 0 {
		_, err := fmt.Fprintln(w, "No message is queued.")
		return err
	}
	rows := make([][]string, len(r.Messages))
	for i, m := range r.Messages {
		rows[i] = []string{strconv.FormatInt(m.ID, 10), m.From, m.Status, m.Queue, strconv.Itoa(len(m.Recipients)), localTime(m.Received), strconv.FormatInt(m.Size, 10), m.Subject}
	}
	return table(w, []string{"Identity", "FromAddress", "Status", "Queue", "Recipients", "Received", "Size", "Subject"}, rows)
}

func newMessageShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show IDENTITY",
		Short: "Show one queued message",
		Args:  exactArguments("IDENTITY"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := messageID(args[0])
			if err != nil {
				return err
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
		[2]string{"Status", m.Status},
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

// messageID reads a message's number.
func messageID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id <= 0 {
		return 0, &usageError{fmt.Errorf("%q is not a message's number (see 'mailpact message list')", s)}
	}
	return id, nil
}
