package server_test

import (
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
)

func mustDomain(s string) smtp.Domain {
	d, err := smtp.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

// TestMessageIsHandedOff follows one message from the client to the mail system
// behind the server, and through every record.
func TestMessageIsHandedOff(t *testing.T) {
	inner := sink(t, nil)
	g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", inner.Addr)))
	g.send("ann@client.example", "bob@contoso.com", "a letter")

	got := arrived(t, inner, "Subject: a letter")
	if !strings.HasPrefix(got, "Received: from client.example ") || !strings.HasSuffix(got, letter("ann@client.example", "a letter")) {
		t.Errorf("the message is not Received and then the original:\n%s", got)
	}
	if lines := inner.Records()[0].Lines; !strings.HasPrefix(lines[0], "EHLO mail1.contoso.com") {
		t.Errorf("the hand-off was greeted with %q", lines[0])
	}
	want := [][]string{
		{"SMTP", "RECEIVE", "bob@contoso.com", "ann@client.example"},
		{"SMTP", "SEND", "bob@contoso.com", "ann@client.example"},
	}
	if diff := cmp.Diff(want, trackingRows(t, g.tracking(",SEND,"))); diff != "" {
		t.Errorf("tracking (-want +got):\n%s", diff)
	}
	if c := call[admin.Counters](g, "counters.show", nil); c.MessagesReceived != 1 || c.MessagesDelivered != 1 {
		t.Errorf("counters: received %d, delivered %d; want 1 and 1", c.MessagesReceived, c.MessagesDelivered)
	}
	eventually(t, "no message is queued", func() bool {
		return len(call[admin.MessageListResponse](g, "message.list", nil).Messages) == 0
	})
}

// trackingRows are source, event, recipients and sender of each row.
func trackingRows(t *testing.T, text string) [][]string {
	t.Helper()
	r := csv.NewReader(strings.NewReader(text))
	r.Comment, r.FieldsPerRecord = '#', -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for _, row := range rows {
		out = append(out, []string{row[7], row[8], row[11], row[18]})
	}
	return out
}

// TestFailureReportReachesSender refuses the recipient for good at the hand-off
// and finds the report at the sender's own mail exchanger.
func TestFailureReportReachesSender(t *testing.T) {
	inner := sink(t, map[string]string{"RCPT TO:<gone@": "550 5.1.1 no such user here", "DATA": "554 5.5.1 no valid recipients"})
	outer := sink(t, nil)
	_, port, err := net.SplitHostPort(outer.Addr)
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", inner.Addr), func(c *directory.Configuration) {
		c.Server.Resolvers[0] = zone(t, "client.example")
		fmt.Sscan(port, &c.SendConnectors[0].Port)
	}))
	g.send("ann@client.example", "gone@contoso.com", "to nobody")

	report := arrived(t, outer, "multipart/report")
	for _, want := range []string{
		"To: <ann@client.example>", "From: Mail Delivery System <postmaster@mail1.contoso.com>", "Auto-Submitted: auto-replied",
		"Reporting-MTA: dns; mail1.contoso.com", "Final-Recipient: rfc822; gone@contoso.com", "Action: failed", "Status: 5.1.1",
		"550 5.1.1 no such user here", "Subject: to nobody",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(report)
	}
	if lines := strings.Join(outer.Records()[0].Lines, "\n"); !strings.Contains(lines, "MAIL FROM:<>") {
		t.Errorf("the report does not travel with the null reverse-path:\n%s", lines)
	}
	g.tracking(",DSN,DSN,")
	g.tracking(",SMTP,FAIL,")
	if n := len(inner.Messages()); n != 0 {
		t.Errorf("the hand-off took %d messages", n)
	}
}

// TestNoReportForNullSender refuses a report's recipient: nobody is told.
func TestNoReportForNullSender(t *testing.T) {
	inner := sink(t, map[string]string{"RCPT TO:<gone@": "550 5.1.1 no such user here", "DATA": "554 5.5.1 no valid recipients"})
	g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", inner.Addr)))
	g.send("", "gone@contoso.com", "a report from elsewhere")
	g.tracking(",SMTP,FAIL,")
	eventually(t, "no message is queued", func() bool {
		return len(call[admin.MessageListResponse](g, "message.list", nil).Messages) == 0
	})
	if text := readAll(t, filepath.Join(g.data, "logs", "tracking", "*.log")); strings.Contains(text, ",DSN,") {
		t.Errorf("a report was made for the null reverse-path:\n%s", text)
	}
}

