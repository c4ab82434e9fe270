package dnsx

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// StubOptions configure a Stub. The zero value is ready for use.
type StubOptions struct {
	// Timeout bounds one question to one server; 0 is 3 seconds.
	Timeout time.Duration
	// Rounds is how often the list of servers is gone through; 0 is 2.
	Rounds int
	// CacheEntries bounds the cache; 0 is 8192, less than 0 turns it off.
	CacheEntries int
	// Now is the clock of the cache; nil is time.Now.
	Now func() time.Time
}

// maxCNAME bounds the length of a chain of aliases.
const maxCNAME = 8

// Stub is a Resolver that asks recursive servers over UDP and, when an answer
// was cut, TCP. Answers are cached as long as their TTL says and equal
// questions in flight are asked once. It is safe for concurrent use.
type Stub struct {
	servers []netip.AddrPort
	options StubOptions
	// preferred is the index of the server that answered last.
	preferred atomic.Int32
	cache     *cache

	mu      sync.Mutex
	flights map[question]*flight
}

type question struct {
	name  string
	qtype uint16
}

// answer is what is known for a question: records, or an error that a server's
// answer justifies. ttl 0 is not kept.
type answer struct {
	mx    []MX
	addrs []netip.Addr
	err   *Error
	ttl   time.Duration
}

type flight struct {
	done chan struct{}
	// answer is set before done is closed, unless retry is.
	answer answer
	// retry: the one who asked was cancelled; whoever waits asks itself.
	retry bool
}

// NewStub makes a Stub for the servers, in order of preference. Without any it
// takes those of /etc/resolv.conf, and 127.0.0.1:53 when that names none.
func NewStub(servers []netip.AddrPort, o StubOptions) *Stub {
	if len(servers) == 0 {
		servers = systemServers("/etc/resolv.conf")
	}
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Rounds <= 0 {
		o.Rounds = 2
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = 8192
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Stub{servers: servers, options: o, cache: newCache(o.CacheEntries), flights: make(map[question]*flight)}
}

func systemServers(file string) []netip.AddrPort {
	var servers []netip.AddrPort
	if c, err := dns.ClientConfigFromFile(file); err == nil {
		for _, s := range c.Servers {
			if a, err := netip.ParseAddr(s); err == nil {
				servers = append(servers, netip.AddrPortFrom(a, 53))
			}
		}
	}
	if len(servers) == 0 {
		servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return servers
}

// MX implements Resolver.
func (s *Stub) MX(ctx context.Context, name string) ([]MX, error) {
	a := s.look(ctx, name, dns.TypeMX)
	if a.err != nil {
		return nil, a.err
	}
	return append([]MX(nil), a.mx...), nil
}

// Addresses implements Resolver. The questions for A and AAAA are asked at the
// same time; when one of them finds addresses, the failure of the other is
// passed over.
func (s *Stub) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var six answer
	var wg sync.WaitGroup
	if cached, ok := s.cached(host, dns.TypeAAAA); ok {
		six = cached
	} else {
		wg.Go(func() { six = s.look(ctx, host, dns.TypeAAAA) })
	}
	four := s.look(ctx, host, dns.TypeA)
	wg.Wait()
	if len(four.addrs)+len(six.addrs) > 0 {
		return takeTurns(four.addrs, six.addrs), nil
	}
	// Nothing found is known only when both questions were answered.
	if six.err != nil && six.err.Temporary {
		return nil, six.err
	}
	return nil, four.err
}

func takeTurns(a, b []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

func (s *Stub) cached(name string, qtype uint16) (answer, bool) {
	name, ok := Normalize(name)
	if !ok {
		return answer{}, false
	}
	return s.cache.get(question{name: name, qtype: qtype}, s.options.Now())
}

// look answers one question from the cache, from a flight that is under way,
// or by asking. Whoever asks does so with its own context; when that is
// cancelled, those who waited ask again with theirs.
func (s *Stub) look(ctx context.Context, name string, qtype uint16) answer {
	typeName := dns.TypeToString[qtype]
	normal, ok := Normalize(name)
	if !ok {
		return answer{err: &Error{Name: name, Type: typeName, Err: ErrBadName}}
	}
	q := question{name: normal, qtype: qtype}
	for {
		if a, ok := s.cache.get(q, s.options.Now()); ok {
			return a
		}
		s.mu.Lock()
		f, waiting := s.flights[q]
		if !waiting {
			f = &flight{done: make(chan struct{})}
			s.flights[q] = f
		}
		s.mu.Unlock()
		if !waiting {
			return s.fly(ctx, q, f)
		}
		select {
		case <-f.done:
			if !f.retry {
				return f.answer
			}
		case <-ctx.Done():
			return answer{err: temporary(normal, typeName, context.Cause(ctx))}
		}
	}
}

func (s *Stub) fly(ctx context.Context, q question, f *flight) answer {
	landed := false
	defer func() {
		f.retry = !landed || ctx.Err() != nil && f.answer.err != nil
		s.mu.Lock()
		delete(s.flights, q)
		s.mu.Unlock()
		close(f.done)
	}()
	f.answer = s.follow(ctx, q)
	landed = true
	if f.answer.ttl > 0 {
		s.cache.put(q, f.answer, s.options.Now())
	}
	return f.answer
}

// follow asks for q and goes along the aliases until there are records, the
// certainty that there are none, or the chain is too long.
func (s *Stub) follow(ctx context.Context, q question) answer {
	typeName := dns.TypeToString[q.qtype]
	name, left, ttl := q.name, maxCNAME, maxTTL
	for {
		m, err := s.exchange(ctx, question{name: name, qtype: q.qtype})
		if err != nil {
			return answer{err: temporary(q.name, typeName, err)}
		}
		r, err := read(m, name, q.qtype, &left)
		if err != nil {
			return answer{err: temporary(q.name, typeName, err)}
		}
		ttl = min(ttl, r.ttl)
		switch {
		case len(r.mx)+len(r.addrs) > 0:
			return answer{mx: r.mx, addrs: r.addrs, ttl: ttl}
		case m.Rcode == dns.RcodeNameError, r.alias == "":
			return answer{err: notFound(q.name, typeName, m.Rcode == dns.RcodeNameError), ttl: min(ttl, negativeTTL(m))}
		}
		name = r.alias
	}
}

var errChain = errors.New("the chain of aliases is too long or a loop")
