package cli

import (
	"strings"
	"testing"
	"time"

	"mailpact/internal/admin"
)

func TestTable(t *testing.T) {
	var b strings.Builder
	err := table(&b, []string{"Name", "LastError"}, [][]string{{"a\tb", "451 4.4.0 \x1b[31mred\r\nforged  row"}, {"longer name", ""}})
	if err != nil {
		t.Fatal(err)
	}
	want := "Name         LastError\na?b          451 4.4.0 ?[31mred??forged  row\nlonger name  \n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

func TestList(t *testing.T) {
	var b strings.Builder
	if err := list(&b, [2]string{"Identity", "1"}, [2]string{"TlsDomain", ""}, [2]string{"LastError", "no\u009b2J"}); err != nil {
		t.Fatal(err)
	}
	if want := "Identity  : 1\nLastError : no?2J\n"; b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "rates for Contoso", "rates for Contoso"},
		{"letters of the world", "Grüße 你好", "Grüße 你好"},
		{"escape", "\x1b]0;title\x07", "?]0;title?"},
		{"C1 control", "a\u009bb\u0085", "a?b?"},
		{"delete", "a\x7f", "a?"},
		{"line ends and tabs", "a\r\nb\tc", "a??b?c"},
		{"no UTF-8", "a\x9bb\xff", "a\ufffdb\ufffd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := printable(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLocalTime(t *testing.T) {
	if got := localTime(time.Time{}); got != "-" {
		t.Errorf("the zero time is %q", got)
	}
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.Local)
	if got := localTime(now.UTC()); got != "2026-03-02 12:00:00" {
		t.Errorf("got %q", got)
	}
}

// TestWriteJSON keeps text as it is: addresses in angle brackets stay readable.
func TestWriteJSON(t *testing.T) {
	var b strings.Builder
	if err := writeJSON(&b, admin.QueueRetryRequest{Identity: "<1> & 2"}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"identity\": \"<1> & 2\"\n}\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// TestStrangersTextIsPrintable shows a message whose sender tries to steer the terminal.
func TestStrangersTextIsPrintable(t *testing.T) {
	const evil = "x\x1b[2Jy"
	row := admin.MessageRow{
		ID: 1, From: evil, Subject: evil, InternetMessageID: evil, SourceIP: evil,
		Recipients: []admin.RecipientRow{{Address: evil, Queue: evil, Status: evil, LastError: evil}},
	}
	queueRow := admin.QueueRow{Identity: evil, NextHopDomain: evil, LastError: evil}
	status := admin.Status{FQDN: evil, Findings: []admin.Finding{{Object: evil, Text: evil, Fix: evil}}}
	counters := admin.Counters{Refusals: map[string]uint64{evil: 1}}
	check := admin.ConfigCheckResponse{Findings: []admin.Finding{{Object: evil, Text: evil, Fix: evil}}}
	var b strings.Builder
	for _, err := range []error{
		writeMessage(&b, row), writeMessages(&b, admin.MessageListResponse{Messages: []admin.MessageRow{row}}),
		writeQueues(&b, []admin.QueueRow{queueRow}), writeStatus(&b, status), writeCounters(&b, counters), writeCheck(&b, evil, check),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("an escape sequence reaches the terminal:\n%q", b.String())
	}
}
