package admin

import (
	"context"
	"fmt"

	"mailpact/internal/queue"
)

// changer is what changes queues and messages: the queue itself, or for a dry
// run its plan.
type changer interface {
	SuspendQueue(ctx context.Context, identity string) (queue.QueueRow, error)
	ResumeQueue(ctx context.Context, identity string) (queue.QueueRow, error)
	Retry(identity string, resubmit bool) (int, error)
	ChangeMessages(ctx context.Context, s queue.Selection, c queue.Change) (queue.Changes, error)
}

func (s *Service) changer(dryRun bool) changer {
	if dryRun {
		return s.queue.Plan()
	}
	return s.queue
}

// QueueChangeRequest names a queue to suspend or to resume, as QueueRequest does.
type QueueChangeRequest struct {
	Identity string `json:"identity"`
	DryRun   bool   `json:"dryRun,omitempty"` // only show the queue
}

// QueueSuspend suspends a queue, durably, and returns it. What is being
// delivered is not interrupted.
func (s *Service) QueueSuspend(ctx context.Context, r QueueChangeRequest) (QueueRow, error) {
	return changedQueue(s.changer(r.DryRun).SuspendQueue(ctx, r.Identity))
}

// QueueResume ends the suspension of a queue and returns it. Of the queue Poison
// every message is resumed.
func (s *Service) QueueResume(ctx context.Context, r QueueChangeRequest) (QueueRow, error) {
	return changedQueue(s.changer(r.DryRun).ResumeQueue(ctx, r.Identity))
}

func changedQueue(q queue.QueueRow, err error) (QueueRow, error) {
	if err != nil {
		return QueueRow{}, queueError(err)
	}
	return queueRow(q), nil
}

// MessageChangeRequest selects messages to suspend, to resume or to remove: what
// fulfils all of ID, Queue and From, at least one of which is set. A call looks
// at one page; to go on, ask again with After set to the answer's Last while it
// says More.
type MessageChangeRequest struct {
	ID    int64  `json:"id,omitempty"`
	Queue string `json:"queue,omitempty"` // identity: only towards the recipients in this queue
	From  string `json:"from,omitempty"`  // address, or <> for the null reverse-path
	// NDR says whether the senders of removed messages are told; nil: they
	// are. The other operations refuse it.
	NDR    *bool `json:"ndr,omitempty"`
	DryRun bool  `json:"dryRun,omitempty"` // only count
	After  int64 `json:"after,omitempty"`  // only greater ids
	Limit  int   `json:"limit,omitempty"`  // messages looked at, 1 to 1,000; 0: 500
}

// MessageChangeResponse says what became of a page of messages.
type MessageChangeResponse struct {
	Messages int `json:"messages"` // changed
	// Pending are being delivered: they are changed after their attempt,
	// unless it succeeds.
	Pending int   `json:"pending"`
	Failed  int   `json:"failed"` // not removed, because no report could be made
	Seen    int   `json:"seen"`   // looked at
	Last    int64 `json:"last"`   // the last one looked at
	More    bool  `json:"more"`
}

// MessageSuspend keeps messages from being delivered, durably.
func (s *Service) MessageSuspend(ctx context.Context, r MessageChangeRequest) (MessageChangeResponse, error) {
	return s.changeMessages(ctx, r, queue.Suspend)
}

// MessageResume ends the suspension of messages. What was in the queue Poison
// is routed anew and tried again.
func (s *Service) MessageResume(ctx context.Context, r MessageChangeRequest) (MessageChangeResponse, error) {
	return s.changeMessages(ctx, r, queue.Resume)
}

// MessageRemove removes messages, and tells their senders unless NDR is false.
func (s *Service) MessageRemove(ctx context.Context, r MessageChangeRequest) (MessageChangeResponse, error) {
	c := queue.RemoveAndReport
	if r.NDR != nil && !*r.NDR {
		c = queue.Remove
	}
	r.NDR = nil
	return s.changeMessages(ctx, r, c)
}

// QueueRemoveRequest names a queue whose messages are to be removed, page by
// page as MessageChangeRequest says.
type QueueRemoveRequest struct {
	Identity string `json:"identity"`
	From     string `json:"from,omitempty"`
	NDR      *bool  `json:"ndr,omitempty"`
	DryRun   bool   `json:"dryRun,omitempty"`
	After    int64  `json:"after,omitempty"`
	Limit    int    `json:"limit,omitempty"`
}

// QueueRemove removes messages from one queue. Their recipients in other queues
// stay.
func (s *Service) QueueRemove(ctx context.Context, r QueueRemoveRequest) (MessageChangeResponse, error) {
	if r.Identity == "" {
		return MessageChangeResponse{}, &Error{Kind: KindInvalid, Object: "identity", Detail: "is not set"}
	}
	return s.MessageRemove(ctx, MessageChangeRequest{
		Queue: r.Identity, From: r.From, NDR: r.NDR, DryRun: r.DryRun, After: r.After, Limit: r.Limit,
	})
}

// maxChangedMessages bounds one page: what is changed, with the reports, is one
// commit and lies in memory.
const maxChangedMessages = 1000

func (s *Service) changeMessages(ctx context.Context, r MessageChangeRequest, c queue.Change) (MessageChangeResponse, error) {
	switch {
	case r.NDR != nil:
		return MessageChangeResponse{}, &Error{Kind: KindInvalid, Object: "ndr", Detail: "is for removing only"}
	case r.ID == 0 && r.Queue == "" && r.From == "":
		return MessageChangeResponse{}, &Error{Kind: KindInvalid, Detail: "no message, queue or sender is named"}
	case r.Limit < 0 || r.Limit > maxChangedMessages:
		return MessageChangeResponse{}, &Error{Kind: KindInvalid, Object: "limit", Detail: fmt.Sprintf("must be from 1 to %d", maxChangedMessages)}
	}
	done, err := s.changer(r.DryRun).ChangeMessages(ctx, queue.Selection{
		ID: queue.MessageID(r.ID), Queue: r.Queue, From: r.From, After: queue.MessageID(r.After), Limit: r.Limit,
	}, c)
	if err != nil {
		return MessageChangeResponse{}, queueError(err)
	}
	return MessageChangeResponse{
		Messages: done.Messages, Pending: done.Pending, Failed: done.Failed, Seen: done.Seen, Last: int64(done.Last), More: done.More,
	}, nil
}
