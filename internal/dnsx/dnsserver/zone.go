package dnsserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"mailpact/internal/dnsx"
)

// Record is one record of an owner name. Make one with A, MX, CNAME or TXT, or
// fill it with any type and data in the presentation form of zone files.
type Record struct {
	Type string // "MX"
	Data string // "10 mail.example."
}

// Address returns an A or AAAA record.
func Address(a netip.Addr) Record {
	if a.Unmap().Is4() {
		return Record{Type: "A", Data: a.Unmap().String()}
	}
	return Record{Type: "AAAA", Data: a.String()}
}

// MX returns an MX record; an empty host is the null MX of RFC 7505.
func MX(preference uint16, host string) Record {
	return Record{Type: "MX", Data: fmt.Sprintf("%d %s", preference, dns.Fqdn(host))}
}

// CNAME returns an alias for target.
func CNAME(target string) Record { return Record{Type: "CNAME", Data: dns.Fqdn(target)} }

// Zone is what a server answers from: records by owner name. It is safe for
// concurrent use, and a change is seen by the next question.
type Zone struct {
	ttl uint32 // seconds, of every record and of negative answers

	mu      sync.RWMutex
	records map[string][]dns.RR
	fails   map[string]int
}

// NewZone makes an empty zone whose records and negative answers carry the TTL
// in seconds. 0 keeps resolvers from caching.
func NewZone(ttl uint32) *Zone {
	return &Zone{ttl: ttl, records: make(map[string][]dns.RR), fails: make(map[string]int)}
}

// Set replaces everything the zone holds for owner. Without records the name
// exists and has no data. It also ends what Fail began. On an error the zone is
// as it was.
func (z *Zone) Set(owner string, records ...Record) error {
	name, ok := dnsx.Normalize(owner)
	if !ok {
		return fmt.Errorf("setting records of %q: %w", owner, dnsx.ErrBadName)
	}
	rrs := make([]dns.RR, 0, len(records))
	for _, r := range records {
		rr, err := dns.NewRR(fmt.Sprintf("%s. %d IN %s %s", name, z.ttl, r.Type, r.Data))
		if err == nil && rr == nil {
			err = fmt.Errorf("record is empty")
		}
		if err != nil {
			return fmt.Errorf("setting %s record of %q: %w", r.Type, owner, err)
		}
		rrs = append(rrs, rr)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name] = rrs
	delete(z.fails, name)
	return nil
}

// Remove forgets owner, which does not exist from then on.
func (z *Zone) Remove(owner string) {
	name, _ := dnsx.Normalize(owner)
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.records, name)
	delete(z.fails, name)
}

// Fail answers every question for owner with SERVFAIL until the next Set or
// Remove, as a server does that cannot reach the zone's own.
func (z *Zone) Fail(owner string) {
	name, _ := dnsx.Normalize(owner)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.fails[name] = dns.RcodeServerFailure
}

// Owners returns the names that the zone holds, sorted.
func (z *Zone) Owners() []string {
	z.mu.RLock()
	defer z.mu.RUnlock()
	names := make([]string, 0, len(z.records))
	for n := range z.records {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// answer fills the reply to q.
func (z *Zone) answer(q dns.Question, reply *dns.Msg) {
	name, ok := dnsx.Normalize(q.Name)
	if !ok || q.Qclass != dns.ClassINET {
		reply.Rcode = dns.RcodeRefused
		return
	}
	z.mu.RLock()
	defer z.mu.RUnlock()
	for range maxAliases {
		if code, ok := z.fails[name]; ok {
			reply.Rcode = code
			reply.Answer = nil
			return
		}
		alias := ""
		found := false
		for _, rr := range z.records[name] {
			c, isAlias := rr.(*dns.CNAME)
			if rr.Header().Rrtype == q.Qtype || isAlias {
				reply.Answer = append(reply.Answer, dns.Copy(rr))
				found = true
			}
			if isAlias && q.Qtype != dns.TypeCNAME {
				alias, _ = dnsx.Normalize(c.Target)
			}
		}
		if alias != "" {
			name = alias
			continue
		}
		if !found {
			if !z.exists(name) {
				reply.Rcode = dns.RcodeNameError
			}
			reply.Ns = append(reply.Ns, z.soa(name))
		}
		return
	}
}

// maxAliases bounds the chain that one reply follows; a longer one is for the
// resolver to go on with.
const maxAliases = 16

// exists reports whether name is an owner or lies above one (RFC 8020).
func (z *Zone) exists(name string) bool {
	if _, ok := z.records[name]; ok {
		return true
	}
	for owner := range z.records {
		if strings.HasSuffix(owner, "."+name) {
			return true
		}
	}
	return false
}

func (z *Zone) soa(name string) dns.RR {
	top := name
	if labels := dns.SplitDomainName(name); len(labels) > 0 {
		top = labels[len(labels)-1]
	}
	return &dns.SOA{
		Hdr:    dns.RR_Header{Name: dns.Fqdn(top), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.ttl},
		Ns:     "ns." + dns.Fqdn(top),
		Mbox:   "hostmaster." + dns.Fqdn(top),
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: z.ttl,
	}
}
