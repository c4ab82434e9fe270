package receive

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
)

func TestMessageIsKeptOctetForOctet(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	const original = "From: carol@stranger.example\r\nX-Odd:   spaces  \r\n\tfolded\r\nSubject: =?utf-8?q?x?=\r\nMessage-Id: <2@client.example>\r\n\r\nline\r\n.\r\n..\r\n\r\nend\r\n"
	p.do("MAIL FROM:<carol@stranger.example> BODY=8BITMIME")
	p.do("RCPT TO:<Bob@contoso.com>")
	p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
	p.send(strings.ReplaceAll(original, "\r\n.", "\r\n..") + ".\r\n")
	if got, want := p.read(), "250 2.6.0 <2@client.example> Queued mail for delivery"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	m := w.queue.only(t)
	received, rest, ok := strings.Cut(m.Content, "From: ")
	if !ok || "From: "+rest != original {
		t.Errorf("content:\n%q\nwant behind the trace\n%q", m.Content, original)
	}
	want := regexp.MustCompile(`^Received: from client\.example \(unknown \[127\.0\.0\.1\]\) by mail\.contoso\.com with ESMTP id [0-9A-F]{16}/1 for <Bob@contoso\.com>; .*\r\n$`)
	if unfolded := regexp.MustCompile(`\r\n[ \t]+`).ReplaceAllString(received, " "); !want.MatchString(unfolded) {
		t.Errorf("trace %q", unfolded)
	}
	m.SessionID = ""
	got := fmt.Sprintln(m.From, m.Recipients, m.Size == int64(len(m.Content)), m.InternetMessageID, m.Subject, m.Connector, m.SourceIP)
	if want := "carol@stranger.example [Bob@contoso.com] true <2@client.example> =?utf-8?q?x?= Inet 127.0.0.1\n"; got != want {
		t.Errorf("envelope %q, want %q", got, want)
	}
}

func TestForgedMarksAreRemoved(t *testing.T) {
	forged := "Mailpact-Domain-Secured: domain=woodgrovebank.com; name=x\r\n" +
		"mAILPACT-domain-SECURED:\r\n domain=woodgrovebank.com\r\n" +
		"Mailpact-Anything: x\r\n" +
		"X-MS-Exchange-Organization-AuthAs: Partner\r\n" +
		"x-ms-exchange-forest-x: y\r\n" +
		"Authentication-Results: contoso.com; x-domain-secured=pass policy.domain=woodgrovebank.com\r\n"
	kept := "Authentication-Results: other.example; spf=pass\r\nX-MS-Exchange-Other: kept\r\n"
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{true: "secured", false: "in the clear"}[tls], func(t *testing.T) {
			w := newWorld(t)
			p := w.dial()
			from := "carol@stranger.example"
			if tls {
				from = "alice@woodgrovebank.com"
				p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
			} else {
				p.hello()
			}
			if got := p.message(from, "bob@contoso.com", forged+kept+letter(from)); !strings.HasPrefix(got, "250 ") {
				t.Fatal(got)
			}
			content := w.queue.only(t).Content
			if !strings.HasSuffix(content, kept+letter(from)+"\r\n") {
				t.Errorf("content:\n%s", content)
			}
			if n, want := strings.Count(strings.ToLower(content), "mailpact-"), map[bool]int{true: 1}[tls]; n != want {
				t.Errorf("%d marks, want %d:\n%s", n, want, content)
			}
			if n, want := strings.Count(content, "x-domain-secured=pass"), map[bool]int{true: 1}[tls]; n != want {
				t.Errorf("%d results of ours, want %d:\n%s", n, want, content)
			}
			if strings.Contains(strings.ToLower(content), "exchange-organization") || strings.Contains(content, "forest") {
				t.Errorf("firewall:\n%s", content)
			}
		})
	}
}

func TestMark(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	content := w.queue.only(t).Content
	unfolded := regexp.MustCompile(`\r\n[ \t]+`).ReplaceAllString(content, " ")
	lines := strings.Split(unfolded, "\r\n")
	want := []*regexp.Regexp{
		regexp.MustCompile(`^Mailpact-Domain-Secured: domain=woodgrovebank\.com; name=mail\.woodgrovebank\.com; subject="CN=mail\.woodgrovebank\.com"; ` +
			`issuer="CN=mail\.woodgrovebank\.com"; sha1=[0-9A-F]{40}; sha256=[0-9A-F]{64}; tls=TLSv1\.3; cipher=TLS_[A-Z0-9_]+; revocation=good; revocation-time=[0-9T:Z-]+; by=mail1\.contoso\.com$`),
		regexp.MustCompile(`^Authentication-Results: contoso\.com; x-domain-secured=pass policy\.domain=woodgrovebank\.com$`),
		regexp.MustCompile(`^Received: from client\.example .* with ESMTPS \(TLSv1\.3 cipher .*; client certificate subject CN=mail\.woodgrovebank\.com, verify woodgrovebank\.com\) id [0-9A-F]{16}/1 for <bob@contoso\.com>; `),
		regexp.MustCompile(`^From: alice@woodgrovebank\.com$`),
	}
	for i, re := range want {
		if !re.MatchString(lines[i]) {
			t.Errorf("line %d is %q, want %s", i, lines[i], re)
		}
	}
}

