package receive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/directory"
)

const noHeader = "421 4.3.2 A valid PROXY header is expected from this address, closing transmission channel"

// proxyV2 makes a header of version 2: the command's octet, the family's, and
// what follows the length.
func proxyV2(command, family byte, block ...byte) string {
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(block))), block...))
}

// addresses4 is the block of a connection from 192.0.2.77:1025 to 198.51.100.1:25.
var addresses4 = []byte{192, 0, 2, 77, 198, 51, 100, 1, 4, 1, 0, 25}

// addresses6 is the block of one from [2001:db8::77]:1025 to [2001:db8::1]:25.
func addresses6() []byte {
	from, to := netip.MustParseAddr("2001:db8::77").As16(), netip.MustParseAddr("2001:db8::1").As16()
	return append(append(from[:], to[:]...), 4, 1, 0, 25)
}

// tlvs claim a verified client certificate of woodgrovebank.com (PP2_TYPE_SSL).
var tlvs = append([]byte{0x20, 0, 28, 7, 0, 0, 0, 0, 0x22, 0, 20}, "mail.woodgrovebank.com"[:20]...)

func TestReadProxyHeader(t *testing.T) {
	const upstream = "127.0.0.1:40000"
	tests := []struct {
		name, header  string
		remote, local string // "": refused
	}{
		{"version 1", "PROXY TCP4 192.0.2.77 198.51.100.1 1025 25\r\n", "192.0.2.77:1025", "198.51.100.1:25"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::77 2001:db8::1 1025 25\r\n", "[2001:db8::77]:1025", "[2001:db8::1]:25"},
		{"version 1, mapped", "PROXY TCP6 ::ffff:192.0.2.77 ::ffff:198.51.100.1 1025 25\r\n", "192.0.2.77:1025", "198.51.100.1:25"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", upstream, "127.0.0.1:25"},
		{"version 1, unknown with addresses", "PROXY UNKNOWN 192.0.2.77 198.51.100.1 1025 25\r\n", upstream, "127.0.0.1:25"},
		{"version 2", proxyV2(0x21, 0x11, addresses4...), "192.0.2.77:1025", "198.51.100.1:25"},
		{"version 2, IPv6", proxyV2(0x21, 0x21, addresses6()...), "[2001:db8::77]:1025", "[2001:db8::1]:25"},
		{"version 2, with TLVs", proxyV2(0x21, 0x11, append(addresses4[:12:12], tlvs...)...), "192.0.2.77:1025", "198.51.100.1:25"},
		{"local", proxyV2(0x20, 0x00), upstream, "127.0.0.1:25"},
		{"local with addresses", proxyV2(0x20, 0x11, addresses4...), upstream, "127.0.0.1:25"},
		{"UDP", proxyV2(0x21, 0x12, addresses4...), "", ""},
		{"a Unix socket", proxyV2(0x21, 0x31, make([]byte, 216)...), "", ""},
		{"unspecified family", proxyV2(0x21, 0x00), "", ""},
		{"unknown command", proxyV2(0x22, 0x11, addresses4...), "", ""},
		{"version 3", proxyV2(0x31, 0x11, addresses4...), "", ""},
		{"too short a block", proxyV2(0x21, 0x11, 192, 0, 2, 77), "", ""},
		{"no client", "PROXY TCP4 0.0.0.0 198.51.100.1 1025 25\r\n", "", ""},
		{"a group as client", "PROXY TCP4 224.0.0.1 198.51.100.1 1025 25\r\n", "", ""},
		{"no address", "PROXY TCP4 client.example 198.51.100.1 1025 25\r\n", "", ""},
		{"other family", "PROXY TCP4 2001:db8::77 2001:db8::1 1025 25\r\n", "", ""},
		{"no CR", "PROXY TCP4 192.0.2.77 198.51.100.1 1025 25\n", "", ""},
		{"endless", "PROXY TCP4 " + strings.Repeat("1", 200), "", ""},
		{"SMTP", "EHLO client.example\r\n", "", ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00", "", ""},
		{"nothing", "", "", ""},
	}
	const early = "EHLO client.example\r\n"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, behind := range []string{"", early} {
				a, err := readProxyHeader(t.Context(), arrival{
					conn:   &scripted{in: bytes.NewReader([]byte(tt.header + behind))},
					remote: netip.MustParseAddrPort(upstream), local: netip.MustParseAddrPort("127.0.0.1:25"),
				})
				if tt.remote == "" {
					if err == nil {
						t.Errorf("%+v was accepted", a)
					}
					continue
				}
				if err != nil || a.remote.String() != tt.remote || a.local.String() != tt.local || a.upstream.String() != upstream {
					t.Fatalf("from %s to %s by %s, %v", a.remote, a.local, a.upstream, err)
				}
				// What has come behind the header is not lost.
				if rest, err := io.ReadAll(a.conn); err != nil || string(rest) != behind {
					t.Errorf("the rest is %q, %v", rest, err)
				}
			}
		})
	}
}

