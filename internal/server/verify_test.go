package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailpact/internal/admin"
	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/smtp/smtptest"
	"mailpact/internal/trust/pkitest"
)

// brokenPKI is what a partner may present, and what is to be said of it.
type brokenPKI struct {
	name  string
	chain *pkitest.Leaf
	want  string // status
}

// brokenPKIs are partners of woodgrovebank.com under one root, each broken in his own way.
func brokenPKIs(t *testing.T, root *pkitest.CA, crls *pkitest.CRLServer) []brokenPKI {
	t.Helper()
	list, gone := []string{crls.URL("/root.crl")}, []string{crls.URL("/none.crl")}
	names := []string{"mail1.woodgrovebank.com"}
	past, soon := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	issuing := root.Intermediate(t, pkitest.CAOptions{Name: "Issuing CA", CRLs: list})
	crls.Set("/issuing.crl", issuing.CRL(t, pkitest.CRLOptions{}))
	below := []string{crls.URL("/issuing.crl")}
	withoutIssuer := issuing.Issue(t, pkitest.LeafOptions{Names: names, CRLs: below})
	withoutIssuer.Chain = withoutIssuer.Chain[:1]
	crls.Set("/issuing.crt", issuing.Certificate.Raw)
	fetched := issuing.Issue(t, pkitest.LeafOptions{Names: names, CRLs: below, IssuerURL: []string{crls.URL("/none.crt"), crls.URL("/issuing.crt")}})
	fetched.Chain = fetched.Chain[:1]
	unreachable := issuing.Issue(t, pkitest.LeafOptions{Names: names, CRLs: below, IssuerURL: []string{crls.URL("/none.crt")}})
	unreachable.Chain = unreachable.Chain[:1]
	confined := root.Intermediate(t, pkitest.CAOptions{Name: "Confined CA", CRLs: list, PermittedDNS: []string{"fabrikam.com"}})
	crls.Set("/confined.crl", confined.CRL(t, pkitest.CRLOptions{}))
	zero := 0
	short := root.Intermediate(t, pkitest.CAOptions{Name: "Short CA", CRLs: list, PathLength: &zero})
	crls.Set("/short.crl", short.CRL(t, pkitest.CRLOptions{}))
	tooDeep := short.Intermediate(t, pkitest.CAOptions{Name: "Too Deep CA", CRLs: []string{crls.URL("/short.crl")}})
	serverOnly := root.Intermediate(t, pkitest.CAOptions{Name: "Server CA", CRLs: list, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	crls.Set("/server.crl", serverOnly.CRL(t, pkitest.CRLOptions{}))
	revoked := root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list})
	revokedCA := root.Intermediate(t, pkitest.CAOptions{Name: "Revoked CA", CRLs: list})
	crls.Set("/revokedca.crl", revokedCA.CRL(t, pkitest.CRLOptions{}))
	crls.Set("/root.crl", root.CRL(t, pkitest.CRLOptions{Revoked: []*x509.Certificate{revoked.Certificate, revokedCA.Certificate}}))
	stranger := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Fabrikam Root"})
	tampered := root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list})
	tampered.Certificate = pkitest.Tampered(t, tampered.Certificate)
	tampered.Chain = []*x509.Certificate{tampered.Certificate}

	return []brokenPKI{
		{"good", root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list}), "Valid"},
		{"good below an intermediate", issuing.Issue(t, pkitest.LeafOptions{Names: names, CRLs: below}), "Valid"},
		{"good for servers only", serverOnly.Issue(t, pkitest.LeafOptions{Names: names, CRLs: []string{crls.URL("/server.crl")}}), "Valid"},
		{"intermediate missing", withoutIssuer, "UntrustedRoot"},
		{"intermediate fetched", fetched, "Valid"},
		{"intermediate not to be had", unreachable, "RevocationOffline"},
		{"unknown root", stranger.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list}), "UntrustedRoot"},
		{"self-signed", pkitest.SelfSigned(t, pkitest.LeafOptions{Names: names}), "UntrustedRoot"},
		{"tampered", tampered, "UntrustedRoot"},
		{"expired", root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list, NotBefore: past.AddDate(-1, 0, 0), NotAfter: past}), "CertificateExpired"},
		{"not yet valid", root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list, NotBefore: soon}), "CertificateNotYetValid"},
		{"wrong usage", root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}), "WrongUsage"},
		{"no usage in common", serverOnly.Issue(t, pkitest.LeafOptions{Names: names, CRLs: []string{crls.URL("/server.crl")}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), "WrongUsage"},
		{"another's name", root.Issue(t, pkitest.LeafOptions{Names: []string{"mail1.fabrikam.com"}, CRLs: list}), "SubjectMismatch"},
		{"too deep a name", root.Issue(t, pkitest.LeafOptions{Names: []string{"a.b.woodgrovebank.com"}, CRLs: list}), "SubjectMismatch"},
		{"outside name constraints", confined.Issue(t, pkitest.LeafOptions{Names: names, CRLs: []string{crls.URL("/confined.crl")}}), "InvalidChain"},
		{"path too long", tooDeep.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list}), "InvalidChain"},
		{"weak key", root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: list, KeyType: pkitest.RSA1024}), "WeakSignature"},
		{"revoked", revoked, "Revoked"},
		{"issuer revoked", revokedCA.Issue(t, pkitest.LeafOptions{Names: names, CRLs: []string{crls.URL("/revokedca.crl")}}), "Revoked"},
		{"no list to be had", root.Issue(t, pkitest.LeafOptions{Names: names, CRLs: gone}), "RevocationOffline"},
		{"no list named", root.Issue(t, pkitest.LeafOptions{Names: names}), "RevocationOffline"},
	}
}

