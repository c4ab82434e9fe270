package revocation

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailpact/internal/domainsec"
)

// settle waits until no fetch is under way. The background loop must not run.
func (c *Checker) settle() { c.running.Wait() }

// party is an authority with its CRL server, a leaf, a clock and a Checker.
type party struct {
	*ca
	server  *crlServer
	leaf    *x509.Certificate
	clock   *clock
	checker *Checker
	t       *testing.T
}

func newParty(t *testing.T, change ...func(*Options)) *party {
	t.Helper()
	p := &party{ca: newCA(t, "Contoso Root"), clock: newClock(), t: t}
	p.server = newServer(t, p.crl())
	p.leaf = p.issue(42, p.server.address())
	p.checker = open(t, p.clock, change...)
	return p
}

func (p *party) check(want domainsec.RevocationStatus) Status {
	p.t.Helper()
	got := p.checker.CheckCertificate(p.t.Context(), p.leaf, p.certificate)
	if got.Status != want {
		p.t.Fatalf("at %s: %+v, want status %v", p.clock.Now(), got, want)
	}
	return got
}

func (p *party) requests(want int64) {
	p.t.Helper()
	if got := p.server.requests.Load(); got != want {
		p.t.Fatalf("at %s: %d requests, want %d", p.clock.Now(), got, want)
	}
}

func (p *party) generation(want uint64) {
	p.t.Helper()
	if got := p.checker.Generation(); got != want {
		p.t.Fatalf("generation %d, want %d", got, want)
	}
}

const (
	good    = domainsec.RevocationGood
	revoked = domainsec.RevocationRevoked
	unknown = domainsec.RevocationUnknown
)

// TestNegativeCache: a dead server is asked once, then not for half a minute,
// then not for a minute, and its recovery is noticed within a minute.
func TestNegativeCache(t *testing.T) {
	p := newParty(t)
	body := p.crl()
	p.server.put([]byte("broken"))
	first := p.check(unknown)
	if !first.ValidUntil.Equal(start.Add(retrySoon)) {
		t.Errorf("asking again may help at %s", first.ValidUntil)
	}
	p.clock.add(retrySoon - time.Second)
	if got := p.check(unknown); !strings.Contains(got.Detail, "(at 2026-11-23T12:00:00Z)") {
		t.Errorf("detail %q", got.Detail)
	}
	p.requests(1)
	p.clock.add(time.Second)
	p.check(unknown)
	p.requests(2)
	p.server.put(body)
	p.clock.add(retryLater - time.Second)
	p.check(unknown)
	p.requests(2)
	p.generation(0)
	p.clock.add(time.Second)
	p.check(good)
	p.requests(3)
	p.generation(1)
}

// TestRecoveryInBackground: nobody has to ask.
func TestRecoveryInBackground(t *testing.T) {
	p := newParty(t)
	body := p.crl()
	p.server.put([]byte("broken"))
	p.check(unknown)
	p.server.put(body)
	p.clock.add(retrySoon)
	p.checker.refreshDue(t.Context())
	p.checker.settle()
	p.generation(1)
	p.check(good)
	p.requests(2)
}

// TestRefreshAhead: what is in use is fetched again before it ends and at least
// every four hours; what is not, is not.
func TestRefreshAhead(t *testing.T) {
	p := newParty(t)
	p.check(good)
	p.checker.refreshDue(t.Context())
	p.checker.settle()
	p.requests(1)
	p.clock.add(maxAge)
	p.server.put(p.crl(numbered(2, p.clock.Now()), revoking(42)))
	p.checker.refreshDue(t.Context())
	p.checker.settle()
	p.requests(2)
	p.generation(2)
	p.check(revoked)
	p.requests(2)
	p.clock.add(keptFresh)
	p.checker.refreshDue(t.Context())
	p.checker.settle()
	p.requests(2)
}

func TestRefreshTime(t *testing.T) {
	for _, tt := range []struct {
		left, most time.Duration
	}{
		{7 * 24 * time.Hour, maxAge},
		{8 * time.Hour, maxAge},
		{2 * time.Hour, time.Hour},
		{10 * time.Minute, 5 * time.Minute},
		{time.Second, retrySoon},
	} {
		for range 50 {
			got := refreshTime(start, start.Add(tt.left)).Sub(start)
			if got > tt.most || got < tt.most*9/10 {
				t.Errorf("with %s left: after %s, want at most %s and at least nine tenths of it", tt.left, got, tt.most)
			}
		}
	}
}

