package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mailpact/internal/directory"
)

// Server holds the listeners of all receive connectors and their sessions. Make
// one with New; its methods may be called from any goroutine.
type Server struct {
	o          Options
	view       atomic.Pointer[view]
	complaints complaints
	early      chan struct{} // holds one for each judgement ahead of MAIL
	// pendingHeaders counts the PROXY headers that are waited for.
	pendingHeaders atomic.Int64
	buffers        sync.Pool // *[copyBufferBytes]byte
	backoff        *addressTable
	secured        *addressTable

	// stopping is closed when no further mail is to be begun.
	stopping chan struct{}
	stopOnce sync.Once
	// sessions is the context of all sessions. Its end tells those without a
	// transaction to go, and the others to go after it.
	sessions context.Context
	drain    context.CancelFunc
	// judging is the context of what a decision waits for. It ends when the
	// bound of Stop has passed, so that no CRL server holds up the end.
	judging   context.Context
	cutJudges context.CancelFunc

	mu         sync.Mutex
	listeners  []*listener  // in the order of the configuration; the slice is never changed in place
	connectors []*connector // all that ever were, by first appearance
	started    bool
	open       map[net.Conn]struct{}
	wait       sync.WaitGroup
}

// New binds every binding of every receive connector of the configuration now
// in force, or none of them: the error then is a *BindError. The server
// answers nobody before Start.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	s := &Server{
		o:        o,
		stopping: make(chan struct{}),
		early:    make(chan struct{}, maxEarlyJudgements),
		open:     make(map[net.Conn]struct{}),
		backoff:  newAddressTable(),
		secured:  newAddressTable(),
	}
	s.buffers.New = func() any { return new([copyBufferBytes]byte) }
	s.sessions, s.drain = context.WithCancel(context.Background())
	s.judging, s.cutJudges = context.WithCancel(context.Background())
	c := o.Configuration()
	all, _, err := s.openListeners(s.sessions, c, nil)
	if err != nil {
		s.drain()
		s.cutJudges()
		return nil, err
	}
	s.listeners = all
	return s, nil
}

// BindError says which listener could not be opened and, where one is known,
// what mends it.
type BindError struct {
	Connector, Binding string
	Fix                string // "" when nothing better than Err can be said
	Err                error
}

// Error names connector, binding and the mend.
func (e *BindError) Error() string {
	t := fmt.Sprintf("binding %s of receive connector %q: %v", e.Binding, e.Connector, e.Err)
	if e.Fix != "" {
		t += "; " + e.Fix
	}
	return t
}

// Unwrap returns the operating system's error.
func (e *BindError) Unwrap() error { return e.Err }

// state returns what the sessions of a connector share, across configurations.
func (s *Server) state(rc *directory.ReceiveConnector) *connector {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.connectors {
		if c.name == rc.Name {
			return c
		}
	}
	c := newConnector(rc)
	s.connectors = append(s.connectors, c)
	return c
}

func bindFix(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need a privilege: grant the capability with " +
			"`setcap cap_net_bind_service=+ep` on the mailpact binary or " +
			"`AmbientCapabilities=CAP_NET_BIND_SERVICE` in its systemd unit, or choose another port with `--listen`"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process listens there: stop it, or choose another address with `--listen`"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have that address: correct the connector's bindings"
	}
	return ""
}

// Start begins to accept connections. It may be called once.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.isStopping() {
		return
	}
	s.started = true
	for _, l := range s.listeners {
		s.accept(l)
	}
}

// Addrs returns the addresses that are listened on, in the order of the
// configuration: what port 0 became stands here.
func (s *Server) Addrs() []net.Addr {
	listeners := s.bound()
	out := make([]net.Addr, len(listeners))
	for i, l := range listeners {
		out[i] = l.Addr()
	}
	return out
}

// Stop ends the service: nothing new is accepted, sessions without a
// transaction are told 421, transactions may finish until ctx ends, and
// whatever is open then is closed. It returns when no goroutine of the server
// is left; the error says how many sessions were cut short. A second call
// waits like the first.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stopping) })
	err := closeAll(s.bound())
	s.drain()
	done := make(chan struct{})
	go func() {
		s.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cutJudges()
		return err
	case <-ctx.Done():
	}
	s.cutJudges()
	s.mu.Lock()
	cut := len(s.open)
	for c := range s.open {
		_ = c.Close() // the session reports how it ended
	}
	s.mu.Unlock()
	<-done
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("stopping receive connectors: %d sessions were cut short: %w", cut, context.Cause(ctx)))
	}
	return err
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Accepting waits after an error of the accept call: first, and at most. The
// usual one is "too many open files", which passes when sessions end.
const (
	acceptBackoffFirst = 5 * time.Millisecond
	acceptBackoffMost  = time.Second
)

// busyReplyTimeout bounds the one write to a connection over the limit.
const busyReplyTimeout = 5 * time.Second

// copyBufferBytes is the size of the buffers between connection and queue.
const copyBufferBytes = 32 << 10
