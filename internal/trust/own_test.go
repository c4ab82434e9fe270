package trust

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust/pkitest"

	"github.com/google/go-cmp/cmp"
)

func TestOwnStatus(t *testing.T) {
	const good, revoked, unknown, notRequired = domainsec.RevocationGood, domainsec.RevocationRevoked, domainsec.RevocationUnknown, domainsec.RevocationNotRequired
	now := time.Now()
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	mid := root.Intermediate(t, pkitest.CAOptions{})
	leaf := mid.Issue(t, leafFor("mail1.contoso.com"))
	expired := mid.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.contoso.com"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)})
	future := mid.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.contoso.com"}, NotBefore: now.Add(time.Hour)})
	self := pkitest.SelfSigned(t, leafFor("mail1.contoso.com"))
	forged := pkitest.Tampered(t, self.Certificate)
	tests := []struct {
		name    string
		chain   []*x509.Certificate
		answers *answers
		world   func(*world)
		status  domainsec.RevocationStatus
		reasons []domainsec.Reason
		asked   int // certificates of the path asked about; 0: nothing asked
	}{
		{"good by an anchor of any scope", leaf.Chain, goodAnswers(), func(w *world) { w.anchor(t, scopeOf(woodgrove), root.Certificate) }, good, nil, 3},
		{"good within the presented chain", leaf.Chain, goodAnswers(), nil, good, nil, 2},
		{"good with the root presented", append(leaf.Chain[:2:2], root.Certificate), goodAnswers(), nil, good, nil, 3},
		{"revoked", leaf.Chain, &answers{status: revoked}, nil, revoked, []domainsec.Reason{domainsec.Revoked}, 2},
		{"unknown", leaf.Chain, &answers{}, nil, unknown, nil, 2},
		{"issuer not at hand", leaf.Chain[:1], goodAnswers(), nil, unknown, nil, 0},
		{"revocation none", leaf.Chain, &answers{}, func(w *world) {
			w.anchor(t, scopeOf(woodgrove), root.Certificate)
			w.anchors[0].Revocation = directory.RevocationNone
		}, notRequired, nil, 0},
		{"expired", expired.Chain, goodAnswers(), nil, good, []domainsec.Reason{domainsec.CertificateExpired}, 2},
		{"not yet valid", future.Chain, goodAnswers(), nil, good, []domainsec.Reason{domainsec.CertificateNotYetValid}, 2},
		{"self-signed", self.Chain, &answers{}, nil, notRequired, nil, 0},
		{"self-signed in name only", []*x509.Certificate{forged}, goodAnswers(), nil, unknown, nil, 0},
		{"no certificate", nil, goodAnswers(), nil, unknown, nil, 0},
		{"a chain that does not hold together", []*x509.Certificate{leaf.Certificate, root.Certificate}, goodAnswers(), nil, unknown, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{revocation: tt.answers}
			if tt.world != nil {
				tt.world(w)
			}
			got := w.verifier(t).OwnStatus(context.Background(), tt.chain)
			if got.Status != tt.status || (got.Status == unknown) != (got.Detail != "" && len(got.Reasons) == 0 && got.Status == unknown) {
				t.Errorf("got %+v, want status %d", got, tt.status)
			}
			if diff := cmp.Diff(tt.reasons, got.Reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			asked := 0
			if len(tt.answers.asked) > 0 {
				asked = len(tt.answers.asked[0])
			}
			if asked != tt.asked {
				t.Errorf("asked about a path of %d, want %d", asked, tt.asked)
			}
		})
	}
	t.Run("two paths, one revoked", func(t *testing.T) {
		other := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Other"})
		cross := other.CrossSign(t, mid, pkitest.CAOptions{})
		a := &answers{byIssuer: map[string]domainsec.RevocationStatus{"Test Root": good, "Other": revoked}}
		w := (&world{revocation: a}).anchor(t, anyScope(), root.Certificate, other.Certificate)
		if got := w.verifier(t).OwnStatus(context.Background(), append(leaf.Chain[:2:2], cross.Certificate)); got.Status != revoked {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("remembered while it holds", func(t *testing.T) {
		clock := now
		a := goodAnswers()
		v, err := New(Options{Revocation: a, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(ctx context.Context) int {
			v.OwnStatus(ctx, leaf.Chain)
			return a.count()
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		ctx := context.Background()
		for i, step := range []struct {
			ctx   context.Context
			after time.Duration
			asked int
		}{{ended, 0, 1}, {ctx, 0, 2}, {ctx, 0, 2}, {ctx, maxFailureAge - time.Second, 2}, {ctx, time.Second, 3}, {ctx, -time.Hour, 4}} {
			clock = clock.Add(step.after)
			if got := ask(step.ctx); got != step.asked {
				t.Errorf("step %d: asked %d times, want %d", i, got, step.asked)
			}
		}
		a.generation.Add(1)
		if got := ask(ctx); got != 5 {
			t.Errorf("after a CRL changed: asked %d times, want 5", got)
		}
		a.status = domainsec.RevocationUnknown
		a.generation.Add(1)
		ask(ctx)
		clock = clock.Add(maxUnknownAge)
		if got := ask(ctx); got != 7 {
			t.Errorf("unknown: asked %d times, want 7", got)
		}
		for range 3 * maxOwnAnswers {
			a.generation.Add(1)
			ask(ctx)
		}
		if n := len(v.own.answers); n > maxOwnAnswers {
			t.Errorf("%d answers remembered", n)
		}
	})
	t.Run("without a checker", func(t *testing.T) {
		got := (&world{}).verifier(t).OwnStatus(context.Background(), leaf.Chain)
		if got.Status != unknown || !strings.Contains(got.Detail, "not checked") {
			t.Errorf("got %+v", got)
		}
	})
}

// TestSystemRoots: they count only if the settings say so.
func TestSystemRoots(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	pool := x509.NewCertPool()
	pool.AddCert(root.Certificate)
	chain := root.Issue(t, leafFor("woodgrovebank.com")).Chain
	for on, want := range map[bool]string{true: "secured", false: "UntrustedRoot"} {
		a := goodAnswers()
		v, err := New(Options{Config: directory.Trust{SystemRoots: on}, SystemRoots: pool, Revocation: a})
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(t, v, chain, partner()); got != want {
			t.Errorf("systemRoots %t: %q, want %q", on, got, want)
		}
		// The root sent along, out of order, does not confuse the search.
		if got := judge(t, v, append(chain[:1:1], root.Certificate), partner()); got != want {
			t.Errorf("systemRoots %t, root presented: %q, want %q", on, got, want)
		}
		if n := a.count(); on && n != 2 {
			t.Errorf("asked about %d paths; the root that was presented is the one in the pool", n)
		}
	}
}
