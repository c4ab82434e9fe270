package receive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// connectFrom connects to the first listener from an address of this machine.
func (w *world) connectFrom(address string) *peer {
	w.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := d.Dial("tcp", w.server.Addrs()[0].String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t: w.t, conn: c, r: bufio.NewReader(c)}
}

// turnedAway reads the only reply and the end of the connection.
func (p *peer) turnedAway(reply string) {
	p.t.Helper()
	if got := p.read(); got != reply {
		p.t.Errorf("got  %q\nwant %q", got, reply)
	}
	if _, err := p.r.ReadByte(); err == nil {
		p.t.Error("the connection stays open")
	}
}

// shared makes the connectors of a test share one binding.
func shared(t testing.TB, connectors ...directory.ReceiveConnector) func(*directory.Configuration, *Options) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range connectors {
		connectors[i].Bindings = []string{l.Addr().String()}
	}
	return func(c *directory.Configuration, _ *Options) { c.ReceiveConnectors = connectors }
}

func connectorFor(t testing.TB, name, fqdn string, clients ...string) directory.ReceiveConnector {
	t.Helper()
	c := testConnector()
	c.Name, c.FQDN, c.RemoteIPRanges = name, smtp.Domain(fqdn), ranges(t, clients...)
	return c
}

const notServed = "421 4.3.2 No receive connector serves this client address, closing transmission channel"

func TestClientsOfOneBinding(t *testing.T) {
	inner := connectorFor(t, "Inner", "inner.contoso.com", "127.0.1.0/24")
	inner.AuthMechanism = []directory.AuthMechanism{directory.AuthExternalAuthoritative}
	inner.PermissionGroups = []directory.PermissionGroup{directory.GroupExchangeServers}
	inner.DomainSecureEnabled = false
	one := connectorFor(t, "One", "one.contoso.com", "127.0.1.7")
	w := newWorld(t, shared(t, connectorFor(t, "Inet", "mail.contoso.com", "127.0.0.0-127.0.1.255"), inner, one))
	if n := len(w.server.Addrs()); n != 1 {
		t.Fatalf("%d listeners for one binding", n)
	}
	tests := []struct{ client, banner, relays string }{
		{"127.0.0.1", "220 mail.contoso.com ", "550 5.7.1 Unable to relay [id]"},
		{"127.0.1.6", "220 inner.contoso.com ", "250 2.1.5 a@elsewhere.example Recipient OK"},
		{"127.0.1.7", "220 one.contoso.com ", "550 5.7.1 Unable to relay [id]"},
		{"127.0.1.8", "220 inner.contoso.com ", "250 2.1.5 a@elsewhere.example Recipient OK"},
	}
	for _, tt := range tests {
		t.Run(tt.client, func(t *testing.T) {
			p := w.connectFrom(tt.client)
			if got := p.read(); !strings.HasPrefix(got, tt.banner) {
				t.Errorf("greeting %q", got)
			}
			p.hello()
			p.do("MAIL FROM:<carol@stranger.example>")
			p.want("RCPT TO:<a@elsewhere.example>", tt.relays)
		})
	}
	w.connectFrom("127.0.2.1").turnedAway(notServed)
	if log := w.log.String(); !strings.Contains(log, "remoteIPRanges") || !strings.Contains(log, "remote=127.0.2.1:") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	var got []string
	for _, s := range w.server.Status() {
		got = append(got, fmt.Sprint(s.Name, " ", s.Connections, " ", len(s.Addresses)))
	}
	if diff := cmp.Diff([]string{"Inet 1 1", "Inner 2 1", "One 1 1"}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// A change of the configuration counts from the next connection on.
func TestRangesChangeWithTheConfiguration(t *testing.T) {
	w := newWorld(t, shared(t, connectorFor(t, "Inet", "mail.contoso.com", "127.0.0.1")))
	w.connectFrom("127.0.0.9").turnedAway(notServed)
	staying := w.dial()
	next := *w.config.Load()
	second := next.ReceiveConnectors[0]
	second.Name, second.FQDN, second.RemoteIPRanges = "Second", "second.contoso.com", ranges(t, "127.0.0.9")
	next.ReceiveConnectors = []directory.ReceiveConnector{next.ReceiveConnectors[0], second}
	w.config.Store(&next)
	if got := w.connectFrom("127.0.0.9").read(); !strings.HasPrefix(got, "220 second.contoso.com ") {
		t.Errorf("greeting %q", got)
	}
	staying.want("NOOP", "250 2.0.0 OK")

	gone := next
	gone.ReceiveConnectors = nil
	w.config.Store(&gone)
	w.dial() // the listener is still there, and serves as it did at first
	w.connectFrom("127.0.0.9").turnedAway(notServed)
}

func TestMaxInboundConnectionPerSource(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.MaxInboundConnectionPerSource = 2 }))
	const tooMany = "421 4.3.2 The maximum number of concurrent connections from this source has been exceeded, closing transmission channel [id]"
	first := w.dial()
	w.dial()
	w.connect().turnedAway(tooMany)
	if got := w.connectFrom("127.0.0.2").read(); !strings.HasPrefix(got, "220 ") {
		t.Errorf("another client: %q", got)
	}
	if log := w.log.String(); !strings.Contains(log, "maxInboundConnectionPerSource") || !strings.Contains(log, "connector=Inet") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	first.want("QUIT", "221 2.0.0 Service closing transmission channel")
	for deadline := time.Now().Add(5 * time.Second); w.server.Status()[0].Connections > 2; {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still counted")
		}
	}
	w.dial()
	w.connect().turnedAway(tooMany)
}

