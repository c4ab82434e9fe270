package rfc5280

import (
	"crypto/x509"
	"testing"
)

func policy(t testing.TB, s string) x509.OID {
	t.Helper()
	oid, err := x509.ParseOID(s)
	if err != nil {
		t.Fatal(err)
	}
	return oid
}

// with returns a certificate with policies.
func with(t testing.TB, policies ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{}
	for _, p := range policies {
		c.Policies = append(c.Policies, policy(t, p))
	}
	return c
}

func mapping(t testing.TB, c *x509.Certificate, from, to string) *x509.Certificate {
	t.Helper()
	c.PolicyMappings = append(c.PolicyMappings, x509.PolicyMapping{IssuerDomainPolicy: policy(t, from), SubjectDomainPolicy: policy(t, to)})
	return c
}

// valid runs the policies of certificates, from below the anchor to the leaf;
// selfIssued are the places of those that issue to themselves.
func valid(in PolicyInputs, certificates []*x509.Certificate, selfIssued ...int) bool {
	s := newPolicyState(in, len(certificates))
	for i, c := range certificates {
		last, self := i == len(certificates)-1, false
		for _, n := range selfIssued {
			self = self || n == i
		}
		if s.certificate(c, last, self) != nil {
			return false
		}
		if last {
			return s.end(c) == nil
		}
		if s.issuer(c, self) != nil {
			return false
		}
	}
	return false
}

