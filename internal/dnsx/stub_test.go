package dnsx_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"mailpact/internal/dnsx"
	"mailpact/internal/dnsx/dnsserver"
)

var addrEqual = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func serve(t *testing.T, zone *dnsserver.Zone) *dnsserver.Server {
	t.Helper()
	s, err := dnsserver.Listen("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustSet(t *testing.T, z *dnsserver.Zone, owner string, records ...dnsserver.Record) {
	t.Helper()
	if err := z.Set(owner, records...); err != nil {
		t.Fatal(err)
	}
}

func exampleZone(t *testing.T) *dnsserver.Zone {
	t.Helper()
	z := dnsserver.NewZone(60)
	mustSet(t, z, "example.com", dnsserver.MX(10, "mail.example.com"), dnsserver.MX(20, "mail2.example.com"))
	mustSet(t, z, "mail.example.com", dnsserver.Address(netip.MustParseAddr("192.0.2.1")),
		dnsserver.Address(netip.MustParseAddr("192.0.2.2")), dnsserver.Address(netip.MustParseAddr("2001:db8::1")))
	mustSet(t, z, "null.example", dnsserver.MX(0, ""))
	mustSet(t, z, "alias.example", dnsserver.CNAME("example.com"))
	mustSet(t, z, "www.example", dnsserver.CNAME("mail.example.com"))
	mustSet(t, z, "six.example", dnsserver.Address(netip.MustParseAddr("2001:db8::6")))
	mustSet(t, z, "empty.example")
	mustSet(t, z, "bad.example", dnsserver.Record{Type: "MX", Data: `10 not\032a\032host.`})
	mustSet(t, z, "halfbad.example", dnsserver.Record{Type: "MX", Data: `5 not\032a\032host.`}, dnsserver.MX(10, "mail.example.com"))
	z.Fail("broken.example")
	for i := range 12 {
		mustSet(t, z, fmt.Sprintf("c%d.example", i), dnsserver.CNAME(fmt.Sprintf("c%d.example", i+1)))
	}
	mustSet(t, z, "c12.example", dnsserver.Address(netip.MustParseAddr("192.0.2.12")))
	mustSet(t, z, "loop1.example", dnsserver.CNAME("loop2.example"))
	mustSet(t, z, "loop2.example", dnsserver.CNAME("loop1.example"))
	var many []dnsserver.Record
	for i := range 60 {
		many = append(many, dnsserver.MX(uint16(i), fmt.Sprintf("mail-with-a-long-name-%d.many.example", i)))
	}
	mustSet(t, z, "many.example", many...)
	return z
}

func TestStubMX(t *testing.T) {
	s := dnsx.NewStub([]netip.AddrPort{serve(t, exampleZone(t)).Addr()}, dnsx.StubOptions{Rounds: 1})
	good := []dnsx.MX{{Host: "mail.example.com", Preference: 10}, {Host: "mail2.example.com", Preference: 20}}
	tests := []struct {
		name, ask string
		want      []dnsx.MX
		fault     *dnsx.Error // its flags
	}{
		{name: "two", ask: "example.com", want: good},
		{name: "upper case and final dot", ask: "EXAMPLE.com.", want: good},
		{name: "alias", ask: "alias.example", want: good},
		{name: "null MX", ask: "null.example", want: []dnsx.MX{{}}},
		{name: "bad host passed over", ask: "halfbad.example", want: good[:1]},
		{name: "no data", ask: "empty.example", fault: &dnsx.Error{}},
		{name: "no such name", ask: "nobody.invalid", fault: &dnsx.Error{NXDomain: true}},
		{name: "server fails", ask: "broken.example", fault: &dnsx.Error{Temporary: true}},
		{name: "only bad hosts", ask: "bad.example", fault: &dnsx.Error{Temporary: true}},
		{name: "not a name", ask: "a b.example", fault: &dnsx.Error{}},
		{name: "empty label", ask: "a..example", fault: &dnsx.Error{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.MX(t.Context(), tt.ask)
			checkFault(t, err, tt.fault)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("MX of %s (-want +got):\n%s", tt.ask, diff)
			}
		})
	}
}

func checkFault(t *testing.T, err error, want *dnsx.Error) {
	t.Helper()
	var e *dnsx.Error
	if (want != nil) != errors.As(err, &e) {
		t.Fatalf("error %v, want one: %v", err, want != nil)
	}
	if want == nil {
		return
	}
	if e.Temporary != want.Temporary || e.NXDomain != want.NXDomain {
		t.Errorf("error %v: temporary %v, NXDOMAIN %v", err, e.Temporary, e.NXDomain)
	}
	if e.Temporary && errors.Is(err, dnsx.ErrNotFound) {
		t.Errorf("%v is both temporary and not found", err)
	}
}

