//go:build interop

package interop

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/tests/testkit"
)

// Exim as a stranger, whose certificate nobody here knows:
//
//	              opportunistic TLS, any certificate
//	Contoso  <------------------------------------------->  strangerN.example
//	mailpact 127.20.0.1                                     Exim 127.20.1.N
//	   |  hand-off                                             |  relay
//	   v                                                       v
//	 sink 127.0.0.1                                          sink 127.0.0.1
//
// and Exim as a listed partner, with mutual TLS, both certificates verified:
//
//	Contoso  <------------------------------------------->  Woodgrove Bank
//	mailpact 127.20.0.1                                     Exim 127.20.0.2

// startExim starts a peer that relays for domain and for Contoso.
func (w *town) startExim(host, domain string, box *testkit.Sink, main, transport map[string]string) *testkit.Exim {
	w.t.Helper()
	return testkit.StartExim(w.t, testkit.EximOptions{
		Host: host, Port: w.port, Hostname: "mail1." + domain, Main: main, Transport: transport,
		NextHops: map[string]string{"contoso.com": w.contoso(), domain: box.Addr},
	})
}

func TestEximOpportunisticTLS(t *testing.T) {
	testkit.RequireExim(t)
	w := foundTown(t)
	cert, key, _ := testkit.NewPKI(t, "A root that nobody trusts").Leaf("stranger", "somewhere.else.example")
	tests := []struct {
		name            string
		main, transport map[string]string
		received        string // in our Received field
		logged          string // by Exim of what it received from us
	}{
		{
			name: "TLS 1.3", received: " with ESMTPS\r\n (TLSv1.3 cipher TLS_AES_", logged: " P=esmtps X=TLS1.3:",
		},
		{
			name:      "TLS 1.2",
			main:      map[string]string{"tls_require_ciphers": "NORMAL:-VERS-ALL:+VERS-TLS1.2"},
			transport: map[string]string{"tls_require_ciphers": "NORMAL:-VERS-ALL:+VERS-TLS1.2"},
			received:  " with ESMTPS\r\n (TLSv1.2 cipher TLS_ECDHE_", logged: " P=esmtps X=TLS1.2:",
		},
		{
			name:     "it has TLS 1.1 alone, which is better than none",
			main:     map[string]string{"tls_require_ciphers": "NORMAL:-VERS-ALL:+VERS-TLS1.1"},
			received: " with ESMTPS\r\n (TLSv1.3 ", logged: " P=esmtps X=TLS1.1:",
		},
		{
			name:      "its client certificate is one that we do not know",
			transport: map[string]string{"tls_certificate": cert, "tls_privatekey": key},
			received:  "client certificate subject\r\n CN=somewhere.else.example, not verified)", logged: " P=esmtps X=TLS1.3:",
		},
		{
			name:      "no TLS",
			main:      map[string]string{"tls_advertise_hosts": ""},
			transport: map[string]string{"hosts_avoid_tls": "*"},
			received:  " with ESMTP id ", logged: " P=esmtp ",
		},
		{
			name:     "STARTTLS is offered and not available",
			main:     map[string]string{"tls_certificate": "/nonexistent/certificate.pem"},
			received: " with ESMTPS\r\n (TLSv1.3 ", logged: " P=esmtp ",
		},
		{
			name:     "no cipher in common",
			main:     map[string]string{"tls_require_ciphers": "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CAMELLIA-128-CBC"},
			received: " with ESMTPS\r\n (TLSv1.3 ", logged: " P=esmtp ",
		},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.t = t
			main := map[string]string{"tls_advertise_hosts": "*", "tls_certificate": cert, "tls_privatekey": key}
			maps.Copy(main, tt.main)
			domain, host := stranger(i + 1)
			exim := w.startExim(host, domain, w.strangerBox, main, tt.transport)

			w.from(host, domain, "contoso.com")
			m := w.waitMessage(w.contosoBox, "alice@"+domain)
			if !strings.Contains(m, tt.received) || !strings.Contains(m, "Good morning.\r\n.\r\n..dots\r\n") {
				t.Errorf("the message lacks %q, or was changed:\n%s", tt.received, m)
			}
			if strings.Contains(m, "Mailpact-") || strings.Contains(m, "x-domain-secured") {
				t.Errorf("a stranger's message is marked:\n%s", m)
			}

			w.from(contosoHost, "contoso.com", domain)
			m = w.waitMessage(w.strangerBox, "bob@"+domain)
			if !strings.Contains(m, "Good morning.\r\n.\r\n..dots\r\n") || strings.Contains(m, "Mailpact-") {
				t.Errorf("the message was changed, or our own header fields left the organisation:\n%s", m)
			}
			exim.WaitLog(" <= alice@contoso.com H=(mail1.contoso.com) ["+contosoHost+"]"+tt.logged, time.Second)
		})
	}
	if c := w.counters(); c.DomainSecuredMessagesReceived+c.DomainSecuredMessagesSent+c.DomainSecuredOutboundSessionFailures != 0 {
		t.Errorf("counters = %+v, want nothing secured", c)
	}
}

