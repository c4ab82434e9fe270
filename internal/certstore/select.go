package certstore

import (
	"slices"
	"strings"
	"time"

	"mailpact/internal/directory"
)

// preference is the class of a candidate; lower is taken first.
type preference uint8

const (
	issued     preference = iota // issued by a CA, within its dates, usable
	selfSigned                   // the same, signed with its own key
	outOfDate                    // expired or not yet valid
	unusable                     // its caller says so: revoked
)

// candidate is a certificate that carries the name.
type candidate struct {
	*Certificate
	preference preference
	exact      bool
}

// Select returns the certificates for name in selection order; the first is
// the one to use, and none means that TLS cannot be offered. Eligible is what
// is X.509 version 3, enabled for SMTP and meant by name: for a host name it
// carries that exactly or by a one-label wildcard. Certificates from a CA come before self-signed ones, what
// is out of date after both, and what usable turns down last; within each class
// the newest NotBefore comes first. Ties go to the exact name, then to the
// later NotAfter, then to the thumbprint.
//
// usable says whether a certificate may be used (it is not revoked, say); nil
// accepts every one. It is called once for each candidate.
func (s *Store) Select(name directory.CertificateName, usable func(*Certificate) bool) []*Certificate {
	return certificatesOf(s.candidates(name, usable))
}

// Ordered returns all certificates in the order of Select, whatever their
// names; those that SMTP cannot use come last.
func (s *Store) Ordered(usable func(*Certificate) bool) []*Certificate {
	now := s.now()
	var first, last []candidate
	for _, c := range s.All() {
		k := s.rank(c, false, usable, now)
		if eligible(c, now) {
			first = append(first, k)
		} else {
			last = append(last, k)
		}
	}
	slices.SortStableFunc(first, compareCandidates)
	slices.SortStableFunc(last, compareCandidates)
	return certificatesOf(append(first, last...))
}

func certificatesOf(found []candidate) []*Certificate {
	out := make([]*Certificate, len(found))
	for i, k := range found {
		out[i] = k.Certificate
	}
	return out
}

// eligible reports whether SMTP can use c at all.
func eligible(c *Certificate, now time.Time) bool {
	return c.TLS.Leaf.Version >= 3 && c.EnabledFor(directory.ServiceSMTP, now)
}

// candidates returns what Select does, with the reasons of the order.
func (s *Store) candidates(name directory.CertificateName, usable func(*Certificate) bool) []candidate {
	if name == "" {
		return nil
	}
	now := s.now()
	var found []candidate
	for _, c := range s.All() {
		if ok, exact := c.matches(name); ok && eligible(c, now) {
			found = append(found, s.rank(c, exact, usable, now))
		}
	}
	slices.SortStableFunc(found, compareCandidates)
	return found
}

// rank finds the class of a certificate.
func (s *Store) rank(c *Certificate, exact bool, usable func(*Certificate) bool, now time.Time) candidate {
	k := candidate{Certificate: c, exact: exact}
	switch {
	case usable != nil && !usable(c):
		k.preference = unusable
	case !c.Current(now):
		k.preference = outOfDate
	case c.SelfSigned:
		k.preference = selfSigned
	}
	return k
}

// Follows reports whether c stands by to take the place of current under name
// at the time now: it carries the name, lasts longer, and is not in use yet.
func (c *Certificate) Follows(current *Certificate, name directory.CertificateName, now time.Time) bool {
	ok, _ := c.matches(name)
	return ok && c.Managed() && !eligible(c, now) && c.TLS.Leaf.NotAfter.After(current.TLS.Leaf.NotAfter)
}

// compareCandidates orders by preference, then as the described system does.
func compareCandidates(a, b candidate) int {
	if a.preference != b.preference {
		return int(a.preference) - int(b.preference)
	}
	if c := b.TLS.Leaf.NotBefore.Compare(a.TLS.Leaf.NotBefore); c != 0 {
		return c
	}
	if a.exact != b.exact {
		if a.exact {
			return -1
		}
		return 1
	}
	if c := b.TLS.Leaf.NotAfter.Compare(a.TLS.Leaf.NotAfter); c != 0 {
		return c
	}
	return strings.Compare(a.Thumbprint(), b.Thumbprint())
}