func TestFromAlignment(t *testing.T) {
	const (
		woodgrove = "alice@woodgrovebank.com"
		stranger  = "carol@stranger.example"
		fabrikam  = "dave@fabrikam.com"
		queuedOK  = "250 2.6.0 <1@client.example> Queued mail for delivery"
		refused   = "550 5.7.1 From field names a domain this message is not authenticated for, Reason:FromMismatch [id]"
		deferred  = "451 4.7.1 From field names a domain this message is not authenticated for at the moment, Reason:FromMismatch [id]"
	)
	endless := ""
	for i := range 40 {
		endless += fmt.Sprintf("<a@x%d%s>,\r\n ", i, strings.Repeat("\u0301\u0302", 200))
	}
	none := letter(woodgrove)[strings.Index(letter(woodgrove), "To:"):]
	tests := []struct {
		name     string
		envelope string
		cert     string // name in the client's certificate
		spoiled  string
		content  string
		want     string
		marked   bool
		unmarked int
	}{
		{"secured, aligned", woodgrove, "mail.woodgrovebank.com", "", letter(woodgrove), queuedOK, true, 0},
		{"secured, From of a stranger", woodgrove, "mail.woodgrovebank.com", "", letter(stranger), queuedOK, false, 0},
		{"secured, no From", woodgrove, "mail.woodgrovebank.com", "", none, queuedOK, false, 0},
		{"secured, two From fields", woodgrove, "mail.woodgrovebank.com", "", "From: " + woodgrove + "\r\n" + letter(woodgrove), queuedOK, false, 0},
		{"secured, a second address of a stranger", woodgrove, "mail.woodgrovebank.com", "", letter(woodgrove + ", " + stranger), queuedOK, false, 0},
		{"secured, From of a partner that refuses", woodgrove, "mail.woodgrovebank.com", "", letter(fabrikam), refused, false, 0},
		{"stranger, From of a partner that leaves unmarked", stranger, "", "", letter(woodgrove), queuedOK, false, 1},
		{"stranger, From of a partner that refuses", stranger, "", "", letter(fabrikam), refused, false, 0},
		{"stranger, partner hidden in the display name", stranger, "", "", letter(`"dave@fabrikam.com" <` + stranger + ">"), refused, false, 0},
		{"stranger, From of a stranger", stranger, "", "", letter(stranger), queuedOK, false, 0},
		{"stranger, more From than is looked at", stranger, "", "", letter(endless + stranger), refused, false, 0},
		{"secured, more From than is looked at", woodgrove, "mail.woodgrovebank.com", "", letter(endless + woodgrove), refused, false, 0},
		{"stranger's envelope over a partner's session that is unknown for now", stranger, "mail.fabrikam.com", "RevocationOffline", letter(fabrikam), deferred, false, 0},
		{"stranger's envelope over a partner's session", stranger, "mail.fabrikam.com", "", letter(fabrikam), refused, false, 0},
		{"null sender, aligned", "", "mail.fabrikam.com", "", letter(fabrikam), queuedOK, true, 0},
		{"null sender, From of a stranger", "", "mail.fabrikam.com", "", letter(stranger), queuedOK, false, 0},
		{"null sender without certificate, From of a partner that refuses", "", "", "", letter(fabrikam), refused, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial()
			if tt.cert != "" {
				p.startTLS(partnerCertificate(t, tt.spoiled, tt.cert))
			} else {
				p.hello()
			}
			if got := p.message(tt.envelope, "bob@contoso.com", tt.content); got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			all := w.queue.taken()
			if accepted := strings.HasPrefix(tt.want, "250 "); (len(all) == 1) != accepted {
				t.Fatalf("%d messages accepted", len(all))
			}
			if marked := len(all) == 1 && strings.HasPrefix(all[0].Content, "Mailpact-Domain-Secured:"); marked != tt.marked {
				t.Errorf("marked: %v, want %v", marked, tt.marked)
			}
			secured, unmarked, refusals, _ := w.recorder.counts()
			if secured != map[bool]int{true: 1}[tt.marked] || unmarked != tt.unmarked {
				t.Errorf("counted %d secured and %d unmarked", secured, unmarked)
			}
			if strings.Contains(refusals, "FromMismatch") == strings.HasPrefix(tt.want, "250 ") {
				t.Errorf("counted refusals %q", refusals)
			}
			// The session goes on.
			p.want("NOOP", "250 2.0.0 OK")
		})
	}
}

