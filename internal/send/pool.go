package send

import (
	"context"
	"sync"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// poolKey says what a session may be used for. Sessions are shared only where
// all of it is equal.
type poolKey struct {
	tlsDomain   smtp.Domain
	connector   string
	level       domainsec.Level
	certificate *certstore.Certificate
	deliveryType,
	nextHop string
}

// Bounds on idle sessions.
const (
	maxIdlePerKey = 64
	maxIdle       = 512
	// maxSessionAge lets mail return to a better MX that was down when the
	// session was opened.
	maxSessionAge = 5 * time.Minute
)

// pool keeps idle sessions. The one used last is taken first, so that the
// surplus grows old and ends.
type pool struct {
	quitTimeout time.Duration

	mu     sync.Mutex
	idle   map[poolKey][]*session
	count  int
	closed bool
	// timer runs while sessions are idle.
	timer *time.Timer
	// wg counts the goroutines that end sessions.
	wg sync.WaitGroup
}

// sweepEvery is how often sessions that have been idle for too long are ended.
const sweepEvery = time.Second

func newPool(quitTimeout time.Duration) *pool {
	return &pool{quitTimeout: quitTimeout, idle: make(map[poolKey][]*session)}
}

// take returns an idle session, which then is the caller's, or nil.
func (p *pool) take(key poolKey) *session {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	last := len(list) - 1
	// When the last has been idle for too long, all below it have been for longer.
	if last < 0 || !now.Before(list[last].idleUntil) {
		return nil
	}
	c := list[last]
	list[last] = nil
	p.idle[key] = list[:last]
	p.count--
	return c
}

// put gives a session back, to be kept for idle; the pool ends it when it has
// no place for it.
func (p *pool) put(c *session, idle time.Duration) {
	now := time.Now()
	c.idleUntil = now.Add(idle)
	p.mu.Lock()
	list := p.idle[c.key]
	if p.closed || len(list) >= maxIdlePerKey || p.count >= maxIdle || idle <= 0 || now.Sub(c.opened) > maxSessionAge {
		p.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), p.quitTimeout)
		defer cancel()
		c.quit(ctx)
		return
	}
	defer p.mu.Unlock()
	p.idle[c.key] = append(list, c)
	p.count++
	if p.timer == nil {
		p.timer = time.AfterFunc(sweepEvery, p.sweep)
	}
}

// drop ends every idle session of key.
func (p *pool) drop(key poolKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle[key] {
		p.end(context.Background(), c)
	}
	p.count -= len(p.idle[key])
	delete(p.idle, key)
}

// end quits a session in a goroutine of its own. p.mu is held.
func (p *pool) end(ctx context.Context, c *session) {
	p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, p.quitTimeout)
		defer cancel()
		c.quit(ctx)
	})
}

// sweep ends what has been idle for too long. Lists are in the order in which
// their sessions came, so the oldest are in front.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	if p.closed {
		return
	}
	now := time.Now()
	for key, list := range p.idle {
		n := 0
		for n < len(list) && !now.Before(list[n].idleUntil) {
			p.end(context.Background(), list[n])
			n++
		}
		p.count -= n
		switch {
		case n == len(list):
			delete(p.idle, key)
		case n > 0:
			p.idle[key] = append([]*session(nil), list[n:]...)
		}
	}
	if p.count > 0 {
		p.timer = time.AfterFunc(sweepEvery, p.sweep)
	}
}

// stop ends all idle sessions and every one that is given back from now on. It
// waits until they are closed; quitting politely lasts until ctx is done.
func (p *pool) stop(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	for _, list := range p.idle {
		for _, c := range list {
			p.end(ctx, c)
		}
	}
	clear(p.idle)
	p.count = 0
	p.mu.Unlock()
	p.wg.Wait()
}
