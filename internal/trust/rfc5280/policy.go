package rfc5280

import (
	"crypto/x509"
	"errors"
)

// PolicyInputs are the inputs (c) and (e) to (g) of path validation (RFC 5280,
// section 6.1.1). The zero value asks for nothing: certificates may still ask for
// policies themselves, by policy constraints.
type PolicyInputs struct {
	// Policies is the user-initial-policy-set; empty stands for anyPolicy.
	Policies []x509.OID
	// RequireExplicit: a path must be valid for at least one of Policies.
	RequireExplicit bool
	// InhibitMapping: no policy may be mapped to another.
	InhibitMapping bool
	// InhibitAny: anyPolicy in a certificate stands for no policy.
	InhibitAny bool
}

const anyPolicy = "2.5.29.32.0"

// policyNode is a node of the valid policy graph (RFC 9618, section 4): one for
// each policy at a depth, however many ways lead to it.
type policyNode struct {
	// acceptable: some way to it begins with a policy of the user's set.
	acceptable bool
	// expected is the policies by which the next certificate may go on.
	expected map[string]bool
}

// policyState is the state of section 6.1.2 that concerns policies.
type policyState struct {
	acceptable map[string]bool // nil: any
	nodes      map[string]*policyNode
	// Certificates that may follow before a policy is required, mapping ends,
	// and anyPolicy means nothing any more.
	explicit, mapping, any int
}

func newPolicyState(in PolicyInputs, certificates int) *policyState {
	s := &policyState{explicit: certificates + 1, mapping: certificates + 1, any: certificates + 1}
	if in.RequireExplicit {
		s.explicit = 0
	}
	if in.InhibitMapping {
		s.mapping = 0
	}
	if in.InhibitAny {
		s.any = 0
	}
	if len(in.Policies) > 0 {
		s.acceptable = map[string]bool{}
		for _, p := range in.Policies {
			s.acceptable[p.String()] = true
		}
		if s.acceptable[anyPolicy] {
			s.acceptable = nil
		}
	}
	s.nodes = map[string]*policyNode{anyPolicy: {acceptable: s.acceptable == nil, expected: map[string]bool{anyPolicy: true}}}
	return s
}

// certificate processes one certificate's policies (section 6.1.3, steps d to f).
func (s *policyState) certificate(c *x509.Certificate, last, selfIssued bool) error {
	if policies := policiesOf(c); policies == nil {
		s.nodes = nil
	} else {
		s.nodes = s.descend(policies, s.any > 0 || !last && selfIssued)
	}
	if s.explicit == 0 && len(s.nodes) == 0 {
		return errors.New("no acceptable certificate policy is left")
	}
	return nil
}

// descend makes the nodes below the present ones.
func (s *policyState) descend(policies []string, anyCounts bool) map[string]*policyNode {
	next := map[string]*policyNode{}
	anyNode := s.nodes[anyPolicy]
	expecting := map[string]*policyNode{} // by what is expected: acceptable if one of them is
	for policy, n := range s.nodes {
		if policy == anyPolicy {
			continue
		}
		for e := range n.expected {
			if expecting[e] == nil {
				expecting[e] = &policyNode{}
			}
			expecting[e].acceptable = expecting[e].acceptable || n.acceptable
		}
	}
	all := false
	for _, p := range policies {
		switch {
		case p == anyPolicy:
			all = anyCounts
		case expecting[p] != nil:
			next[p] = &policyNode{acceptable: expecting[p].acceptable, expected: map[string]bool{p: true}}
		case anyNode != nil:
			next[p] = &policyNode{acceptable: s.acceptable == nil || s.acceptable[p], expected: map[string]bool{p: true}}
		}
	}
	if !all {
		return next
	}
	for p, parent := range expecting {
		if next[p] == nil {
			next[p] = &policyNode{acceptable: parent.acceptable, expected: map[string]bool{p: true}}
		}
	}
	if anyNode != nil {
		next[anyPolicy] = &policyNode{acceptable: anyNode.acceptable, expected: map[string]bool{anyPolicy: true}}
	}
	return next
}

// issuer prepares for the next certificate below a CA (section 6.1.4, steps a,
// b and h to j).
func (s *policyState) issuer(c *x509.Certificate, selfIssued bool) error {
	mapped := map[string]map[string]bool{}
	for _, m := range c.PolicyMappings {
		from, to := m.IssuerDomainPolicy.String(), m.SubjectDomainPolicy.String()
		if from == anyPolicy || to == anyPolicy {
			return errors.New("it maps from or to anyPolicy")
		}
		if mapped[from] == nil {
			mapped[from] = map[string]bool{}
		}
		mapped[from][to] = true
	}
	anyNode := s.nodes[anyPolicy]
	for from, to := range mapped {
		n := s.nodes[from]
		switch {
		case s.mapping == 0:
			delete(s.nodes, from)
		case n != nil:
			n.expected = to
		case anyNode != nil:
			s.nodes[from] = &policyNode{acceptable: s.acceptable == nil || s.acceptable[from], expected: to}
		}
	}
	if !selfIssued {
		s.explicit, s.mapping, s.any = max(0, s.explicit-1), max(0, s.mapping-1), max(0, s.any-1)
	}
	if skip, set := limitOf(c.RequireExplicitPolicy, c.RequireExplicitPolicyZero); set {
		s.explicit = min(s.explicit, skip)
	}
	if skip, set := limitOf(c.InhibitPolicyMapping, c.InhibitPolicyMappingZero); set {
		s.mapping = min(s.mapping, skip)
	}
	if skip, set := limitOf(c.InhibitAnyPolicy, c.InhibitAnyPolicyZero); set {
		s.any = min(s.any, skip)
	}
	return nil
}

// end wraps up after the last certificate (section 6.1.5).
func (s *policyState) end(c *x509.Certificate) error {
	s.explicit = max(0, s.explicit-1)
	if c.RequireExplicitPolicyZero {
		s.explicit = 0
	}
	if s.explicit > 0 {
		return nil
	}
	for policy, n := range s.nodes {
		// Below anyPolicy each policy of the user's set may stand.
		if n.acceptable || policy == anyPolicy {
			return nil
		}
	}
	return errors.New("it is valid for no acceptable certificate policy")
}

// limitOf reads a number as crypto/x509 has it, where 0 alone says nothing.
func limitOf(n int, zero bool) (int, bool) { return n, n > 0 || zero }

// policiesOf returns the policies of a certificate; nil: it has no extension of them.
func policiesOf(c *x509.Certificate) []string {
	if len(c.Policies) == 0 {
		return nil
	}
	all := make([]string, len(c.Policies))
	for i, p := range c.Policies {
		all[i] = p.String()
	}
	return all
}
