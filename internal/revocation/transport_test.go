package revocation

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"mailpact/internal/domainsec"
)

// ldapServer answers every search with the same octets and notes the last one.
type ldapServer struct {
	address string
	asked   atomic.Pointer[string]
}

func newLDAP(t *testing.T, answer []byte) *ldapServer {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	s := &ldapServer{address: listener.Addr().String()}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				request := make([]byte, 4096)
				n, _ := conn.Read(request)
				text := string(request[:n])
				s.asked.Store(&text)
				_, _ = conn.Write(answer)
				_, _ = io.Copy(io.Discard, conn) // until the client goes
			}()
		}
	}()
	return s
}

// ldapMessage is one LDAPMessage.
func ldapMessage(tag asn1.Tag, content func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(tag, content)
	})
	return must(b.Bytes())
}

func ldapEntry(attribute string, values ...[]byte) []byte {
	return ldapMessage(ldapSearchEntry, func(b *cryptobyte.Builder) {
		b.AddASN1OctetString([]byte("cn=root"))
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, a := range []string{"cn", attribute} {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1OctetString([]byte(a))
					b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
						for _, v := range values {
							b.AddASN1OctetString(v)
						}
					})
				})
			}
		})
	})
}

func ldapDone(code int64) []byte {
	return ldapMessage(ldapSearchDone, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(code)
		b.AddASN1OctetString(nil)
		b.AddASN1OctetString(nil)
	})
}