// TestVerifyAgreesWithSessions presents each certificate in a STARTTLS handshake
// and gives it to the command's function under the same configuration: both must
// come to the same verdict, for the same reason.
func TestVerifyAgreesWithSessions(t *testing.T) {
	crls := pkitest.NewCRLServer(t)
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Woodgrove Root"})
	cases := brokenPKIs(t, root, crls)
	c := configuration(t, t.TempDir(), handsOff("contoso.com", freeAddress(t)), func(c *directory.Configuration) {
		c.Trust.Anchors = []directory.Anchor{{
			File:  pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)),
			Scope: directory.Scope{Domains: []smtp.Domain{mustDomain("woodgrovebank.com")}}, Revocation: directory.RevocationRequired,
		}}
		c.Partners = []directory.Partner{{
			Domain: mustDomain("woodgrovebank.com"), Mode: directory.ModeEnforce, Send: true, Receive: true,
			NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer, FromAlignment: directory.FromUnmarked,
		}}
		c.Revocation.AllowPrivateTargets = true
		c.ReceiveConnectors[0].TarpitInterval = 0
	})
	g := start(t, c)
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			live := g.liveStatus(t, tt.chain)
			r, err := admin.VerifyCertificate(t.Context(), admin.VerifyEnvironment{Configuration: c}, admin.CertificateVerifyRequest{
				Certificate: admin.File{Name: "peer.pem", Content: pkitest.PEM(tt.chain.Chain...)}, Domain: "woodgrovebank.com",
			})
			if err != nil {
				t.Fatal(err)
			}
			if live != tt.want || r.Status != tt.want || r.Valid != (tt.want == "Valid") {
				t.Errorf("the session says %s, the command %s (valid: %v, %s); want %s", live, r.Status, r.Valid, r.Detail, tt.want)
			}
		})
	}
}

// liveStatus opens a session with the certificate and returns "Valid" if mail
// from woodgrovebank.com is accepted, or else the reason of the reply.
func (g *gateway) liveStatus(t *testing.T, l *pkitest.Leaf) string {
	t.Helper()
	s := g.dialWith(t, l)
	defer s.Close()
	reply := s.Say("MAIL FROM:<amy@woodgrovebank.com>")
	if strings.HasPrefix(reply, "250 ") {
		return "Valid"
	}
	m := regexp.MustCompile(`^454 4\.7\.5 .*Reason:(\w+)`).FindStringSubmatch(reply)
	if m == nil {
		t.Fatalf("MAIL FROM: %q", reply)
	}
	return m[1]
}

