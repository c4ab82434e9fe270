package receive

import (
	"bufio"
	"context"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
)

// extension is a row of an EHLO reply behind its first line: the loop's affair.
var extension = regexp.MustCompile(`^>250[- ][A-Z0-9]+( [0-9]+)?$`)

func TestTranscript(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	p.want("QUIT", "221 2.0.0 Service closing transmission channel")
	rows := slices.DeleteFunc(w.recorder.session(t), func(r string) bool {
		return extension.MatchString(r) && r != ">250-STARTTLS"
	})
	for i, r := range rows {
		if strings.HasPrefix(r, ">220 mail") {
			rows[i] = ">220 banner"
		}
		if strings.Contains(r, "negotiation succeeded") {
			rows[i] = r[:strings.Index(r, " using")]
		}
	}
	want := []string{
		"+",
		"*SMTPSubmit SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders,Set Session Permissions",
		">220 banner",
		"<EHLO client.example",
		">250-mail.contoso.com Hello [127.0.0.1]", ">250-STARTTLS",
		"<STARTTLS",
		">220 2.0.0 SMTP server ready",
		"*CN=mail.contoso.com,Sending certificate",
		"*CN=mail.woodgrovebank.com,Received certificate",
		"*,TLS protocol TLSv1.3 negotiation succeeded",
		"<EHLO client.example",
		">250-mail.contoso.com Hello [127.0.0.1]",
		"<MAIL FROM:<alice@woodgrovebank.com>",
		"*SMTPSubmit AcceptRoutingHeaders,Set Session Permissions",
		"*message,receiving message",
		">250 2.1.0 alice@woodgrovebank.com Sender OK",
		"<RCPT TO:<bob@contoso.com>",
		">250 2.1.5 bob@contoso.com Recipient OK",
		"<DATA",
		">354 Start mail input; end with <CRLF>.<CRLF>",
		">250 2.6.0 <1@client.example> Queued mail for delivery",
		"<QUIT",
		">221 2.0.0 Service closing transmission channel",
		"-,Local",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := w.recorder.logs[0].record.Connector; got != `mail1\Inet` {
		t.Errorf("connector %q", got)
	}
}

func TestTranscriptOfAFailedHandshake(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	p.want("STARTTLS", "220 2.0.0 SMTP server ready")
	p.send("this is not TLS, and nothing that follows is SMTP\r\n")
	rows := w.recorder.session(t)
	want := []string{"*CN=mail.contoso.com,Sending certificate", "*,TLS negotiation failed with error InvalidToken", "-,TLS negotiation failed"}
	if diff := cmp.Diff(want, rows[len(rows)-3:]); diff != "" {
		t.Errorf("last rows (-want +got):\n%s", diff)
	}
}

func TestLoggingNone(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.ProtocolLoggingLevel = directory.LoggingNone }))
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com"))
	if n := len(w.recorder.logs); n != 0 {
		t.Errorf("%d sessions are in the protocol log", n)
	}
	if r := w.recorder.received; len(r) != 1 || r[0].Connector != `mail1\Inet` || r[0].ClientHostname != "client.example" || r[0].ServerIP != "127.0.0.1" {
		t.Errorf("tracking %+v", r)
	}
}

func TestBanner(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.Banner = "mail.contoso.com at your service" }))
	if got, want := w.connect().read(), "220 mail.contoso.com at your service"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMaxInboundConnection(t *testing.T) {
	w := newWorld(t, connectorWith(func(c *directory.ReceiveConnector) { c.MaxInboundConnection = 2 }))
	first, second := w.dial(), w.dial()
	const full = "421 4.3.2 The maximum number of concurrent connections has been exceeded, closing transmission channel [id]"
	third := w.connect()
	if got := third.read(); got != full {
		t.Errorf("third connection: %q", got)
	}
	if _, err := third.r.ReadByte(); err == nil {
		t.Error("the third connection stays open")
	}
	first.want("QUIT", "221 2.0.0 Service closing transmission channel")
	if _, err := first.r.ReadByte(); err == nil {
		t.Error("the first connection stays open")
	}
	second.want("NOOP", "250 2.0.0 OK")
	for deadline := time.Now().Add(5 * time.Second); w.server.Status()[0].Connections > 1; {
		if time.Now().After(deadline) {
			t.Fatal("the first connection still counts")
		}
	}
	w.dial()
}

func TestBindAllOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := testConfiguration()
	second := testConnector()
	second.Name, second.Bindings = "Second", []string{taken.Addr().String()}
	c.ReceiveConnectors = append(c.ReceiveConnectors, second)
	var opened []net.Listener
	o := Options{
		Configuration: func() *directory.Configuration { return c },
		Listen: func(_ context.Context, address string) (net.Listener, error) {
			l, err := net.Listen("tcp", address)
			if err == nil {
				opened = append(opened, l)
			}
			return l, err
		},
	}
	_, err = New(o)
	var be *BindError
	if !errors.As(err, &be) || be.Connector != "Second" || be.Binding != second.Bindings[0] || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("error %v", err)
	}
	if len(opened) != 1 {
		t.Fatalf("%d listeners were opened", len(opened))
	}
	if _, err := opened[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first listener is still open: %v", err)
	}
}

