package revocation

import (
	"compress/gzip"
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
)

// TestFetchFaults: each way for a server to misbehave ends in unknown, in time,
// with nothing left on disk.
func TestFetchFaults(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	body := authority.crl()
	tests := []struct {
		name   string
		serve  http.HandlerFunc
		detail string
	}{
		{"404", http.NotFound, "status 404"},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "status 500"},
		{"304 that nobody asked for", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "status 304"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "status 204"},
		{"huge, announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000")
		}, "larger than 65536 octets"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 8192)); err != nil {
					return
				}
			}
		}, "larger than 65536 octets"},
		{"slow to answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no complete answer within 200ms"},
		{"slow to end", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(body[:10])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "no complete answer within 200ms"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write(body)
		}, "unexpected EOF"},
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(body)
			_ = z.Close()
		}, `encoded as "gzip"`},
		{"endless header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 2*maxResponseHeaderBytes))
		}, "header"},
		{"redirect loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "more than 3 redirects"},
		{"redirect to https", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://crl.example/", http.StatusFound)
		}, "is https"},
		{"redirect to a file", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "is not http"},
		{"redirect to nowhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.example/", http.StatusFound)
		}, "no such host"},
		{"redirect to a multicast address", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://224.0.0.1/", http.StatusFound)
		}, "multicast"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := newServer(t, nil)
			server.handle(tt.serve)
			var folder string
			checker := open(t, newClock(), func(o *Options) {
				o.Settings.MaxBytes, o.Settings.PerURL = 64<<10, 5*time.Second
				if strings.Contains(tt.detail, "200ms") {
					o.Settings.PerURL = 200 * time.Millisecond
				}
				folder = o.Directory
			})
			got := checker.CheckCertificate(t.Context(), authority.issue(42, server.address()), authority.certificate)
			if got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("%v, %q; want unknown, %q", got.Status, got.Detail, tt.detail)
			}
			if strings.ContainsAny(got.Detail, "\r\n") {
				t.Errorf("the detail has line ends: %q", got.Detail)
			}
			checker.Stop()
			if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRedirectIsFollowed(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	behind, server := newServer(t, authority.crl()), newServer(t, nil)
	server.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/3" {
			http.Redirect(w, r, behind.address(), http.StatusMovedPermanently)
			return
		}
		http.Redirect(w, r, map[string]string{"/root.crl": "/2", "/2": "/3"}[r.URL.Path], http.StatusFound)
	})
	got := open(t, newClock()).CheckCertificate(t.Context(), authority.issue(42, server.address()), authority.certificate)
	if got.Status != domainsec.RevocationGood {
		t.Errorf("%+v", got)
	}
}

