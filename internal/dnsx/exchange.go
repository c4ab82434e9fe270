package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpPayload is the EDNS buffer size that avoids fragments (DNS flag day 2020).
const udpPayload = 1232

var errReferral = errors.New("the server neither recursed nor was authoritative")

// exchange asks the servers in turn, beginning with the one that answered last,
// until one gives an answer that settles the question: records, no records, or
// no such name. Whatever else a server says moves on to the next.
func (s *Stub) exchange(ctx context.Context, q question) (*dns.Msg, error) {
	var last error
	first := int(s.preferred.Load())
	for try := range s.options.Rounds * len(s.servers) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		i := (first + try) % len(s.servers)
		m, err := s.ask(ctx, s.servers[i], q)
		if err == nil {
			s.preferred.Store(int32(i))
			return m, nil
		}
		last = fmt.Errorf("asking %s: %w", s.servers[i], err)
	}
	return nil, last
}

// ask puts the question to one server: UDP, then TCP when the answer was cut,
// and without EDNS when the server does not know it (RFC 6891, section 7).
func (s *Stub) ask(ctx context.Context, server netip.AddrPort, q question) (*dns.Msg, error) {
	m, err := s.roundTrip(ctx, "udp", server, q, true)
	edns := true
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		edns = false
		m, err = s.roundTrip(ctx, "udp", server, q, false)
	}
	if err == nil && m.Truncated {
		m, err = s.roundTrip(ctx, "tcp", server, q, edns)
	}
	switch {
	case err != nil:
		return nil, err
	case m.Truncated:
		return nil, errors.New("the answer over TCP was cut")
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("the server answered %s", dns.RcodeToString[m.Rcode])
	case !m.Authoritative && !m.RecursionAvailable && len(m.Answer) == 0:
		// An empty answer of a server that only pointed elsewhere says
		// nothing about the name.
		return nil, errReferral
	}
	return m, nil
}

func (s *Stub) roundTrip(ctx context.Context, network string, server netip.AddrPort, q question, edns bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A cancelled context ends the wait at once, not only at the deadline.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(q.name), q.qtype)
	if edns {
		query.SetEdns0(udpPayload, false)
	}
	co := &dns.Conn{Conn: conn, UDPSize: udpPayload}
	if err := co.WriteMsg(query); err != nil {
		return nil, err
	}
	for {
		raw, err := co.ReadMsgHeader(nil)
		if err != nil && !errors.Is(err, dns.ErrShortRead) {
			return nil, err
		}
		m := new(dns.Msg)
		if err == nil && m.Unpack(raw) == nil && answers(m, query) {
			return m, nil
		}
		if network == "tcp" {
			return nil, errors.New("the answer does not belong to the question")
		}
		// Over UDP a wrong packet may be somebody's guess: keep listening
		// for the right one until the deadline.
	}
}

// answers reports whether m is a reply to query: same ID, same question. A
// server that could not read the query may leave the question out.
func answers(m, query *dns.Msg) bool {
	if !m.Response || m.Id != query.Id || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) != 1 {
		return len(m.Question) == 0 && m.Rcode == dns.RcodeFormatError
	}
	got, want := m.Question[0], query.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}
