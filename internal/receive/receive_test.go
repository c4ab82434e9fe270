package receive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
	"mailpact/internal/trust/pkitest"
)

// world is a running server with everything around it replaced by what a test
// can look into.
type world struct {
	t        testing.TB
	config   atomic.Pointer[directory.Configuration]
	clock    atomic.Int64
	own      *ownCertificates
	judge    *judge
	queue    *memoryQueue
	recorder *memoryRecorder
	log      *lockedBuffer
	server   *Server
}

// noon is when tests happen.
var noon = time.Now().Truncate(time.Second)

// newWorld starts a server for contoso.com whose partners are
// woodgrovebank.com (enforcing), fabrikam.com (enforcing, From refused) and
// trial.example (in test mode).
func newWorld(t testing.TB, change ...func(*directory.Configuration, *Options)) *world {
	t.Helper()
	w := &world{
		t: t, judge: &judge{}, queue: &memoryQueue{}, recorder: &memoryRecorder{}, log: &lockedBuffer{},
		own: &ownCertificates{list: []*certstore.Certificate{ownCertificate(t, pkitest.LeafOptions{Names: []string{"mail.contoso.com"}})}},
	}
	w.clock.Store(noon.UnixNano())
	c := testConfiguration()
	o := Options{
		Configuration: w.config.Load,
		Certificates:  w.own,
		Judge:         w.judge,
		Queue:         w.queue,
		Recorder:      w.recorder,
		Logger:        slog.New(slog.NewTextHandler(w.log, nil)),
		Now:           func() time.Time { return time.Unix(0, w.clock.Load()) },
	}
	for _, f := range change {
		f(c, &o)
	}
	w.config.Store(c)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.server = s
	s.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return w
}

func testConfiguration() *directory.Configuration {
	partner := func(d smtp.Domain, m directory.Mode, f directory.FromAlignment) directory.Partner {
		return directory.Partner{
			Domain: d, Mode: m, Send: true, Receive: true,
			NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer, FromAlignment: f,
		}
	}
	return &directory.Configuration{
		Server:          directory.Server{Role: directory.RoleStandalone, FQDN: "mail1.contoso.com"},
		TransportConfig: directory.TransportConfig{AuthservID: "contoso.com", Postmaster: smtp.Mailbox{LocalPart: "postmaster", Domain: "contoso.com"}},
		Partners: []directory.Partner{
			partner("woodgrovebank.com", directory.ModeEnforce, directory.FromUnmarked),
			partner("fabrikam.com", directory.ModeEnforce, directory.FromRefuse),
			partner("trial.example", directory.ModeTest, directory.FromUnmarked),
		},
		AcceptedDomains: []directory.AcceptedDomain{
			{Name: "contoso.com", Type: directory.Authoritative},
			{Name: "relay.example", Type: directory.InternalRelay},
		},
		ReceiveConnectors: []directory.ReceiveConnector{testConnector()},
	}
}

func testConnector() directory.ReceiveConnector {
	return directory.ReceiveConnector{
		Name:                        "Inet",
		Bindings:                    []string{"127.0.0.1:0"},
		RemoteIPRanges:              []directory.AddressRange{everyIPv4()},
		FQDN:                        "mail.contoso.com",
		AuthMechanism:               []directory.AuthMechanism{directory.AuthTLS},
		PermissionGroups:            []directory.PermissionGroup{directory.GroupAnonymousUsers, directory.GroupPartners},
		DomainSecureEnabled:         true,
		ProtocolLoggingLevel:        directory.LoggingVerbose,
		ConnectionTimeout:           time.Minute,
		ConnectionInactivityTimeout: time.Minute,
		MaxMessageSize:              1 << 20,
		MaxHeaderSize:               64 << 10,
		MaxRecipientsPerMessage:     5,
		MaxProtocolErrors:           20,
		MaxHopCount:                 30,
		MaxInboundConnection:        50,
		CertificateRequestBackoff:   time.Hour,

		MaxInboundConnectionPerSource:           directory.Unlimited,
		MaxInboundConnectionPercentagePerSource: directory.Unlimited,
		MessageRateLimit:                        directory.Unlimited,
	}
}

