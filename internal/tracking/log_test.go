package tracking

import (
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file anew")

var start = time.Date(2026, 2, 3, 9, 15, 0, 123e6, time.UTC)

func record(t *testing.T, o Options, events ...Event) string {
	t.Helper()
	o.Directory = t.TempDir()
	o.Now = func() time.Time { return start }
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		l.Record(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(o.Directory, "MSGTRK20260203-1.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// life is what the log tells of one message for three recipients, of whom one
// fails, and of the report about it.
func life() []Event {
	message := Event{
		ClientIP: "198.51.100.7", ClientHostname: "mail1.woodgrovebank.com",
		ServerIP: "192.0.2.10", ServerHostname: "mail1.contoso.com",
		InternalMessageID: 42, MessageID: "<1@woodgrovebank.com>", TotalBytes: 10240,
		Subject: "Offer, as promised; \"final\"", SenderAddress: "alice@woodgrovebank.com", ReturnPath: "alice@woodgrovebank.com",
	}
	all := []Recipient{{Address: "bob@contoso.com"}, {Address: "carol@contoso.com"}, {Address: `"d;e"@contoso.com`}}
	receive := message
	receive.Source, receive.EventID = SourceSMTP, Receive
	receive.ConnectorID, receive.SourceContext = `MAIL1\Inet`, "08D1A2B3C4D5E6F7"
	receive.Recipients = all
	receive.MessageInfo = "domain-secured=woodgrovebank.com"

	out := message
	out.ClientIP, out.ClientHostname = "192.0.2.10", "mail1.contoso.com"
	out.ServerIP, out.ServerHostname = "127.0.0.1", "127.0.0.1:2601"
	out.ConnectorID = "hand-off"
	deferred := out
	deferred.Time = start.Add(time.Second)
	deferred.Source, deferred.EventID = SourceSMTP, Defer
	deferred.SourceContext = "451 4.4.0 Primary target IP address responded with: \"421 4.3.2 busy.\""
	deferred.Recipients = []Recipient{{all[0].Address, "421 4.3.2 busy"}, {all[1].Address, "421 4.3.2 busy"}, {all[2].Address, "421 4.3.2 busy"}}
	noHost := deferred
	noHost.Source, noHost.SourceContext, noHost.ServerIP, noHost.ServerHostname = SourceDNS, "451 4.4.3 no answer", "", ""
	sent := out
	sent.Time = start.Add(time.Minute)
	sent.Source, sent.EventID, sent.SourceContext = SourceSMTP, Send, "08D1A2B3C4D5E6F8"
	sent.Recipients = []Recipient{{all[0].Address, "250 2.1.5 ok; queued"}, {all[1].Address, "250 2.1.5 forwarded"}}
	failed := out
	failed.Time = start.Add(time.Minute)
	failed.Source, failed.EventID = SourceQueue, Fail
	failed.Recipients = []Recipient{{all[2].Address, "550 5.1.1 no such user"}}
	report := Event{
		Time: start.Add(time.Minute), ServerHostname: "mail1.contoso.com", Source: SourceDSN, EventID: DSN,
		InternalMessageID: 43, MessageID: "<dsn-1@contoso.com>", Recipients: []Recipient{{Address: "alice@woodgrovebank.com"}},
		TotalBytes: 2048, Reference: "<1@woodgrovebank.com>", Subject: "Undeliverable", SenderAddress: "postmaster@contoso.com",
		ReturnPath: "<>", RelatedRecipientAddress: all[2].Address,
	}
	routing := out
	routing.Source, routing.EventID, routing.SourceContext, routing.Recipients = SourceRouting, Defer, "no send connector", nil
	return []Event{receive, deferred, noHost, sent, failed, report, routing}
}

func TestLog(t *testing.T) {
	got := record(t, Options{}, life()...)
	path := filepath.Join("testdata", "tracking.log")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// TestFields reads the file by its own list of fields, as tools do.
func TestFields(t *testing.T) {
	file := record(t, Options{}, life()...)
	_, list, _ := strings.Cut(file, "#Fields: ")
	list, rows, _ := strings.Cut(list, "\n")
	names := strings.Split(list, ",")
	if len(names) != 21 {
		t.Fatalf("%d fields, the set of 2007 has 21", len(names))
	}
	records, err := csv.NewReader(strings.NewReader(rows)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	value := func(row int, name string) string {
		for i, n := range names {
			if n == name {
				return records[row][i]
			}
		}
		t.Fatalf("no field %s", name)
		return ""
	}
	tests := []struct {
		name        string
		row         int
		field, want string
	}{
		{"time of now", 0, "date-time", "2026-02-03T09:15:00.123Z"},
		{"time of the event", 1, "date-time", "2026-02-03T09:15:01.123Z"},
		{"a list, whose separator an address cannot forge", 0, "recipient-address", `bob@contoso.com;carol@contoso.com;"d,e"@contoso.com`},
		{"no status", 0, "recipient-status", ""},
		{"one status for all", 1, "recipient-status", "421 4.3.2 busy"},
		{"a status for each", 3, "recipient-status", "250 2.1.5 ok, queued;250 2.1.5 forwarded"},
		{"recipients counted", 0, "recipient-count", "3"},
		{"no recipient", 6, "recipient-count", "0"},
		{"size", 0, "total-bytes", "10240"},
		{"number in the queue", 5, "internal-message-id", "43"},
		{"null reverse-path", 5, "return-path", "<>"},
		{"the message a report is about", 5, "reference", "<1@woodgrovebank.com>"},
		{"related recipient", 5, "related-recipient-address", `"d;e"@contoso.com`},
		{"subject", 0, "message-subject", `Offer, as promised; "final"`},
		{"mark", 0, "message-info", "domain-secured=woodgrovebank.com"},
		{"connector", 0, "connector-id", `MAIL1\Inet`},
		{"source", 2, "source", "DNS"},
		{"event", 4, "event-id", "FAIL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := value(tt.row, tt.field); got != tt.want {
				t.Errorf("%s = %q, want %q", tt.field, got, tt.want)
			}
		})
	}
}

func TestSubjectsCanBeOmitted(t *testing.T) {
	if got := record(t, Options{OmitSubjects: true}, life()...); strings.Contains(got, "Offer") || strings.Contains(got, "Undeliverable") {
		t.Errorf("a subject is in the log:\n%s", got)
	}
}

func TestRowOfLostRows(t *testing.T) {
	records, err := csv.NewReader(strings.NewReader(Fields + "\n" + string(lostRow(start, 7)))).ReadAll()
	if err != nil {
		t.Fatal(err) // a row with another number of values
	}
	if records[0][5] != "source-context" || records[1][5] != "rows lost: 7" {
		t.Errorf("got %q", records[1])
	}
}

func TestNoLog(t *testing.T) {
	var l *Log
	l.Record(life()[0])
	if _, err := Open(Options{Directory: fmt.Sprintf("%s/x\x00", t.TempDir())}); err == nil {
		t.Error("a directory that cannot be made was accepted")
	}
}

func BenchmarkRecord(b *testing.B) {
	l, err := Open(Options{Directory: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	e := life()[0]
	e.Recipients = e.Recipients[:1]
	b.ReportAllocs()
	for b.Loop() {
		l.Record(e)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