// secureExim returns the settings of a partner's Exim, which verifies us both ways.
func (w *town) secureExim(o townOptions) (main, transport map[string]string) {
	w.t.Helper()
	cert, key := w.woodgroveLeaf(o)
	trusts := w.peersTrust(o).RootFile()
	main = map[string]string{
		"tls_advertise_hosts": "*", "tls_certificate": cert, "tls_privatekey": key,
		"tls_verify_certificates": trusts, "tls_verify_hosts": contosoHost,
	}
	transport = map[string]string{
		"tls_certificate": cert, "tls_privatekey": key, "tls_verify_certificates": trusts,
		"hosts_require_tls": contosoHost, "tls_verify_hosts": contosoHost,
	}
	return main, transport
}

// TestEximDomainSecured has Exim as a partner in both directions: what is right
// passes and is marked, what is wrong on either side does not pass.
func TestEximDomainSecured(t *testing.T) {
	testkit.RequireExim(t)
	w := foundTown(t)
	main, transport := w.secureExim(townOptions{})
	exim := w.startExim(woodgroveHost, "woodgrovebank.com", w.woodgroveBox, main, transport)

	w.fromWoodgrove()
	m := w.waitMessage(w.contosoBox, "alice@woodgrovebank.com")
	for _, want := range []string{"Mailpact-Domain-Secured: domain=woodgrovebank.com;", "x-domain-secured=pass", "Good morning.\r\n.\r\n..dots\r\n"} {
		if !strings.Contains(m, want) {
			t.Errorf("the message lacks %q:\n%s", want, m)
		}
	}
	exim.WaitLog("CV=yes", time.Second)

	w.fromContoso()
	m = w.waitMessage(w.woodgroveBox, "bob@woodgrovebank.com")
	if strings.Contains(m, "Mailpact-") {
		t.Errorf("our own header fields left the organisation:\n%s", m)
	}
	exim.WaitLog(" <= alice@contoso.com H=(mail1.contoso.com) ["+contosoHost+"] P=esmtps X=TLS1.3:", time.Second)
	if !strings.Contains(exim.Log(), `CV=yes DN="CN=mail1.contoso.com"`) {
		t.Error("Exim has not verified our client certificate")
	}
	testkit.Eventually(t, 5*time.Second, "one message counted in each direction", func() bool {
		c := w.counters()
		return c.DomainSecuredMessagesReceived == 1 && c.DomainSecuredMessagesSent == 1 && c.DomainSecuredOutboundSessionFailures == 0
	})
}