// TestBackgroundLoop: Start fetches ahead by itself, Stop ends it.
func TestBackgroundLoop(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, authority.crl(numbered(1, start), func(l *x509.RevocationList) { l.NextUpdate = start.Add(10 * time.Minute) }))
	directory := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		checker := open(t, nil, func(o *Options) {
			o.Directory = directory
			o.Now = func() time.Time { return start.Add(time.Since(begin)) }
		})
		checker.Start(t.Context())
		checker.Start(t.Context()) // does nothing
		if got := checker.CheckCertificate(t.Context(), authority.issue(42, server.address()), authority.certificate); got.Status != good {
			t.Fatalf("%+v", got)
		}
		server.put(authority.crl(numbered(2, start.Add(time.Minute))))
		time.Sleep(5*time.Minute + refreshTick) // half of its life, in the bubble's time
		time.Sleep(time.Second)                 // passes when the fetch is over
		if n := server.requests.Load(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		checker.Stop()
		time.Sleep(24 * time.Hour)
		if n := server.requests.Load(); n != 2 {
			t.Errorf("%d requests after Stop, want 2", n)
		}
	})
}

// TestUsedUntilNextUpdate: a server that died does not hurt until nextUpdate,
// and nobody waits for it more than once.
func TestUsedUntilNextUpdate(t *testing.T) {
	p := newParty(t)
	p.check(good)
	p.server.handle(http.NotFound)
	p.clock.add(maxAge) // stale: one wait
	p.check(good)
	p.requests(2)
	p.clock.add(retryHolding - time.Second)
	p.check(good)
	p.requests(2)
	p.clock.add(time.Second)
	p.check(good) // does not wait
	p.checker.settle()
	p.requests(3)
	p.clock.add(24*time.Hour - maxAge - retryHolding - time.Second)
	p.check(good)
	p.checker.settle()
	p.clock.add(time.Second)
	got := p.check(unknown)
	if !strings.Contains(got.Detail, "status 404") {
		t.Errorf("detail %q", got.Detail)
	}
	p.generation(1)
}

func TestNeverOlder(t *testing.T) {
	hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	tests := []struct {
		name   string
		second []func(*x509.RevocationList)
		keep   bool
		why    string
	}{
		{"newer", []func(*x509.RevocationList){numbered(6, hour(1))}, false, ""},
		{"same number, later", []func(*x509.RevocationList){numbered(5, hour(1))}, false, ""},
		{"lower number, later", []func(*x509.RevocationList){numbered(4, hour(1))}, true, "number 4, lower than the one held, 5"},
		{"higher number, earlier", []func(*x509.RevocationList){numbered(6, hour(-1))}, true, "older than the one held"},
		{"not yet valid", []func(*x509.RevocationList){numbered(6, hour(5))}, true, "not valid before"},
		{"expired", []func(*x509.RevocationList){numbered(6, start), func(l *x509.RevocationList) { l.NextUpdate = hour(3) }}, true, "expired"},
		{"of another distribution point", []func(*x509.RevocationList){numbered(6, hour(1)), scoped(scopeValue{Point: uri("http://crl.example/2.crl")})}, true, "another distribution point"},
		{"lower number, another scope, later", []func(*x509.RevocationList){numbered(4, hour(1)), scoped(scopeValue{OnlyUser: true})}, false, ""},
		{"higher number, another scope, earlier", []func(*x509.RevocationList){numbered(6, hour(-1)), scoped(scopeValue{OnlyUser: true})}, true, "older than the one held"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var directory string
			p := newParty(t, func(o *Options) { directory = o.Directory })
			p.server.put(p.crl(numbered(5, start), revoking(42)))
			p.check(revoked)
			p.clock.add(maxAge)
			p.server.put(p.crl(tt.second...))
			want := good
			if tt.keep {
				want = revoked
			}
			p.check(want)
			p.requests(2)
			listed := must(p.checker.Snapshot())
			if len(listed) != 1 || !strings.Contains(listed[0].LastError, tt.why) || (listed[0].LastError == "") != (tt.why == "") {
				t.Errorf("%+v", listed)
			}
			// The floor outlives a restart.
			p.checker.Stop()
			p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory })
			p.check(want)
		})
	}
}