func TestProxyHeaderThatDoesNotCome(t *testing.T) {
	for _, sent := range []string{"", "PROXY", "\r\n\r\n\x00\r\nQUIT\n\x21"} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			go func() { _, _ = io.WriteString(theirs, sent) }()
			began := time.Now()
			_, err := readProxyHeader(t.Context(), arrival{conn: ours})
			if !errors.Is(err, os.ErrDeadlineExceeded) && sent == "" || err == nil {
				t.Errorf("%q: %v", sent, err)
			}
			if d := time.Since(began); d > proxyHeaderTimeout {
				t.Errorf("%q: waited %v", sent, d)
			}
			ours.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, stop)
		if _, err := readProxyHeader(ctx, arrival{conn: ours}); err == nil {
			t.Error("no error")
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("the server's end was noticed after %v", d)
		}
		ours.Close()
	})
}

// proxied is a server behind an upstream at 127.0.0.1.
func proxied(t *testing.T, change ...func(*directory.ReceiveConnector)) *world {
	return newWorld(t, connectorWith(func(c *directory.ReceiveConnector) {
		c.ProxyProtocolFrom = ranges(t, "127.0.0.1")
		for _, f := range change {
			f(c)
		}
	}))
}

// relay connects as the upstream and speaks for a client.
func (w *world) relay(header string) *peer {
	w.t.Helper()
	p := w.connect()
	p.send(header)
	return p
}

