package trust

import (
	"context"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"
)

// counting is a PathBuilder that counts how often it is asked.
type counting struct {
	Builder
	builds atomic.Int64
	wait   chan struct{} // nil: no waiting
}

func (c *counting) Build(ctx context.Context, r BuildRequest) ([]Path, []FailedPath) {
	c.builds.Add(1)
	if c.wait != nil {
		select {
		case <-c.wait:
		case <-ctx.Done():
		}
	}
	return c.Builder.Build(ctx, r)
}

type cacheFixture struct {
	builder *counting
	answers *answers
	v       *Verifier
	leaf    *pkitest.Leaf
	root    *pkitest.CA
	request Request
}

func newCacheFixture(t testing.TB) *cacheFixture {
	t.Helper()
	f := &cacheFixture{builder: &counting{}, answers: goodAnswers(), root: pkitest.NewRoot(t, pkitest.CAOptions{})}
	f.leaf = f.root.Issue(t, leafFor("woodgrovebank.com"))
	file := pkitest.WriteFile(t, "root.pem", pkitest.PEM(f.root.Certificate))
	v, err := New(Options{
		Config:       directory.Trust{Anchors: []directory.Anchor{{File: file, Scope: scopeOf(woodgrove, fabrikam)}}},
		Revocation:   f.answers,
		Builder:      f.builder,
		CacheEntries: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.v = v
	f.request = Request{
		Presented: f.leaf.Chain, Chain: HashChain(f.leaf.Chain), Domain: woodgrove,
		Direction: domainsec.Inbound, Partner: partner(), Now: time.Now(),
	}
	return f
}

func TestCacheKey(t *testing.T) {
	tests := []struct {
		name  string
		with  func(*cacheFixture)
		fresh bool
	}{
		{"the same again", func(*cacheFixture) {}, false},
		{"without the chain's hash", func(f *cacheFixture) { f.request.Chain = ChainID{} }, false},
		{"equal rules elsewhere", func(f *cacheFixture) { f.request.Partner = partner() }, false},
		{"mode does not matter", func(f *cacheFixture) { f.request.Partner.Mode = directory.ModeTest }, false},
		{"another chain", func(f *cacheFixture) {
			f.request.Presented = f.root.Issue(t, leafFor("woodgrovebank.com")).Chain
			f.request.Chain = HashChain(f.request.Presented)
		}, true},
		{"another domain", func(f *cacheFixture) { f.request.Domain = fabrikam }, true},
		{"another direction", func(f *cacheFixture) { f.request.Direction = domainsec.Outbound }, true},
		{"another name rule", func(f *cacheFixture) { f.request.Partner.NameRule = directory.NameRuleExact }, true},
		{"another usage rule", func(f *cacheFixture) { f.request.Partner.Usage = directory.UsageStrict }, true},
		{"a name listed", func(f *cacheFixture) { f.request.Partner.Names = []string{"x"} }, true},
		{"an anchor pinned", func(f *cacheFixture) { f.request.Partner.Anchors = []string{"x"} }, true},
		{"no partner", func(f *cacheFixture) { f.request.Partner = nil }, true},
		{"a CRL changed", func(f *cacheFixture) { f.answers.generation.Add(1) }, true},
		{"the certificate ended", func(f *cacheFixture) { f.request.Now = f.leaf.Certificate.NotAfter }, true},
		{"the clock went back", func(f *cacheFixture) { f.request.Now = f.request.Now.Add(-time.Hour) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newCacheFixture(t)
			f.v.Judge(context.Background(), f.request)
			if n := f.builder.builds.Load(); n != 1 {
				t.Fatalf("the first judgement built %d times", n)
			}
			tt.with(f)
			f.v.Judge(context.Background(), f.request)
			if fresh := f.builder.builds.Load() == 2; fresh != tt.fresh {
				t.Errorf("judged anew: %t, want %t", fresh, tt.fresh)
			}
		})
	}
}

func TestHowLongFactsAreBelieved(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name string
		with func(*cacheFixture)
		end  time.Duration // 0: never remembered
	}{
		{"until the CRL's end", func(f *cacheFixture) { f.answers.validUntil = now.Add(time.Hour) }, time.Hour},
		{"a CRL that has ended", func(f *cacheFixture) { f.answers.validUntil = now.Add(-time.Second) }, 0},
		{"unknown revocation, briefly", func(f *cacheFixture) { f.answers.status = domainsec.RevocationUnknown }, maxUnknownAge},
		{"revoked, a minute", func(f *cacheFixture) { f.answers.status = domainsec.RevocationRevoked }, maxFailureAge},
		{"a name that does not match, a minute", func(f *cacheFixture) {
			f.request.Presented = f.root.Issue(t, leafFor("x.example")).Chain
			f.request.Chain = ChainID{}
		}, maxFailureAge},
		{"a stranger's large chain, never", func(f *cacheFixture) {
			many := make([]string, 2000)
			for i := range many {
				many[i] = "mail.example.com"
			}
			f.request.Presented = f.root.Issue(t, pkitest.LeafOptions{Names: many}).Chain
			f.request.Chain = ChainID{}
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newCacheFixture(t)
			f.request.Now = now
			tt.with(f)
			f.v.Judge(context.Background(), f.request)
			remembered := func(after time.Duration) bool {
				before := f.builder.builds.Load()
				r := f.request
				r.Now = now.Add(after)
				f.v.Judge(context.Background(), r)
				return f.builder.builds.Load() == before
			}
			if tt.end == 0 {
				if remembered(0) {
					t.Error("it was remembered")
				}
				return
			}
			if !remembered(tt.end - time.Second) {
				t.Error("it was forgotten too early")
			}
			if remembered(tt.end) {
				t.Error("it was remembered too long")
			}
		})
	}
	t.Run("what was interrupted, never", func(t *testing.T) {
		f := newCacheFixture(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if got := verdict(f.v.Judge(ctx, f.request), partner()); got == "secured" {
			t.Error("an interrupted judgement secured")
		}
		if got := verdict(f.v.Judge(context.Background(), f.request), partner()); got != "secured" {
			t.Errorf("after the interruption: %s", got)
		}
	})
}

func TestManyAskAtOnce(t *testing.T) {
	f := newCacheFixture(t)
	synctest.Test(t, func(t *testing.T) {
		f.builder.wait = make(chan struct{})
		f.request.Now = f.leaf.Certificate.NotBefore.Add(2 * time.Hour)
		var wg sync.WaitGroup
		var secured atomic.Int64
		for range 50 {
			wg.Go(func() {
				if verdict(f.v.Judge(context.Background(), f.request), partner()) == "secured" {
					secured.Add(1)
				}
			})
		}
		synctest.Wait()
		// One who cannot wait gets an answer of his own, that secures nothing.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if got := verdict(f.v.Judge(ctx, f.request), partner()); got == "secured" {
			t.Error("the impatient one was secured")
		}
		close(f.builder.wait)
		wg.Wait()
		if n := secured.Load(); n != 50 {
			t.Errorf("%d of 50 secured", n)
		}
		if n := f.builder.builds.Load(); n != 2 {
			t.Errorf("built %d times, want once for all and once for the impatient", n)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(64)
	now := time.Now()
	facts := &domainsec.PeerFacts{}
	key := func(i int, d smtp.Domain) cacheKey {
		k := cacheKey{domain: d}
		k.chain[0], k.chain[1], k.chain[2] = byte(i), byte(i>>8), byte(i>>16)
		return k
	}
	fill := func(i int, secured bool) {
		c.fill(context.Background(), key(i, woodgrove), now, func() (*domainsec.PeerFacts, belief) {
			return facts, belief{until: now.Add(time.Hour), secured: secured}
		})
	}
	for i := range 64 {
		fill(i, true)
	}
	for i := range 10000 {
		fill(64+i, false)
		if i%16 == 0 {
			c.get(key(0, woodgrove), now) // in use all the time
		}
	}
	held := 0
	for i := range 64 {
		if c.get(key(i, woodgrove), now) != nil {
			held++
		}
	}
	if held != 64 {
		t.Errorf("refusals drove out %d secured entries", 64-held)
	}
	for i := range 10000 {
		c.get(key(0, woodgrove), now)
		fill(20000+i, true)
	}
	if c.get(key(0, woodgrove), now) == nil {
		t.Error("the entry in use went")
	}
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		n += len(s.secured.entries) + len(s.refused.entries)
		if len(s.pending) > 0 {
			t.Errorf("shard %d has %d judgements in the making", i, len(s.pending))
		}
		walked := 0
		for e := s.secured.newest; e != nil; e = e.older {
			walked++
		}
		if walked != len(s.secured.entries) {
			t.Errorf("shard %d: %d in the list, %d in the map", i, walked, len(s.secured.entries))
		}
	}
	if limit := 64 + refusedEntries; n > limit {
		t.Errorf("%d entries, more than %d", n, limit)
	}
}

func TestHashChain(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	a, b := root.Issue(t, leafFor("a.example")).Certificate, root.Issue(t, leafFor("b.example")).Certificate
	seen := map[ChainID]string{{}: "the zero value"}
	for name, chain := range map[string][]*x509.Certificate{"none": nil, "a": {a}, "b": {b}, "a b": {a, b}, "b a": {b, a}, "a a": {a, a}} {
		id := HashChain(chain)
		if other, dup := seen[id]; dup {
			t.Errorf("%s has the ID of %s", name, other)
		}
		seen[id] = name
	}
	first, again := HashChain([]*x509.Certificate{a, b}), HashChain([]*x509.Certificate{a, b})
	if first != again {
		t.Error("one chain has two IDs")
	}
}

func TestCachedJudgementDoesNotAllocate(t *testing.T) {
	f := newCacheFixture(t)
	f.request.Partner.Names = []string{"mx1.woodgrovebank.com", "mx2.woodgrovebank.com"}
	ctx := context.Background()
	f.v.Judge(ctx, f.request)
	if n := testing.AllocsPerRun(100, func() { f.v.Judge(ctx, f.request) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCachedJudgement(b *testing.B) {
	f := newCacheFixture(b)
	ctx := context.Background()
	f.v.Judge(ctx, f.request)
	b.ReportAllocs()
	for b.Loop() {
		f.v.Judge(ctx, f.request)
	}
}

func BenchmarkJudgement(b *testing.B) {
	f := newCacheFixture(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		f.v.judge(ctx, f.request)
	}
}