func TestStubLongAnswerComesOverTCP(t *testing.T) {
	s := dnsx.NewStub([]netip.AddrPort{serve(t, exampleZone(t)).Addr()}, dnsx.StubOptions{})
	got, err := s.MX(t.Context(), "many.example")
	if err != nil || len(got) != 60 {
		t.Fatalf("%d records, error %v; want 60", len(got), err)
	}
}

func TestStubAddresses(t *testing.T) {
	s := dnsx.NewStub([]netip.AddrPort{serve(t, exampleZone(t)).Addr()}, dnsx.StubOptions{Rounds: 1})
	tests := []struct {
		name, ask string
		want      []string
		fault     *dnsx.Error
	}{
		{name: "both families take turns", ask: "mail.example.com", want: []string{"192.0.2.1", "2001:db8::1", "192.0.2.2"}},
		{name: "alias", ask: "www.example", want: []string{"192.0.2.1", "2001:db8::1", "192.0.2.2"}},
		{name: "IPv6 only", ask: "six.example", want: []string{"2001:db8::6"}},
		{name: "eight aliases", ask: "c4.example", want: []string{"192.0.2.12"}},
		{name: "nine aliases", ask: "c3.example", fault: &dnsx.Error{Temporary: true}},
		{name: "loop", ask: "loop1.example", fault: &dnsx.Error{Temporary: true}},
		{name: "no data", ask: "example.com", fault: &dnsx.Error{}},
		{name: "no such name", ask: "nobody.invalid", fault: &dnsx.Error{NXDomain: true}},
		{name: "server fails", ask: "broken.example", fault: &dnsx.Error{Temporary: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Addresses(t.Context(), tt.ask)
			checkFault(t, err, tt.fault)
			var want []netip.Addr
			for _, a := range tt.want {
				want = append(want, netip.MustParseAddr(a))
			}
			if diff := cmp.Diff(want, got, addrEqual); diff != "" {
				t.Errorf("addresses of %s (-want +got):\n%s", tt.ask, diff)
			}
		})
	}
}

// countingServer answers with reply and counts the questions.
func countingServer(t *testing.T, reply func(w dns.ResponseWriter, m *dns.Msg)) (netip.AddrPort, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	started := make(chan struct{})
	done := make(chan struct{})
	s := &dns.Server{
		Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			n.Add(1)
			reply(w, m)
		}),
	}
	go func() { defer close(done); _ = s.ListenAndServe() }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return netip.MustParseAddrPort(s.PacketConn.LocalAddr().String()), &n
}

func answerMX(t *testing.T, w dns.ResponseWriter, m *dns.Msg, ttl int) {
	r := new(dns.Msg)
	r.SetReply(m)
	r.RecursionAvailable = true
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN MX 10 mail.example.", m.Question[0].Name, ttl))
	if err != nil {
		t.Error(err)
	}
	r.Answer = append(r.Answer, rr)
	_ = w.WriteMsg(r)
}

func TestStubCacheHonoursTTL(t *testing.T) {
	var now atomic.Int64
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	addr, asked := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) { answerMX(t, w, m, 30) })
	s := dnsx.NewStub([]netip.AddrPort{addr}, dnsx.StubOptions{Now: clock})
	for _, step := range []struct {
		at   int64
		want int32
	}{{0, 1}, {29, 1}, {30, 2}, {59, 2}, {60, 3}} {
		now.Store(step.at)
		if _, err := s.MX(t.Context(), "example.com"); err != nil {
			t.Fatal(err)
		}
		if n := asked.Load(); n != step.want {
			t.Errorf("at %d s the server was asked %d times, want %d", step.at, n, step.want)
		}
	}
}

func TestStubNegativeAnswers(t *testing.T) {
	var withSOA atomic.Bool
	addr, asked := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg)
		r.SetRcode(m, dns.RcodeNameError)
		r.RecursionAvailable = true
		if withSOA.Load() {
			rr, _ := dns.NewRR("example. 60 IN SOA ns.example. h.example. 1 1 1 1 20")
			r.Ns = append(r.Ns, rr)
		}
		_ = w.WriteMsg(r)
	})
	s := dnsx.NewStub([]netip.AddrPort{addr}, dnsx.StubOptions{Now: func() time.Time { return time.Unix(0, 0) }})
	for i, want := range []int32{1, 2, 3, 3} {
		withSOA.Store(i >= 2)
		if _, err := s.MX(t.Context(), "no.example"); !errors.Is(err, dnsx.ErrNotFound) {
			t.Fatalf("error %v", err)
		}
		if n := asked.Load(); n != want {
			t.Errorf("look-up %d: asked %d times, want %d", i+1, n, want)
		}
	}
}

