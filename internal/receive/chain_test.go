package receive

import (
	"context"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
	"mailpact/internal/trust/pkitest"
)

// answers of a revocation service that a test has written.
type writtenRevocation struct {
	mu    sync.Mutex
	by    map[string]domainsec.RevocationStatus // by the leaf's CN
	asked int
}

func (r *writtenRevocation) CheckPath(_ context.Context, path []*x509.Certificate) trust.PathStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	s, ok := r.by[path[0].Subject.CommonName]
	if !ok {
		s = domainsec.RevocationGood
	}
	return trust.PathStatus{Status: s, ThisUpdate: noon.Add(-time.Hour), ValidUntil: noon.Add(time.Hour)}
}

func (r *writtenRevocation) Generation() uint64 { return 1 }

// TestInboundTableWithRealChains judges real chains: what is spoiled here is
// the certificate, not the judge.
func TestInboundTableWithRealChains(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Woodgrove Root"})
	strangers := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Strangers' Root"})
	fabrikamRoot := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Fabrikam Root"})
	issuing := root.Intermediate(t, pkitest.CAOptions{Name: "Woodgrove Issuing"})
	names := []string{"mail.woodgrovebank.com"}
	itself := pkitest.SelfSigned(t, pkitest.LeafOptions{CommonName: "itself", Names: names})
	other := pkitest.SelfSigned(t, pkitest.LeafOptions{CommonName: "other", Names: names})
	revocation := &writtenRevocation{by: map[string]domainsec.RevocationStatus{
		"revoked": domainsec.RevocationRevoked,
		"offline": domainsec.RevocationUnknown,
	}}
	file := func(c *x509.Certificate) string {
		return pkitest.WriteFile(t, c.Subject.CommonName+".pem", pkitest.PEM(c))
	}
	scope := func(d ...smtp.Domain) directory.Scope { return directory.Scope{Domains: d} }
	verifier, err := trust.New(trust.Options{
		Config: directory.Trust{Anchors: []directory.Anchor{
			{File: file(root.Certificate), Scope: scope("woodgrovebank.com")},
			{File: file(fabrikamRoot.Certificate), Scope: scope("fabrikam.com")},
			{File: file(itself.Certificate), Scope: scope("woodgrovebank.com")},
		}},
		Revocation: revocation,
	})
	if err != nil {
		t.Fatal(err)
	}
	const fault = "454 4.7.5 Certificate validation failure, Reason:"
	tests := []struct {
		name string
		leaf *pkitest.Leaf
		want string
	}{
		{"good", issuing.Issue(t, pkitest.LeafOptions{CommonName: "good", Names: names}), "250 2.1.0 alice@woodgrovebank.com Sender OK"},
		{"good, serverAuth alone", issuing.Issue(t, pkitest.LeafOptions{CommonName: "server", Names: names, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), "250 2.1.0 alice@woodgrovebank.com Sender OK"},
		{"good, trusted by itself", itself, "250 2.1.0 alice@woodgrovebank.com Sender OK"},
		{"self-signed and not trusted", other, fault + "UntrustedRoot [id]"},
		{"stranger's CA", strangers.Issue(t, pkitest.LeafOptions{CommonName: "stranger", Names: names}), fault + "UntrustedRoot [id]"},
		{"root of another partner", fabrikamRoot.Issue(t, pkitest.LeafOptions{CommonName: "scope", Names: names}), fault + "UntrustedRoot [id]"},
		{"expired", issuing.Issue(t, pkitest.LeafOptions{CommonName: "expired", Names: names, NotBefore: noon.Add(-72 * time.Hour), NotAfter: noon.Add(-time.Hour)}), fault + "CertificateExpired [id]"},
		{"not yet valid", issuing.Issue(t, pkitest.LeafOptions{CommonName: "early", Names: names, NotBefore: noon.Add(time.Hour), NotAfter: noon.Add(72 * time.Hour)}), fault + "CertificateNotYetValid [id]"},
		{"wrong usage", issuing.Issue(t, pkitest.LeafOptions{CommonName: "usage", Names: names, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}), fault + "WrongUsage [id]"},
		{"no name matches", issuing.Issue(t, pkitest.LeafOptions{CommonName: "name", Names: []string{"a.b.woodgrovebank.com"}}), fault + "SubjectMismatch [id]"},
		{"weak key", issuing.Issue(t, pkitest.LeafOptions{CommonName: "weak", Names: names, KeyType: pkitest.RSA1024}), fault + "WeakSignature [id]"},
		{"revoked", issuing.Issue(t, pkitest.LeafOptions{CommonName: "revoked", Names: names}), fault + "Revoked [id]"},
		{"revocation unknown", issuing.Issue(t, pkitest.LeafOptions{CommonName: "offline", Names: names}), fault + "RevocationOffline [id]"},
		{"leaf below a leaf", itself.AsCA().Issue(t, pkitest.LeafOptions{CommonName: "below", Names: names}), fault + "UntrustedRoot [id]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(_ *directory.Configuration, o *Options) { o.Judge = verifier })
			p := w.dial()
			p.startTLS(tt.leaf)
			p.want("MAIL FROM:<alice@woodgrovebank.com>", tt.want)
			if !strings.HasPrefix(tt.want, "250 ") {
				return
			}
			p.do("RSET")
			if got := p.message("alice@woodgrovebank.com", "bob@contoso.com", letter("alice@woodgrovebank.com")); !strings.HasPrefix(got, "250 ") {
				t.Fatal(got)
			}
			if m := w.queue.only(t); m.SecuredDomain != "woodgrovebank.com" {
				t.Errorf("secured for %q", m.SecuredDomain)
			}
		})
	}
	t.Run("a name without a trusted chain asks nobody", func(t *testing.T) {
		before := revocation.asked
		w := newWorld(t, func(_ *directory.Configuration, o *Options) { o.Judge = verifier })
		p := w.dial()
		p.startTLS(strangers.Issue(t, pkitest.LeafOptions{Names: names}))
		p.want("MAIL FROM:<alice@woodgrovebank.com>", fault+"UntrustedRoot [id]")
		p.want("MAIL FROM:<>", "250 2.1.0 <> Sender OK")
		if revocation.asked != before {
			t.Errorf("revocation was asked %d times for a stranger's certificate", revocation.asked-before)
		}
	})
}