func TestPolicies(t *testing.T) {
	const a, b, c = "1.2.3.1", "1.2.3.2", "1.2.3.3"
	path := func(certificates ...*x509.Certificate) []*x509.Certificate { return certificates }
	explicit := func(policies ...string) PolicyInputs {
		in := PolicyInputs{RequireExplicit: true}
		for _, p := range policies {
			in.Policies = append(in.Policies, policy(t, p))
		}
		return in
	}
	requires := func(c *x509.Certificate, skip int) *x509.Certificate {
		c.RequireExplicitPolicy, c.RequireExplicitPolicyZero = skip, skip == 0
		return c
	}
	noMapping := func(c *x509.Certificate, skip int) *x509.Certificate {
		c.InhibitPolicyMapping, c.InhibitPolicyMappingZero = skip, skip == 0
		return c
	}
	noAny := func(c *x509.Certificate, skip int) *x509.Certificate {
		c.InhibitAnyPolicy, c.InhibitAnyPolicyZero = skip, skip == 0
		return c
	}
	inhibitMapping, inhibitAny := explicit(a), explicit(a)
	inhibitMapping.InhibitMapping, inhibitAny.InhibitAny = true, true
	tests := []struct {
		name       string
		in         PolicyInputs
		path       []*x509.Certificate
		selfIssued []int
		want       bool
	}{
		{"nothing asked, nothing there", PolicyInputs{}, path(with(t), with(t)), nil, true},
		{"a set without the wish for one of it", PolicyInputs{Policies: explicit(b).Policies}, path(with(t, a), with(t, a)), nil, true},
		{"explicit, none there", explicit(), path(with(t), with(t)), nil, false},
		{"explicit, one in common", explicit(a), path(with(t, a, b), with(t, a)), nil, true},
		{"explicit, none in common", explicit(), path(with(t, a), with(t, b)), nil, false},
		{"explicit, another wanted", explicit(b), path(with(t, a), with(t, a)), nil, false},
		{"a gap in the middle", explicit(a), path(with(t, a), with(t), with(t, a)), nil, false},
		{"anyPolicy carries", explicit(a), path(with(t, anyPolicy), with(t, a)), nil, true},
		{"anyPolicy to the end is any that is wanted", explicit(a), path(with(t, anyPolicy), with(t, anyPolicy)), nil, true},
		{"anyPolicy below one is that one", explicit(b), path(with(t, a), with(t, anyPolicy)), nil, false},
		{"anyPolicy inhibited by input", inhibitAny, path(with(t, anyPolicy), with(t, a)), nil, false},
		{"anyPolicy inhibited, self-issued", inhibitAny, path(with(t, a), with(t, anyPolicy), with(t, a)), []int{1}, true},
		{"anyPolicy inhibited in a self-issued last", inhibitAny, path(with(t, a), with(t, anyPolicy)), []int{1}, false},
		{"anyPolicy inhibited by a CA", explicit(a), path(noAny(with(t, a), 0), with(t, anyPolicy)), nil, false},
		{"anyPolicy inhibited after one more", explicit(a), path(noAny(with(t, a), 1), with(t, anyPolicy), with(t, a)), nil, true},
		{"anyPolicy inhibited two below", explicit(a), path(noAny(with(t, a), 1), with(t, a), with(t, anyPolicy)), nil, false},
		{"an inhibition cannot be taken back", explicit(a), path(noAny(with(t, a), 0), noAny(with(t, a), 5), with(t, anyPolicy)), nil, false},
		{"a CA requires a policy", PolicyInputs{}, path(requires(with(t), 0), with(t)), nil, false},
		{"a CA requires one further down", PolicyInputs{}, path(requires(with(t, a), 3), with(t, a), with(t)), nil, true},
		{"a CA requires one of the last", PolicyInputs{}, path(requires(with(t, a), 2), with(t, a), with(t)), nil, false},
		{"the last requires one of itself", PolicyInputs{}, path(with(t, a), requires(with(t), 0)), nil, false},
		{"self-issued certificates do not count down", PolicyInputs{}, path(requires(with(t, a), 2), with(t, a), with(t, a), with(t)), []int{1, 2}, true},
		{"a mapping leads on", explicit(a), path(mapping(t, with(t, a), a, b), with(t, b)), nil, true},
		{"what is mapped is not itself any more", explicit(a), path(mapping(t, with(t, a), a, b), with(t, a)), nil, false},
		{"the user's policy is the first, not what it was mapped to", explicit(b), path(mapping(t, with(t, a), a, b), with(t, b)), nil, false},
		{"a mapping to two", explicit(a), path(mapping(t, mapping(t, with(t, a), a, b), a, c), with(t, c)), nil, true},
		{"two mapped to one, one of them wanted", explicit(a), path(mapping(t, mapping(t, with(t, a, b), a, c), b, c), with(t, c)), nil, true},
		{"two mapped to one, neither wanted", explicit("1.2.9"), path(mapping(t, mapping(t, with(t, a, b), a, c), b, c), with(t, c)), nil, false},
		{"a mapping of what only anyPolicy holds", explicit(a), path(mapping(t, with(t, anyPolicy), a, b), with(t, b)), nil, true},
		{"a mapping of what nothing holds", explicit(c), path(mapping(t, with(t, a), c, b), with(t, b)), nil, false},
		{"a chain of mappings", explicit(a), path(mapping(t, with(t, a), a, b), mapping(t, with(t, b), b, c), with(t, c)), nil, true},
		{"mapping inhibited by input", inhibitMapping, path(mapping(t, with(t, a), a, b), with(t, b)), nil, false},
		{"mapping inhibited, and the mapped policy with it", inhibitMapping, path(mapping(t, with(t, a), a, b), with(t, a)), nil, false},
		{"mapping inhibited by a CA", explicit(a), path(noMapping(with(t, a), 0), mapping(t, with(t, a), a, b), with(t, b)), nil, false},
		{"mapping inhibited after one more", explicit(a), path(noMapping(with(t, a), 1), mapping(t, with(t, a), a, b), with(t, b)), nil, true},
		{"from anyPolicy", PolicyInputs{}, path(mapping(t, with(t, a), anyPolicy, b), with(t, b)), nil, false},
		{"to anyPolicy", PolicyInputs{}, path(mapping(t, with(t, a), a, anyPolicy), with(t, a)), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := valid(tt.in, tt.path, tt.selfIssued...); got != tt.want {
				t.Errorf("valid %t, want %t", got, tt.want)
			}
		})
	}
}

// A tree would have two to the power of thirty leaves here.
func TestPoliciesGrowWithTheCertificates(t *testing.T) {
	const a, b = "1.2.3.1", "1.2.3.2"
	var path []*x509.Certificate
	for range 30 {
		c := with(t, a, b)
		for _, from := range []string{a, b} {
			mapping(t, mapping(t, c, from, a), from, b)
		}
		path = append(path, c)
	}
	in := PolicyInputs{Policies: []x509.OID{policy(t, a)}, RequireExplicit: true}
	s := newPolicyState(in, len(path))
	for _, c := range path {
		if err := s.certificate(c, false, false); err != nil {
			t.Fatal(err)
		}
		if err := s.issuer(c, false); err != nil {
			t.Fatal(err)
		}
		if len(s.nodes) > 2 {
			t.Fatalf("%d nodes at a depth", len(s.nodes))
		}
	}
}