// TestPerChain: a path takes no longer than the time per chain, and a fetch that
// takes longer still arrives.
func TestPerChain(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, nil)
	release, body := make(chan struct{}), authority.crl()
	server.handle(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write(body)
	})
	checker := open(t, newClock(), func(o *Options) { o.Settings.PerChain = 50 * time.Millisecond })
	leaf := authority.issue(42, server.address())
	got := checker.CheckCertificate(t.Context(), leaf, authority.certificate)
	if got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, "time for a chain") {
		t.Fatalf("%+v", got)
	}
	close(release)
	checker.settle()
	if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("afterwards: %+v", got)
	}
	if n := server.requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestGuard(t *testing.T) {
	tests := []struct {
		address string
		kind    string // empty: allowed
	}{
		{"93.184.216.34", ""},
		{"2606:2800:220:1::1", ""},
		{"172.32.0.1", ""},
		{"100.128.0.1", ""},
		{"127.0.0.1", "loopback"},
		{"127.8.9.1", "loopback"},
		{"::1", "loopback"},
		{"::ffff:127.0.0.1", "loopback"},
		{"10.1.2.3", "private"},
		{"172.16.0.1", "private"},
		{"192.168.1.1", "private"},
		{"::ffff:192.168.1.1", "private"},
		{"fd00::1", "private"},
		{"169.254.169.254", "link-local"},
		{"fe80::1", "link-local"},
		{"fe80::1%eth0", "link-local"},
		{"224.0.0.1", "multicast"},
		{"ff02::1", "multicast"},
		{"0.0.0.0", "unspecified"},
		{"::", "unspecified"},
		{"0.1.2.3", "this network"},
		{"100.64.0.1", "carrier-grade NAT"},
		{"192.0.0.1", "protocol assignments"},
		{"198.18.0.1", "benchmarking"},
		{"255.255.255.255", "reserved"},
		{"::127.0.0.1", "IPv4-compatible"},
		{"64:ff9b::7f00:1", "NAT64"},
		{"2002:7f00:1::1", "6to4"},
		{"fec0::1", "site-local"},
		{"2001:0:1::1", "protocol assignments"},
	}
	for _, tt := range tests {
		a := netip.MustParseAddr(tt.address).Unmap()
		err := checkTarget(a, false)
		if (err == nil) != (tt.kind == "") || err != nil && !strings.Contains(err.Error(), "("+tt.kind+")") {
			t.Errorf("%s: %v, want %q", tt.address, err, tt.kind)
		}
		never := tt.kind == "multicast" || tt.kind == "unspecified"
		if err := checkTarget(a, true); (err != nil) != never {
			t.Errorf("%s, private targets allowed: %v", tt.address, err)
		}
	}
	if checkTarget(netip.Addr{}, true) == nil {
		t.Error("the invalid address passed")
	}
}

// TestPrivateTargets: names, literals and redirects that lead inside are not followed.
func TestPrivateTargets(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	inside := newServer(t, authority.crl())
	at := func(host string) string {
		return "http://" + host + strings.TrimPrefix(inside.address(), "http://crl.example")
	}
	for _, address := range []string{inside.address(), at("127.0.0.1"), at("[::ffff:127.0.0.1]"), at("localhost"), at("mixed.example")} {
		checker := open(t, newClock(), func(o *Options) {
			o.Settings.AllowPrivateTargets = false
			o.Resolver = hosts{
				"crl.example": {netip.MustParseAddr("127.0.0.1")}, "localhost": {netip.MustParseAddr("::1")},
				"mixed.example": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1")},
			}
		})
		got := checker.CheckCertificate(t.Context(), authority.issue(42, address), authority.certificate)
		if got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, "revocation.allowPrivateTargets would allow it") {
			t.Errorf("%s: %+v", address, got)
		}
	}
	if n := inside.requests.Load(); n != 0 {
		t.Errorf("%d requests reached the inside", n)
	}
	// Whatever the DNS says the second time, what was resolved and looked at is what is dialled.
	d := newDialer(hosts{"some.example": {
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("192.168.0.1"),
	}}, false)
	found, err := d.resolve(t.Context(), "some.example")
	if err != nil || len(found) != 1 || found[0].String() != "93.184.216.34" {
		t.Errorf("resolved to %v, %v", found, err)
	}
	if found, err := d.resolve(t.Context(), "::ffff:100.64.0.1"); err == nil {
		t.Errorf("a mapped address resolved to %v", found)
	}
	if _, err := d.resolve(t.Context(), "none.example"); err == nil {
		t.Error("an unknown host resolved")
	}
}

// TestRedirectToPrivate: one loopback address stands for a public server, which
// sends us inside.
func TestRedirectToPrivate(t *testing.T) {
	inside := newServer(t, []byte("secret"))
	outside := newServer(t, nil)
	settings := &atomic.Pointer[directory.Revocation]{}
	settings.Store(&directory.Revocation{})
	for _, target := range []string{"169.254.169.254", "127.0.0.2", "localhost", "inside.example"} {
		outside.handle(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(inside.address(), "crl.example", target, 1), http.StatusFound)
		})
		public := netip.MustParseAddr("127.0.0.1")
		d := &dialer{
			resolver: hosts{
				"crl.example": {public}, "localhost": {netip.MustParseAddr("::1")}, "inside.example": {netip.MustParseAddr("10.0.0.1")},
			},
			check: func(a netip.Addr) error {
				if a == public {
					return nil
				}
				return checkTarget(a, false)
			},
		}
		_, err := newFetcher(t.TempDir(), d, 1000, settings).fetch(t.Context(), outside.address(), validators{})
		if err == nil || !strings.Contains(err.Error(), "is not fetched from") {
			t.Errorf("%s: error %v", target, err)
		}
	}
	if inside.requests.Load() != 0 || outside.requests.Load() != 4 {
		t.Error("a redirect was followed")
	}
}

