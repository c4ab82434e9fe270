// Package trust turns a peer's certificates into facts that domainsec judges:
// which paths lead to a trust anchor, what is wrong with each, which name
// matched, what is known of revocation.
//
// The main types are Verifier, which holds one version of the trust settings;
// PathBuilder, which finds paths (Builder does it by RFC 5280); and
// Revocation, which package revocation answers through server.
//
// Invariants:
//   - A path counts for a domain only if its anchor, and every certificate of it
//     that stands in the store with a scope, covers the domain. A scope belongs
//     to what a CA signed, not to how the certificate arrived: presenting a
//     scoped cross-certificate oneself does not lift its scope.
//   - A certificate trusted by itself (an anchor that is no CA) issues nothing.
//   - No distribution point is used for a path that is not otherwise good, nor
//     for a certificate whose names do not match: nothing is fetched for strangers.
//   - What exceeds a bound (certificates, steps, signatures, key sizes) is
//     refused, not cut: a path left out could be the one that is revoked. Left out
//     are only good paths all of whose links lie on others of the same anchor,
//     purposes and certificates of the store, and paths that are too long.
//   - Everything here may be used by many goroutines. A Verifier never changes;
//     new settings make a new one, with an empty cache.
//
// It never opens a connection itself: missing intermediates come through an
// IssuerSource, for listed domains alone. It never decides whether mail is secured.
//
// Standards: RFC 5280, sections 6.1 and 7.1, by package rfc5280 below this one.
// Deliberate deviations: an anchor's own dates, usages and constraints are
// judged like any element's; a purpose must be allowed by every element, CAs
// included; notBefore has a tolerance of five minutes; a subject CN that is a
// host name counts as a name, because the partners' private CAs issue such
// certificates, but only where DNS name constraints cannot be evaded by it.
package trust
