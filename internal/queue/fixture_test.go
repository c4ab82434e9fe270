package queue_test

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/store/sqlite"
)

// ladder is the retry ladder's documented default.
var ladder = directory.Queue{
	GlitchRetryInterval: time.Minute, GlitchRetryCount: 4,
	TransientRetryInterval: 10 * time.Minute, TransientRetryCount: 6,
	RetryInterval: 30 * time.Minute, DelayNotification: 4 * time.Hour, Expiration: 48 * time.Hour,
}

// router routes each domain to a queue of its own, but for what was set otherwise.
type router struct {
	mu    sync.Mutex
	keys  map[smtp.Domain]queue.Key
	holds map[smtp.Domain]string
}

func (r *router) Route(d smtp.Domain) (queue.Key, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[d]
	if !ok {
		k = queue.Key{DeliveryType: "DnsConnectorDelivery", NextHopDomain: string(d), Connector: "Internet"}
	}
	return k, r.holds[d]
}

func (r *router) set(d smtp.Domain, k queue.Key, hold string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys, r.holds = map[smtp.Domain]queue.Key{}, map[smtp.Domain]string{}
	}
	r.keys[d], r.holds[d] = k, hold
}

// attempt is what the deliverer saw.
type attempt struct {
	At         time.Time
	From, To   string
	Key        queue.Key
	Attempt    int
	Content    string
	MessageID  queue.MessageID
	Recipients []smtp.ForwardPath
}

// deliverer answers as its function says and remembers what it was given.
type deliverer struct {
	answer func(ctx context.Context, d *queue.Delivery) []queue.Outcome // nil: delivered
	quiet  bool                                                         // remembers nothing

	mu       sync.Mutex
	attempts []attempt
}

func (x *deliverer) Deliver(ctx context.Context, d *queue.Delivery) []queue.Outcome {
	r, err := d.Open(ctx)
	if err != nil {
		return all(d, queue.Outcome{LastError: err.Error(), RemoteHost: "x"})
	}
	defer r.Close()
	if x.quiet {
		if _, err := io.Copy(io.Discard, r); err != nil {
			panic(err)
		}
		return all(d, queue.Outcome{Disposition: queue.Delivered})
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return all(d, queue.Outcome{LastError: err.Error(), RemoteHost: "x"})
	}
	var to []string
	for _, p := range d.Recipients {
		to = append(to, address(p.Mailbox))
	}
	x.mu.Lock()
	x.attempts = append(x.attempts, attempt{
		At: time.Now(), From: address(d.Message.From.Mailbox), To: strings.Join(to, ","), Key: d.Key, Attempt: d.Attempt,
		Content: string(b), MessageID: d.Message.ID, Recipients: slices.Clone(d.Recipients),
	})
	answer := x.answer
	x.mu.Unlock()
	if answer == nil {
		return all(d, queue.Outcome{Disposition: queue.Delivered})
	}
	return answer(ctx, d)
}

// deliverNow makes every further attempt a success.
func (x *deliverer) deliverNow() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answer = nil
}

// seen returns the attempts so far.
func (x *deliverer) seen() []attempt {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.attempts)
}

// all gives each recipient of a delivery the same outcome.
func all(d *queue.Delivery, o queue.Outcome) []queue.Outcome {
	return slices.Repeat([]queue.Outcome{o}, len(d.Recipients))
}

// down is the outcome of a destination that cannot be reached.
func down(d *queue.Delivery) []queue.Outcome {
	return all(d, queue.Outcome{LastError: "451 4.4.0 connection refused", Reply: smtp.NewReply(451, smtp.EnhancedCode{4, 4, 0}, "connection refused")})
}

// later is a message-level deferral.
func later(d *queue.Delivery) []queue.Outcome {
	r := smtp.NewReply(450, smtp.EnhancedCode{4, 7, 1}, "Greylisted")
	return all(d, queue.Outcome{Reply: r, LastError: r.String(), RemoteHost: "mail.example [192.0.2.1]:25"})
}

// refused is a permanent failure.
func refused(d *queue.Delivery) []queue.Outcome {
	r := smtp.NewReply(550, smtp.EnhancedCode{5, 1, 1}, "No such user")
	return all(d, queue.Outcome{Disposition: queue.Failed, Reply: r, LastError: r.String(), RemoteHost: "mail.example [192.0.2.1]:25"})
}

// reporter writes reports in one line.
type reporter struct {
	mu      sync.Mutex
	reports []queue.Report
	err     error
	panics  bool
}

func (r *reporter) Report(x queue.Report) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panics {
		panic("poison")
	}
	if r.err != nil {
		return nil, r.err
	}
	r.reports = append(r.reports, x)
	return []byte("Subject: Report\r\nMessage-ID: <r@gw>\r\n\r\n" + x.Recipients[0].LastError + "\r\n"), nil
}