// TestLDAP: CRLs come out of a directory; whatever else it says is unknown.
func TestLDAP(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	whole := func(der []byte) []byte {
		return append(ldapEntry("certificateRevocationList;binary", der), ldapDone(0)...)
	}
	// Lengths in five octets, as Active Directory writes them.
	long := append([]byte{0x30, 0x84, 0, 0, 0, 12, 2, 1, 1, 0x65, 0x84, 0, 0, 0, 3}, 0x0a, 1, 32)
	for _, tt := range []struct {
		name   string
		answer []byte
		want   domainsec.RevocationStatus
		detail string
	}{
		{"good", whole(authority.crl()), domainsec.RevocationGood, ""},
		{"revoked", whole(authority.crl(revoking(42))), domainsec.RevocationRevoked, "keyCompromise"},
		{"plain name", append(ldapEntry("CertificateRevocationList", authority.crl()), ldapDone(0)...), domainsec.RevocationGood, ""},
		{"two values", append(ldapEntry("certificateRevocationList", authority.crl(), []byte("x")), ldapDone(0)...), domainsec.RevocationGood, ""},
		{"no such object", ldapDone(32), domainsec.RevocationUnknown, "no such object"},
		{"long lengths", long, domainsec.RevocationUnknown, "no such object"},
		{"access denied", ldapDone(50), domainsec.RevocationUnknown, "LDAP result 50"},
		{"another attribute", append(ldapEntry("authorityRevocationList", authority.crl()), ldapDone(0)...), domainsec.RevocationUnknown, "has no CRL"},
		{"no value", append(ldapEntry("certificateRevocationList"), ldapDone(0)...), domainsec.RevocationUnknown, "has no CRL"},
		{"referral", ldapDone(10), domainsec.RevocationUnknown, "not followed"},
		{"reference", ldapMessage(ldapSearchReference, func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte("ldap://a")) }), domainsec.RevocationUnknown, "not followed"},
		{"too large", append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, whole(authority.crl())...), domainsec.RevocationUnknown, "larger than"},
		{"indefinite length", []byte{0x30, 0x80, 0, 0}, domainsec.RevocationUnknown, "not LDAP"},
		{"not LDAP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), domainsec.RevocationUnknown, "not LDAP"},
		{"nothing", nil, domainsec.RevocationUnknown, "200ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newLDAP(t, tt.answer)
			checker := open(t, newClock(), func(o *Options) {
				o.Settings.LDAPServer = server.address
				if tt.detail == "200ms" {
					o.Settings.PerURL = 200 * time.Millisecond
				}
			})
			for _, address := range []string{"ldap:///cn=root,dc=contoso", "ldap://" + server.address + "/cn=ro%6Ft,dc=contoso?certificateRevocationList;binary?base"} {
				got := checker.CheckCertificate(t.Context(), authority.issue(42, address), authority.certificate)
				if got.Status != tt.want || !strings.Contains(got.Detail, tt.detail) {
					t.Errorf("%s: %+v; want %d, %q", address, got, tt.want, tt.detail)
				}
			}
			if asked := server.asked.Load(); asked == nil || !strings.Contains(*asked, "cn=root,dc=contoso") {
				t.Errorf("asked for %v", asked)
			}
			checker.Stop()
			if left, _ := os.ReadDir(checker.disk.directory); tt.want == domainsec.RevocationUnknown && len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestLDAPAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"ldap:///cn=x": "", "ldap://a.example/cn=x?deltaRevocationList;binary": "", "LDAP://a/cn=x?a?base?(objectClass=x)": "",
		"ldap:///": "names no object", "ldap://a.example/cn=x?a,b": "more than one attribute", "ldap://a.example/cn=x?a?sub": "more than one object",
		"ldap://u:p@a.example/cn=x": "credentials", "ldaps://a.example/cn=x": "is not http",
	} {
		_, err := checkAddress(address)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	// Without a configured server, and to an address inside.
	authority := newCA(t, "Contoso Root")
	checker := open(t, newClock(), func(o *Options) { o.Settings.AllowPrivateTargets = false })
	for address, want := range map[string]string{"ldap:///cn=x": "revocation.ldapServer", "ldap://127.0.0.1/cn=x": "loopback"} {
		got := checker.CheckCertificate(t.Context(), authority.issue(42, address), authority.certificate)
		if got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, want) {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

// FuzzLDAP: no answer makes the reader fail otherwise than by an error, or write
// more than the limit.
func FuzzLDAP(f *testing.F) {
	f.Add(append(ldapEntry("certificateRevocationList;binary", []byte("crl")), ldapDone(0)...))
	f.Add(ldapDone(10))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var out strings.Builder
		r := newLDAPReader(strings.NewReader(string(answer)), &out, 100)
		if err := r.read("certificateRevocationList"); err == nil && !r.wrote || out.Len() > 100 {
			t.Fatalf("%v, %d octets", err, out.Len())
		}
	})
}

// newProxyServer is an HTTP proxy that counts and sends everything to one server.
func newProxyServer(t *testing.T, target string, seen *atomic.Pointer[string]) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.String()
		seen.Store(&asked)
		request := must(http.NewRequestWithContext(r.Context(), http.MethodGet, target, nil))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestProxy: what goes through the proxy, what around it, and what nowhere.
func TestProxy(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, authority.crl())
	for _, tt := range []struct {
		name, address string
		bypass, allow []string
		through       bool
		detail        string
	}{
		{"a public host", "http://public.example/x.crl", nil, nil, true, ""},
		{"a host that resolves inside", "http://inside.example/x.crl", nil, nil, false, "private"},
		{"a host with one address inside", "http://mixed.example/x.crl", nil, nil, false, "private"},
		{"an address inside", "http://10.0.0.1/x.crl", nil, nil, false, "private"},
		{"a host that we do not know", "http://unknown.example/x.crl", nil, nil, false, "revocation.proxyAllow"},
		{"a host that the administrator lists", "http://unknown.example/x.crl", nil, []string{"*.EXAMPLE"}, true, ""},
		{"bypassed", "http://public.example/x.crl", []string{"<local>", "*.example"}, nil, false, "is not fetched from"},
		{"local", "http://server/x.crl", []string{"<local>"}, nil, false, "is not fetched from"},
		{"no LDAP", "ldap://public.example/cn=x", nil, nil, false, "is not fetched from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen atomic.Pointer[string]
			proxy := newProxyServer(t, "http://"+server.Listener.Addr().String()+"/", &seen)
			table := hosts{
				"public.example": {netip.MustParseAddr("93.184.216.34")}, "inside.example": {netip.MustParseAddr("10.1.1.1")},
				"mixed.example": {netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("10.1.1.1")}, "server": {netip.MustParseAddr("192.168.1.1")},
			}
			if tt.name == "bypassed" || tt.name == "no LDAP" {
				table["public.example"] = []netip.Addr{netip.MustParseAddr("127.0.0.1")} // nothing on the Internet is called
			}
			checker := open(t, newClock(), func(o *Options) {
				o.Settings.AllowPrivateTargets = false
				o.Settings.Proxy, o.Settings.ProxyBypass, o.Settings.ProxyAllow = proxy, tt.bypass, tt.allow
				o.Resolver = table
			})
			got := checker.CheckCertificate(t.Context(), authority.issue(42, tt.address), authority.certificate)
			if good := got.Status == domainsec.RevocationGood; good != tt.through || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("%+v", got)
			}
			if asked := seen.Load(); (asked != nil) != tt.through || asked != nil && *asked != tt.address {
				t.Errorf("the proxy was asked for %v", asked)
			}
		})
	}
}

