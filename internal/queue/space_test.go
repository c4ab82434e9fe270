package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// logLines keeps the lines of a log.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func withLog(l *logLines) func(*fixture) {
	return func(f *fixture) { f.options.Logger = slog.New(slog.NewTextHandler(l, nil)) }
}

// TestOutcomesThatCannotBeStoredDoNotFloodTheLog: a fault of the store is one
// matter, however many outcomes wait for its end.
func TestOutcomesThatCannotBeStoredDoNotFloodTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x, l := &faulty{}, &logLines{}
		f := newFixture(t, withFaults(t, x), withLog(l))
		x.settle.Store(true)
		for i := range 200 {
			f.accept("a@a.example", "x", fmt.Sprintf("u@d%d.example", i%7))
			time.Sleep(3 * time.Millisecond)
		}
		time.Sleep(10 * time.Minute)
		if got := l.count("level=ERROR"); got == 0 || got > 61 {
			t.Errorf("%d lines in ten minutes", got)
		}
		if got := l.count("waiting=200"); got == 0 {
			t.Error("no line tells how many outcomes wait")
		}
		x.settle.Store(false)
		time.Sleep(2 * time.Second)
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left", got)
		}
		if got := len(f.sink.seen()); got != 200 {
			t.Errorf("%d attempts, want one for each message", got)
		}
		if got := l.count("stored again"); got != 1 {
			t.Errorf("%d lines tell that all is well again", got)
		}
	})
}

// TestNothingIsBegunWithoutRoom: a message that could not be stored is refused
// before its content comes; what is stored is delivered all the same.
func TestNothingIsBegunWithoutRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var full atomic.Bool
		f := newFixture(t, func(f *fixture) {
			f.options.Ready = func() error {
				if full.Load() {
					return store.ErrFull
				}
				return nil
			}
		}, answering(later))
		f.accept("a@a.example", "x", "u@d.example")
		full.Store(true)
		if _, err := f.queue.NewContent(context.Background()); !errors.Is(err, queue.ErrFull) {
			t.Errorf("NewContent: %v", err)
		}
		f.sink.deliverNow()
		time.Sleep(10 * time.Minute)
		if got := f.stored(); got != 0 {
			t.Errorf("%d messages are left", got)
		}
		full.Store(false)
		f.accept("a@a.example", "x", "u@d.example")
	})
}

// TestHold: what a caller holds for a message counts like its content, and is
// given back with it.
func TestHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		f := newFixture(t, func(f *fixture) { f.options.MemoryBudget = 100 << 10 })
		begin := func() queue.Content {
			c, err := f.queue.NewContent(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		for range 3 { // again and again: nothing stays behind
			c := begin() // 16 KB
			other := begin()
			for _, step := range []struct {
				octets int64
				want   error
			}{{40 << 10, nil}, {60 << 10, nil}, {80 << 10, queue.ErrMemory}, {10 << 10, nil}, {68 << 10, nil}, {68<<10 + 1, queue.ErrMemory}} {
				if err := c.Hold(step.octets); !errors.Is(err, step.want) {
					t.Errorf("holding %d: %v", step.octets, err)
				}
			}
			if _, err := f.queue.NewContent(ctx); !errors.Is(err, queue.ErrMemory) {
				t.Errorf("NewContent beside what is held: %v", err)
			}
			if _, err := c.Write(make([]byte, 20<<10)); !errors.Is(err, queue.ErrMemory) {
				t.Errorf("growing beside what is held: %v", err)
			}
			c.Discard()
			if err := c.Hold(1); err == nil {
				t.Error("content that has ended holds memory")
			}
			if err := other.Hold(80 << 10); err != nil {
				t.Errorf("what Discard gave back cannot be had: %v", err)
			}
			m := &queue.Message{Recipients: []smtp.ForwardPath{{Mailbox: mailbox("b@b.example")}}}
			if err := f.queue.Accept(ctx, m, other); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // it is delivered
		}
		c := begin()
		if err := c.Hold(84 << 10); err != nil {
			t.Errorf("what Accept gave back cannot be had: %v", err)
		}
		c.Discard()
	})
}