// TestFloorWhenExpired: an expired list answers nothing and still is the floor.
func TestFloorWhenExpired(t *testing.T) {
	var directory string
	p := newParty(t, func(o *Options) { directory = o.Directory })
	p.server.put(p.crl(numbered(5, start), revoking(42)))
	p.check(revoked)
	p.checker.Stop()
	p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory })
	p.clock.add(25 * time.Hour)
	p.server.put(p.crl(numbered(4, start.Add(24*time.Hour))))
	if got := p.check(unknown); !strings.Contains(got.Detail, "lower than the one held") {
		t.Errorf("detail %q", got.Detail)
	}
	p.clock.add(time.Minute)
	p.server.put(p.crl(numbered(6, start.Add(24*time.Hour))))
	p.check(good)
}

// promptly fails the test when f waits for something that does not come.
func promptly(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waited for a server that does not answer")
	}
}

// TestNobodyWaits for a server that hangs while there is a list that can answer:
// not when a refresh is due, not after a restart, and not after a failure.
func TestNobodyWaits(t *testing.T) {
	var directory string
	patient := func(o *Options) { o.Settings.PerURL, o.Settings.PerChain = time.Hour, time.Hour }
	p := newParty(t, func(o *Options) { directory = o.Directory }, patient)
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	p.check(good)
	p.clock.add(maxAge - time.Second)
	p.server.handle(hang)
	promptly(t, func() { p.check(good) })
	p.checker.Stop()

	p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory }, patient)
	promptly(t, func() { p.check(good) })
	p.checker.Stop()

	p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory }, patient)
	p.clock.add(time.Second)
	p.server.handle(http.NotFound)
	p.check(good) // too old not to ask: this one waits, and is told no
	p.clock.add(retryHolding)
	p.server.handle(hang)
	promptly(t, func() { p.check(good) })
}

func TestSurvivesRestart(t *testing.T) {
	var directory string
	p := newParty(t, func(o *Options) { directory = o.Directory })
	p.server.put(p.crl(revoking(42)))
	p.check(revoked)
	p.checker.Stop()
	p.server.Close()
	reopen := func() { p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory }) }

	reopen()
	if listed := must(p.checker.Snapshot()); len(listed) != 1 || listed[0].URL != p.server.address() || listed[0].Entries != 1 || listed[0].Number != "1" || !listed[0].Fetched.Equal(start) {
		t.Errorf("listed from disk: %+v", listed)
	}
	p.check(revoked)
	p.checker.settle()
	if listed := must(p.checker.Snapshot()); len(listed) != 1 || listed[0].LastError != "" {
		t.Errorf("a fresh CRL was fetched again: %+v", listed)
	}
	p.checker.Stop()

	reopen() // refresh is due, but nobody need wait for it
	p.clock.add(maxAge - time.Second)
	p.check(revoked)
	p.checker.settle()
	if listed := must(p.checker.Snapshot()); len(listed) != 1 || !strings.Contains(listed[0].LastError, "refused") {
		t.Errorf("no refresh was tried: %+v", listed)
	}
	p.checker.Stop()

	reopen()
	p.clock.add(19 * time.Hour)
	p.check(revoked)
	p.clock.add(time.Hour + time.Second)
	p.check(unknown)
}

// TestDiskIsNotTrusted: what lies in the directory is verified like what comes
// over the wire.
func TestDiskIsNotTrusted(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(p *party, crl, metadata string)
		want  domainsec.RevocationStatus
	}{
		{"untouched", func(*party, string, string) {}, revoked},
		{"no metadata", func(p *party, _, m string) { must(0, os.Remove(m)) }, revoked},
		{"broken metadata", func(p *party, _, m string) { must(0, os.WriteFile(m, []byte("{"), 0o600)) }, revoked},
		{"fetched in the future", func(p *party, _, m string) {
			content := must(os.ReadFile(m))
			must(0, os.WriteFile(m, bytes.Replace(content, []byte(`"fetched":"2026`), []byte(`"fetched":"2036`), 1), 0o600))
		}, revoked},
		{"garbage", func(p *party, crl, _ string) { must(0, os.WriteFile(crl, []byte("garbage"), 0o600)) }, unknown},
		{"too large", func(p *party, crl, _ string) { must(0, os.Truncate(crl, DefaultMaxBytes+1)) }, unknown},
		{"another signer", func(p *party, crl, _ string) {
			must(0, os.WriteFile(crl, newCA(p.t, "Contoso Root").crl(), 0o600))
		}, unknown},
		{"gone", func(p *party, crl, _ string) { must(0, os.Remove(crl)) }, unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var directory string
			p := newParty(t, func(o *Options) { directory = o.Directory })
			p.server.put(p.crl(revoking(42)))
			p.check(revoked)
			p.checker.Stop()
			p.server.Close()
			crls := must(filepath.Glob(filepath.Join(directory, "*.crl")))
			if len(crls) != 1 {
				t.Fatalf("%d files", len(crls))
			}
			tt.spoil(p, crls[0], strings.TrimSuffix(crls[0], ".crl")+".json")
			p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory })
			p.check(tt.want)
		})
	}
}

