package send_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/routing"
)

// manner is how a peer behaves. The zero value is a well-behaved one without STARTTLS.
type manner struct {
	greeting string // "220 peer ESMTP"
	ehlo     string // replies to the first EHLO instead of the keywords
	// tls offers STARTTLS with it.
	tls *tls.Config
	// hidden: tls is there and STARTTLS is not offered.
	hidden      bool
	starttls    string // replies to STARTTLS instead of the handshake
	brokenTLS   bool   // answers 220 and talks nonsense
	secondEHLO  string // replies to EHLO under TLS of a client with a certificate; "close" closes for everybody
	keywords    []string
	replies     map[string]string // by verb, or "EOD" for the end of data
	closeAt     string            // verb at which the connection is closed without a word
	perSession  int               // messages after which the session is closed without a word
	forget      bool              // messages are not kept, and neither are verbs
	noPlainMail bool              // MAIL in the clear gets 530
	lmtp        bool              // speaks LMTP; replies by "EOD " and the RCPT line
}

// mail is a message that the peer accepted.
type mail struct {
	from, data string
	to         []string
	tls        bool
	client     *x509.Certificate
	session    int
}

// peer is a scripted SMTP server.
type peer struct {
	t        testing.TB
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	manner   manner
	mails    []mail
	sessions int
	verbs    []string // of all sessions
	conns    map[net.Conn]bool
	from     []string // the clients' addresses

	quit chan struct{} // one for each QUIT
}

func newPeer(t testing.TB, m manner) *peer {
	t.Helper()
	return newPeerAt(t, "tcp", "127.0.0.1:0", m)
}

func newPeerAt(t testing.TB, network, address string, m manner) *peer {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, listener: l, manner: m, conns: make(map[net.Conn]bool), quit: make(chan struct{}, 100)}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *peer) host(name string, preference uint16) routing.Host {
	return routing.Host{Name: name, Preference: preference, Addrs: []netip.AddrPort{netip.MustParseAddrPort(p.listener.Addr().String())}}
}

func (p *peer) received() []mail {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]mail(nil), p.mails...)
}

func (p *peer) sessionCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions
}

func (p *peer) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.verbs, " ")
}

func (p *peer) clients() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.from...)
}

// dropIdle closes every connection, as a server does that is tired of waiting.
func (p *peer) dropIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *peer) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.sessions++
		s := &peerSession{p: p, m: p.manner, conn: c, number: p.sessions}
		p.conns[c] = true
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			p.from = append(p.from, a.IP.String())
		}
		p.mu.Unlock()
		p.wg.Go(func() {
			defer func() {
				_ = s.conn.Close()
				p.mu.Lock()
				delete(p.conns, c)
				p.mu.Unlock()
			}()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			s.serve()
		})
	}
}

type peerSession struct {
	p      *peer
	m      manner
	conn   net.Conn
	r      *bufio.Reader
	number int
	mail   mail
	chunks string
	count  int
	tls    *tls.ConnectionState
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (s *peerSession) say(line string) { _, _ = s.conn.Write([]byte(line + "\r\n")) }

func (s *peerSession) serve() {
	s.r = bufio.NewReader(s.conn)
	s.say(or(s.m.greeting, "220 peer ESMTP"))
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		s.p.mu.Lock()
		if !s.m.forget {
			s.p.verbs = append(s.p.verbs, verb)
		}
		s.p.mu.Unlock()
		if s.m.closeAt == verb {
			return
		}
		if !s.command(verb, line) {
			return
		}
	}
}