func TestBypassed(t *testing.T) {
	for _, tt := range []struct {
		pattern, host string
		want          bool
	}{
		{"<local>", "crl", true},
		{"<local>", "crl.contoso.com", false},
		{"<local>", "::1", false},
		{"*.contoso.com", "CRL.contoso.com", true},
		{"*.contoso.com", "contoso.com", false},
		{"contoso.com", "contoso.com.", true},
		{"10.*", "10.1.2.3", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxcyyb", false},
		{"*", "anything", true},
	} {
		if got := bypassed([]string{tt.pattern}, tt.host); got != tt.want {
			t.Errorf("%s, %s: %v", tt.pattern, tt.host, got)
		}
	}
}

// TestManage: refresh, flush, a new proxy, and the warning ahead of the end.
func TestManage(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, authority.crl(numbered(5, start)))
	c := newClock()
	checker := open(t, c)
	leaf := authority.issue(42, server.address())
	if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationGood {
		t.Fatalf("%+v", got)
	}
	server.put(authority.crl(numbered(6, start.Add(time.Minute)), revoking(42)))
	c.add(2 * time.Minute)
	if n, err := checker.Refresh(t.Context(), server.address()); n != 1 || err != nil {
		t.Fatalf("refreshed %d, %v", n, err)
	}
	if n, err := checker.Refresh(t.Context(), "http://other.example/"); n != 0 || err != nil {
		t.Errorf("refreshed %d, %v", n, err)
	}
	if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationRevoked {
		t.Errorf("after the refresh: %+v", got)
	}
	if f := checker.Findings(); len(f) != 0 {
		t.Errorf("%v", f)
	}
	server.put([]byte("gone"))
	c.add(10 * time.Hour)
	if _, err := checker.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if f := checker.Findings(); len(f) != 1 || f[0].Level != "warning" || !strings.Contains(f[0].Text, "expires at 2026-11-24T12:01:00Z and cannot be fetched") {
		t.Errorf("%v", f)
	}
	// An older CRL is refused until the newer is forgotten.
	server.put(authority.crl(numbered(5, start)))
	_, _ = checker.Refresh(t.Context(), "")
	if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationRevoked {
		t.Errorf("an older CRL was taken: %+v", got)
	}
	before := checker.Generation()
	if n, err := checker.Flush(""); n != 1 || err != nil || checker.Generation() == before {
		t.Errorf("flushed %d, %v", n, err)
	}
	if left, _ := os.ReadDir(checker.disk.directory); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("after the flush: %+v", got)
	}
	var seen atomic.Pointer[string]
	settings := *checker.fetcher.settings.Load()
	settings.Proxy = newProxyServer(t, "http://"+server.Listener.Addr().String()+"/", &seen)
	checker.Configure(settings)
	if _, err := checker.Refresh(t.Context(), ""); err != nil || seen.Load() == nil {
		t.Errorf("the new proxy was not asked, %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := checker.Reach(ctx, []string{"http://crl.example/x"}); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("reach: %v", err)
	}
	if err := checker.Reach(ctx, []string{"ldap:///cn=x", "http://93.184.216.34/x"}); err != nil {
		t.Errorf("reach: %v", err)
	}
}
