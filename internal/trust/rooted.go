package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
)

// maxStrangerChecks is how many signatures are verified with keys that no anchor
// vouches for, and that are quick besides. It is what naming the fault of an
// ordinary chain takes. A peer chooses such keys himself.
const maxStrangerChecks = 4

// findRooted finds the issuers through which a path can lead: those that an
// anchor signed, or another of them did. It works from the anchors downward, so
// that only their keys, and those of CAs already found, are used; every path
// from the leaf to an anchor runs through these alone.
func (s *search) findRooted(leaf *x509.Certificate) {
	open := s.named(leaf)
	for grew := true; grew && s.overrun == ""; {
		grew = false
		for _, c := range open {
			if !s.rooted[c] && s.hasRootedIssuer(c) {
				s.rooted[c], grew = true, true
			}
		}
	}
}

// named returns the issuers that the leaf, and they themselves, lead to by
// name. No signature is verified.
func (s *search) named(leaf *x509.Certificate) []*x509.Certificate {
	var found []*x509.Certificate
	known := map[*x509.Certificate]bool{}
	for next := []*x509.Certificate{leaf}; len(next) > 0; next = next[1:] {
		for _, c := range s.issuers {
			if !known[c] && s.issued(c, next[0]) {
				known[c] = true
				found, next = append(found, c), append(next, c)
			}
		}
	}
	return found
}

func (s *search) hasRootedIssuer(c *x509.Certificate) bool {
	for _, a := range s.request.Anchors {
		if a.Issuer && s.issued(a.Certificate, c) && s.signature(c, a.Certificate) == nil {
			return true
		}
	}
	if len(s.systemRootsOf(c)) > 0 {
		return true
	}
	for _, p := range s.issuers {
		if s.rooted[p] && s.issued(p, c) && s.signature(c, p) == nil {
			return true
		}
	}
	return false
}

// worthChecking reports whether child's signature is to be verified with
// parent's key: always when a path can lead on from there, otherwise as often
// as the bound allows, for the diagnosis.
func (s *search) worthChecking(child, parent *x509.Certificate) bool {
	if s.rooted[parent] {
		return true
	}
	if _, known := s.signatures[checked{child, string(parent.RawSubjectPublicKeyInfo)}]; known {
		return true
	}
	if s.strangers == maxStrangerChecks || !quickKey(parent) {
		return false
	}
	s.strangers++
	return true
}

// quickKey reports whether verifying a signature with the certificate's key takes
// well under a millisecond. The larger curves take many times as long as P-256.
func quickKey(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() <= 4096 && k.E <= 1<<16+1
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return true
	default:
		return false
	}
}
