package dnsx

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Ceilings for what the cache believes.
const (
	maxTTL         = time.Hour
	maxNegativeTTL = 15 * time.Minute
	// maxRecords bounds the records that are taken from one answer.
	maxRecords = 100
)

var errHostName = errors.New("no MX record names a host")

// records is what one message says for a question.
type records struct {
	mx    []MX
	addrs []netip.Addr
	// alias is where the chain goes on; "" when it ended in this message.
	alias string
	ttl   time.Duration
}

// read takes the records for name from m. It goes along the aliases that the
// message holds, each of which takes one from left.
func read(m *dns.Msg, name string, qtype uint16, left *int) (records, error) {
	r := records{ttl: maxTTL}
	owner, followed := name, false
	for {
		next := ""
		for _, rr := range m.Answer {
			if own, ok := Normalize(rr.Header().Name); !ok || own != owner {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok {
				target, ok := Normalize(c.Target)
				if !ok {
					return r, fmt.Errorf("alias %q: %w", c.Target, ErrBadName)
				}
				next = target
				r.keep(rr)
			}
		}
		if next == "" {
			break
		}
		if *left--; *left < 0 {
			return r, errChain
		}
		owner, followed = next, true
	}
	bad := false
	for _, rr := range m.Answer {
		if own, ok := Normalize(rr.Header().Name); !ok || own != owner || rr.Header().Rrtype != qtype {
			continue
		}
		if len(r.mx)+len(r.addrs) == maxRecords {
			break
		}
		if !r.add(rr) {
			bad = true
			continue
		}
		r.keep(rr)
	}
	found := len(r.mx)+len(r.addrs) > 0
	if bad && !found {
		return r, errHostName
	}
	if followed && !found {
		r.alias = owner
		// A message that gives the whole chain and an SOA has said that
		// its end has no such record.
		if hasSOA(m) {
			r.alias = ""
		}
	}
	return r, nil
}

func (r *records) keep(rr dns.RR) {
	r.ttl = min(r.ttl, time.Duration(rr.Header().Ttl)*time.Second)
}

func (r *records) add(rr dns.RR) bool {
	switch v := rr.(type) {
	case *dns.MX:
		if v.Mx == "." { // RFC 7505
			r.mx = append(r.mx, MX{Preference: v.Preference})
			return true
		}
		host, ok := Normalize(v.Mx)
		if ok {
			r.mx = append(r.mx, MX{Host: host, Preference: v.Preference})
		}
		return ok
	case *dns.A:
		return r.addAddr(v.A)
	case *dns.AAAA:
		return r.addAddr(v.AAAA)
	}
	return false
}

func (r *records) addAddr(ip []byte) bool {
	a, ok := netip.AddrFromSlice(ip)
	if ok {
		r.addrs = append(r.addrs, a.Unmap())
	}
	return ok
}

func hasSOA(m *dns.Msg) bool {
	for _, rr := range m.Ns {
		if _, ok := rr.(*dns.SOA); ok {
			return true
		}
	}
	return false
}

// negativeTTL is how long "there is none" may be believed (RFC 2308, section 5).
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(maxNegativeTTL, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
		}
	}
	return 0
}
