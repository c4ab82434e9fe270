package server

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/counters"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/tracking"
)

// noon is when the adapters' tests happen.
var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func mailbox(t *testing.T, s string) smtp.Mailbox {
	t.Helper()
	m, err := smtp.ParseMailbox(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// original is a message for two recipients as receive has accepted it.
func original(t *testing.T) *queue.Message {
	return &queue.Message{
		ID: 7, From: smtp.ReversePath{Mailbox: mailbox(t, "ann@client.example")},
		Recipients: []smtp.ForwardPath{{Mailbox: mailbox(t, "bob@contoso.com")}, {Mailbox: mailbox(t, "eve@contoso.com")}},
		Size:       1234, Received: noon.Add(-time.Minute), InternetMessageID: "<1@client.example>", Subject: "rates",
		SessionID: "08D1", Connector: `mail1\Inet`, SourceIP: "192.0.2.9",
	}
}

// columns are those of a tracking row that the observer fills.
var columns = map[string]int{
	"client": 2, "serverIP": 3, "server": 4, "context": 5, "connector": 6, "source": 7, "event": 8, "id": 9, "messageID": 10,
	"to": 11, "status": 12, "bytes": 13, "count": 14, "subject": 17, "sender": 18, "returnPath": 19, "info": 20,
}

// observed lets act tell an observer something, and returns the tracking rows
// by name of column, empty ones left out, and the counters.
func observed(t *testing.T, act func(o *observer)) ([]map[string]string, counters.Snapshot) {
	t.Helper()
	dir := t.TempDir()
	log, err := tracking.Open(tracking.Options{Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{counters: counters.New(), tracking: log, hostname: "mail1.contoso.com"}
	act(o)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.Comment, r.FieldsPerRecord = '#', -1
		all, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, fields := range all {
			row := map[string]string{}
			for name, i := range columns {
				if fields[i] != "" {
					row[name] = fields[i]
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, o.counters.Snapshot()
}

func TestObserver(t *testing.T) {
	m := original(t)
	one := func(x queue.Outcome) queue.Event {
		return queue.Event{
			Time: noon, Message: m, Key: queue.Key{Connector: "Internet", TLSDomain: "contoso.com"}, Attempt: 1,
			Recipients: m.Recipients[:1], Outcomes: []queue.Outcome{x},
		}
	}
	row := func(change map[string]string) map[string]string {
		r := map[string]string{
			"client": "mail1.contoso.com", "context": "08D1", "connector": "Internet", "id": "7", "messageID": "<1@client.example>",
			"to": "bob@contoso.com", "bytes": "1234", "count": "1", "subject": "rates", "sender": "ann@client.example", "returnPath": "ann@client.example",
		}
		for k, v := range change {
			r[k] = v
			if v == "" {
				delete(r, k)
			}
		}
		return r
	}
	reply := smtp.NewReply(250, smtp.EnhancedCode{2, 0, 0}, "kept")
	report := *m
	report.From, report.Connector, report.SessionID = smtp.ReversePath{}, "", ""
	tests := []struct {
		name string
		act  func(*observer)
		want []map[string]string
		// recipients counted as delivered, deferred, failed
		counted [3]uint64
	}{
		{"accepted by receive, which writes it itself", func(o *observer) { o.Accepted(m) }, nil, [3]uint64{}},
		{"a report of our own", func(o *observer) { o.Accepted(&report) }, []map[string]string{
			row(map[string]string{
				"source": "DSN", "event": "DSN", "to": "bob@contoso.com;eve@contoso.com", "count": "2",
				"sender": "<>", "returnPath": "<>", "context": "", "connector": "",
			}),
		}, [3]uint64{}},
		{"delivered", func(o *observer) {
			o.Delivered(one(queue.Outcome{Disposition: queue.Delivered, Reply: reply, RemoteHost: "mx.contoso.com [192.0.2.1]:25"}))
		}, []map[string]string{
			row(map[string]string{"source": "SMTP", "event": "SEND", "server": "mx.contoso.com", "serverIP": "192.0.2.1", "status": "250 2.0.0 kept"}),
		}, [3]uint64{1, 0, 0}},
		{"delivered over a domain-secured session", func(o *observer) {
			o.Delivered(one(queue.Outcome{Disposition: queue.Delivered, Reply: reply, RemoteHost: "mx.contoso.com [2001:db8::1]:25", Secured: true}))
		}, []map[string]string{
			row(map[string]string{
				"source": "SMTP", "event": "SEND", "server": "mx.contoso.com", "serverIP": "2001:db8::1", "status": "250 2.0.0 kept",
				"info": "domain-secured: contoso.com",
			}),
		}, [3]uint64{1, 0, 0}},
		{"deferred without a host", func(o *observer) {
			o.Deferred(one(queue.Outcome{LastError: "451 4.4.0 nobody answers"}))
		}, []map[string]string{
			row(map[string]string{"source": "QUEUE", "event": "DEFER", "status": "451 4.4.0 nobody answers"}),
		}, [3]uint64{0, 1, 0}},
		{"failed, each recipient in its own way", func(o *observer) {
			e := one(queue.Outcome{Disposition: queue.Failed, LastError: "550 5.1.1 gone", RemoteHost: "192.0.2.1:25"})
			e.Recipients = m.Recipients
			e.Outcomes = append(e.Outcomes, queue.Outcome{Disposition: queue.Failed, LastError: "550 5.7.1 no", RemoteHost: "192.0.2.1:25"})
			o.Failed(e)
		}, []map[string]string{
			row(map[string]string{
				"source": "SMTP", "event": "FAIL", "server": "192.0.2.1", "serverIP": "192.0.2.1",
				"to": "bob@contoso.com;eve@contoso.com", "status": "550 5.1.1 gone;550 5.7.1 no", "count": "2",
			}),
		}, [3]uint64{0, 0, 2}},
		{"expired before any attempt", func(o *observer) {
			e := one(queue.Outcome{})
			e.Outcomes = nil
			o.Expired(e)
		}, []map[string]string{
			row(map[string]string{"source": "QUEUE", "event": "FAIL"}),
		}, [3]uint64{0, 0, 1}},
		{"removed with a report", func(o *observer) {
			o.Removed(one(queue.Outcome{Disposition: queue.Failed, Reply: smtp.NewReply(550, smtp.EnhancedCode{5, 3, 0}, "QUEUE.Admin;message removed")}))
		}, []map[string]string{
			row(map[string]string{"source": "ADMIN", "event": "FAIL", "status": "550 5.3.0 QUEUE.Admin;message removed"}),
		}, [3]uint64{0, 0, 1}},
		{"removed without a report", func(o *observer) {
			o.Removed(one(queue.Outcome{Disposition: queue.Failed, LastError: "removed without"}))
		}, []map[string]string{
			row(map[string]string{"source": "ADMIN", "event": "FAIL", "status": "removed without"}),
		}, [3]uint64{0, 0, 1}},
		{"set aside", func(o *observer) {
			o.Poisoned(one(queue.Outcome{LastError: "451 4.3.0 Internal error"}))
		}, []map[string]string{
			row(map[string]string{"source": "QUEUE", "event": "POISONMESSAGE", "status": "451 4.3.0 Internal error"}),
		}, [3]uint64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, n := observed(t, tt.act)
			if diff := cmp.Diff(tt.want, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if got := [3]uint64{n.MessagesDelivered, n.MessagesDeferred, n.MessagesFailed}; got != tt.counted {
				t.Errorf("delivered, deferred, failed: %v; want %v", got, tt.counted)
			}
		})
	}
}

func TestSplitHost(t *testing.T) {
	tests := []struct{ in, name, address string }{
		{"mx.contoso.com [192.0.2.1]:25", "mx.contoso.com", "192.0.2.1"},
		{"mx.contoso.com [2001:db8::1]:25", "mx.contoso.com", "2001:db8::1"},
		{"192.0.2.1:25", "192.0.2.1", "192.0.2.1"},
		{"[2001:db8::1]:25", "2001:db8::1", "2001:db8::1"},
		{"mx.contoso.com", "mx.contoso.com", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			if name, address := splitHost(tt.in); name != tt.name || address != tt.address {
				t.Errorf("got %q and %q, want %q and %q", name, address, tt.name, tt.address)
			}
		})
	}
}

// TestObserverWritesOneLine keeps what a peer says from making a second row.
func TestObserverWritesOneLine(t *testing.T) {
	m := original(t)
	m.Subject = "rates\",x\r\nforged,row"
	rows, _ := observed(t, func(o *observer) {
		o.Deferred(queue.Event{
			Time: noon, Message: m, Recipients: m.Recipients[:1],
			Outcomes: []queue.Outcome{{LastError: "451 4.0.0 \"later\"\r\n2026-03-02,forged"}},
		})
	})
	if len(rows) != 1 {
		t.Fatalf("%d rows: %v", len(rows), rows)
	}
	if all := rows[0]["subject"] + rows[0]["status"]; strings.ContainsAny(all, "\r\n") {
		t.Errorf("a value holds a line end: %q", all)
	}
}