// TestConditionalRequests: an unchanged CRL need not be sent again.
func TestConditionalRequests(t *testing.T) {
	var directory string
	p := newParty(t, func(o *Options) { directory = o.Directory })
	body := p.crl()
	var asked []string
	p.server.handle(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("If-None-Match"))
		w.Header().Set("ETag", `"one"`)
		if r.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(body)
	})
	p.check(good)
	p.clock.add(maxAge)
	p.check(good)
	p.checker.Stop()
	if got := strings.Join(asked, ","); got != `,"one"` {
		t.Errorf("asked %s", got)
	}
	p.generation(1)
	p.checker = open(t, p.clock, func(o *Options) { o.Directory = directory })
	p.check(good)
	p.checker.settle()
	p.requests(2) // the second answer counted as fresh across the restart
	p.clock.add(24 * time.Hour)
	p.check(unknown) // asked for it whole
	if got := asked[len(asked)-1]; got != "" {
		t.Errorf("asked with %s for a CRL that cannot answer any more", got)
	}
}

// TestSameAgain: an identical CRL changes nothing that verdicts depend on.
func TestSameAgain(t *testing.T) {
	p := newParty(t)
	p.check(good)
	p.clock.add(maxAge)
	p.check(good)
	p.requests(2)
	p.generation(1)
}

func TestSnapshot(t *testing.T) {
	p := newParty(t)
	if listed := must(p.checker.Snapshot()); len(listed) != 0 {
		t.Errorf("listed before anything was asked: %+v", listed)
	}
	p.server.put(p.crl(revoking(1, 2, 3), func(l *x509.RevocationList) { l.Number = big.NewInt(17) }))
	p.check(good)
	got := must(p.checker.Snapshot())
	want := CachedCRL{
		URL: p.server.address(), Issuer: "CN=Contoso Root", Number: "17", ThisUpdate: start,
		NextUpdate: start.Add(24 * time.Hour), Entries: 3, Fetched: start, LastUsed: start,
	}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestMemoryIsBounded: what was used longest ago leaves memory, and comes back from disk.
func TestMemoryIsBounded(t *testing.T) {
	p := newParty(t)
	p.check(good)
	p.checker.mu.Lock()
	for i := range maxEntries + 10 {
		w := want{url: p.server.address() + "?" + big.NewInt(int64(i)).String(), above: []*x509.Certificate{p.certificate}}
		p.checker.entryFor(w, start.Add(time.Duration(i+1)*time.Second))
	}
	n := len(p.checker.entries)
	p.checker.mu.Unlock()
	if n != maxEntries {
		t.Errorf("%d entries, want %d", n, maxEntries)
	}
	p.check(good)
	p.requests(1)
}

func TestPrune(t *testing.T) {
	d := must(openDisk(t.TempDir()))
	for i := range maxFiles + 3 {
		id := big.NewInt(int64(1_000_000 + i)).String()
		for _, suffix := range []string{listSuffix, metadataSuffix} {
			must(0, os.WriteFile(d.path(id+suffix), nil, 0o600))
			must(0, os.Chtimes(d.path(id+suffix), start, start.Add(time.Duration(i)*time.Second)))
		}
	}
	must(0, d.prune())
	left := must(filepath.Glob(d.path("*")))
	if len(left) != 2*maxFiles || filepath.Base(left[0]) != "1000003.crl" {
		t.Errorf("%d files, the first %s", len(left), left[0])
	}
}

// TestDiskFault: a CRL that cannot be stored still answers.
func TestDiskFault(t *testing.T) {
	var out bytes.Buffer
	p := newParty(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	must(0, os.Mkdir(p.checker.disk.path(want{url: p.server.address(), above: []*x509.Certificate{p.certificate}}.id()+listSuffix), 0o700))
	p.check(good)
	p.checker.Stop()
	if !strings.Contains(out.String(), "caching a CRL on disk") {
		t.Errorf("the log does not say so: %s", out.String())
	}
}
