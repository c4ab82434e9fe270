package send_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
)

// steady takes out of rows what differs from run to run.
func steady(rows []string) string {
	text := strings.Join(rows, "\n")
	for _, r := range [][2]string{
		{`[0-9A-F]{16};[0-9T:.Z-]+;`, "SESSION;TIME;"},
		{`\[[0-9A-F]{16}\]`, "[SESSION]"},
		{`\*,[0-9A-F]{40},`, "*,THUMBPRINT,"},
		{`\*,[0-9A-F]{10,},Certificate serial`, "*,SERIAL,Certificate serial"},
		{`TLS_[A-Z0-9_]+`, "SUITE"},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return strings.TrimSpace(text)
}

// TestProtocolLog holds the order of rows to the sending transcript of the
// described system.
func TestProtocolLog(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com", "woodgrovebank.com")), keywords: []string{"SIZE"}})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	w.deliver("root@woodgrovebank.com")
	w.deliver("root@woodgrovebank.com")
	w.sender.Stop(t.Context())
	want := strings.TrimSpace(`
+,,
<,220 peer ESMTP,
>,EHLO mail.contoso.com,
<,250-peer greets you,
<,250-PIPELINING,
<,250-8BITMIME,
<,250-ENHANCEDSTATUSCODES,
<,250-SIZE,
<,250 STARTTLS,
>,STARTTLS,
<,220 2.0.0 Ready to start TLS,
*,,Sending certificate
*,CN=mail.contoso.com,Certificate subject
*,CN=Contoso Root,Certificate issuer name
*,SERIAL,Certificate serial number
*,THUMBPRINT,Certificate thumbprint
*,mail.contoso.com,Certificate alternate names
*,,Received certificate
*,,Certificate subject
*,CN=Partners' Root,Certificate issuer name
*,SERIAL,Certificate serial number
*,THUMBPRINT,Certificate thumbprint
*,mail.woodgrovebank.com;woodgrovebank.com,Certificate alternate names
*,,TLS protocol TLSv1.3 negotiation succeeded using SUITE
>,EHLO mail.contoso.com,
<,250-peer greets you,
<,250-PIPELINING,
<,250-8BITMIME,
<,250-ENHANCEDSTATUSCODES,
<,250 SIZE,
*,SESSION;TIME;1,sending message
>,MAIL FROM:<a@contoso.com> SIZE=93,
>,RCPT TO:<root@woodgrovebank.com>,
>,DATA,
<,250 2.1.0 Sender OK,
<,250 2.1.5 Recipient OK,
<,354 Go on,
<,250 2.6.0 Queued,
*,SESSION;TIME;2,sending message
>,MAIL FROM:<a@contoso.com> SIZE=93,
>,RCPT TO:<root@woodgrovebank.com>,
>,DATA,
<,250 2.1.0 Sender OK,
<,250 2.1.5 Recipient OK,
<,354 Go on,
<,250 2.6.0 Queued,
>,QUIT,
<,221 2.0.0 Bye,
-,,Local`)
	if diff := cmp.Diff(want, steady(w.logged())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProtocolLogOfAFailure(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.adatum.example"))})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	w.deliver("root@woodgrovebank.com")
	got := steady(w.logged())
	for _, row := range []string{
		"\"Domain Security failed, Reason:SubjectMismatch\"\n>,QUIT,\n<,221 2.0.0 Bye,\n-,,Local",
		"*,mail.adatum.example,Certificate alternate names\n*,,TLS protocol TLSv1.3 negotiation succeeded",
	} {
		if !strings.Contains(got, row) {
			t.Errorf("no %q in\n%s", row, got)
		}
	}
}

func TestProtocolLogOfABrokenHandshake(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := newPeer(t, manner{tls: w.serverTLS(named("mail.woodgrovebank.com")), brokenTLS: true})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	w.deliver("root@woodgrovebank.com")
	if got := steady(w.logged()); !strings.Contains(got, "TLS negotiation failed with error") {
		t.Errorf("got\n%s", got)
	}
}

func TestOnlyVerboseConnectorsAreLogged(t *testing.T) {
	w := newWorld(t, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].ProtocolLoggingLevel = directory.LoggingNone }})
	p := newPeer(t, manner{})
	w.at(stranger, p.host("mail.unlisted.example", 10))
	w.deliver("x@unlisted.example")
	if rows := w.logged(); len(rows) != 0 {
		t.Errorf("logged %q", rows)
	}
}

func BenchmarkSecuredDelivery(b *testing.B) {
	for name, keywords := range map[string][]string{"DATA": nil, "BDAT": {"CHUNKING"}} {
		b.Run(name, func(b *testing.B) { benchmarkSecuredDelivery(b, keywords) })
	}
}

func benchmarkSecuredDelivery(b *testing.B, keywords []string) {
	w := newWorld(b, worldOptions{edit: func(c *directory.Configuration) { c.SendConnectors[0].ProtocolLoggingLevel = directory.LoggingNone }})
	p := newPeer(b, manner{tls: w.serverTLS(named("mail.woodgrovebank.com")), forget: true, keywords: keywords})
	w.at(partnerA, p.host("mail.woodgrovebank.com", 10))
	start := time.Now()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		d := w.delivery("x@woodgrovebank.com")
		for pb.Next() {
			if got := w.sender.Deliver(b.Context(), d); !got[0].Secured {
				b.Errorf("outcome %s", show(got))
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
	b.ReportMetric(float64(p.sessionCount()), "sessions")
}