func TestEximAndGatewayRefuseEachOther(t *testing.T) {
	testkit.RequireExim(t)
	tests := []struct {
		name            string
		o               townOptions
		main, transport map[string]string
		fromExim        string // what Exim logs when it sends to us
		fromContoso     string // the last error of our queue
	}{
		{
			name: "wrong name", o: townOptions{woodgroveNames: []string{"mail.litware.com"}},
			fromExim: "454 4.7.5 Certificate validation failure, Reason:SubjectMismatch", fromContoso: "SubjectMismatch",
		},
		{
			name: "no certificates are asked for or presented",
			main: map[string]string{"tls_verify_hosts": "", "tls_try_verify_hosts": ""}, transport: map[string]string{"tls_certificate": "", "tls_privatekey": ""},
			fromExim: "454 4.7.5 Certificate validation failure, Reason:EmptyCertificate", fromContoso: "NotMutual",
		},
		{
			name: "no TLS",
			main: map[string]string{"tls_advertise_hosts": ""}, transport: map[string]string{"hosts_avoid_tls": "*", "hosts_require_tls": ""},
			fromExim: "451 4.7.3 STARTTLS required to send mail from this domain", fromContoso: "NoTLS",
		},
		{
			name: "Exim does not trust us", o: townOptions{distrust: true},
			fromExim: "certificate verification failed", fromContoso: "OwnCertificateRefused",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := foundTown(t)
			main, transport := w.secureExim(tt.o)
			maps.Copy(main, tt.main)
			maps.Copy(transport, tt.transport)
			exim := w.startExim(woodgroveHost, "woodgrovebank.com", w.woodgroveBox, main, transport)
			w.fromWoodgrove()
			w.fromContoso()
			exim.WaitLog(tt.fromExim, 30*time.Second)
			if !strings.Contains(exim.Log(), "== bob@contoso.com") {
				t.Error("Exim did not defer")
			}
			w.waitLastError(tt.fromContoso)
			if in, out := len(w.contosoBox.Messages()), len(w.woodgroveBox.Messages()); in+out != 0 {
				t.Errorf("%d messages got in and %d out", in, out)
			}
		})
	}
}

// TestEximChunking sends large content both ways, by BDAT where both sides
// have it and by DATA where one has not. Exim notes BDAT by "K".
func TestEximChunking(t *testing.T) {
	testkit.RequireExim(t)
	w := foundTown(t)
	cert, key, _ := testkit.NewPKI(t, "A root that nobody trusts").Leaf("stranger", "somewhere.else.example")
	// Larger than what either side takes or sends at a time; with lines of dots, and octets above 127.
	content := "Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("\xc3\xa4 line ", 9)+"\r\n.\r\n..\r\n\r\n", 30_000)
	tests := []struct {
		name            string
		main, transport map[string]string
		chunks          bool
	}{
		{"BDAT", nil, nil, true},
		{"DATA", map[string]string{"chunking_advertise_hosts": ""}, map[string]string{"hosts_try_chunking": ""}, false},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.t = t
			domain, host := stranger(i + 1)
			main := map[string]string{"tls_advertise_hosts": "*", "tls_certificate": cert, "tls_privatekey": key}
			maps.Copy(main, tt.main)
			exim := w.startExim(host, domain, w.strangerBox, main, tt.transport)
			testkit.Inject(t, testkit.HostPort(host, w.port), "alice@"+domain, "bob@contoso.com", []byte(content))
			testkit.Inject(t, testkit.HostPort(contosoHost, w.inner), "bob@contoso.com", "alice@"+domain, []byte(content))
			for _, m := range []string{w.waitMessage(w.contosoBox, "alice@"+domain), w.waitMessage(w.strangerBox, "alice@"+domain)} {
				if !strings.HasSuffix(m, "\r\n"+content) {
					t.Errorf("the message was changed: %s", firstChange(content, m))
				}
			}
			for _, what := range []string{" <= bob@contoso.com H=(mail1.contoso.com) ", " => bob@contoso.com R="} {
				exim.WaitLog(what, 5*time.Second)
				_, line, _ := strings.Cut(exim.Log(), what)
				line, _, _ = strings.Cut(line, "\n")
				if strings.Contains(line, " K ") != tt.chunks {
					t.Errorf("chunks = %v, but Exim logs%s%s", tt.chunks, what, line)
				}
			}
		})
	}
}