func TestFromAlignmentOnOrdinaryConnectors(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.DomainSecureEnabled = false }))
	p := w.dial()
	p.hello()
	if got := p.message("carol@stranger.example", "bob@contoso.com", letter("dave@fabrikam.com")); !strings.HasPrefix(got, "250 ") {
		t.Errorf("got %q", got)
	}
}

func TestLimitsOfData(t *testing.T) {
	ok := letter("carol@stranger.example")
	tests := []struct {
		name    string
		content string
		want    string
	}{
		{"header too large", "X: " + strings.Repeat("x\r\n ", 20<<10) + "\r\n" + ok, "552 5.3.4 Header size exceeds fixed maximum size [id]"},
		{"message too large", ok + strings.Repeat("0123456789abcdef\r\n", 64<<10), "552 5.3.4 Message exceeds fixed maximum message size"},
		{"too many hops", strings.Repeat("Received: from a by b; Mon, 28 Aug 2006 15:37:53 -0700\r\n", 31) + ok, "554 5.4.6 Hop count exceeded - possible mail loop [id]"},
		{"hops at the limit", strings.Repeat("Received: from a by b; Mon, 28 Aug 2006 15:37:53 -0700\r\n", 30) + ok, "250 2.6.0 <1@client.example> Queued mail for delivery"},
		{"bare LF in the header", "Subject: a\nb\r\n" + ok, "554 5.6.0 Message contains bare CR or LF"},
		{"bare LF in the body", ok + "\r\na\nb", "554 5.6.0 Message contains bare CR or LF"},
		{"empty message", "", "250 2.6.0 [id] Queued mail for delivery"},
		{"no empty line", "Subject: only", "250 2.6.0 [id] Queued mail for delivery"},
		{"Message-ID that cannot stand in a reply", "Message-ID: <a b>\r\n\r\nx", "250 2.6.0 [id] Queued mail for delivery"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial()
			p.hello()
			if got := p.message("carol@stranger.example", "bob@contoso.com", tt.content); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if n, want := len(w.queue.taken()), map[bool]int{true: 1}[strings.HasPrefix(tt.want, "250 ")]; n != want {
				t.Errorf("%d messages accepted, want %d", n, want)
			}
			p.want("NOOP", "250 2.0.0 OK")
			if w.queue.open != 0 {
				t.Errorf("%d contents were left", w.queue.open)
			}
		})
	}
}

func TestStoreErrors(t *testing.T) {
	tests := []struct {
		name string
		set  func(*memoryQueue)
		want string
	}{
		{"no memory", func(q *memoryQueue) { q.newErr = fmt.Errorf("beginning: %w", queue.ErrMemory) }, "452 4.3.1 Insufficient system resources [id]"},
		{"no memory while writing", func(q *memoryQueue) { q.writeErr = queue.ErrMemory }, "452 4.3.1 Insufficient system resources [id]"},
		{"full disk", func(q *memoryQueue) { q.newErr = fmt.Errorf("beginning: %w", queue.ErrFull) }, "452 4.3.1 Insufficient system resources [id]"},
		{"full disk in the end", func(q *memoryQueue) { q.acceptErr = fmt.Errorf("accepting: %w", queue.ErrFull) }, "452 4.3.1 Insufficient system resources [id]"},
		{"cannot begin", func(q *memoryQueue) { q.newErr = errBoom }, "451 4.3.0 Message could not be stored. Please try again later [id]"},
		{"cannot write", func(q *memoryQueue) { q.writeErr = errBoom }, "451 4.3.0 Message could not be stored. Please try again later [id]"},
		{"cannot accept", func(q *memoryQueue) { q.acceptErr = errBoom }, "451 4.3.0 Message could not be stored. Please try again later [id]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.set(w.queue)
			p := w.dial()
			p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
			if got := p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com")); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			secured, _, _, _ := w.recorder.counts()
			if secured != 0 || len(w.recorder.received) != 0 || len(w.queue.taken()) != 0 || w.queue.open != 0 {
				t.Errorf("counted %d, recorded %d, accepted %d, left open %d", secured, len(w.recorder.received), len(w.queue.taken()), w.queue.open)
			}
			p.want("NOOP", "250 2.0.0 OK")
		})
	}
}

