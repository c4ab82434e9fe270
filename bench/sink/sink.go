package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/bench/wire"
)

// Options say what the sink is.
type Options struct {
	Address     string           `json:"address"`
	Hostname    string           `json:"hostname"`
	Credentials wire.Credentials `json:"credentials"` // RootFile verifies the clients
}

// Report says what came. Every message came over TLS with a client certificate
// that the root vouches for: the sink takes no other.
type Report struct {
	Messages   int64     `json:"messages"`
	Distinct   int64     `json:"distinct"`   // different sequence numbers
	Unnumbered int64     `json:"unnumbered"` // messages without one
	Handshakes int64     `json:"handshakes"`
	Resumed    int64     `json:"resumed"`
	Refused    int64     `json:"refused"` // failed handshakes
	First      time.Time `json:"first"`   // final reply; zero: nothing came
	Last       time.Time `json:"last"`
}

// Wait says when a sink is done.
type Wait struct {
	// Distinct is how many different messages are to come.
	Distinct int64 `json:"distinct"`
	// Idle is how long nothing may come before the rest counts as lost.
	Idle time.Duration `json:"idle"`
}

// Sink is a running sink.
type Sink struct {
	s        *server
	listener net.Listener
	wg       sync.WaitGroup
	cancel   context.CancelFunc
}

// server is what the sessions share.
type server struct {
	options    Options
	tls        *tls.Config
	ledger     ledger
	handshakes atomic.Int64
	resumed    atomic.Int64
	refused    atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Listen starts a sink, which Close ends.
func Listen(ctx context.Context, o Options) (*Sink, error) {
	config, err := o.Credentials.Load()
	if err != nil {
		return nil, err
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	listen := net.ListenConfig{Control: wire.LimitSegments}
	l, err := listen.Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("opening the sink: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	k := &Sink{s: &server{options: o, tls: config, conns: make(map[net.Conn]struct{})}, listener: l, cancel: cancel}
	k.wg.Go(func() { k.accept(ctx) })
	return k, nil
}

// Addr returns where the sink listens.
func (k *Sink) Addr() net.Addr { return k.listener.Addr() }

func (k *Sink) accept(ctx context.Context) {
	for {
		c, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, say: the load's faults will tell
			time.Sleep(10 * time.Millisecond)
			continue
		}
		k.s.mu.Lock()
		k.s.conns[c] = struct{}{}
		k.s.mu.Unlock()
		if ctx.Err() != nil { // Close has been through the list already
			c.Close()
		}
		k.wg.Go(func() {
			(&session{s: k.s, conn: c}).serve(ctx)
			k.s.mu.Lock()
			delete(k.s.conns, c)
			k.s.mu.Unlock()
		})
	}
}

// Wait returns when w is fulfilled or ctx ends.
func (k *Sink) Wait(ctx context.Context, w Wait) {
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		distinct, last := k.s.ledger.progress()
		if distinct >= w.Distinct {
			return
		}
		if last.Before(began) {
			last = began
		}
		if time.Since(last) > w.Idle {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close ends all sessions and reports.
func (k *Sink) Close() Report {
	k.listener.Close()
	k.cancel()
	k.s.mu.Lock()
	for c := range k.s.conns {
		c.Close()
	}
	k.s.mu.Unlock()
	k.wg.Wait()
	l := &k.s.ledger
	return Report{
		Messages: l.messages, Distinct: l.distinct, Unnumbered: l.unnumbered, First: l.first, Last: l.last,
		Handshakes: k.s.handshakes.Load(), Resumed: k.s.resumed.Load(), Refused: k.s.refused.Load(),
	}
}