// TestEximIsRefusedWhilePipelining has Exim send the content along with the
// envelope (MAIL, RCPT and BDAT in one write), which is refused. Exim must
// understand by which command, and why.
func TestEximIsRefusedWhilePipelining(t *testing.T) {
	testkit.RequireExim(t)
	w := foundTown(t)
	domain, host := stranger(1)
	exim := testkit.StartExim(t, testkit.EximOptions{
		Host: host, Port: w.port, Hostname: "mail1." + domain,
		NextHops: map[string]string{"contoso.com": w.contoso(), "nowhere.example": w.contoso(), domain: w.strangerBox.Addr, "woodgrovebank.com": w.strangerBox.Addr},
	})
	tests := []struct {
		name, from, to string
		size           int
		want           string
	}{
		{"MAIL", "alice@woodgrovebank.com", "bob@contoso.com", 1, "454 4.7.5 Certificate validation failure, Reason:EmptyCertificate ["},
		{"MAIL, for its size", "large@" + domain, "bob@contoso.com", 11 << 20, "552 5.3.4"},
		{"RCPT", "alice@" + domain, "bob@nowhere.example", 1, "550 5.7.1 Unable to relay ["},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			content := "Subject: refused\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1+tt.size/64)
			testkit.Inject(t, testkit.HostPort(host, w.port), tt.from, tt.to, []byte(content))
			testkit.Eventually(t, 30*time.Second, "Exim logs "+tt.want, func() bool { return strings.Contains(exim.Log(), tt.want) })
		})
	}
	if n := len(w.contosoBox.Messages()); n != 0 {
		t.Errorf("%d messages got through", n)
	}
}

// TestEximDSN has Exim and the gateway pass on to each other what a sender
// wants to be told (RFC 3461), and tell it where the next hop cannot.
func TestEximDSN(t *testing.T) {
	testkit.RequireExim(t)
	w := foundTown(t)
	domain, host := stranger(1)
	w.startExim(host, domain, w.strangerBox, map[string]string{
		"acl_smtp_rcpt": "${if eq{$local_part}{refused}{deny}{accept}}",
	}, nil)
	want := func(what, report string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(strings.ToLower(unfolded(report)), strings.ToLower(text)) {
				t.Errorf("%s: the report lacks %q:\n%s", what, text, report)
			}
		}
	}
	const body = "Subject: tell me\r\n\r\nGood morning.\r\n."

	// Exim passes it on to us; our next hop knows nothing of it.
	w.say(testkit.HostPort(host, w.port), "MAIL FROM:<alice@"+domain+"> RET=HDRS ENVID=QQ314159",
		"RCPT TO:<bob@contoso.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Robert+2Bx@contoso.example", "DATA", body)
	want("from Exim", w.waitReport(w.strangerBox, "QQ314159"), "Reporting-MTA: dns;", "mail1.contoso.com",
		"Original-Envelope-Id: QQ314159", "Original-Recipient: rfc822;", "Robert+x@contoso.example", "Final-Recipient: rfc822;", "Action: relayed")

	// We pass it on to Exim, whose next hop knows nothing of it. It repeats the
	// original recipient as it heard it from us, in xtext.
	inner := testkit.HostPort(contosoHost, w.inner)
	w.say(inner, "MAIL FROM:<bob@contoso.com> RET=HDRS ENVID=QQ271828",
		"RCPT TO:<alice@"+domain+"> NOTIFY=SUCCESS ORCPT=rfc822;Alice+2By@contoso.example", "DATA", body)
	want("to Exim", w.waitReport(w.contosoBox, "QQ271828"), "Reporting-MTA: dns; mail1."+domain,
		"Original-Envelope-Id: QQ271828", "Original-Recipient: rfc822;Alice+2By@contoso.example", "relayed to non-DSN-aware mailer")

	// Exim refuses the recipient: we report to those who want to know.
	w.say(inner, "MAIL FROM:<never@contoso.com>", "RCPT TO:<refused@"+domain+"> NOTIFY=NEVER", "DATA", body)
	w.say(inner, "MAIL FROM:<success@contoso.com>", "RCPT TO:<refused@"+domain+"> NOTIFY=SUCCESS", "DATA", body)
	w.say(inner, "MAIL FROM:<failure@contoso.com>", "RCPT TO:<refused@"+domain+"> NOTIFY=FAILURE", "DATA", body)
	want("refused", w.waitReport(w.contosoBox, "failure@contoso.com"), "Action: failed", "Final-Recipient: rfc822; refused@"+domain)
	testkit.Eventually(t, 30*time.Second, "the queues are empty", func() bool {
		var r struct{ Queues []struct{ MessageCount int } }
		w.gateway.Run(&r, "queue", "list")
		n := 0
		for _, q := range r.Queues {
			n += q.MessageCount
		}
		return n == 0
	})
	for _, m := range w.contosoBox.Messages() {
		if slices.Contains(m.To, "never@contoso.com") || slices.Contains(m.To, "success@contoso.com") {
			t.Errorf("a report that nobody wanted:\n%s", m.Data)
		}
	}
}

