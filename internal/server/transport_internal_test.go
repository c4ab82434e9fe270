package server

import (
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

func testReporter(t *testing.T) *reporter {
	t.Helper()
	c, err := directory.Default(directory.DefaultOptions{Hostname: "mail1.contoso.com", DataDirectory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return &reporter{config: func() *directory.Configuration { return c }}
}

// failure is a report on the first recipient of the original.
func failure(t *testing.T) queue.Report {
	m := original(t)
	return queue.Report{
		Kind: queue.ReportFailed, Message: m, Now: noon,
		Recipients: []queue.ReportRecipient{{
			To: m.Recipients[0], Reply: smtp.NewReply(550, smtp.EnhancedCode{5, 1, 1}, "gone"), LastError: "550 5.1.1 gone",
			RemoteHost: "mx.contoso.com [192.0.2.1]:25", LastAttempt: noon,
		}},
		Header: []byte("Received: from client.example\r\nFrom: <ann@client.example>\r\nSubject: rates\r\n"),
	}
}

func TestReporterTellsWhatTheQueueKnows(t *testing.T) {
	tests := []struct {
		name   string
		change func(*queue.Report)
		want   []string
		not    []string
	}{
		{"failed", func(*queue.Report) {}, []string{
			"To: <ann@client.example>", "<postmaster@mail1.contoso.com>", "Action: failed", "Final-Recipient: rfc822; bob@contoso.com", "Status: 5.1.1",
			"Reporting-MTA: dns; mail1.contoso.com", "References: <1@client.example>", "Subject: rates",
		}, []string{"eve@contoso.com", "Will-Retry-Until"}},
		{"delayed", func(r *queue.Report) {
			r.Kind, r.Expires = queue.ReportDelayed, noon.AddDate(0, 0, 2)
			r.Recipients[0].Reply, r.Recipients[0].LastError = smtp.Reply{}, "451 4.4.0 nobody answers"
		}, []string{"Action: delayed", "Will-Retry-Until: Wed, 04 Mar 2026 12:00:00"}, []string{"Action: failed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := failure(t)
			tt.change(&r)
			b, err := testReporter(t).Report(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.want {
				if !strings.Contains(string(b), w) {
					t.Errorf("it lacks %q", w)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(string(b), w) {
					t.Errorf("it holds %q", w)
				}
			}
			if t.Failed() {
				t.Logf("%s", b)
			}
		})
	}
}

// TestReporterKeepsOurOwnFields: the mark of a secured message says something
// about us to a stranger, and would be a mark on a message that proves nothing.
func TestReporterKeepsOurOwnFields(t *testing.T) {
	r := failure(t)
	r.Header = []byte("Mailpact-Domain-Secured: domain=woodgrovebank.com;\r\n by=mail1.contoso.com\r\n" +
		"Authentication-Results: mail1.contoso.com; x-domain-secured=pass\r\n" +
		"X-MS-Exchange-Organization-SCL: -1\r\n" +
		"Authentication-Results: elsewhere.example; spf=pass\r\n" +
		"Subject: kept\r\n")
	b, err := testReporter(t).Report(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"Mailpact-Domain-Secured", "by=mail1", "x-domain-secured", "X-MS-Exchange-Organization"} {
		if strings.Contains(string(b), not) {
			t.Errorf("the report returns %q:\n%s", not, b)
		}
	}
	for _, want := range []string{"Subject: kept", "Authentication-Results: elsewhere.example; spf=pass"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q:\n%s", want, b)
		}
	}
}

func TestReporterIsSilentToTheNullSender(t *testing.T) {
	r := failure(t)
	r.Message.From = smtp.ReversePath{}
	if b, err := testReporter(t).Report(r); b != nil || err != nil {
		t.Errorf("got %q, %v; want nothing", b, err)
	}
}

// TestReporterWithoutAReadableHeader reports all the same.
func TestReporterWithoutAReadableHeader(t *testing.T) {
	for _, header := range []string{"", "no field at all\r\n", "Mailpact-X: cut in the mid"} {
		t.Run(header, func(t *testing.T) {
			r := failure(t)
			r.Header = []byte(header)
			b, err := testReporter(t).Report(r)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(b), "Action: failed") || strings.Contains(string(b), "Mailpact-") {
				t.Errorf("the report is\n%s", b)
			}
		})
	}
}