func everyIPv4() directory.AddressRange {
	return directory.AddressRange{First: netip.IPv4Unspecified(), Last: netip.MustParseAddr("255.255.255.255")}
}

// session returns a session of the first connector that no loop runs.
func (w *world) session(t testing.TB, conn net.Conn) *session {
	t.Helper()
	rc := &w.config.Load().ReceiveConnectors[0]
	x := w.server.newSession(w.server.state(rc), rc, arrival{
		conn: conn, remote: addrPort(conn.RemoteAddr()), local: addrPort(conn.LocalAddr()),
	})
	if k := x.enter(); k != kindUnset {
		t.Fatalf("no session: %v", k)
	}
	t.Cleanup(x.leave)
	return x
}

// connectorWith changes the connector of a test's configuration.
func connectorWith(f func(*directory.ReceiveConnector)) func(*directory.Configuration, *Options) {
	return func(c *directory.Configuration, _ *Options) { f(&c.ReceiveConnectors[0]) }
}

// ownCertificates stands for the certificate store.
type ownCertificates struct {
	mu   sync.Mutex
	list []*certstore.Certificate
}

func (o *ownCertificates) Select(directory.CertificateName, func(*certstore.Certificate) bool) []*certstore.Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.list
}

func (o *ownCertificates) set(list ...*certstore.Certificate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = list
}

func ownCertificate(t testing.TB, o pkitest.LeafOptions) *certstore.Certificate {
	t.Helper()
	if o.CommonName == "" {
		o.CommonName = "mail.contoso.com"
	}
	c := pkitest.SelfSigned(t, o).TLS()
	c.Leaf = pkitest.Parse(t, c.Certificate[0])
	return &certstore.Certificate{TLS: &c, SelfSigned: true, Services: []directory.Service{directory.ServiceSMTP}}
}

// judge stands for trust: it matches names, and finds in a certificate's
// organisation what is wrong with it.
type judge struct {
	mu    sync.Mutex
	asked []smtp.Domain
}

func (j *judge) NameMatches(c *x509.Certificate, p *directory.Partner) string {
	return domainsec.MatchDomain(c.DNSNames, p.Domain, p)
}

func (j *judge) Judge(_ context.Context, r trust.Request) *domainsec.PeerFacts {
	j.mu.Lock()
	j.asked = append(j.asked, r.Domain)
	j.mu.Unlock()
	leaf := r.Presented[0]
	f := trust.DescribeCertificate(leaf)
	path := domainsec.PathFacts{
		Elements: []domainsec.CertificateFacts{f}, Usage: domainsec.UsageBoth, Anchor: "00",
		Revocation: domainsec.RevocationGood, RevocationTime: noon.Add(-time.Hour), ValidUntil: noon.Add(time.Hour),
	}
	if len(leaf.Subject.Organization) > 0 {
		switch reason, _ := domainsec.ParseReason(leaf.Subject.Organization[0]); reason {
		case domainsec.Revoked:
			path.Revocation = domainsec.RevocationRevoked
		case domainsec.RevocationOffline:
			path.Revocation = domainsec.RevocationUnknown
		default:
			path.Reasons, path.Detail = []domainsec.Reason{reason}, "spoiled by the test"
		}
	}
	return &domainsec.PeerFacts{
		Domain: r.Domain, Direction: r.Direction, Certificate: f,
		MatchedName: j.NameMatches(leaf, r.Partner), Paths: []domainsec.PathFacts{path},
	}
}

func (j *judge) domains() []smtp.Domain {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]smtp.Domain(nil), j.asked...)
}

// memoryQueue keeps what was accepted.
type memoryQueue struct {
	mu        sync.Mutex
	messages  []storedMessage
	open      int
	newErr    error
	writeErr  error
	acceptErr error
}

