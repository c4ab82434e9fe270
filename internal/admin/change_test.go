package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/queue/queuetest"
	"mailpact/internal/smtp"
)

// nextHops route each domain to itself and defer everything; what they hold
// lasts until they let go.
type nextHops struct {
	hold chan struct{} // closed: nothing is held
}

func (*nextHops) Route(d smtp.Domain) (queue.Key, string) {
	return queue.Key{DeliveryType: "DnsConnectorDelivery", NextHopDomain: string(d), Connector: "Internet"}, ""
}

func (n *nextHops) Deliver(ctx context.Context, d *queue.Delivery) []queue.Outcome {
	if d.Key.NextHopDomain == "busy.example" {
		select {
		case <-n.hold:
		case <-ctx.Done():
		}
	}
	out := make([]queue.Outcome, len(d.Recipients))
	for i := range out {
		out[i] = queue.Outcome{LastError: "450 4.7.1 Greylisted", RemoteHost: "mail.example"}
	}
	return out
}

// queueService is a service over a running queue with messages for recipients.
func queueService(t *testing.T, recipients ...string) *Service {
	t.Helper()
	n := &nextHops{hold: make(chan struct{})}
	q, err := queue.Open(queue.Options{
		Engine: queuetest.NewMemory().Open(t, "one"), Router: n, Deliverer: n,
		Settings: func() directory.Queue {
			return directory.Queue{GlitchRetryInterval: time.Hour, TransientRetryInterval: time.Hour, RetryInterval: time.Hour, DelayNotification: directory.Unlimited, Expiration: directory.Unlimited}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(n.hold)
		if err := q.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, to := range recipients {
		c, err := q.NewContent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Discard()
		if _, err := io.WriteString(c, "Subject: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		mailbox, err := smtp.ParseMailbox(to)
		if err != nil {
			t.Fatal(err)
		}
		m := &queue.Message{Connector: "Inet", Recipients: []smtp.ForwardPath{{Mailbox: mailbox}}, From: smtp.ReversePath{Mailbox: mailbox}}
		if err := q.Accept(t.Context(), m, c); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Options{Queue: q})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		tried := 0
		for _, r := range q.Queues() {
			if r.NextHopDomain == "busy.example" || r.ActiveCount == 0 {
				tried += int(r.MessageCount)
			}
		}
		if tried == len(recipients) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal("the messages were not tried")
		}
	}
}

// call calls an operation as an administrator does.
func call(t *testing.T, s *Service, name, body string) (string, error) {
	t.Helper()
	got, err := s.Call(t.Context(), RoleAdministrator, name, []byte(body))
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

// TestChanges calls each operation that changes queues or messages, one after
// the other on the same queue.
func TestChanges(t *testing.T) {
	s := queueService(t, "1@b.example", "2@b.example", "3@b.example", "4@busy.example", "5@c.example")
	for _, tt := range []struct {
		name, operation, body string
		want                  string // part of the answer, or of the error
		kind                  Kind   // of the error; "": none
	}{
		{"suspend, dry", "queue.suspend", `{"identity":"b.example","dryRun":true}`, `"status":"Retry"`, ""},
		{"suspend", "queue.suspend", `{"identity":"b.example"}`, `"status":"Suspended","messageCount":3,"activeCount":0`, ""},
		{"retry, suspended", "queue.retry", `{"identity":"b.example"}`, "the queue is suspended", KindConflict},
		{"retry, suspended, dry", "queue.retry", `{"identity":"b.example","dryRun":true}`, "the queue is suspended", KindConflict},
		{"resume, dry", "queue.resume", `{"identity":"b.example","dryRun":true}`, `"status":"Suspended"`, ""},
		{"resume", "queue.resume", `{"identity":"b.example"}`, `"status":"Retry"`, ""},
		{"retry, dry", "queue.retry", `{"identity":"b.example","dryRun":true}`, `{"messages":3}`, ""},
		{"no such queue", "queue.suspend", `{"identity":"99"}`, `queue "99"`, KindNotFound},
		{"no such queue to resume", "queue.resume", `{"identity":"99"}`, `queue "99"`, KindNotFound},
		{"no such queue to empty", "queue.remove", `{"identity":"99"}`, `queue "99"`, KindNotFound},
		{"no queue to empty", "queue.remove", `{}`, "identity: is not set", KindInvalid},
		{"first page", "message.remove", `{"queue":"b.example","limit":2,"dryRun":true}`, `{"messages":2,"pending":0,"failed":0,"seen":2,"last":2,"more":true}`, ""},
		{"next page", "message.remove", `{"queue":"b.example","limit":2,"after":2,"dryRun":true}`, `{"messages":1,"pending":0,"failed":0,"seen":1,"last":3,"more":false}`, ""},
		{"suspend a message, dry", "message.suspend", `{"id":1,"dryRun":true}`, `{"messages":1,"pending":0,"failed":0,"seen":1,"last":1,"more":false}`, ""},
		{"suspend a message", "message.suspend", `{"id":1}`, `{"messages":1,`, ""},
		{"suspend it again", "message.suspend", `{"id":1}`, `{"messages":0,`, ""},
		{"suspend one that is being delivered", "message.suspend", `{"queue":"busy.example"}`, `{"messages":0,"pending":1,`, ""},
		{"suspend with a report", "message.suspend", `{"id":1,"ndr":true}`, "ndr: is for removing only", KindInvalid},
		{"no such message", "message.resume", `{"id":99}`, "message 99", KindNotFound},
		{"nothing selected", "message.remove", `{"ndr":false}`, "no message, queue or sender is named", KindInvalid},
		{"large page", "message.remove", `{"queue":"b.example","limit":1001}`, "limit: must be from 1 to 1000", KindInvalid},
		{"remove a message", "message.remove", `{"id":1,"ndr":false}`, `{"messages":1,`, ""},
		{"remove it again", "message.remove", `{"id":1}`, "message 1", KindNotFound},
		{"empty a queue of a sender", "queue.remove", `{"identity":"b.example","from":"2@B.example"}`, `{"messages":1,`, ""},
		{"empty a queue", "queue.remove", `{"identity":"b.example","ndr":false}`, `{"messages":1,`, ""},
		{"suspend another", "message.suspend", `{"from":"5@c.example"}`, `{"messages":1,`, ""},
		{"resume it", "message.resume", `{"from":"5@c.example"}`, `{"messages":1,`, ""},
		{"list", "message.list", `{"limit":1}`, `"more":true`, ""},
		{"list the rest", "message.list", `{"after":4}`, `"more":false`, ""},
	} {
		got, err := call(t, s, tt.operation, tt.body)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if e != nil {
			if e.Kind != tt.kind || !strings.Contains(e.Error(), tt.want) {
				t.Errorf("%s: %s error %v, want %s %q", tt.name, e.Kind, e, tt.kind, tt.want)
			}
			continue
		}
		if tt.kind != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s %s", tt.name, got, tt.kind, tt.want)
		}
	}
	left, err := s.MessageList(t.Context(), MessageListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(left.Messages); n != 2 || left.Messages[0].Status != "PendingSuspend" || left.Messages[1].Status == "Suspended" {
		t.Errorf("%d messages are left: %+v", n, left.Messages)
	}
}