// say says EHLO and the lines to the server at addr, which is not to refuse any.
func (w *town) say(addr string, lines ...string) {
	w.t.Helper()
	d, _ := testkit.Dial(w.t, addr, "")
	for _, line := range append([]string{"EHLO client.test"}, lines...) {
		if r := d.Say("%s", line); r[0] != '2' && r[0] != '3' {
			w.t.Fatalf("%s: %s", line, r)
		}
	}
}

// waitReport waits until box has a report that holds text, and returns it.
func (w *town) waitReport(box *testkit.Sink, text string) string {
	w.t.Helper()
	found := ""
	testkit.Eventually(w.t, 30*time.Second, "a report about "+text+" arrives", func() bool {
		for _, m := range box.Messages() {
			if m.From == "<>" && strings.Contains(string(m.Data), text) {
				found = string(m.Data)
			}
		}
		return found != ""
	})
	return found
}

// TestEximSMTPUTF8 sends mail from and to addresses beyond ASCII both ways, and
// to an Exim that does not take it.
func TestEximSMTPUTF8(t *testing.T) {
	testkit.RequireExim(t)
	w := foundTown(t)
	const body = "From: J\u00f6rg <j\u00f6rg@example.test>\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nGr\u00fc\u00dfe aus K\u00f6ln.\r\n"
	inner := testkit.HostPort(contosoHost, w.inner)

	domain, host := stranger(1)
	w.startExim(host, domain, w.strangerBox, map[string]string{"smtputf8_advertise_hosts": "*"}, nil)
	w.say(testkit.HostPort(host, w.port), "MAIL FROM:<j\u00f6rg@"+domain+"> BODY=8BITMIME SMTPUTF8", "RCPT TO:<b\u00f6b@contoso.com>", "DATA", body+".")
	w.say(inner, "MAIL FROM:<b\u00f6b@contoso.com> BODY=8BITMIME SMTPUTF8", "RCPT TO:<j\u00f6rg@"+domain+">", "DATA", body+".")
	for _, m := range []string{w.waitMessage(w.contosoBox, "j\u00f6rg@"+domain), w.waitMessage(w.strangerBox, "j\u00f6rg@"+domain)} {
		if !strings.HasSuffix(m, "\r\n"+body) {
			t.Errorf("the message was changed:\n%s", m)
		}
	}

	domain, host = stranger(2)
	w.startExim(host, domain, w.strangerBox, map[string]string{"smtputf8_advertise_hosts": ""}, nil)
	w.say(inner, "MAIL FROM:<carol@contoso.com> BODY=8BITMIME SMTPUTF8", "RCPT TO:<j\u00f6rg@"+domain+">", "DATA", body+".")
	w.say(inner, "MAIL FROM:<d\u00f6ra@contoso.com> BODY=8BITMIME SMTPUTF8", "RCPT TO:<jorg@"+domain+">", "DATA", body+".")
	for _, about := range []string{"carol@contoso.com", "jorg@" + domain} {
		if m := w.waitReport(w.contosoBox, about); !strings.Contains(m, "Action: failed\r\nStatus: 5.6.7\r\n") {
			t.Errorf("the report about %s does not say what is missing:\n%s", about, m)
		}
	}
	for _, m := range w.strangerBox.Messages() {
		if strings.Contains(strings.Join(m.To, " "), domain) {
			t.Errorf("it was sent all the same:\n%s", m.Data)
		}
	}
}