type storedMessage struct {
	queue.Message
	Content string
}

func (q *memoryQueue) NewContent(context.Context) (queue.Content, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.newErr != nil {
		return nil, q.newErr
	}
	q.open++
	return &memoryContent{q: q, writeErr: q.writeErr}, nil
}

func (q *memoryQueue) Accept(_ context.Context, m *queue.Message, c queue.Content) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.acceptErr != nil {
		return q.acceptErr
	}
	mc := c.(*memoryContent)
	mc.done = true
	q.open--
	told := m.OnDurable
	m.OnDurable = nil
	q.messages = append(q.messages, storedMessage{Message: *m, Content: mc.b.String()})
	if told != nil {
		told(m)
	}
	return nil
}

func (q *memoryQueue) taken() []storedMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]storedMessage(nil), q.messages...)
}

// last returns the only message accepted so far.
func (q *memoryQueue) only(t testing.TB) storedMessage {
	t.Helper()
	all := q.taken()
	if len(all) != 1 {
		t.Fatalf("%d messages were accepted, want 1", len(all))
	}
	return all[0]
}

type memoryContent struct {
	q        *memoryQueue
	b        bytes.Buffer
	done     bool
	writeErr error
}

func (c *memoryContent) Write(p []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	return c.b.Write(p)
}

func (c *memoryContent) Hold(int64) error { return nil }

func (c *memoryContent) Discard() {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	if !c.done {
		c.done = true
		c.q.open--
	}
}

func (c *memoryContent) Size() int64 { return int64(c.b.Len()) }

// memoryRecorder counts and keeps the protocol log as text.
type memoryRecorder struct {
	mu          sync.Mutex
	secured     int
	unmarked    int
	refused     []string
	wouldRefuse []string
	received    []MessageRecord
	logs        []*memoryLog
}

func (r *memoryRecorder) Session(s SessionRecord) SessionLog {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &memoryLog{r: r, record: s, done: make(chan struct{})}
	r.logs = append(r.logs, l)
	return l
}

func (r *memoryRecorder) Received(m MessageRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, m)
}

func (r *memoryRecorder) DomainSecured(smtp.Domain, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secured++
}

func (r *memoryRecorder) Refused(reason domainsec.Reason, connector string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, connector+" "+reason.String())
}

func (r *memoryRecorder) WouldRefuse(reason domainsec.Reason, partner smtp.Domain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wouldRefuse = append(r.wouldRefuse, string(partner)+" "+reason.String())
}

func (r *memoryRecorder) Unmarked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unmarked++
}

// counts returns what was counted: secured, unmarked, refusals, would-refusals.
func (r *memoryRecorder) counts() (secured, unmarked int, refused, would string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.secured, r.unmarked, strings.Join(r.refused, ","), strings.Join(r.wouldRefuse, ",")
}

type memoryLog struct {
	r      *memoryRecorder
	record SessionRecord
	rows   []string
	done   chan struct{} // closed by Disconnected
}

func (l *memoryLog) add(row string) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.rows = append(l.rows, row)
}

func (l *memoryLog) Sent(line string)          { l.add(">" + line) }
func (l *memoryLog) Received(line string)      { l.add("<" + line) }
func (l *memoryLog) Info(data, context string) { l.add("*" + data + "," + context) }
func (l *memoryLog) Connected()                { l.add("+") }
func (l *memoryLog) Disconnected(context string) {
	l.add("-," + context)
	close(l.done)
}

func (l *memoryLog) Message(context string) { l.add("*message," + context) }

func (l *memoryLog) Certificate(label string, c protocollog.CertificateRows) {
	l.add("*" + c.Subject + "," + label)
}

