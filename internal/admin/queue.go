package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// QueueRow is one queue.
type QueueRow struct {
	Identity         string    `json:"identity"`
	DeliveryType     string    `json:"deliveryType"`
	NextHopDomain    string    `json:"nextHopDomain"`
	TLSDomain        string    `json:"tlsDomain"`
	NextHopConnector string    `json:"nextHopConnector"`
	Status           string    `json:"status"`
	MessageCount     int64     `json:"messageCount"`
	ActiveCount      int64     `json:"activeCount"` // being delivered
	NextRetryTime    time.Time `json:"nextRetryTime,omitzero"`
	LastError        string    `json:"lastError"`
}

// QueueListResponse lists queues.
type QueueListResponse struct {
	Queues []QueueRow `json:"queues"`
}

// QueueRequest names a queue: by its number, or by its next hop's domain where
// only one queue has that.
type QueueRequest struct {
	Identity string `json:"identity"`
}

// QueueRetryRequest makes a queue's messages due.
type QueueRetryRequest struct {
	Identity string `json:"identity"`
	Resubmit bool   `json:"resubmit,omitempty"` // route anew first
	DryRun   bool   `json:"dryRun,omitempty"`   // only say what would be due
}

// QueueRetryResponse says how many messages are due now.
type QueueRetryResponse struct {
	Messages int `json:"messages"`
}

// QueueList returns the queues that hold messages, or did lately.
func (s *Service) QueueList(_ context.Context, _ Empty) (QueueListResponse, error) {
	r := QueueListResponse{Queues: []QueueRow{}}
	for _, q := range s.queue.Queues() {
		r.Queues = append(r.Queues, queueRow(q))
	}
	return r, nil
}

// QueueShow returns one queue.
func (s *Service) QueueShow(_ context.Context, r QueueRequest) (QueueRow, error) {
	q, err := s.queue.Queue(r.Identity)
	if err != nil {
		return QueueRow{}, queueError(err)
	}
	return queueRow(q), nil
}

// QueueRetry makes a queue's messages due now.
func (s *Service) QueueRetry(_ context.Context, r QueueRetryRequest) (QueueRetryResponse, error) {
	n, err := s.changer(r.DryRun).Retry(r.Identity, r.Resubmit)
	if err != nil {
		return QueueRetryResponse{}, queueError(err)
	}
	return QueueRetryResponse{Messages: n}, nil
}

func queueRow(q queue.QueueRow) QueueRow {
	return QueueRow{
		Identity: q.Identity, DeliveryType: q.DeliveryType, NextHopDomain: q.NextHopDomain, TLSDomain: string(q.TLSDomain),
		NextHopConnector: q.NextHopConnector, Status: string(q.Status), MessageCount: q.MessageCount, ActiveCount: q.ActiveCount,
		NextRetryTime: q.NextRetryTime, LastError: q.LastError,
	}
}

// queueError gives the queue's errors their kinds.
func queueError(err error) error {
	switch {
	case errors.Is(err, queue.ErrNoQueue):
		return &Error{Kind: KindNotFound, Detail: err.Error(), Fix: "mailpact queue list, mailpact message list"}
	case errors.Is(err, queue.ErrAmbiguous):
		return &Error{Kind: KindInvalid, Detail: err.Error(), Fix: "mailpact queue list"}
	case errors.Is(err, queue.ErrSuspended):
		return &Error{Kind: KindConflict, Detail: err.Error(), Fix: "mailpact queue resume"}
	case errors.Is(err, queue.ErrStopped):
		return &Error{Kind: KindUnavailable, Detail: err.Error()}
	default:
		return err
	}
}