func TestProxiedSession(t *testing.T) {
	for name, header := range map[string]string{
		"version 1": "PROXY TCP4 192.0.2.77 198.51.100.1 1025 25\r\n",
		"version 2": proxyV2(0x21, 0x11, append(addresses4[:12:12], tlvs...)...),
	} {
		t.Run(name, func(t *testing.T) {
			w := proxied(t)
			p := w.relay(header)
			if got := p.read(); !strings.HasPrefix(got, "220 ") {
				t.Fatal(got)
			}
			if got := p.hello(); !strings.HasPrefix(got, "250-mail.contoso.com Hello [192.0.2.77]|") {
				t.Error(got)
			}
			// The header's certificate is nobody's word.
			p.want("MAIL FROM:<alice@woodgrovebank.com>", "451 4.7.3 STARTTLS required to send mail from this domain [id]")
			p.startTLS(partnerCertificate(t, "", "mail.woodgrovebank.com"))
			if got := p.message("alice@woodgrovebank.com", "bob@[198.51.100.1]", letter("alice@woodgrovebank.com")); !strings.HasPrefix(got, "250 ") {
				t.Error(got)
			}
			m := w.queue.only(t)
			if m.SourceIP != "192.0.2.77" || m.SecuredDomain != "woodgrovebank.com" || !strings.Contains(m.Content, "[192.0.2.77]") {
				t.Errorf("from %s, secured for %q:\n%s", m.SourceIP, m.SecuredDomain, m.Content)
			}
			p.want("QUIT", "221 2.0.0 Service closing transmission channel")
			rows := w.recorder.session(t)
			if r := w.recorder.logs[0].record; r.Remote != "192.0.2.77:1025" || r.Local != "198.51.100.1:25" {
				t.Errorf("protocol log %+v", r)
			}
			if !strings.HasPrefix(rows[1], "*127.0.0.1:") || !strings.HasSuffix(rows[1], ",PROXY header received") {
				t.Errorf("rows %q", rows)
			}
			if log := w.log.String(); !strings.Contains(log, "remote=192.0.2.77:1025 upstream=127.0.0.1:") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestProxyHeaderIsAskedOfUpstreamsAlone(t *testing.T) {
	w := proxied(t)
	w.relay("EHLO client.example\r\n").turnedAway(noHeader)
	if log := w.log.String(); !strings.Contains(log, "proxyProtocolFrom") || !strings.Contains(log, "signature not present") {
		t.Errorf("log:\n%s", log)
	}
	// Who is no upstream says whatever he likes, and stays who he is.
	p := w.connectFrom("127.0.0.2")
	p.read()
	if got := p.do("PROXY TCP4 192.0.2.77 198.51.100.1 1025 25"); !strings.HasPrefix(got, "500 5.5.1 ") {
		t.Error(got)
	}
	if got := p.hello(); !strings.HasPrefix(got, "250-mail.contoso.com Hello [127.0.0.2]|") {
		t.Error(got)
	}
	// The upstream's own checks speak for nobody.
	own := w.relay(proxyV2(0x20, 0x00))
	own.read()
	if got := own.hello(); !strings.HasPrefix(got, "250-mail.contoso.com Hello [127.0.0.1]|") {
		t.Error(got)
	}
}

func TestLimitsCountProxiedClients(t *testing.T) {
	w := proxied(t, func(c *directory.ReceiveConnector) {
		c.MaxInboundConnectionPerSource = 1
		c.RemoteIPRanges = ranges(t, "192.0.2.0/24", "2001:db8::/32")
	})
	w.relay("PROXY TCP4 192.0.2.77 198.51.100.1 1025 25\r\n").read()
	if got := w.relay("PROXY TCP4 192.0.2.77 198.51.100.1 1026 25\r\n").read(); !strings.HasPrefix(got, "421 4.3.2 The maximum number of concurrent connections from this source") {
		t.Error(got)
	}
	if got := w.relay("PROXY TCP4 192.0.2.78 198.51.100.1 1025 25\r\n").read(); !strings.HasPrefix(got, "220 ") {
		t.Error(got)
	}
	w.relay("PROXY TCP6 2001:db8:0:1::1 2001:db8::1 1025 25\r\n").read()
	if got := w.relay("PROXY TCP6 2001:db8:0:1::2 2001:db8::1 1025 25\r\n").read(); !strings.HasPrefix(got, "421 ") {
		t.Error(got)
	}
	w.relay("PROXY TCP4 203.0.113.1 198.51.100.1 1025 25\r\n").turnedAway(notServed)
	w.relay(proxyV2(0x20, 0x00)).turnedAway(notServed)
}

// An upstream cannot make a client of a connector that does not name it.
func TestUpstreamsReachTheirConnectorsAlone(t *testing.T) {
	inner := connectorFor(t, "Inner", "inner.contoso.com", "10.0.0.0/8", "127.0.0.0/8")
	inner.AuthMechanism = []directory.AuthMechanism{directory.AuthExternalAuthoritative}
	inner.PermissionGroups = []directory.PermissionGroup{directory.GroupExchangeServers}
	inner.DomainSecureEnabled = false
	inet := connectorFor(t, "Inet", "mail.contoso.com", "0.0.0.0/0")
	inet.ProxyProtocolFrom = ranges(t, "127.0.0.1")
	w := newWorld(t, shared(t, inner, inet))
	for _, header := range []string{"PROXY TCP4 10.1.2.3 198.51.100.1 1025 25\r\n", "PROXY UNKNOWN\r\n"} {
		p := w.relay(header)
		if got := p.read(); !strings.HasPrefix(got, "220 mail.contoso.com ") {
			t.Errorf("%q: %q", header, got)
		}
		p.hello()
		p.do("MAIL FROM:<carol@stranger.example>")
		p.want("RCPT TO:<a@elsewhere.example>", "550 5.7.1 Unable to relay [id]")
	}
	if got := w.connectFrom("127.0.0.2").read(); !strings.HasPrefix(got, "220 inner.contoso.com ") {
		t.Errorf("an inner server: %q", got)
	}
}

func TestPendingHeadersAreBounded(t *testing.T) {
	w := proxied(t)
	w.server.pendingHeaders.Store(maxPendingHeaders)
	w.connect().turnedAway("421 4.3.2 Too many PROXY headers are awaited, closing transmission channel")
	if n := w.server.pendingHeaders.Load(); n != maxPendingHeaders {
		t.Errorf("%d are counted", n)
	}
	w.server.pendingHeaders.Store(maxPendingHeaders - 1)
	if got := w.relay("PROXY UNKNOWN\r\n").read(); !strings.HasPrefix(got, "220 ") {
		t.Error(got)
	}
}

// A server that stops does not wait for headers.
func TestStopWithPendingHeaders(t *testing.T) {
	w := proxied(t)
	p := w.connect()
	for deadline := time.Now().Add(5 * time.Second); w.server.pendingHeaders.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no header is awaited")
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.server.Stop(context.Background()) }()
	p.turnedAway("421 4.3.2 Service not active, closing transmission channel")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := w.server.pendingHeaders.Load(); n != 0 {
		t.Errorf("%d are counted", n)
	}
}

func TestResumedConn(t *testing.T) {
	c := &resumedConn{Conn: &scripted{in: bytes.NewReader([]byte("world"))}, rest: []byte("hello ")}
	var got []byte
	for p := make([]byte, 4); ; {
		n, err := c.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			break
		}
	}
	if string(got) != "hello world" || c.rest != nil {
		t.Errorf("read %q", got)
	}
	if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// FuzzProxyHeader holds that whatever an upstream sends, the answer is an error
// or a client with a usable address, and nothing behind the header is lost.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.77 198.51.100.1 1025 25\r\nEHLO a\r\n"))
	f.Add([]byte("PROXY UNKNOWN x\r\n"))
	f.Add([]byte(proxyV2(0x21, 0x21, addresses6()...)))
	f.Add([]byte(proxyV2(0x21, 0x11, append(addresses4[:12:12], tlvs...)...) + "NOOP\r\n"))
	f.Add([]byte(proxyV2(0x20, 0x31, 1, 2, 3)))
	upstream := netip.MustParseAddrPort("127.0.0.1:40000")
	f.Fuzz(func(t *testing.T, said []byte) {
		a, err := readProxyHeader(t.Context(), arrival{conn: &scripted{in: bytes.NewReader(said)}, remote: upstream})
		if err != nil {
			return
		}
		if c := a.remote.Addr(); !c.IsValid() || c.IsUnspecified() || c.Is4In6() || c.Zone() != "" || a.upstream != upstream {
			t.Errorf("client %s by %s", a.remote, a.upstream)
		}
		if rest, _ := io.ReadAll(a.conn); !bytes.HasSuffix(said, rest) || len(rest) == len(said) {
			t.Errorf("%q is behind the header of %q", rest, said)
		}
	})
}