// TestTwoServersInOneProcess runs two at once: nothing is shared, and the end of
// one does not disturb the other.
func TestTwoServersInOneProcess(t *testing.T) {
	contosoInner, woodgroveInner := sink(t, nil), sink(t, nil)
	contoso := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", contosoInner.Addr)))
	woodgrove := start(t, configuration(t, t.TempDir(), handsOff("woodgrovebank.com", woodgroveInner.Addr)))
	if contoso.addr == woodgrove.addr {
		t.Fatalf("both listen on %s", contoso.addr)
	}
	contoso.send("ann@client.example", "bob@contoso.com", "for Contoso")
	woodgrove.send("ann@client.example", "eve@woodgrovebank.com", "for Woodgrove")
	arrived(t, contosoInner, "Subject: for Contoso")
	arrived(t, woodgroveInner, "Subject: for Woodgrove")

	contoso.stop()
	if c, err := net.DialTimeout("tcp", contoso.addr, patience); err == nil {
		c.Close()
		t.Errorf("%s still listens after Stop", contoso.addr)
	}
	woodgrove.send("ann@client.example", "eve@woodgrovebank.com", "for Woodgrove again")
	arrived(t, woodgroveInner, "Subject: for Woodgrove again")
	if c := call[admin.Counters](woodgrove, "counters.show", nil); c.MessagesReceived != 2 {
		t.Errorf("Woodgrove counts %d messages; want its own 2", c.MessagesReceived)
	}
}

// TestRestartKeepsQueuedMail stops a server whose hand-off is down and finds
// its mail delivered by the next one.
func TestRestartKeepsQueuedMail(t *testing.T) {
	data, down := t.TempDir(), freeAddress(t)
	c := configuration(t, data, handsOff("contoso.com", down))
	first := start(t, c)
	first.send("ann@client.example", "bob@contoso.com", "waits for Monday")
	eventually(t, "the message waits for its retry", func() bool {
		r := call[admin.QueueListResponse](first, "queue.list", nil)
		return len(r.Queues) == 1 && r.Queues[0].Status == "Retry" && r.Queues[0].MessageCount == 1
	})
	row := call[admin.MessageListResponse](first, "message.list", nil).Messages[0]
	first.stop()

	inner := smtptest.ListenOn(t, down, smtptest.Script{smtptest.Serve(smtptest.Table{})})
	second := start(t, c)
	again := call[admin.MessageListResponse](second, "message.list", nil).Messages
	if len(again) == 1 { // it is retried at its time, not at the start
		if again[0].ID != row.ID || again[0].Subject != row.Subject || !again[0].Received.Equal(row.Received) {
			t.Errorf("after the restart it is\n%+v\nand was\n%+v", again[0], row)
		}
		if n := call[admin.QueueRetryResponse](second, "queue.retry", admin.QueueRetryRequest{Identity: again[0].Queue}); n.Messages != 1 {
			t.Errorf("%d messages became due; want 1", n.Messages)
		}
	}
	arrived(t, inner, "Subject: waits for Monday")
}

// TestSelfSignedCertificate starts without certificates: one is made, shown,
// told of, and kept.
func TestSelfSignedCertificate(t *testing.T) {
	data := t.TempDir()
	c := configuration(t, data, handsOff("contoso.com", freeAddress(t)))
	g := start(t, c)
	made := g.Setup().SelfSigned
	if len(made) != 1 || !strings.Contains(made[0].Names, "mail1.contoso.com") || !strings.Contains(made[0].Names, "contoso.com") {
		t.Fatalf("Setup tells of %+v", made)
	}
	end, err := time.Parse(time.DateOnly, made[0].NotAfter)
	if left := time.Until(end); err != nil || left < 363*24*time.Hour || left > 367*24*time.Hour {
		t.Errorf("it lasts until %s, %v; want 12 months", made[0].NotAfter, err)
	}
	shown := shownCertificate(g)
	if got := strings.Join(shown.DNSNames, ", "); got != made[0].Names {
		t.Errorf("STARTTLS shows %s; Setup says %s", got, made[0].Names)
	}
	keys, err := filepath.Glob(filepath.Join(data, "keys", "*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys: %v, %v", keys, err)
	}
	if st, err := os.Stat(keys[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v; want 0600", st.Mode(), err)
	}
	if rows := call[admin.CertificateListResponse](g, "certificate.list", nil).Certificates; len(rows) != 1 || !rows[0].SelfSigned || rows[0].Status != "Valid" {
		t.Errorf("certificate.list: %+v", rows)
	}
	g.stop()

	if again := shownCertificate(start(t, c)); !again.Equal(shown) {
		t.Error("a restart makes another certificate")
	}
}