// dialWith opens a session in TLS that presents a certificate.
func (g *gateway) dialWith(t *testing.T, l *pkitest.Leaf) *smtptest.Client {
	t.Helper()
	s, _ := smtptest.Dial(t, g.addr)
	s.Expect("EHLO mail1.woodgrovebank.com", "250-")
	own := l.TLS()
	s.StartTLS(&tls.Config{
		InsecureSkipVerify:   true, // the server's certificate is not what is tested
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	})
	s.Expect("EHLO mail1.woodgrovebank.com", "250-")
	return s
}

// TestLetThroughUnmarked sends what is not secured and passes all the same: by
// an override, and under a listed name that is shared.
func TestLetThroughUnmarked(t *testing.T) {
	crls := pkitest.NewCRLServer(t)
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Woodgrove Root"})
	crls.Set("/root.crl", root.CRL(t, pkitest.CRLOptions{}))
	list := []string{crls.URL("/root.crl")}
	tests := []struct {
		name   string
		leaf   pkitest.LeafOptions
		change func(*directory.Partner)
		marked bool
		want   string // of MAIL FROM
	}{
		{"secured", pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}, CRLs: list}, func(p *directory.Partner) { p.OverrideUntil = time.Now().Add(time.Hour) }, true, "250"},
		{"override", pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}}, func(p *directory.Partner) {
			p.OverrideUntil, p.FromAlignment = time.Now().Add(time.Hour), directory.FromRefuse
		}, false, "250"},
		{"override that is over", pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}}, func(p *directory.Partner) { p.OverrideUntil = time.Now().Add(-time.Minute) }, false, "454 4.7.5"},
		{"override too far ahead", pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}}, func(p *directory.Partner) { p.OverrideUntil = time.Now().Add(8 * 24 * time.Hour) }, false, "454 4.7.5"},
		{"override of another fault", pkitest.LeafOptions{Names: []string{"fabrikam.com"}}, func(p *directory.Partner) { p.OverrideUntil = time.Now().Add(time.Hour) }, false, "454 4.7.5"},
		{"shared name", pkitest.LeafOptions{Names: []string{"out.provider.example"}, CRLs: list}, func(p *directory.Partner) {
			p.NameRule, p.Names, p.Shared = directory.NameRuleListed, []string{"out.provider.example"}, true
		}, false, "250"},
		{"listed name that is not shared", pkitest.LeafOptions{Names: []string{"out.provider.example"}, CRLs: list}, func(p *directory.Partner) {
			p.NameRule, p.Names = directory.NameRuleListed, []string{"out.provider.example"}
		}, false, "454 4.7.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := sink(t, nil)
			g := start(t, configuration(t, t.TempDir(), handsOff("contoso.com", inner.Addr), func(c *directory.Configuration) {
				c.Trust.Anchors = []directory.Anchor{{
					File:  pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)),
					Scope: directory.Scope{Domains: []smtp.Domain{mustDomain("woodgrovebank.com")}}, Revocation: directory.RevocationRequired,
				}}
				p := directory.Partner{
					Domain: mustDomain("woodgrovebank.com"), Mode: directory.ModeEnforce, Send: true, Receive: true,
					NameRule: directory.NameRuleDomain, Usage: directory.UsageMailServer, FromAlignment: directory.FromUnmarked,
				}
				tt.change(&p)
				c.Partners = []directory.Partner{p}
				c.Revocation.AllowPrivateTargets = true
				c.ReceiveConnectors[0].TarpitInterval = 0
			}))
			s := g.dialWith(t, root.Issue(t, tt.leaf))
			defer s.Close()
			s.Expect("MAIL FROM:<amy@woodgrovebank.com>", tt.want)
			if tt.want != "250" {
				return
			}
			s.Expect("RCPT TO:<bob@contoso.com>", "250")
			s.Expect("DATA", "354")
			s.Expect(letter("amy@woodgrovebank.com", "let through")+".", "250 2.6.0")
			if m := arrived(t, inner, "let through"); strings.Contains(m, "Mailpact-Domain-Secured:") != tt.marked {
				t.Errorf("marked: %v, want %v:\n%s", !tt.marked, tt.marked, m)
			}
		})
	}
}
