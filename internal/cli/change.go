package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mailpact/internal/admin"
)

// change is an operation that changes messages.
type change struct {
	call func(ctx context.Context, client *admin.Client, r admin.MessageChangeRequest) (admin.MessageChangeResponse, error)
	done string // what is done to them: "removed"
}

// changeOf returns the change that the operation called name makes.
func changeOf(name, done string) change {
	return change{done: done, call: func(ctx context.Context, client *admin.Client, r admin.MessageChangeRequest) (admin.MessageChangeResponse, error) {
		return admin.Call[admin.MessageChangeResponse](ctx, client, name, r)
	}}
}

// changeOptions select messages.
type changeOptions struct {
	queue, from string
	removes     bool // ndr counts
	ndr, dryRun bool
}

// addSelection adds the flags that select messages beside their numbers.
func (o *changeOptions) addSelection(c *cobra.Command) {
	c.Flags().StringVar(&o.queue, "queue", "", "only messages in this queue")
	c.Flags().StringVar(&o.from, "from", "", "only messages of this sender (<> for reports)")
	addDryRun(c, &o.dryRun)
}

func (o *changeOptions) addNDR(c *cobra.Command) {
	o.removes = true
	c.Flags().BoolVar(&o.ndr, "ndr", true, "tell the senders; with --ndr=false nobody learns of it")
}

func newMessageSuspend(g *globals) *cobra.Command {
	return newMessageChange(g, changeOf("message.suspend", "suspended"), &changeOptions{}, "suspend", "Keep messages from being delivered",
		`Suspend messages, by their numbers or all that --queue and --from select, until
'mailpact message resume' and over restarts. They do not expire meanwhile; their
senders are told of the delay. A message that is being delivered is suspended
afterwards, if anything is left of it.`)
}

func newMessageResume(g *globals) *cobra.Command {
	return newMessageChange(g, changeOf("message.resume", "resumed"), &changeOptions{}, "resume", "Let suspended messages be delivered",
		`End the suspension of messages, by their numbers or all that --queue and --from
select. What was in the queue Poison is routed anew. A message in a suspended
queue waits on until the queue is resumed.`)
}

func newMessageRemove(g *globals) *cobra.Command {
	o := &changeOptions{}
	c := newMessageChange(g, changeOf("message.remove", "removed"), o, "remove", "Remove messages from the queue",
		`Remove messages, by their numbers or all that --queue and --from select, and tell
their senders. With --queue only the recipients in that queue are removed. A
message that is being delivered is removed afterwards, unless its delivery
succeeds.`)
	o.addNDR(c)
	return c
}

func newMessageChange(g *globals, x change, o *changeOptions, verb, short, long string) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " [IDENTITY]...", Short: short, Long: long,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && o.queue == "" && o.from == "" {
				return &usageError{fmt.Errorf("'%s' needs a message's number, --queue or --from", c.CommandPath())}
			}
			ids := make([]int64, len(args))
			for i, a := range args {
				id, err := messageID(a)
				if err != nil {
					return err
				}
				ids[i] = id
			}
			return o.run(c, g, x, ids)
		},
	}
	o.addSelection(c)
	return c
}

// run changes the messages with these ids, or without any all that are
// selected, and says what became of them, also when it was interrupted.
func (o *changeOptions) run(c *cobra.Command, g *globals, x change, ids []int64) error {
	request := admin.MessageChangeRequest{Queue: o.queue, From: o.from, DryRun: o.dryRun}
	if o.removes {
		request.NDR = &o.ndr
	}
	p := newProgress(c.ErrOrStderr())
	var total admin.MessageChangeResponse
	var errs []error
	if len(ids) == 0 {
		ids = []int64{0}
	}
	for _, id := range ids {
		request.ID, request.After = id, 0
		if err := x.pages(c.Context(), g.client(), request, &total, p); err != nil {
			errs = append(errs, err)
			if missing := (*admin.Error)(nil); !errors.As(err, &missing) || missing.Kind != admin.KindNotFound {
				break // the others would fare alike
			}
		}
	}
	p.end()
	total.Last, total.More = 0, false
	if len(errs) > 0 && total.Seen == 0 {
		return errors.Join(errs...)
	}
	if err := g.render(c, total, func(w io.Writer) error { return o.write(w, x.done, total) }); err != nil {
		return err
	}
	if len(errs) == 0 && total.Failed > 0 {
		return &silentError{code: ExitNo}
	}
	return errors.Join(errs...)
}

// pages changes page after page and adds to total what became of them.
func (x change) pages(ctx context.Context, client *admin.Client, r admin.MessageChangeRequest, total *admin.MessageChangeResponse, p *progress) error {
	for {
		page, err := x.call(ctx, client, r)
		switch {
		case ctx.Err() != nil:
			return errors.New("interrupted; what was being changed may have been")
		case err != nil:
			return err
		}
		total.Messages += page.Messages
		total.Pending += page.Pending
		total.Failed += page.Failed
		total.Seen += page.Seen
		if !page.More {
			return nil
		}
		p.show(fmt.Sprintf("%s looked at, %d %s", messages(total.Seen), total.Messages, x.done))
		r.After = page.Last
	}
}

func (o *changeOptions) write(w io.Writer, done string, t admin.MessageChangeResponse) error {
	if o.dryRun {
		done = "to be " + done
	}
	if _, err := fmt.Fprintf(w, "%s %s.\n", messages(t.Messages), done); err != nil {
		return err
	}
	if t.Pending > 0 {
		if _, err := fmt.Fprintf(w, "%s being delivered, %s afterwards unless that succeeds.\n", messages(t.Pending), done); err != nil {
			return err
		}
	}
	if t.Failed > 0 {
		_, err := fmt.Fprintf(w, "%s left: no report could be made for the sender (see the server's log, or use --ndr=false).\n", messages(t.Failed))
		return err
	}
	return nil
}

// progress shows how far something is, where somebody watches.
type progress struct {
	w     io.Writer // nil: nobody does
	shown bool
}

// newProgress shows on w if it is a terminal.
func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: w}
	}
	return &progress{}
}

// show replaces the line.
func (p *progress) show(line string) {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
	}
}

// end clears the line.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
