package send_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/counters"
	"mailpact/internal/directory"
	"mailpact/internal/dnsx/dnsxtest"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/send"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
	"mailpact/internal/trust/pkitest"
)

const (
	partnerA = smtp.Domain("woodgrovebank.com")
	partnerB = smtp.Domain("fabrikam.example")
	stranger = smtp.Domain("unlisted.example")
)

// world is Contoso's sender with its PKI; everything in it is good until a test spoils it.
type world struct {
	t          testing.TB
	ca         *pkitest.CA // of the partners' servers, trusted for any domain
	ownCA      *pkitest.CA
	revocation *revocation
	counters   *counters.Set
	config     *directory.Configuration
	router     *router
	sender     *send.Sender
	log        *protocollog.Log
	logDir     string

	mu  sync.Mutex
	now time.Time // zero: the system's
}

type worldOptions struct {
	mode directory.Mode
	edit func(*directory.Configuration)
	own  *pkitest.LeafOptions // nil: mail.contoso.com
	also *pkitest.LeafOptions // a second one of ours; nil: none
	send func(*send.Options)  // nil: changes nothing
}

func newWorld(t testing.TB, o worldOptions) *world {
	t.Helper()
	w := &world{
		t: t, ca: pkitest.NewRoot(t, pkitest.CAOptions{Name: "Partners' Root"}), ownCA: pkitest.NewRoot(t, pkitest.CAOptions{Name: "Contoso Root"}),
		revocation: &revocation{status: map[string]domainsec.RevocationStatus{}}, counters: counters.New(), logDir: t.TempDir(),
	}
	if o.mode == "" {
		o.mode = directory.ModeEnforce
	}
	if o.own == nil {
		o.own = &pkitest.LeafOptions{CommonName: "mail.contoso.com", Names: []string{"mail.contoso.com"}}
	}
	files := []directory.CertificateFile{w.ownFile(*o.own)}
	if o.also != nil {
		files = append(files, w.ownFile(*o.also))
	}
	store, err := certstore.Open(certstore.Options{Files: files, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	anchors := pkitest.WriteFile(t, "anchors.pem", pkitest.PEM(w.ca.Certificate, w.ownCA.Certificate))
	verifier, err := trust.New(trust.Options{
		Config:     directory.Trust{Anchors: []directory.Anchor{{File: anchors, Scope: directory.Scope{Any: true}, Revocation: directory.RevocationRequired}}},
		Revocation: w.revocation, Now: w.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.config = &directory.Configuration{
		Server:          directory.Server{FQDN: "mail.contoso.com"},
		TransportConfig: directory.TransportConfig{AuthservID: "contoso.com"},
		AcceptedDomains: []directory.AcceptedDomain{{Name: "contoso.com", Type: directory.Authoritative, HandOff: "127.0.0.1:9"}},
		Partners: []directory.Partner{
			{Domain: partnerA, Mode: o.mode, Send: true, NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer},
			{Domain: partnerB, Mode: o.mode, Send: true, NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer},
		},
		SendConnectors: []directory.SendConnector{{
			Name: "Internet", Enabled: true, DNSRoutingEnabled: true, Port: 25, FQDN: "mail.contoso.com", DomainSecureEnabled: true,
			AddressSpaces: []directory.AddressSpace{{Any: true, Cost: 1}}, MaxMessageSize: directory.Unlimited,
			ConnectionInactivityTimeout: 10 * time.Minute, SMTPMaxMessagesPerConnection: directory.Unlimited,
			ProtocolLoggingLevel: directory.LoggingVerbose,
		}},
	}
	if o.edit != nil {
		o.edit(w.config)
	}
	w.router = &router{hosts: map[string][]routing.Host{}, errs: map[string]error{}}
	w.router.Router = routing.New(routing.Options{Config: func() *directory.Configuration { return w.config }, Resolver: new(dnsxtest.Resolver)})
	w.log, err = protocollog.Open(protocollog.Options{Directory: w.logDir, Prefix: "SEND", Type: "SMTP Send Protocol Log"})
	if err != nil {
		t.Fatal(err)
	}
	options := send.Options{
		Config: func() *directory.Configuration { return w.config }, Router: w.router, Verifier: verifier, Certificates: store, Counters: w.counters,
		ProtocolLog: func(o protocollog.SessionOptions) send.SessionLog { return w.log.Session(o) },
		Now:         w.clock, QuitTimeout: 2 * time.Second, DialTimeout: 2 * time.Second, HandshakeTimeout: 5 * time.Second,
	}
	if o.send != nil {
		o.send(&options)
	}
	w.sender = send.New(options)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.sender.Stop(ctx)
		_ = w.log.Close()
	})
	return w
}

// ownFile issues a certificate of ours and writes it.
func (w *world) ownFile(o pkitest.LeafOptions) directory.CertificateFile {
	w.t.Helper()
	own := w.ownCA.Issue(w.t, o)
	return directory.CertificateFile{
		CertificateFile: pkitest.WriteFile(w.t, "own.pem", pkitest.PEM(own.Chain...)),
		KeyFile:         pkitest.WriteFile(w.t, "own.key", pkitest.KeyPEM(w.t, own.Key)),
		Services:        []directory.Service{directory.ServiceSMTP},
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.IsZero() {
		return time.Now()
	}
	return w.now
}

func (w *world) setClock(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// serverTLS is a good server's configuration with a certificate for names; it asks for ours.
func (w *world) serverTLS(o pkitest.LeafOptions) *tls.Config {
	return serverConfig(w.ca.Issue(w.t, o))
}

func serverConfig(leaf *pkitest.Leaf) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}, ClientAuth: tls.RequestClientCert}
}

func named(names ...string) pkitest.LeafOptions { return pkitest.LeafOptions{Names: names} }

// at gives the domain these hosts.
func (w *world) at(d smtp.Domain, hosts ...routing.Host) {
	w.router.mu.Lock()
	defer w.router.mu.Unlock()
	w.router.hosts[string(d)] = hosts
}

const body = "From: <a@contoso.com>\r\nSubject: test\r\nMailpact-Domain-Secured: domain=forged\r\n\r\nHello\r\n.dot\r\n"

func (w *world) delivery(to ...string) *queue.Delivery {
	d := &queue.Delivery{
		Message: &queue.Message{ID: 1, From: reverse(w.t, "a@contoso.com"), Size: int64(len(body))},
		Open:    func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
		Attempt: 1,
	}
	for _, a := range to {
		m, err := smtp.ParseMailbox(a)
		if err != nil {
			w.t.Fatal(err)
		}
		d.Recipients = append(d.Recipients, smtp.ForwardPath{Mailbox: m})
	}
	return d
}

func reverse(t testing.TB, s string) smtp.ReversePath {
	t.Helper()
	m, err := smtp.ParseMailbox(s)
	if err != nil {
		t.Fatal(err)
	}
	return smtp.ReversePath{Mailbox: m}
}

func (w *world) deliver(to ...string) []queue.Outcome {
	w.t.Helper()
	return w.sender.Deliver(w.t.Context(), w.delivery(to...))
}

// logged returns the rows of the protocol log as "event data context".
func (w *world) logged() []string {
	w.t.Helper()
	w.log.Flush()
	files, err := filepath.Glob(filepath.Join(w.logDir, "SEND*.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	var rows []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			if parts := strings.SplitN(line, ",", 7); len(parts) == 7 && !strings.HasPrefix(line, "#") {
				rows = append(rows, parts[6])
			}
		}
	}
	return rows
}