// session returns the rows of the first session once it has ended.
func (r *memoryRecorder) session(t testing.TB) []string {
	t.Helper()
	r.mu.Lock()
	if len(r.logs) == 0 {
		t.Fatal("no session began")
	}
	l := r.logs[0]
	r.mu.Unlock()
	select {
	case <-l.done:
		return l.rows
	case <-time.After(20 * time.Second):
		t.Fatal("the session did not end")
		return nil
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// peer is a raw SMTP client.
type peer struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// dial connects to the first listener and reads the greeting.
func (w *world) dial() *peer {
	w.t.Helper()
	p := w.connect()
	if g := p.read(); !strings.HasPrefix(g, "220 mail.contoso.com Mailpact ESMTP ready at ") {
		w.t.Fatalf("greeting %q", g)
	}
	return p
}

func (w *world) connect() *peer {
	w.t.Helper()
	c, err := net.Dial("tcp", w.server.Addrs()[0].String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t: w.t, conn: c, r: bufio.NewReader(c)}
}

var sessionID = regexp.MustCompile(`\[[0-9A-F]{16}\]`)

// read reads one reply, its lines joined by "|", the session's id as "[id]".
func (p *peer) read() string {
	p.t.Helper()
	var lines []string
	for {
		l, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("reading a reply after %q: %v", lines, err)
		}
		if !strings.HasSuffix(l, "\r\n") {
			p.t.Fatalf("reply line %q does not end with CRLF", l)
		}
		l = sessionID.ReplaceAllString(strings.TrimSuffix(l, "\r\n"), "[id]")
		lines = append(lines, l)
		if len(l) < 4 || l[3] != '-' {
			return strings.Join(lines, "|")
		}
	}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatalf("sending %.40q: %v", text, err)
	}
}

// do sends a command and returns the reply.
func (p *peer) do(command string) string {
	p.t.Helper()
	p.send(command + "\r\n")
	return p.read()
}

// want sends a command and compares the reply.
func (p *peer) want(command, reply string) {
	p.t.Helper()
	if got := p.do(command); got != reply {
		p.t.Fatalf("%s\n got %q\nwant %q", command, got, reply)
	}
}

// hello says EHLO and returns the reply.
func (p *peer) hello() string {
	p.t.Helper()
	return p.do("EHLO client.example")
}

// startTLS makes the handshake, presenting leaf unless it is nil, and says EHLO again.
func (p *peer) startTLS(leaf *pkitest.Leaf) *tls.Conn {
	p.t.Helper()
	c, err := p.handshake(leaf)
	if err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
	p.hello()
	return c
}

func (p *peer) handshake(leaf *pkitest.Leaf) (*tls.Conn, error) {
	p.t.Helper()
	p.hello()
	p.want("STARTTLS", "220 2.0.0 SMTP server ready")
	cfg := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the server's certificate is not what is tested
	if leaf != nil {
		pair := leaf.TLS()
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	c := tls.Client(p.conn, cfg)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	p.conn, p.r = c, bufio.NewReader(c)
	return c, nil
}

// message sends a whole transaction and returns the final reply.
func (p *peer) message(from, to, content string) string {
	p.t.Helper()
	if r := p.do("MAIL FROM:<" + from + ">"); !strings.HasPrefix(r, "250 ") {
		return r
	}
	if r := p.do("RCPT TO:<" + to + ">"); !strings.HasPrefix(r, "250 ") {
		return r
	}
	p.want("DATA", "354 Start mail input; end with <CRLF>.<CRLF>")
	p.send(content + "\r\n.\r\n")
	return p.read()
}

// letter is an ordinary message with From.
func letter(from string) string {
	return "From: " + from + "\r\nTo: bob@contoso.com\r\nSubject: Hello\r\nMessage-ID: <1@client.example>\r\n\r\nText."
}

// partnerCertificate is what a correct server of the domain presents. A
// reason's word as spoiled makes judge find that reason.
func partnerCertificate(t testing.TB, spoiled string, names ...string) *pkitest.Leaf {
	t.Helper()
	return pkitest.SelfSigned(t, pkitest.LeafOptions{Subject: subject(names[0], spoiled), Names: names})
}

var errBoom = errors.New("boom")
