package receive

import (
	"bytes"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
)

func TestMarkIsMadeAnewWhenAFactChanges(t *testing.T) {
	tests := []struct {
		name   string
		change func(*session)
	}{
		{"domain", func(x *session) { x.tx.verdict.Domain = "other.example" }},
		{"name", func(x *session) { x.tx.verdict.MatchedName = "mx.other.example" }},
		{"revocation", func(x *session) {
			x.tx.verdict.Path = &domainsec.PathFacts{Revocation: domainsec.RevocationNotRequired}
		}},
		{"time of the CRL", func(x *session) {
			p := *x.tx.verdict.Path
			p.RevocationTime = p.RevocationTime.Add(time.Hour)
			x.tx.verdict.Path = &p
		}},
		{"TLS", func(x *session) { x.tls = &domainsec.TLSFacts{Version: "TLSv1.2", CipherSuite: "X"} }},
		{"certificate", func(x *session) { x.peerFacts = &domainsec.CertificateFacts{Subject: "CN=other"} }},
		{"no certificate", func(x *session) { x.peerFacts = nil }},
		{"configuration", func(x *session) {
			c := *x.tx.view.configuration
			c.Server.FQDN = "renamed.example"
			x.tx.view = newView(&c)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &directory.Configuration{}
			c.Server.FQDN, c.TransportConfig.AuthservID = "mail.example", "mail.example"
			x := &session{tls: &domainsec.TLSFacts{Version: "TLSv1.3", CipherSuite: "Y"}, peerFacts: &domainsec.CertificateFacts{Subject: "CN=first"}}
			x.tx.view = newView(c)
			x.tx.verdict = domainsec.Verdict{
				Domain: "partner.example", MatchedName: "mx.partner.example",
				Path: &domainsec.PathFacts{Revocation: domainsec.RevocationGood, RevocationTime: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)},
			}
			first := bytes.Clone(x.mark())
			if n := testing.AllocsPerRun(10, func() { x.mark() }); n != 0 {
				t.Errorf("the same mark again takes %.0f allocations", n)
			}
			tt.change(x)
			changed := bytes.Clone(x.mark())
			if bytes.Equal(first, changed) {
				t.Errorf("still the old mark:\n%s", first)
			}
			x.marks = marks{}
			if !bytes.Equal(changed, x.mark()) {
				t.Errorf("the kept mark differs from a fresh one:\n%s", changed)
			}
		})
	}
}