func TestSourceLimit(t *testing.T) {
	const unlimited = directory.Unlimited
	tests := []struct {
		name                                string
		max, perSource, percent, open, want int64
	}{
		{"the number", 5000, 20, 2, 0, 20},
		{"the share", 5000, 20, 2, 4500, 10},
		{"the share of few", 99, 20, 50, 0, 20},
		{"the share of very few", 99, 100, 50, 0, 49},
		{"the last but one", 5000, 20, 2, 4999, 1},
		{"a small connector", 10, 20, 2, 0, 1},
		{"no share", 5000, 20, unlimited, 4990, 20},
		{"no number", 5000, unlimited, 2, 0, 100},
		{"a share of no limit", unlimited, 20, 2, 1 << 40, 20},
		{"none", unlimited, unlimited, unlimited, 1 << 40, unlimited},
		{"large numbers", unlimited - 1, unlimited, 100, 0, unlimited - 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rc := &directory.ReceiveConnector{
				MaxInboundConnection: tt.max, MaxInboundConnectionPerSource: tt.perSource, MaxInboundConnectionPercentagePerSource: tt.percent,
			}
			if got := sourceLimit(rc, tt.open); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestMaxInboundConnectionPercentagePerSource(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
		c.MaxInboundConnection, c.MaxInboundConnectionPercentagePerSource = 10, 30
	}))
	w.dial() // 30 % of 10
	w.dial() // of 9
	// of 8, which is 2
	if got := w.connect().read(); !strings.HasPrefix(got, "421 4.3.2 The maximum number of concurrent connections from this source") {
		t.Errorf("third connection: %q", got)
	}
	if got := w.connectFrom("127.0.0.2").read(); !strings.HasPrefix(got, "220 ") {
		t.Errorf("another client: %q", got)
	}
}

func TestMessageRateLimit(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.MessageRateLimit = 3 }))
	const tooMany = "421 4.4.2 Message submission rate for this client has exceeded the configured limit, closing transmission channel [id]"
	p := w.dial()
	p.hello()
	if got := p.message("carol@stranger.example", "bob@contoso.com", letter("carol@stranger.example")); !strings.HasPrefix(got, "250 2.6.0 ") {
		t.Fatal(got)
	}
	// A refused one costs a judgement, and counts.
	if got := p.do("MAIL FROM:<alice@woodgrovebank.com>"); !strings.HasPrefix(got, "451 4.7.3 ") {
		t.Fatal(got)
	}
	q := w.dial() // the same client
	q.hello()
	if got := q.do("MAIL FROM:<carol@stranger.example>"); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	p.send("MAIL FROM:<carol@stranger.example>\r\n")
	p.turnedAway(tooMany)
	q.want("NOOP", "250 2.0.0 OK") // its transaction is not touched
	other := w.connectFrom("127.0.0.2")
	other.read()
	other.hello()
	if got := other.do("MAIL FROM:<carol@stranger.example>"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("another client: %q", got)
	}
	w.clock.Store(noon.Add(66 * time.Second).UnixNano())
	r := w.dial()
	r.hello()
	if got := r.do("MAIL FROM:<carol@stranger.example>"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("a minute later: %q", got)
	}
	if !strings.Contains(w.log.String(), "messageRateLimit=3") {
		t.Errorf("the log does not say why:\n%s", w.log)
	}
}

// TestRefusedSendersAreBounded tries one listed domain after the other.
func TestRefusedSendersAreBounded(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.MaxProtocolErrors = 3 }))
	p := w.dial()
	p.startTLS(partnerCertificate(t, "UntrustedRoot", "mail.woodgrovebank.com"))
	for range 3 {
		p.want("MAIL FROM:<alice@woodgrovebank.com>", "454 4.7.5 Certificate validation failure, Reason:UntrustedRoot [id]")
	}
	p.send("MAIL FROM:<alice@woodgrovebank.com>\r\n")
	p.turnedAway("421 4.7.0 Too many senders were refused on this connection, closing transmission channel [id]")
	if _, _, refused, _ := w.recorder.counts(); strings.Count(refused, "UntrustedRoot") != 4 {
		t.Errorf("counted %q", refused)
	}
}

