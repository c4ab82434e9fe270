package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Server answers from a Zone. Make one with Listen and end it with Close.
type Server struct {
	zone     *Zone
	addr     netip.AddrPort
	udp, tcp *dns.Server
	wg       sync.WaitGroup
	close    sync.Once
	err      error
}

// Listen binds UDP and TCP at addr ("127.0.0.1:5300") and answers from zone
// until Close. Port 0 takes a free port, the same for both.
func Listen(addr string, zone *Zone) (*Server, error) {
	udp, tcp, err := bind(addr)
	if err != nil {
		return nil, fmt.Errorf("listening for DNS at %s: %w", addr, err)
	}
	s := &Server{zone: zone, addr: udp.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.addr = netip.AddrPortFrom(s.addr.Addr().Unmap(), s.addr.Port())
	handler := dns.HandlerFunc(s.serve)
	s.udp = &dns.Server{PacketConn: udp, Handler: handler}
	s.tcp = &dns.Server{Listener: tcp, Handler: handler, ReadTimeout: 5 * time.Second, MaxTCPQueries: 16}
	for _, server := range []*dns.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.wg.Go(func() {
			// The listener is bound already; what ends the loop is Close.
			_ = server.ActivateAndServe()
		})
		<-started
	}
	return s, nil
}

// bind takes UDP and TCP at the same port. A free UDP port may be taken for
// TCP, so with port 0 it tries again with another.
func bind(addr string) (net.PacketConn, net.Listener, error) {
	var last error
	for range 10 {
		udp, err := net.ListenPacket("udp", addr)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		last = errors.Join(err, udp.Close())
		if _, port, _ := net.SplitHostPort(addr); port != "0" {
			break
		}
	}
	return nil, nil, last
}

// Addr is the address that the server answers at, over UDP and TCP.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Close ends the server and waits for its goroutines. It may be called again.
func (s *Server) Close() error {
	s.close.Do(func() {
		s.err = errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
		s.wg.Wait()
	})
	return s.err
}

func (s *Server) serve(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative = true
	reply.Compress = true
	switch {
	case query.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
	case len(query.Question) != 1:
		reply.Rcode = dns.RcodeFormatError
	default:
		s.zone.answer(query.Question[0], reply)
	}
	size := dns.MinMsgSize
	if o := query.IsEdns0(); o != nil {
		size = max(size, int(o.UDPSize()))
		reply.SetEdns0(1232, false)
	}
	if _, isUDP := w.RemoteAddr().(*net.UDPAddr); isUDP {
		reply.Truncate(size)
	}
	// A client that went away needs no answer.
	_ = w.WriteMsg(reply)
}
