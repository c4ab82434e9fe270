package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/bench/wire"
)

// handshakesAtOnce is how many sessions Open is opening at any time.
const handshakesAtOnce = 32

// Idle is a number of open sessions that say nothing.
type Idle struct {
	workers []*worker
}

// Open opens o.Connections sessions, each through EHLO, STARTTLS with a client
// certificate and EHLO again, and leaves them idle. Addresses, names and
// credentials are taken from o and nothing else. The error of the first session
// that could not be opened closes all.
func Open(ctx context.Context, o Options) (*Idle, error) {
	config, err := o.Credentials.Load()
	if err != nil {
		return nil, err
	}
	config.ServerName = o.ServerName
	g := &generator{options: o, tls: config, faults: make(map[string]int)}
	i := &Idle{workers: make([]*worker, o.Connections)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(handshakesAtOnce, o.Connections) {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(i.workers)) && ctx.Err() == nil; n = next.Add(1) - 1 {
				w := &worker{g: g, reader: wire.NewReader(nil, 1<<10)}
				i.workers[n] = w
				if err := w.open(ctx); err != nil {
					cancel(fmt.Errorf("opening session %d: %w", n+1, err))
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// Ask sends NOOP in every session and waits for the replies, so that each is
// known to be alive.
func (i *Idle) Ask() error {
	for n, w := range i.workers {
		if err := w.conn.SetDeadline(time.Now().Add(messageTimeout)); err != nil {
			return fmt.Errorf("asking session %d: %w", n+1, err)
		}
		if err := w.write("NOOP", []byte("NOOP\r\n")); err != nil {
			return fmt.Errorf("asking session %d: %w", n+1, err)
		}
		if err := w.expect(250, "NOOP"); err != nil {
			return fmt.Errorf("asking session %d: %w", n+1, err)
		}
	}
	return nil
}

// Close ends all sessions.
func (i *Idle) Close() {
	for _, w := range i.workers {
		if w != nil {
			w.close()
		}
	}
}