func (r *reporter) seen() []queue.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reports)
}

// events remembers what the observer is told, as words.
type events struct {
	mu    sync.Mutex
	words []string
}

func (e *events) add(word string, x queue.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, to := range x.Recipients {
		e.words = append(e.words, word+" "+address(to.Mailbox))
	}
}

func (e *events) Accepted(m *queue.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.words = append(e.words, "accepted from "+address(m.From.Mailbox))
}
func (e *events) Delivered(x queue.Event) { e.add("delivered", x) }
func (e *events) Deferred(x queue.Event)  { e.add("deferred", x) }
func (e *events) Failed(x queue.Event)    { e.add("failed", x) }
func (e *events) Expired(x queue.Event)   { e.add("expired", x) }
func (e *events) Removed(x queue.Event)   { e.add("removed", x) }
func (e *events) Poisoned(x queue.Event)  { e.add("poisoned", x) }

// count is how often a word was said.
func (e *events) count(word string) (n int) {
	for _, w := range e.seen() {
		if w == word {
			n++
		}
	}
	return n
}

func (e *events) seen() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.words)
}

func address(m smtp.Mailbox) string {
	if m == (smtp.Mailbox{}) {
		return "<>"
	}
	return m.LocalPart + "@" + string(m.Domain)
}

func mailbox(s string) smtp.Mailbox {
	local, domain, _ := strings.Cut(s, "@")
	return smtp.Mailbox{LocalPart: local, Domain: smtp.Domain(domain)}
}

// fixture is a queue over SQLite with everything around it.
type fixture struct {
	wrap     func(*sqlite.Engine) queue.Engine // nil: the queue gets the engine itself
	t        testing.TB
	path     string
	engine   *sqlite.Engine
	queue    *queue.Queue
	router   *router
	sink     *deliverer
	reporter *reporter
	events   *events
	options  queue.Options
	settings directory.Queue
	over     chan struct{} // closed before the last stop; nil: nobody waits for it
}

// newFixture makes a fixture with a running queue.
func newFixture(t testing.TB, with ...func(*fixture)) *fixture {
	t.Helper()
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "queue.db"), router: &router{}, sink: &deliverer{}, reporter: &reporter{}, events: &events{}, settings: ladder}
	for _, w := range with {
		w(f)
	}
	f.start()
	t.Cleanup(f.stop)
	t.Cleanup(func() {
		if f.over != nil {
			close(f.over)
		}
	})
	return f
}

func (f *fixture) start() {
	f.t.Helper()
	ctx := context.Background()
	e, err := sqlite.Open(ctx, sqlite.Options{Path: f.path})
	if err != nil {
		f.t.Fatal(err)
	}
	f.engine = e
	o := f.options
	if o.Engine == nil {
		o.Engine = e
	}
	if f.wrap != nil {
		o.Engine = f.wrap(e)
	}
	o.Router, o.Deliverer, o.Reporter, o.Observer = f.router, f.sink, f.reporter, f.events
	o.Settings = func() directory.Queue { return f.settings }
	q, err := queue.Open(o)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := q.Start(ctx); err != nil {
		f.t.Fatal(err)
	}
	f.queue = q
}

func (f *fixture) stop() {
	f.t.Helper()
	if err := f.queue.Stop(context.Background()); err != nil {
		f.t.Error(err)
	}
	if err := f.engine.Close(); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) restart() {
	f.t.Helper()
	f.stop()
	f.start()
}

// accept queues a message and returns it.
func (f *fixture) accept(from, content string, to ...string) *queue.Message {
	f.t.Helper()
	m, err := f.tryAccept(from, content, to...)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fixture) tryAccept(from, content string, to ...string) (*queue.Message, error) {
	ctx := context.Background()
	c, err := f.queue.NewContent(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Discard()
	if _, err := io.WriteString(c, content); err != nil {
		return nil, err
	}
	m := &queue.Message{InternetMessageID: "<1@test>", Subject: "Hello", Connector: "Inet"}
	if from != "" {
		m.From.Mailbox = mailbox(from)
	}
	for _, a := range to {
		m.Recipients = append(m.Recipients, smtp.ForwardPath{Mailbox: mailbox(a)})
	}
	return m, f.queue.Accept(ctx, m, c)
}

// until waits, without fake time, for a condition that other goroutines bring about.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// stored is the number of messages in the engine.
func (f *fixture) stored() int {
	f.t.Helper()
	rows, err := f.queue.Messages(context.Background(), queue.MessageFilter{Limit: 1 << 20})
	if err != nil {
		f.t.Fatal(err)
	}
	return len(rows)
}