func TestBindErrorNamesTheMend(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"no privilege", syscall.EACCES, []string{
			`binding 0.0.0.0:25 of receive connector "Inet"`, "permission denied",
			"--listen", "setcap cap_net_bind_service=+ep", "AmbientCapabilities=CAP_NET_BIND_SERVICE",
		}},
		{"address in use", syscall.EADDRINUSE, []string{"address already in use", "another process listens there"}},
		{"address of another machine", syscall.EADDRNOTAVAIL, []string{"this machine does not have that address"}},
		{"something else", errBoom, []string{"boom"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfiguration()
			c.ReceiveConnectors[0].Bindings = []string{"0.0.0.0:25"}
			_, err := New(Options{
				Configuration: func() *directory.Configuration { return c },
				Listen: func(context.Context, string) (net.Listener, error) {
					return nil, &net.OpError{Op: "listen", Net: "tcp", Err: tt.err}
				},
			})
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// failingListener fails with EMFILE a few times before each connection.
type failingListener struct {
	net.Listener
	fails int
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *failingListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *failingListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// fromLoopback gives one end of a pipe the addresses of a connection.
type fromLoopback struct{ net.Conn }

func (fromLoopback) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}
}

func (fromLoopback) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

func TestAcceptSurvivesLackOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &failingListener{fails: 12, conns: make(chan net.Conn), done: make(chan struct{})}
		c := testConfiguration()
		c.ReceiveConnectors[0].Bindings = []string{"127.0.0.1:25"}
		s, err := New(Options{
			Configuration: func() *directory.Configuration { return c },
			Recorder:      &memoryRecorder{},
			Certificates:  &ownCertificates{},
			Listen:        func(context.Context, string) (net.Listener, error) { return l, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		start := time.Now()
		ours, theirs := net.Pipe()
		l.conns <- fromLoopback{theirs}
		line, err := bufio.NewReader(ours).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "220 ") {
			t.Fatalf("%q, %v", line, err)
		}
		if waited := time.Since(start); waited < 2*time.Second || waited > 20*time.Second {
			t.Errorf("waited %v for twelve failures", waited)
		}
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestStop(t *testing.T) {
	w := newWorld(t)
	idle := w.dial()
	idle.hello()
	busy := w.dial()
	busy.hello()
	busy.do("MAIL FROM:<carol@stranger.example>")
	busy.do("RCPT TO:<bob@contoso.com>")
	busy.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
	shaking := w.dial()
	shaking.hello()
	shaking.want("STARTTLS", "220 2.0.0 SMTP server ready")

	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop(context.Background()) }()
	if got := idle.read(); !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Errorf("idle session: %q", got)
	}
	if _, err := shaking.r.ReadByte(); err == nil {
		t.Error("the session in the handshake stays open")
	}
	busy.send(letter("carol@stranger.example") + "\r\n.\r\n")
	if got, want := busy.read(), "250 2.6.0 <1@client.example> Queued mail for delivery"; got != want {
		t.Errorf("transaction: %q, want %q", got, want)
	}
	if got := busy.read(); !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Errorf("after the transaction: %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := net.Dial("tcp", w.server.Addrs()[0].String()); err == nil {
		t.Error("the listener is still open")
	}
	if n := len(w.queue.taken()); n != 1 {
		t.Errorf("%d messages accepted", n)
	}
	if err := w.server.Stop(context.Background()); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestStopCutsShortWhatDoesNotEnd(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.hello()
	p.do("MAIL FROM:<carol@stranger.example>")
	p.do("RCPT TO:<bob@contoso.com>")
	p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
	p.send("Subject: half a mess")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.server.Stop(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 sessions were cut short") {
		t.Errorf("stop: %v", err)
	}
	if n := len(w.queue.taken()); n != 0 || w.queue.open != 0 {
		t.Errorf("%d messages accepted, %d left open", n, w.queue.open)
	}
}

// slowJudge answers only when it is told to give up.
type slowJudge struct {
	judge
	asked chan struct{}
}

func (j *slowJudge) Judge(ctx context.Context, r trust.Request) *domainsec.PeerFacts {
	j.asked <- struct{}{}
	<-ctx.Done()
	return j.judge.Judge(ctx, r)
}

func TestStopDoesNotWaitForCRLs(t *testing.T) {
	j := &slowJudge{asked: make(chan struct{}, 2)}
	w := newWorld(t, func(_ *directory.Configuration, o *Options) { o.Judge = j })
	p := w.dial()
	p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
	p.send("MAIL FROM:<alice@woodgrovebank.com>\r\n")
	<-j.asked // ahead
	<-j.asked // at MAIL
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.server.Stop(ctx); err == nil {
		t.Error("no session was cut short")
	}
}

func TestStopBeforeStart(t *testing.T) {
	c := testConfiguration()
	s, err := New(Options{Configuration: func() *directory.Configuration { return c }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	s.Start() // comes too late and does nothing
}

func TestTwoServersInOneProcess(t *testing.T) {
	a, b := newWorld(t), newWorld(t)
	for _, w := range []*world{a, b} {
		p := w.dial()
		p.hello()
		p.message("carol@stranger.example", "bob@contoso.com", letter("carol@stranger.example"))
	}
	if len(a.queue.taken()) != 1 || len(b.queue.taken()) != 1 {
		t.Error("the servers share something")
	}
}