func show(outcomes []queue.Outcome) string {
	var b strings.Builder
	for _, o := range outcomes {
		fmt.Fprintf(&b, "%d secured=%v reply=%q last=%q at %q; ", o.Disposition, o.Secured, o.Reply, o.LastError, o.RemoteHost)
	}
	return b.String()
}

type router struct {
	*routing.Router

	mu    sync.Mutex
	hosts map[string][]routing.Host
	errs  map[string]error
	asked int
}

func (r *router) Hosts(ctx context.Context, route routing.Route) ([]routing.Host, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if err := r.errs[route.NextHopDomain]; err != nil {
		return nil, err
	}
	if h, ok := r.hosts[route.NextHopDomain]; ok {
		return h, nil
	}
	if route.HandOff != "" || route.Socket != "" {
		return r.Router.Hosts(ctx, route)
	}
	return nil, &routing.Error{Reply: smtp.NewReply(550, smtp.EnhancedCode{5, 1, 2}, "no such domain")}
}

// revocation answers good for every leaf that was not set otherwise.
type revocation struct {
	mu         sync.Mutex
	status     map[string]domainsec.RevocationStatus // by the leaf's first name
	generation uint64
}

func (r *revocation) set(name string, s domainsec.RevocationStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[name] = s
	r.generation++
}

func (r *revocation) CheckPath(_ context.Context, path []*x509.Certificate) trust.PathStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(path[0].DNSNames) > 0 {
		if s, ok := r.status[path[0].DNSNames[0]]; ok {
			return trust.PathStatus{Status: s, Detail: "as the test says"}
		}
	}
	return trust.PathStatus{Status: domainsec.RevocationGood, ValidUntil: time.Now().Add(time.Hour)}
}

func (r *revocation) Generation() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation
}
