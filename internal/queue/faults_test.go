package queue_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
	"mailpact/internal/store/sqlite"
	"mailpact/internal/store/storetest"
)

// faulty is an engine that fails on demand.
type faulty struct {
	queue.Engine
	append, stage, settle, load, content, suspend atomic.Bool
}

var errDisk = errors.New("the disk is on fire")

func (x *faulty) Append(ctx context.Context, m []*store.Message) error {
	if x.append.Load() {
		return errDisk
	}
	return x.Engine.Append(ctx, m)
}

func (x *faulty) Stage(ctx context.Context, s *store.Staging, row []byte) error {
	if x.stage.Load() {
		return errDisk
	}
	return x.Engine.Stage(ctx, s, row)
}

func (x *faulty) Settle(s []store.Settlement, done func(error)) {
	if x.settle.Load() {
		done(errDisk)
		return
	}
	x.Engine.Settle(s, done)
}

func (x *faulty) Load(ctx context.Context, id int64) (*store.Message, error) {
	if x.load.Load() {
		return nil, errDisk
	}
	return x.Engine.Load(ctx, id)
}

func (x *faulty) OpenContent(ctx context.Context, id int64) (io.ReadCloser, error) {
	if x.content.Load() {
		return nil, errDisk
	}
	return x.Engine.OpenContent(ctx, id)
}

func (x *faulty) SuspendQueue(ctx context.Context, key []byte, suspended bool) error {
	if x.suspend.Load() {
		return errDisk
	}
	return x.Engine.SuspendQueue(ctx, key, suspended)
}

// withFaults puts a faulty engine between the queue and SQLite.
func withFaults(t *testing.T, x *faulty) func(*fixture) {
	return func(f *fixture) {
		e, err := sqlite.Open(context.Background(), sqlite.Options{Path: f.path + ".faulty"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		x.Engine = e
		f.options.Engine = x
	}
}

func TestAcceptFailsWithTheStore(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 40_000)
	for _, tt := range []struct {
		name    string
		fault   func(*faulty) *atomic.Bool
		content string
	}{
		{"append", func(x *faulty) *atomic.Bool { return &x.append }, "x"},
		{"append of staged content", func(x *faulty) *atomic.Bool { return &x.append }, big},
		{"stage", func(x *faulty) *atomic.Bool { return &x.stage }, big},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				x := &faulty{}
				f := newFixture(t, withFaults(t, x))
				tt.fault(x).Store(true)
				for range 3 {
					if _, err := f.tryAccept("a@a.example", tt.content, "b@b.example"); !errors.Is(err, errDisk) {
						t.Errorf("Accept returned %v", err)
					}
				}
				if got := f.stored(); got != 0 {
					t.Errorf("%d messages are visible", got)
				}
				tt.fault(x).Store(false)
				f.accept("a@a.example", tt.content, "b@b.example")
				time.Sleep(time.Second)
				if got := f.sink.seen(); len(got) != 1 || got[0].Content != tt.content {
					t.Errorf("%d deliveries", len(got))
				}
			})
		})
	}
}

// TestOutcomeIsStoredInTheEnd: while outcomes cannot be stored, nothing is
// delivered again; when they can, all is well.
func TestOutcomeIsStoredInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := &faulty{}
		var sent atomic.Int64
		f := newFixture(t, withFaults(t, x), answering(func(d *queue.Delivery) []queue.Outcome {
			if d.Key.NextHopDomain == "later.example" && sent.Add(1) == 1 {
				return later(d)
			}
			if d.Key.NextHopDomain == "no.example" {
				return refused(d)
			}
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}))
		x.settle.Store(true)
		f.accept("a@a.example", "x", "1@yes.example", "2@no.example", "3@later.example")
		time.Sleep(10 * time.Minute)
		if got := len(f.sink.seen()); got != 3 {
			t.Errorf("%d attempts while outcomes could not be stored, want 3", got)
		}
		x.settle.Store(false)
		time.Sleep(2 * time.Minute)
		got := map[string]int{}
		for _, a := range f.sink.seen() {
			got[a.To]++
		}
		want := map[string]int{"1@yes.example": 1, "2@no.example": 1, "3@later.example": 2, "a@a.example": 1}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left", got)
		}
	})
}