// MessageRow is one queued message.
type MessageRow struct {
	ID                int64          `json:"id"`
	From              string         `json:"from"` // "<>" is the null reverse-path
	Recipients        []RecipientRow `json:"recipients"`
	Status            string         `json:"status"`
	Queue             string         `json:"queue"`
	Size              int64          `json:"size"`
	Received          time.Time      `json:"received"`
	Expires           time.Time      `json:"expires,omitzero"`
	InternetMessageID string         `json:"internetMessageID"`
	Subject           string         `json:"subject"`
	SourceIP          string         `json:"sourceIP"`
	SecuredDomain     string         `json:"securedDomain"`
	LastError         string         `json:"lastError"`
}

// RecipientRow is one recipient that a message still waits for.
type RecipientRow struct {
	Address    string    `json:"address"`
	Queue      string    `json:"queue"`
	Status     string    `json:"status"`
	LastError  string    `json:"lastError"`
	RetryCount int       `json:"retryCount"`
	NextRetry  time.Time `json:"nextRetryTime,omitzero"`
}

// MessageListRequest selects messages; the zero value is the first 1,000.
type MessageListRequest struct {
	Queue string `json:"queue,omitempty"` // identity
	After int64  `json:"after,omitempty"` // only greater ids, for the next page
	Limit int    `json:"limit,omitempty"` // 1 to 10,000; 0: 1,000
}

// A page of messages without a limit, and the largest.
const (
	defaultMessageRows = 1000
	maxMessageRows     = 10_000
)

// MessageListResponse is a page of messages. To go on, ask again with After
// set to the last id.
type MessageListResponse struct {
	Messages []MessageRow `json:"messages"`
	More     bool         `json:"more"` // there may be others after the last
}

// MessageRequest names a message by its number.
type MessageRequest struct {
	ID int64 `json:"id"`
}

// MessageList returns a page of queued messages in order of arrival.
func (s *Service) MessageList(ctx context.Context, r MessageListRequest) (MessageListResponse, error) {
	response := MessageListResponse{Messages: []MessageRow{}}
	if r.Limit < 0 || r.Limit > maxMessageRows {
		return response, &Error{Kind: KindInvalid, Object: "limit", Detail: fmt.Sprintf("must be from 1 to %d", maxMessageRows)}
	}
	rows, err := s.queue.Messages(ctx, queue.MessageFilter{Queue: r.Queue, After: queue.MessageID(r.After), Limit: cmp.Or(r.Limit, defaultMessageRows)})
	if err != nil {
		return response, queueError(err)
	}
	for _, m := range rows {
		response.Messages = append(response.Messages, messageRow(m))
	}
	response.More = len(rows) == cmp.Or(r.Limit, defaultMessageRows)
	return response, nil
}

// MessageShow returns one queued message.
func (s *Service) MessageShow(ctx context.Context, r MessageRequest) (MessageRow, error) {
	m, err := s.queue.Message(ctx, queue.MessageID(r.ID))
	if err != nil {
		return MessageRow{}, queueError(err)
	}
	return messageRow(m), nil
}

func messageRow(m queue.MessageRow) MessageRow {
	row := MessageRow{
		ID: int64(m.Message.ID), From: reversePath(m.Message.From), Recipients: []RecipientRow{}, Status: string(m.Status), Queue: m.Queue,
		Size: m.Message.Size, Received: m.Message.Received, Expires: m.Expires,
		InternetMessageID: m.Message.InternetMessageID, Subject: m.Message.Subject, SourceIP: m.Message.SourceIP,
		SecuredDomain: string(m.Message.SecuredDomain), LastError: m.LastError,
	}
	for _, r := range m.Recipients {
		row.Recipients = append(row.Recipients, RecipientRow{
			Address: r.Address.Mailbox.String(), Queue: r.Queue, Status: string(r.Status), LastError: r.LastError,
			RetryCount: r.RetryCount, NextRetry: r.NextRetry,
		})
	}
	return row
}

// reversePath is the address alone, "<>" for the null one.
func reversePath(p smtp.ReversePath) string {
	if p.Null() {
		return "<>"
	}
	return p.Mailbox.String()
}