// TestTarpit looks at what the loop is told to wait.
func TestTarpit(t *testing.T) {
	const interval = 5 * time.Second
	anonymous := func(*directory.ReceiveConnector) {}
	inner := func(c *directory.ReceiveConnector) {
		c.DomainSecureEnabled = false
		c.AuthMechanism = []directory.AuthMechanism{directory.AuthExternalAuthoritative}
		c.PermissionGroups = []directory.PermissionGroup{directory.GroupExchangeServers}
	}
	stranger := smtp.ReversePath{Mailbox: smtp.Mailbox{LocalPart: "carol", Domain: "stranger.example"}}
	recipient := func(domain smtp.Domain) func(*session) error {
		return func(x *session) error {
			if _, err := x.Mail(t.Context(), stranger, smtp.MailParameters{}); err != nil {
				return err
			}
			_, err := x.Recipient(t.Context(), smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: "a", Domain: domain}}, smtp.RecipientParameters{})
			return err
		}
	}
	tests := []struct {
		name   string
		change func(*directory.ReceiveConnector)
		do     func(*session) error
		code   int
		want   time.Duration
	}{
		{"relay", anonymous, recipient("elsewhere.example"), 550, interval},
		{"unknown", inner, recipient(""), 550, 0},
		{"off", func(c *directory.ReceiveConnector) { c.TarpitInterval = 0 }, recipient("elsewhere.example"), 550, 0},
		{"in a secured transaction", anonymous, func(x *session) error {
			if err := recipient("contoso.com")(x); err != nil {
				return err
			}
			x.tx.verdict.Action = domainsec.ActionSecure
			_, err := x.Recipient(t.Context(), smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: "a", Domain: "elsewhere.example"}}, smtp.RecipientParameters{})
			return err
		}, 550, 0},
		{"nobody may submit", func(c *directory.ReceiveConnector) { c.PermissionGroups = nil }, recipient("contoso.com"), 530, interval},
		{"to be tried again", func(c *directory.ReceiveConnector) { c.RequireTLS = true }, recipient("contoso.com"), 451, 0},
		{"too fast", func(c *directory.ReceiveConnector) { c.MessageRateLimit = 1 }, func(x *session) error {
			_ = recipient("contoso.com")(x)
			x.Reset()
			return recipient("contoso.com")(x)
		}, 421, interval},
		{"EHLO", func(c *directory.ReceiveConnector) { c.RequireEHLODomain = true }, func(x *session) error {
			_, err := x.Hello(t.Context(), smtp.Hello{Name: "[192.0.2.1]", Extended: true})
			return err
		}, 501, interval},
		{"header too large", func(c *directory.ReceiveConnector) { c.MaxHeaderSize = 10 }, data(t, recipient("contoso.com"), letter("carol@stranger.example")), 552, interval},
		{"too many hops", func(c *directory.ReceiveConnector) { c.MaxHopCount = 1 }, data(t, recipient("contoso.com"), "Received: a\r\nReceived: b\r\n\r\n"), 554, interval},
		{"From is refused", anonymous, data(t, recipient("contoso.com"), letter("dave@fabrikam.com")), 550, interval},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
				c.TarpitInterval = interval
				tt.change(c)
			}))
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
			var r smtp.Reply
			if err := tt.do(w.session(t, ours)); !errors.As(err, &r) || r.Code != tt.code || r.Delay != tt.want {
				t.Errorf("%v after %v, want %d after %v", err, r.Delay, tt.code, tt.want)
			}
		})
	}
}

// data sends a message after begin.
func data(t *testing.T, begin func(*session) error, content string) func(*session) error {
	return func(x *session) error {
		if err := begin(x); err != nil {
			return err
		}
		_, err := x.Data(t.Context(), strings.NewReader(content+"\r\n"))
		return err
	}
}

// TestTarpitEndsWithTheServer has a client wait for an hour.
func TestTarpitEndsWithTheServer(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
		c.TarpitInterval, c.ConnectionTimeout = time.Hour, 2*time.Hour
	}))
	p := w.dial()
	p.hello()
	p.do("MAIL FROM:<carol@stranger.example>")
	p.send("NOOP\r\nRCPT TO:<a@elsewhere.example>\r\n")
	if got := p.read(); got != "250 2.0.0 OK" { // which leaves when the pause begins
		t.Fatal(got)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop(context.Background()) }()
	if got := p.read(); got != "550 5.7.1 Unable to relay [id]" {
		t.Errorf("got %q", got)
	}
	p.send("RSET\r\n") // the transaction may finish
	p.read()
	if got := p.read(); !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Errorf("got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestComplaintsAreBounded(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.RemoteIPRanges = ranges(t, "192.0.2.1") }))
	for range complaintsPerMinute + 7 {
		_, _ = io.Copy(io.Discard, w.connect().r)
	}
	if n := strings.Count(w.log.String(), "remoteIPRanges"); n != complaintsPerMinute {
		t.Errorf("%d lines", n)
	}
	w.clock.Store(noon.Add(time.Minute).UnixNano())
	w.connect().turnedAway(notServed)
	if log := w.log.String(); strings.Count(log, "remoteIPRanges") != complaintsPerMinute+1 || !strings.Contains(log, "linesLeftOut=7") {
		t.Errorf("the log does not go on:\n%s", log[max(0, len(log)-400):])
	}
}