// command answers one command and reports whether the session goes on.
func (s *peerSession) command(verb, line string) bool {
	if reply, ok := s.m.replies[verb]; ok {
		s.say(reply)
		return !strings.HasPrefix(reply, "421")
	}
	switch verb {
	case "EHLO", "LHLO":
		if s.m.lmtp != (verb == "LHLO") {
			s.say("500 5.5.1 What?")
			return true
		}
		return s.ehlo()
	case "HELO", "RSET", "NOOP":
		s.say("250 OK")
	case "STARTTLS":
		return s.startTLS()
	case "MAIL":
		if s.m.perSession > 0 && s.count >= s.m.perSession {
			return false
		}
		if s.m.noPlainMail && s.tls == nil {
			s.say("530 5.7.0 Must issue a STARTTLS command first")
			return true
		}
		s.mail = mail{from: line, session: s.number, tls: s.tls != nil}
		if s.tls != nil && len(s.tls.PeerCertificates) > 0 {
			s.mail.client = s.tls.PeerCertificates[0]
		}
		s.say("250 2.1.0 Sender OK")
	case "RCPT":
		if reply, ok := s.m.replies[line]; ok {
			s.say(reply)
			return true
		}
		s.mail.to = append(s.mail.to, line)
		s.say("250 2.1.5 Recipient OK")
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(line)
	case "QUIT":
		s.p.quit <- struct{}{}
		s.say("221 2.0.0 Bye")
		return false
	default:
		s.say("500 5.5.2 What?")
	}
	return true
}

func (s *peerSession) ehlo() bool {
	switch {
	case s.tls != nil && s.m.secondEHLO == "close":
		return false
	case s.tls != nil && s.m.secondEHLO != "" && len(s.tls.PeerCertificates) > 0:
		s.say(s.m.secondEHLO)
		return !strings.HasPrefix(s.m.secondEHLO, "421")
	case s.tls == nil && s.m.ehlo != "":
		s.say(s.m.ehlo)
		return !strings.HasPrefix(s.m.ehlo, "421")
	}
	lines := append([]string{"peer greets you", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"}, s.m.keywords...)
	if (s.m.tls != nil || s.m.starttls != "") && !s.m.hidden && s.tls == nil {
		lines = append(lines, "STARTTLS")
	}
	for _, l := range lines[:len(lines)-1] {
		s.say("250-" + l)
	}
	s.say("250 " + lines[len(lines)-1])
	return true
}

func (s *peerSession) startTLS() bool {
	if s.m.starttls != "" {
		s.say(s.m.starttls)
		return true
	}
	s.say("220 2.0.0 Ready to start TLS")
	if s.m.brokenTLS {
		s.say("this is not a TLS record, this is not a TLS record")
		return false
	}
	conn := tls.Server(s.conn, s.m.tls)
	s.conn = conn
	s.r = bufio.NewReader(conn)
	if err := conn.Handshake(); err != nil {
		return false
	}
	state := conn.ConnectionState()
	s.tls = &state
	return true
}

func (s *peerSession) data() bool {
	if len(s.mail.to) == 0 {
		s.say("554 5.5.1 No valid recipients")
		return true
	}
	s.say("354 Go on")
	var b strings.Builder
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	return s.end(b.String())
}

// bdat takes a chunk; the peer offers CHUNKING by its keywords.
func (s *peerSession) bdat(line string) bool {
	var size int64
	if _, err := fmt.Sscanf(line, "BDAT %d", &size); err != nil {
		return false
	}
	var b strings.Builder
	if _, err := io.CopyN(&b, s.r, size); err != nil {
		return false
	}
	if len(s.mail.to) == 0 {
		s.say("554 5.5.1 No valid recipients")
		return true
	}
	s.chunks += b.String()
	if !strings.HasSuffix(line, " LAST") {
		s.say("250 2.0.0 Chunk received")
		return true
	}
	data := s.chunks
	s.chunks = ""
	return s.end(data)
}

// end answers a whole message and reports whether the session goes on.
func (s *peerSession) end(data string) bool {
	if s.m.closeAt == "EOD" {
		return false
	}
	if reply, ok := s.m.replies["EOD"]; ok {
		s.say(reply)
		return true
	}
	s.mail.data = data
	to := s.mail.to
	// Before the replies: who reads them may ask at once what was received.
	s.p.mu.Lock()
	if !s.m.forget {
		s.p.mails = append(s.p.mails, s.mail)
	}
	s.p.mu.Unlock()
	s.count++
	s.mail = mail{}
	if !s.m.lmtp {
		s.say("250 2.6.0 Queued")
		return true
	}
	for _, to := range to {
		s.say(or(s.m.replies["EOD "+to], "250 2.1.5 In the mailbox"))
	}
	return true
}
