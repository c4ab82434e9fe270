package dnsx

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzRead gives the reader of answers what a hostile server could send.
func FuzzRead(f *testing.F) {
	seed := func(rrs ...string) {
		m := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)
		m.Response = true
		for _, s := range rrs {
			rr, err := dns.NewRR(s)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed("example.com. 60 IN MX 10 mail.example.com.", "example.com. 60 IN MX 0 .")
	seed("example.com. 60 IN CNAME example.com.")
	seed("example.com. 60 IN CNAME a.example.", "a.example. 1 IN CNAME b.example.", "b.example. 1 IN A 192.0.2.1", "b.example. 1 IN AAAA ::1")
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA} {
			left := maxCNAME
			r, err := read(m, "example.com", qtype, &left)
			if len(r.mx)+len(r.addrs) > maxRecords || r.ttl > maxTTL || r.ttl < 0 {
				t.Errorf("%d records, TTL %v", len(r.mx)+len(r.addrs), r.ttl)
			}
			for _, x := range r.mx {
				if _, ok := Normalize(x.Host); x.Host != "" && !ok {
					t.Errorf("host %q", x.Host)
				}
			}
			if _, ok := Normalize(r.alias); err == nil && r.alias != "" && !ok {
				t.Errorf("alias %q", r.alias)
			}
		}
	})
}
