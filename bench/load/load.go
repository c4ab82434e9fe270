package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailpact/bench/wire"
)

// Options say what load is made.
type Options struct {
	Address     string           `json:"address"`
	ServerName  string           `json:"serverName"` // verified in the server's certificate
	Credentials wire.Credentials `json:"credentials"`
	EHLO        string           `json:"ehlo"`
	From        string           `json:"from"`
	To          string           `json:"to"`

	Connections int `json:"connections"`
	// MessagesPerSession is how many messages a connection carries; 0: all.
	MessagesPerSession int           `json:"messagesPerSession"`
	MessageBytes       int           `json:"messageBytes"` // header included
	Duration           time.Duration `json:"duration"`
	// MaxMessages ends the load early; 0: it does not.
	MaxMessages int64 `json:"maxMessages"`
}

// Report says how the load went.
type Report struct {
	Accepted      int64          `json:"accepted"`
	Numbers       int64          `json:"numbers"` // sequence numbers given out, from 0 on
	Handshakes    int64          `json:"handshakes"`
	FirstAccepted time.Time      `json:"firstAccepted"`
	LastAccepted  time.Time      `json:"lastAccepted"`
	P50           time.Duration  `json:"p50"` // from the envelope to the final reply
	P95           time.Duration  `json:"p95"`
	P99           time.Duration  `json:"p99"`
	Faults        map[string]int `json:"faults"` // by what was being waited for
}

// attempts is how often a message is tried.
const attempts = 8

// generator is what the workers share.
type generator struct {
	options    Options
	tls        *tls.Config
	ends       time.Time
	next       atomic.Int64
	handshakes atomic.Int64

	mu     sync.Mutex
	faults map[string]int
}

// Run makes the load and returns when it is over, or when ctx ends.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Connections < 1 || o.MessageBytes < minMessageBytes || o.Duration <= 0 {
		return Report{}, fmt.Errorf("making load: %d connections, %d octets, %s make no load", o.Connections, o.MessageBytes, o.Duration)
	}
	config, err := o.Credentials.Load()
	if err != nil {
		return Report{}, err
	}
	config.ServerName = o.ServerName
	g := &generator{options: o, tls: config, ends: time.Now().Add(o.Duration), faults: make(map[string]int)}
	workers := make([]*worker, o.Connections)
	var wg sync.WaitGroup
	for i := range workers {
		w := newWorker(g)
		workers[i] = w
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return g.report(workers), nil
}

// take gives out the next sequence number, false when the load is over.
func (g *generator) take(ctx context.Context) (int64, bool) {
	if ctx.Err() != nil || !time.Now().Before(g.ends) {
		return 0, false
	}
	n := g.next.Add(1) - 1
	if g.options.MaxMessages > 0 && n >= g.options.MaxMessages {
		g.next.Add(-1)
		return 0, false
	}
	return n, true
}

func (g *generator) fault(err error) {
	what := "other"
	var f *faultError
	if errors.As(err, &f) {
		what = f.what
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults[what]++
}

func (g *generator) report(workers []*worker) Report {
	r := Report{Numbers: g.next.Load(), Handshakes: g.handshakes.Load(), Faults: g.faults}
	var latencies []time.Duration
	for _, w := range workers {
		latencies = append(latencies, w.latencies...)
		if len(w.latencies) == 0 {
			continue
		}
		if r.FirstAccepted.IsZero() || w.first.Before(r.FirstAccepted) {
			r.FirstAccepted = w.first
		}
		if w.last.After(r.LastAccepted) {
			r.LastAccepted = w.last
		}
	}
	slices.Sort(latencies)
	r.Accepted = int64(len(latencies))
	r.P50, r.P95, r.P99 = percentile(latencies, 50), percentile(latencies, 95), percentile(latencies, 99)
	return r
}

// percentile returns the value below which p percent of the sorted values lie.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