func TestStubAsksOnceForManyWaiters(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 100)
	addr, asked := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) {
		arrived <- struct{}{}
		<-release
		answerMX(t, w, m, 60)
	})
	s := dnsx.NewStub([]netip.AddrPort{addr}, dnsx.StubOptions{})
	// A waiter that gives up does not take the answer from the others.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := s.MX(ctx, "example.com"); err == nil {
			t.Error("the cancelled look-up succeeded")
		}
	})
	<-arrived
	for range 20 {
		wg.Go(func() {
			if _, err := s.MX(t.Context(), "example.com"); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	<-arrived
	close(release)
	wg.Wait()
	// Once for the one who gave up, once for all others.
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestStubGoesToTheNextServer(t *testing.T) {
	bad, badAsked := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg)
		r.SetRcode(m, dns.RcodeRefused)
		_ = w.WriteMsg(r)
	})
	good := serve(t, exampleZone(t)).Addr()
	s := dnsx.NewStub([]netip.AddrPort{bad, good}, dnsx.StubOptions{CacheEntries: -1})
	for range 3 {
		if _, err := s.MX(t.Context(), "example.com"); err != nil {
			t.Fatal(err)
		}
	}
	if n := badAsked.Load(); n != 1 {
		t.Errorf("the refusing server was asked %d times, want once", n)
	}
}

func TestStubTakesNoStrangersAnswer(t *testing.T) {
	forged := func(m *dns.Msg) *dns.Msg {
		r := new(dns.Msg)
		r.SetReply(m)
		r.RecursionAvailable = true
		rr, _ := dns.NewRR("example.com. 60 IN MX 1 evil.example.")
		r.Answer = append(r.Answer, rr)
		return r
	}
	tests := []struct {
		name  string
		spoil func(*dns.Msg)
	}{
		{"another ID", func(m *dns.Msg) { m.Id++ }},
		{"another question", func(m *dns.Msg) { m.Question[0].Name = "example.org." }},
		{"another type", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }},
		{"no reply", func(m *dns.Msg) { m.Response = false }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) {
				f := forged(m)
				tt.spoil(f)
				_ = w.WriteMsg(f)
				answerMX(t, w, m, 0)
			})
			s := dnsx.NewStub([]netip.AddrPort{addr}, dnsx.StubOptions{})
			got, err := s.MX(t.Context(), "example.com")
			if err != nil || len(got) != 1 || got[0].Host != "mail.example" {
				t.Errorf("got %v, %v; want the true answer", got, err)
			}
		})
	}
}

func TestStubServerWithoutEDNS(t *testing.T) {
	addr, asked := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if m.IsEdns0() != nil {
			r := &dns.Msg{MsgHdr: dns.MsgHdr{Id: m.Id, Response: true, Rcode: dns.RcodeFormatError}}
			_ = w.WriteMsg(r)
			return
		}
		answerMX(t, w, m, 0)
	})
	s := dnsx.NewStub([]netip.AddrPort{addr}, dnsx.StubOptions{})
	if _, err := s.MX(t.Context(), "example.com"); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestStubCacheIsBounded(t *testing.T) {
	addr, asked := countingServer(t, func(w dns.ResponseWriter, m *dns.Msg) { answerMX(t, w, m, 300) })
	s := dnsx.NewStub([]netip.AddrPort{addr}, dnsx.StubOptions{CacheEntries: 4})
	for range 2 {
		for i := range 8 {
			if _, err := s.MX(t.Context(), fmt.Sprintf("d%d.example", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// 16 look-ups through 4 places: at least 12 cannot have been cached.
	if n := asked.Load(); n < 12 {
		t.Errorf("asked %d times: the cache holds more than its limit", n)
	}
}

func TestZoneChangesAtRunTime(t *testing.T) {
	z := dnsserver.NewZone(0)
	s := dnsx.NewStub([]netip.AddrPort{serve(t, z).Addr()}, dnsx.StubOptions{})
	if _, err := s.MX(t.Context(), "new.example"); !errors.Is(err, dnsx.ErrNotFound) {
		t.Fatalf("before: %v", err)
	}
	mustSet(t, z, "new.example", dnsserver.MX(1, "mail.new.example"))
	if got, err := s.MX(t.Context(), "new.example"); err != nil || got[0].Host != "mail.new.example" {
		t.Fatalf("after: %v, %v", got, err)
	}
	z.Remove("new.example")
	if _, err := s.MX(t.Context(), "new.example"); !errors.Is(err, dnsx.ErrNotFound) {
		t.Fatalf("removed: %v", err)
	}
	if err := z.Set("bad.example", dnsserver.Record{Type: "A", Data: "not an address"}); err == nil {
		t.Error("a bad record was taken")
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"", ".", "example.com", "EXAMPLE.com.", "a..b", "xn--bcher-kva.example", "a b", "a\\.b", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := dnsx.Normalize(s)
		if !ok {
			return
		}
		if again, ok := dnsx.Normalize(n); !ok || again != n {
			t.Errorf("%q became %q, which becomes %q (%v)", s, n, again, ok)
		}
		if _, ok := dns.IsDomainName(n); !ok {
			t.Errorf("%q became %q, which is no domain name", s, n)
		}
	})
}