// TestUnreadableMessageWaits: a store that cannot be read costs time, not mail.
func TestUnreadableMessageWaits(t *testing.T) {
	for name, fault := range map[string]func(*faulty) *atomic.Bool{
		"envelope": func(x *faulty) *atomic.Bool { return &x.load },
		"content":  func(x *faulty) *atomic.Bool { return &x.content },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				x := &faulty{}
				f := newFixture(t, withFaults(t, x), answering(later))
				f.accept("a@a.example", "x", "b@b.example")
				synctest.Wait()
				f.sink.deliverNow()
				fault(x).Store(true)
				time.Sleep(20 * time.Minute)
				fault(x).Store(false)
				time.Sleep(11 * time.Minute)
				if n, left := len(f.sink.seen()), f.stored(); n != 2 || left != 0 {
					t.Errorf("%d attempts, %d messages left, want 2 and 0", n, left)
				}
			})
		})
	}
}

func TestStopSettlesWhatIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, func(f *fixture) {
			f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
				if d.Attempt > 1 || d.Key.NextHopDomain == "fast.example" {
					return all(d, queue.Outcome{Disposition: queue.Delivered})
				}
				<-ctx.Done() // a peer that does not answer
				o := all(d, queue.Outcome{LastError: "context canceled", RemoteHost: "x"})
				o[0].Disposition = queue.Delivered
				return o
			}
		})
		f.accept("a@a.example", "x", "1@slow.example", "2@slow.example")
		f.accept("a@a.example", "x", "1@fast.example")
		f.accept("a@a.example", "x", "1@slow.example")
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if err := f.queue.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began).Truncate(time.Second); took != 10*time.Second {
			t.Errorf("Stop took %v", took)
		}
		if _, err := f.queue.NewContent(context.Background()); !errors.Is(err, queue.ErrStopped) {
			t.Errorf("NewContent after Stop: %v", err)
		}
		before := len(f.sink.seen())
		f.restart()
		f.sink.deliverNow()
		time.Sleep(time.Second)
		again := f.sink.seen()[before:]
		if len(again) != 1 || again[0].To != "2@slow.example" || again[0].Attempt != 1 {
			t.Errorf("after the restart: %+v", again)
		}
	})
}

func TestStopIsQuickWhenIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, answering(down))
		f.accept("a@a.example", "x", "1@b.example")
		time.Sleep(time.Second)
		began := time.Now()
		for range 2 {
			if err := f.queue.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("Stop took %v", took)
		}
	})
}

// TestKilled: the store of a queue that was killed, not stopped, has every
// accepted message; what was settled is not delivered again.
func TestKilled(t *testing.T) {
	f := newFixture(t, func(f *fixture) {
		f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
			if d.Key.NextHopDomain == "down.example" {
				return down(d)
			}
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}
	})
	content := strings.Repeat("x", 300<<10)
	for range 10 {
		f.accept("a@a.example", "small", "1@up.example")
		f.accept("a@a.example", content, "1@down.example", "2@up.example")
	}
	until(t, "half of the deliveries are settled", func() bool {
		rows, err := f.queue.Messages(context.Background(), queue.MessageFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows) == 10 && func() bool {
			for _, r := range rows {
				if len(r.Recipients) != 1 {
					return false
				}
			}
			return true
		}()
	})
	g := &fixture{
		t: t, path: storetest.CopyFiles(t, f.path, "", "-wal"), router: &router{}, sink: &deliverer{},
		reporter: &reporter{}, events: &events{}, settings: ladder,
	}
	g.settings.GlitchRetryInterval = time.Millisecond
	g.start()
	defer g.stop()
	if _, err := g.queue.Retry("down.example", false); err != nil {
		t.Fatal(err)
	}
	until(t, "the rest is delivered", func() bool { return g.stored() == 0 })
	seen := g.sink.seen()
	if len(seen) != 10 {
		t.Errorf("%d deliveries, want 10", len(seen))
	}
	for _, a := range seen {
		if a.To != "1@down.example" || a.Content != content {
			t.Errorf("delivered %d octets to %s", len(a.Content), a.To)
		}
	}
}

func TestMemoryBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t, func(f *fixture) { f.options.MemoryBudget = 600 << 10 })
		ctx := context.Background()
		write := func(c queue.Content, n int) error {
			_, err := c.Write([]byte(strings.Repeat("x", n)))
			return err
		}
		first, err := f.queue.NewContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(first, 3<<20); err != nil { // holds one row, whatever its size
			t.Fatal(err)
		}
		second, err := f.queue.NewContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(second, 200<<10); err != nil {
			t.Fatal(err)
		}
		third, err := f.queue.NewContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(third, 200<<10); !errors.Is(err, queue.ErrMemory) {
			t.Errorf("writing beyond the budget: %v", err)
		}
		if err := f.queue.Accept(ctx, &queue.Message{Recipients: []smtp.ForwardPath{{Mailbox: mailbox("b@b.example")}}}, third); !errors.Is(err, queue.ErrMemory) {
			t.Errorf("accepting content with a gap: %v", err)
		}
		var small []queue.Content
		for {
			c, err := f.queue.NewContent(ctx)
			if errors.Is(err, queue.ErrMemory) {
				break
			}
			if err != nil || len(small) > 100 {
				t.Fatalf("after %d contents: %v", len(small), err)
			}
			small = append(small, c)
		}
		for _, c := range append(small, first, second) {
			c.Discard()
			c.Discard()
		}
		for range 100 { // all of it is free again
			f.accept("a@a.example", strings.Repeat("x", 250<<10), "b@b.example")
			synctest.Wait()
		}
	})
}

// TestBacklogDoesNotEatTheBudget: content that waits for a slow destination
// leaves room for what comes in, and is read back from the store.
func TestBacklogDoesNotEatTheBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		f := newFixture(t, func(f *fixture) {
			f.options.MemoryBudget = 256 << 10
			f.options.WorkersPerQueue = 2
			f.sink.answer = func(_ context.Context, d *queue.Delivery) []queue.Outcome {
				<-release
				return all(d, queue.Outcome{Disposition: queue.Delivered})
			}
		})
		content := strings.Repeat("0123456789", 1000)
		for range 100 {
			f.accept("a@a.example", content, "b@b.example")
		}
		close(release)
		time.Sleep(time.Second)
		if got := len(f.sink.seen()); got != 100 {
			t.Errorf("%d deliveries, want 100", got)
		}
		for _, a := range f.sink.seen() {
			if a.Content != content {
				t.Errorf("content of %d octets was delivered", len(a.Content))
			}
		}
	})
}

// TestReaderThatIsNotClosed must not see another message's octets.
func TestReaderThatIsNotClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var readers []io.ReadCloser
		f := newFixture(t)
		f.options.Deliverer = nil
		f.sink.answer = func(ctx context.Context, d *queue.Delivery) []queue.Outcome {
			r, err := d.Open(ctx)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			readers = append(readers, r)
			mu.Unlock()
			return all(d, queue.Outcome{Disposition: queue.Delivered})
		}
		for i := range 50 {
			f.accept("a@a.example", strings.Repeat(string(rune('A'+i%26)), 1000), "b@b.example")
			synctest.Wait()
		}
		for i, r := range readers {
			b, err := io.ReadAll(r)
			if err != nil || string(b) != strings.Repeat(string(rune('A'+i%26)), 1000) {
				t.Fatalf("reader %d: %.10q..., %v", i, b, err)
			}
		}
	})
}

func TestAcceptRefusesMisuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFixture(t)
		ctx := context.Background()
		to := []smtp.ForwardPath{{Mailbox: mailbox("b@b.example")}}
		c, err := f.queue.NewContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.queue.Accept(ctx, &queue.Message{}, c); err == nil {
			t.Error("a message without recipients was accepted")
		}
		if err := f.queue.Accept(ctx, &queue.Message{Recipients: to}, c); err == nil {
			t.Error("content was accepted twice")
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("content could be written after its end")
		}
		other := newFixture(t)
		c, err = other.queue.NewContent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Discard()
		if err := f.queue.Accept(ctx, &queue.Message{Recipients: to}, c); err == nil {
			t.Error("another queue's content was accepted")
		}
		for _, o := range []queue.Options{{}, {Engine: f.engine}} {
			if _, err := queue.Open(o); err == nil {
				t.Error("a queue without router was opened")
			}
		}
	})
}
