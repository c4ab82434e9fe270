// Package rfc5280 judges one certification path as RFC 5280, section 6.1, wants
// it, beyond what crypto/x509 can: names that differ in case, spaces or string
// type, directory name constraints, self-issued certificates in path lengths
// and name constraints, and policies with all their inputs.
//
// The main function is Check. Names are compared by package dn.
//
// Invariants:
//   - Nothing here builds a path, verifies a signature, or looks at dates, key
//     strength or extended key usages: package trust does.
//   - Everything is a pure function of its arguments and safe for concurrent use.
//   - What cannot be read, or would cost too much, is a fault.
//
// Policies are kept as the graph of RFC 9618, whose size grows with the
// certificates and not, as the tree of RFC 5280 does, with their product.
//
// Deliberate deviations: the constraints and the path length of the anchor
// apply like those of any CA, because a private root that confines itself means
// it; name constraints count whether they are critical or not; a CN that stands
// in for a missing DNS name is bound by DNS name constraints; the limits on
// constraints are those of Check.
package rfc5280
