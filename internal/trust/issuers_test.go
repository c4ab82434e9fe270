package trust_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
	"mailpact/internal/trust/pkitest"
)

// issuerShelf is an IssuerSource that notes what it was asked for.
type issuerShelf struct {
	at    map[string]*x509.Certificate
	asked []string
}

func (s *issuerShelf) Fetch(_ context.Context, address string) ([]*x509.Certificate, error) {
	s.asked = append(s.asked, address)
	if c := s.at[address]; c != nil {
		return []*x509.Certificate{c}, nil
	}
	return nil, errors.New("no route")
}

func TestMissingIssuersAreFetched(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	policy := root.Intermediate(t, pkitest.CAOptions{Name: "Policy CA"})
	issuing := policy.Intermediate(t, pkitest.CAOptions{Name: "Issuing CA", IssuerURL: []string{"http://ca.example/policy.crt"}})
	leaf := issuing.Issue(t, pkitest.LeafOptions{
		Names: []string{"woodgrovebank.com"}, IssuerURL: []string{"http://down.example/i.crt", "http://ca.example/issuing.crt"},
	})
	shelf := map[string]*x509.Certificate{"http://ca.example/issuing.crt": issuing.Certificate, "http://ca.example/policy.crt": policy.Certificate}
	partner := &directory.Partner{Domain: "woodgrovebank.com"}
	stranger := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Stranger"})
	tests := []struct {
		name      string
		presented []*x509.Certificate
		partner   *directory.Partner
		off       bool
		shelf     map[string]*x509.Certificate
		asked     int
		reasons   []domainsec.Reason
	}{
		{"two rounds", leaf.Chain[:1], partner, false, shelf, 3, nil},
		{"complete", leaf.Chain, partner, false, shelf, 0, nil},
		{"switched off", leaf.Chain[:1], partner, true, shelf, 0, []domainsec.Reason{domainsec.UntrustedRoot}},
		{"a stranger's", leaf.Chain[:1], nil, false, shelf, 0, []domainsec.Reason{domainsec.UntrustedRoot}},
		{"another name", leaf.Chain[:1], &directory.Partner{Domain: "contoso.com"}, false, shelf, 0, []domainsec.Reason{domainsec.UntrustedRoot, domainsec.SubjectMismatch}},
		{"unreachable", leaf.Chain[:1], partner, false, nil, 2, []domainsec.Reason{domainsec.RevocationOffline}},
		{"the second is unreachable", leaf.Chain[:1], partner, false, map[string]*x509.Certificate{"http://ca.example/issuing.crt": issuing.Certificate}, 3, []domainsec.Reason{domainsec.RevocationOffline}},
		{"a wrong certificate", leaf.Chain[:1], partner, false, map[string]*x509.Certificate{"http://down.example/i.crt": stranger.Certificate}, 2, []domainsec.Reason{domainsec.RevocationOffline}},
		{"wrong certificates", leaf.Chain[:1], partner, false, map[string]*x509.Certificate{"http://down.example/i.crt": stranger.Certificate, "http://ca.example/issuing.crt": stranger.Certificate}, 2, []domainsec.Reason{domainsec.UntrustedRoot}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := &issuerShelf{at: tt.shelf}
			v, err := trust.New(trust.Options{
				Config: directory.Trust{FetchIntermediates: !tt.off, Anchors: []directory.Anchor{{
					File: pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)), Scope: directory.Scope{Any: true}, Revocation: directory.RevocationNone,
				}}},
				Issuers: source,
			})
			if err != nil {
				t.Fatal(err)
			}
			r := trust.Request{Presented: tt.presented, Domain: "woodgrovebank.com", Direction: domainsec.Inbound, Partner: tt.partner}
			if tt.partner != nil {
				r.Domain = tt.partner.Domain
			}
			facts := v.Judge(t.Context(), r)
			verdict := domainsec.VerdictForCertificate(facts, tt.partner)
			if !slices.Equal(verdict.Reasons, tt.reasons) {
				t.Errorf("reasons %v (%s), want %v", verdict.Reasons, verdict.Detail, tt.reasons)
			}
			if len(source.asked) != tt.asked || len(facts.Fetched) != tt.asked {
				t.Errorf("asked %q, fetched %+v", source.asked, facts.Fetched)
			}
			if verdict.Temporary != slices.Contains(tt.reasons, domainsec.RevocationOffline) {
				t.Errorf("temporary: %v", verdict.Temporary)
			}
		})
	}
}

// TestCommonNameCanBeLeftAside: with the settings against it a CN is no name.
func TestCommonNameCanBeLeftAside(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	leaf := root.Issue(t, pkitest.LeafOptions{CommonName: "mail1.woodgrovebank.com"})
	partner := &directory.Partner{Domain: "woodgrovebank.com"}
	for on, want := range map[bool]string{true: "mail1.woodgrovebank.com", false: ""} {
		v, err := trust.New(trust.Options{Config: directory.Trust{CommonName: on, Anchors: []directory.Anchor{{
			File: pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)), Scope: directory.Scope{Any: true}, Revocation: directory.RevocationNone,
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		facts := v.Judge(t.Context(), trust.Request{Presented: leaf.Chain, Domain: "woodgrovebank.com", Direction: domainsec.Inbound, Partner: partner})
		if facts.MatchedName != want || v.NameMatches(leaf.Certificate, partner) != want {
			t.Errorf("commonName %v: %q and %q, want %q", on, facts.MatchedName, v.NameMatches(leaf.Certificate, partner), want)
		}
	}
}
