package dnsserver_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"mailpact/internal/dnsx/dnsserver"
)

func listen(t *testing.T, z *dnsserver.Zone) *dnsserver.Server {
	t.Helper()
	s, err := dnsserver.Listen("127.0.0.1:0", z)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func ask(t *testing.T, s *dnsserver.Server, network string, query *dns.Msg) *dns.Msg {
	t.Helper()
	m, _, err := (&dns.Client{Net: network}).Exchange(query, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func question(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype)
}

func TestAnswers(t *testing.T) {
	z := dnsserver.NewZone(60)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(z.Set("Example.COM.", dnsserver.MX(10, "mail.example.com"), dnsserver.Address(netip.MustParseAddr("::ffff:192.0.2.1"))))
	must(z.Set("host.deep.example", dnsserver.Address(netip.MustParseAddr("2001:db8::1"))))
	must(z.Set("www.example", dnsserver.CNAME("example.com")))
	must(z.Set("dangling.example", dnsserver.CNAME("nowhere.invalid")))
	must(z.Set("loop.example", dnsserver.CNAME("loop.example")))
	z.Fail("broken.example")
	s := listen(t, z)
	tests := []struct {
		name    string
		query   *dns.Msg
		rcode   int
		answers []string // types
		soa     bool
	}{
		{"records", question("example.com.", dns.TypeMX), dns.RcodeSuccess, []string{"MX"}, false},
		{"any case", question("EXAMPLE.com.", dns.TypeA), dns.RcodeSuccess, []string{"A"}, false},
		{"no data", question("example.com.", dns.TypeAAAA), dns.RcodeSuccess, nil, true},
		{"no such name", question("other.com.", dns.TypeA), dns.RcodeNameError, nil, true},
		{"a name above an owner exists", question("deep.example.", dns.TypeA), dns.RcodeSuccess, nil, true},
		{"alias", question("www.example.", dns.TypeA), dns.RcodeSuccess, []string{"CNAME", "A"}, false},
		{"the alias itself", question("www.example.", dns.TypeCNAME), dns.RcodeSuccess, []string{"CNAME"}, false},
		{"alias of nothing", question("dangling.example.", dns.TypeA), dns.RcodeNameError, []string{"CNAME"}, true},
		{"server failure", question("broken.example.", dns.TypeA), dns.RcodeServerFailure, nil, false},
		{"not a host name", question(`a\032b.example.`, dns.TypeA), dns.RcodeRefused, nil, false},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(tt.name+" over "+network, func(t *testing.T) {
				m := ask(t, s, network, tt.query)
				var types []string
				for _, rr := range m.Answer {
					types = append(types, dns.TypeToString[rr.Header().Rrtype])
				}
				if diff := cmp.Diff(tt.answers, types); diff != "" || m.Rcode != tt.rcode || len(m.Ns) == 1 != tt.soa || !m.Authoritative {
					t.Errorf("answered %v", m)
				}
			})
		}
	}
	if m := ask(t, s, "udp", question("loop.example.", dns.TypeA)); len(m.Answer) == 0 {
		t.Errorf("loop: %v", m)
	}
}

func TestLongAnswersAreCut(t *testing.T) {
	z := dnsserver.NewZone(0)
	var records []dnsserver.Record
	for i := range 40 {
		records = append(records, dnsserver.MX(uint16(i), fmt.Sprintf("mail%d.with-a-name-of-its-own-%d.example", i, i)))
	}
	if err := z.Set("many.example", records...); err != nil {
		t.Fatal(err)
	}
	s := listen(t, z)
	if m := ask(t, s, "udp", question("many.example.", dns.TypeMX)); !m.Truncated {
		t.Error("512 octets hold everything")
	}
	query := question("many.example.", dns.TypeMX)
	query.SetEdns0(4096, false)
	if m := ask(t, s, "udp", query); m.Truncated || len(m.Answer) != 40 {
		t.Errorf("with EDNS: cut %v, %d records", m.Truncated, len(m.Answer))
	}
	if m := ask(t, s, "tcp", question("many.example.", dns.TypeMX)); m.Truncated || len(m.Answer) != 40 {
		t.Errorf("over TCP: cut %v, %d records", m.Truncated, len(m.Answer))
	}
}

func TestTwoServersAtOnce(t *testing.T) {
	one, two := dnsserver.NewZone(0), dnsserver.NewZone(0)
	if err := one.Set("one.example"); err != nil {
		t.Fatal(err)
	}
	a, b := listen(t, one), listen(t, two)
	if m := ask(t, a, "udp", question("one.example.", dns.TypeA)); m.Rcode != dns.RcodeSuccess {
		t.Errorf("the first: %v", m)
	}
	if m := ask(t, b, "udp", question("one.example.", dns.TypeA)); m.Rcode != dns.RcodeNameError {
		t.Errorf("the second: %v", m)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if diff := cmp.Diff([]string{"one.example"}, one.Owners()); diff != "" {
		t.Error(diff)
	}
}
