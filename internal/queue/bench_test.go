package queue_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailpact/internal/queue"
	"mailpact/internal/smtp"
)

// BenchmarkRelay measures a message's way through the queue: enqueue durably,
// deliver, settle. The figures beside the time are CPU of the whole process per
// message and messages per second.
func BenchmarkRelay(b *testing.B) {
	for _, bb := range []struct {
		name    string
		size    int
		senders int
	}{
		{"10KB-64", 10 << 10, 64},
		{"10KB-8", 10 << 10, 8},
		{"10KB-1", 10 << 10, 1},
		{"2KB-64", 2 << 10, 64},
		{"100KB-8", 100 << 10, 8},
		{"1MB-8", 1 << 20, 8},
	} {
		b.Run(bb.name, func(b *testing.B) {
			f := newFixture(b, func(f *fixture) { f.sink.quiet = true })
			content := []byte(strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", bb.size/64))
			ctx := context.Background()
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			before, began := cpu(b), time.Now()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range bb.senders {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						c, err := f.queue.NewContent(ctx)
						if err != nil {
							b.Error(err)
							return
						}
						for p := content; len(p) > 0; {
							n := min(len(p), 32<<10)
							if _, err := c.Write(p[:n]); err != nil {
								b.Error(err)
								return
							}
							p = p[n:]
						}
						m := &queue.Message{
							From:       smtp.ReversePath{Mailbox: mailbox("sender@a.example")},
							Recipients: []smtp.ForwardPath{{Mailbox: mailbox("recipient@b.example")}},
							SessionID:  "08C895F533E837EC", Connector: "Inet", SourceIP: "192.0.2.1",
							InternetMessageID: "<12345678.12345678@a.example>", Subject: "A subject of some length",
						}
						if err := f.queue.Accept(ctx, m, c); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := f.queue.Stop(ctx); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			took := time.Since(began)
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "µs-cpu/msg")
			b.ReportMetric(float64(b.N)/took.Seconds(), "msg/s")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
