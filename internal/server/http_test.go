package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/trust/pkitest"
)

// health is the answer of /health.
type health struct {
	Healthy  bool            `json:"healthy"`
	Findings []admin.Finding `json:"findings"`
}

// get asks the server's HTTP listener.
func get(t *testing.T, c *directory.Configuration, path string) (*http.Response, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + c.Server.HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func askHealth(t *testing.T, c *directory.Configuration) (int, health) {
	t.Helper()
	r, body := get(t, c, "/health")
	var h health
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	return r.StatusCode, h
}

func withHTTP(t *testing.T) func(*directory.Configuration) {
	return func(c *directory.Configuration) { c.Server.HTTP = freeAddress(t) }
}

func TestHealth(t *testing.T) {
	woodgrove := directory.Partner{
		Domain: mustDomain("woodgrovebank.com"), Mode: directory.ModeEnforce, Send: true, Receive: true,
		NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer, FromAlignment: directory.FromUnmarked,
	}
	tests := []struct {
		name   string
		change func(*testing.T, *directory.Configuration)
		code   int
		object string // of the finding that there must be
		level  directory.Level
	}{
		{"good", func(t *testing.T, c *directory.Configuration) { handsOff("contoso.com", freeAddress(t))(c) }, http.StatusOK, "", ""},
		{"a warning is no failure", func(*testing.T, *directory.Configuration) {}, http.StatusOK, "acceptedDomains", directory.LevelWarning},
		{"partners and no anchor", func(_ *testing.T, c *directory.Configuration) {
			c.Partners = []directory.Partner{woodgrove}
		}, http.StatusServiceUnavailable, "trust", directory.LevelError},
		{"no certificate for a connector's name", func(t *testing.T, c *directory.Configuration) {
			leaf := pkitest.SelfSigned(t, pkitest.LeafOptions{Names: []string{"elsewhere.contoso.com"}})
			c.Certificates = []directory.CertificateFile{certificateFile(t, leaf)}
		}, http.StatusServiceUnavailable, "certificates[mail1.contoso.com]", directory.LevelError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := configuration(t, t.TempDir(), withHTTP(t))
			tt.change(t, c)
			start(t, c)
			code, h := askHealth(t, c)
			if code != tt.code || h.Healthy != (tt.code == http.StatusOK) {
				t.Errorf("code %d, healthy %v; want %d: %+v", code, h.Healthy, tt.code, h.Findings)
			}
			if tt.object != "" && !slices.ContainsFunc(h.Findings, func(f admin.Finding) bool { return f.Object == tt.object && f.Level == tt.level }) {
				t.Errorf("no %s about %s: %+v", tt.level, tt.object, h.Findings)
			}
		})
	}
}

// TestHealthOfARevokedCertificate finds out, after the start, that the server's
// own certificate is revoked.
func TestHealthOfARevokedCertificate(t *testing.T) {
	crls := pkitest.NewCRLServer(t)
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Contoso Root"})
	leaf := root.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.contoso.com"}, CRLs: []string{crls.URL("/root.crl")}})
	tests := []struct {
		name  string
		crl   pkitest.CRLOptions
		code  int
		words string
	}{
		{"good", pkitest.CRLOptions{}, http.StatusOK, ""},
		{"revoked", pkitest.CRLOptions{Revoked: append(leaf.Chain[:0:0], leaf.Certificate)}, http.StatusServiceUnavailable, "is revoked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			crls.Set("/root.crl", root.CRL(t, tt.crl))
			before := crls.Requests("/root.crl")
			c := configuration(t, t.TempDir(), withHTTP(t), handsOff("contoso.com", freeAddress(t)))
			c.Certificates = []directory.CertificateFile{certificateFile(t, leaf)}
			c.Trust.Anchors = []directory.Anchor{{
				File: pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)), Scope: directory.Scope{Any: true}, Revocation: directory.RevocationRequired,
			}}
			c.Revocation.AllowPrivateTargets = true
			g := start(t, c)
			var h health
			eventually(t, "health is what the CRL says", func() bool {
				code, now := askHealth(t, c)
				h = now
				rows := call[admin.CRLListResponse](g, "crl.list", nil).CRLs
				return code == tt.code && len(rows) == 1 && crls.Requests("/root.crl") > before
			})
			found := slices.ContainsFunc(h.Findings, func(f admin.Finding) bool {
				return f.Level == directory.LevelError && strings.HasPrefix(f.Object, "certificate ") && strings.HasPrefix(f.Text, "is revoked")
			})
			if found != (tt.words != "") {
				t.Errorf("findings: %+v", h.Findings)
			}
		})
	}
}

// certificateFile writes a certificate with its chain and key.
func certificateFile(t *testing.T, l *pkitest.Leaf) directory.CertificateFile {
	t.Helper()
	chain := l.Chain
	if len(chain) == 0 {
		chain = append(chain, l.Certificate)
	}
	return directory.CertificateFile{
		CertificateFile: pkitest.WriteFile(t, "own.pem", pkitest.PEM(chain...)),
		KeyFile:         pkitest.WriteFile(t, "own.key", pkitest.KeyPEM(t, l.Key)),
		Services:        []directory.Service{directory.ServiceSMTP},
	}
}

// TestMetrics holds the names that monitoring knows. A partner's mail without
// TLS makes the refusal.
func TestMetrics(t *testing.T) {
	c := configuration(t, t.TempDir(), withHTTP(t), handsOff("contoso.com", freeAddress(t)))
	c.Partners = []directory.Partner{{
		Domain: mustDomain("woodgrovebank.com"), Mode: directory.ModeEnforce, Send: true, Receive: true,
		NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer, FromAlignment: directory.FromUnmarked,
	}}
	g := start(t, c)
	g.send("ann@client.example", "bob@contoso.com", "counted")
	g.dial().Expect("MAIL FROM:<eve@woodgrovebank.com>", "451 4.7.3")

	r, body := get(t, c, "/metrics")
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%s, %s", r.Status, r.Header.Get("Content-Type"))
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(body), "\n") {
		if !strings.HasPrefix(line, "#") {
			got = append(got, line)
		}
	}
	want := []string{
		"mailpact_domain_secured_messages_received_total 0",
		"mailpact_domain_secured_messages_sent_total 0",
		"mailpact_domain_secured_outbound_session_failures_total 0",
		"mailpact_messages_received_total 1",
		`mailpact_refusals_total{connector="Default",reason="NoTLS"} 1`,
		"mailpact_unmarked_from_mismatch_total 0",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("there is no %s in\n%s", w, body)
		}
	}
	for _, family := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(body, -1) {
		if !strings.HasPrefix(family[1], "mailpact_") || (family[2] == "counter") != strings.HasSuffix(family[1], "_total") {
			t.Errorf("%s is a %s; ours begin with mailpact_, and counters end in _total", family[1], family[2])
		}
	}
}

// TestOtherPathsAreNotServed keeps management off the network.
func TestOtherPathsAreNotServed(t *testing.T) {
	c := configuration(t, t.TempDir(), withHTTP(t))
	start(t, c)
	got := map[string]int{}
	for _, path := range []string{"/", "/v1/status.show", "/debug/pprof/", "/health/", "/metrics/x"} {
		r, _ := get(t, c, path)
		got[path] = r.StatusCode
	}
	want := map[string]int{"/": 404, "/v1/status.show": 404, "/debug/pprof/": 404, "/health/": 404, "/metrics/x": 404}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