// hanging is a Resolver that never answers.
type hanging struct{}

func (hanging) Addresses(ctx context.Context, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestResolverIsBounded: the time for an address includes finding the host.
func TestResolverIsBounded(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	checker := open(t, newClock(), func(o *Options) { o.Resolver, o.Settings.PerURL = hanging{}, 50*time.Millisecond })
	got := checker.CheckCertificate(t.Context(), authority.issue(42, "http://crl.example/x.crl"), authority.certificate)
	if got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, "no complete answer within 50ms") {
		t.Errorf("%+v", got)
	}
}

// TestSlowHostTakesItsShareOnly: a host that hangs is asked a few times at a
// time, and others are not kept waiting.
func TestSlowHostTakesItsShareOnly(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	slow, quick := newServer(t, nil), newServer(t, authority.crl())
	arrived := make(chan struct{}, 100)
	slow.handle(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	checker := open(t, newClock(), func(o *Options) { o.Settings.PerURL, o.Settings.PerChain = time.Hour, time.Hour })
	var wg sync.WaitGroup
	ctx, leave := context.WithCancel(t.Context())
	for i := range 3 * maxFetchesPerHost {
		leaf := authority.issue(42, slow.address()+"?"+strconv.Itoa(i))
		wg.Go(func() { checker.CheckCertificate(ctx, leaf, authority.certificate) })
	}
	for range maxFetchesPerHost {
		<-arrived
	}
	if got := checker.CheckCertificate(t.Context(), authority.issue(42, quick.address()), authority.certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("%+v", got)
	}
	if n := slow.requests.Load(); n != maxFetchesPerHost {
		t.Errorf("%d requests to the slow host, want %d", n, maxFetchesPerHost)
	}
	leave()
	wg.Wait()
	checker.Stop()
	if n := len(checker.fetcher.hosts); n != 0 {
		t.Errorf("%d hosts are still counted", n)
	}
}

// TestSeveralAddresses tries the addresses of a host in turn.
func TestSeveralAddresses(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, authority.crl())
	checker := open(t, newClock(), func(o *Options) {
		// Nothing listens on the first one.
		o.Resolver = hosts{"crl.example": {netip.MustParseAddr("127.99.99.99"), netip.MustParseAddr("127.0.0.1")}}
	})
	if got := checker.CheckCertificate(t.Context(), authority.issue(42, server.address()), authority.certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("%+v", got)
	}
}

func TestStopEndsFetches(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, nil)
	arrived := make(chan struct{})
	server.handle(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	checker := open(t, newClock(), func(o *Options) { o.Settings.PerURL, o.Settings.PerChain = time.Hour, time.Hour })
	checker.Start(context.Background())
	answered := make(chan Status)
	leaf := authority.issue(42, server.address())
	go func() { answered <- checker.CheckCertificate(t.Context(), leaf, authority.certificate) }()
	<-arrived
	checker.Stop()
	if got := <-answered; got.Status != domainsec.RevocationUnknown {
		t.Errorf("%+v", got)
	}
	other := authority.issue(43, server.address()+"?2")
	if got := checker.CheckCertificate(t.Context(), other, authority.certificate); !strings.Contains(got.Detail, "stopping") {
		t.Errorf("after Stop: %+v", got)
	}
	checker.Start(context.Background()) // does nothing
	checker.Stop()
}

func TestLeftoversAreRemoved(t *testing.T) {
	directory := t.TempDir()
	left := filepath.Join(directory, "fetch-123.tmp")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, newClock(), func(o *Options) { o.Directory = directory })
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}