func TestRecipients(t *testing.T) {
	tests := []struct {
		name    string
		secured bool
		to      string
		want    string
		queued  string
	}{
		{"accepted domain", false, "bob@contoso.com", "250 2.1.5 bob@contoso.com Recipient OK", "bob@contoso.com"},
		{"relayed domain", false, "x@relay.example", "250 2.1.5 x@relay.example Recipient OK", "x@relay.example"},
		{"domain in other letters", false, "Bob@CONTOSO.com", "250 2.1.5 Bob@CONTOSO.com Recipient OK", "Bob@contoso.com"},
		{"third domain", false, "x@third.example", "550 5.7.1 Unable to relay [id]", ""},
		{"third domain over a secured session", true, "x@third.example", "550 5.7.1 Unable to relay [id]", ""},
		{"partner's own domain over a secured session", true, "x@woodgrovebank.com", "550 5.7.1 Unable to relay [id]", ""},
		{"subdomain of an accepted domain", false, "x@sub.contoso.com", "550 5.7.1 Unable to relay [id]", ""},
		{"percent hack", false, "x%third.example@contoso.com", "250 2.1.5 x%third.example@contoso.com Recipient OK", "x%third.example@contoso.com"},
		{"postmaster of an accepted domain", false, "postmaster@relay.example", "250 2.1.5 postmaster@relay.example Recipient OK", "postmaster@relay.example"},
		{"bare postmaster", false, "Postmaster", "250 2.1.5 Postmaster Recipient OK", "Postmaster@contoso.com"},
		{"our own literal", false, "bob@[127.0.0.1]", "250 2.1.5 bob@[127.0.0.1] Recipient OK", "bob@contoso.com"},
		{"another literal", false, "bob@[192.0.2.1]", "550 5.7.1 Unable to relay [id]", ""},
		{"literal that is none", false, "bob@[IPv6:::1]", "550 5.7.1 Unable to relay [id]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial()
			from := "carol@stranger.example"
			if tt.secured {
				from = "alice@woodgrovebank.com"
				p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
			} else {
				p.hello()
			}
			p.do("MAIL FROM:<" + from + ">")
			p.want("RCPT TO:<"+tt.to+">", tt.want)
			if tt.queued == "" {
				p.want("DATA", "554 5.5.1 No valid recipients")
				return
			}
			p.do("RCPT TO:<" + tt.to + ">") // a second time makes no second copy
			p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
			p.send(letter(from) + "\r\n.\r\n")
			p.read()
			if diff := cmp.Diff("["+tt.queued+"]", fmt.Sprint(w.queue.only(t).Recipients)); diff != "" {
				t.Errorf("recipients (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMaxRecipients(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	p.do("MAIL FROM:<carol@stranger.example>")
	for i := range 5 {
		if got := p.do(fmt.Sprintf("RCPT TO:<u%d@contoso.com>", i)); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("recipient %d: %q", i, got)
		}
	}
	p.want("RCPT TO:<u5@contoso.com>", "452 4.5.3 Too many recipients")
	p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
	p.send(letter("carol@stranger.example") + "\r\n.\r\n")
	if got := p.read(); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	m := w.queue.only(t)
	if len(m.Recipients) != 5 {
		t.Errorf("%d recipients", len(m.Recipients))
	}
	if strings.Contains(strings.SplitN(m.Content, "From:", 2)[0], " for ") {
		t.Errorf("the trace names a recipient to the others:\n%s", m.Content)
	}
}

func TestSizeParameter(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	p.want("MAIL FROM:<carol@stranger.example> SIZE=1048577", "552 5.3.4 Message size exceeds fixed maximum message size")
	p.want("MAIL FROM:<carol@stranger.example> SIZE=1048576", "250 2.1.0 carol@stranger.example Sender OK")
}

func TestPipelining(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	one := func(from string) string {
		return "MAIL FROM:<" + from + ">\r\nRCPT TO:<bob@contoso.com>\r\nRCPT TO:<x@third.example>\r\nDATA\r\n"
	}
	p.send(one("carol@stranger.example"))
	var got []string
	for range 4 {
		got = append(got, p.read())
	}
	p.send(letter("carol@stranger.example") + "\r\n.\r\n" + one("alice@woodgrovebank.com") + "QUIT\r\n")
	for range 6 {
		got = append(got, p.read())
	}
	want := []string{
		"250 2.1.0 carol@stranger.example Sender OK",
		"250 2.1.5 bob@contoso.com Recipient OK",
		"550 5.7.1 Unable to relay [id]",
		"354 Start mail input; end with <CRLF>.<CRLF>",
		"250 2.6.0 <1@client.example> Queued mail for delivery",
		"451 4.7.3 STARTTLS required to send mail from this domain [id]",
		"503 5.5.1 Need MAIL first",
		"503 5.5.1 Need MAIL first",
		"503 5.5.1 Need MAIL first",
		"221 2.0.0 Service closing transmission channel",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
	if n := len(w.queue.taken()); n != 1 {
		t.Errorf("%d messages accepted", n)
	}
}
