// Package revocation answers, for a certificate and its issuer, whether the
// issuer's CRL says good or revoked, or that nobody can say: unknown.
//
// # What it is for
//
// Evaluate is the engine: it answers by RFC 5280, section 6.3, from a path, CRLs
// and a time alone. Files feeds it CRLs that somebody hands over. Checker reads
// the CRL distribution points of a certificate, fetches the CRLs over HTTP, directly or
// through a proxy, or over LDAP, keeps
// them in memory and on disk and feeds them to the engine. CheckPath asks for
// every certificate of a path but the anchor, and Explain says of each what was
// looked at. Start refreshes in the background what is in use, ahead of
// nextUpdate and at least every four hours, so that a session rarely waits for a
// CRL server.
//
// # Invariants
//
//   - No answer is unknown, never good. Whatever cannot be fetched, parsed,
//     verified, understood or matched with the certificate is unknown, and the
//     detail says what, where and why.
//   - A CRL is used only for those whose authority's key signed it. The cache is keyed
//     by address and issuer (name and key), so that one authority's address in
//     another's certificate can neither displace nor block anything.
//   - A file is verified before it is renamed into the cache, and again when it
//     is read back.
//   - A CRL larger than 256 KiB stays in its file. An index beside it says where
//     in it an entry may be; the part of the index that every look-up needs is
//     mapped. Both files are replaced whole, never changed: a list in use holds on
//     to those it was made from. The index is made anew whenever the CRL is read,
//     in the one pass that also hashes it.
//   - What cannot be read at a look-up is an error, not "not on the list".
//   - A list is never replaced by one with an earlier thisUpdate, or of the same
//     scope with a lower CRL number.
//   - One fetch per list at a time, whoever waits; a waiter who leaves does not
//     end it. Every fetch is bounded in time, octets and redirects, and
//     goes to exactly the address that was resolved and allowed.
//   - A list that is too old to be used is kept as the floor for the next.
//
// Checker.mu guards every entry; nothing waits while it is held. No other lock
// is taken under it.
//
// # What it never does
//
// It decides nothing about mail: whether an anchor needs CRLs, or a leaf is
// short-lived, is for trust to say before it asks. It trusts no certificate: the
// caller has verified the path up to an anchor before calling, and nothing is
// fetched except through CheckPath, CheckCertificate and the refresh of what
// these used. It does not fetch over HTTPS, whose own certificate would need a
// CRL.
//
// # Standards and deviations
//
// RFC 5280, sections 4.2.1.13, 4.2.1.15, 5, 6.3 and 7.1; RFC 2585; RFC 7468 (PEM
// is accepted, because servers do offer it). Complete, partitioned, indirect and
// delta CRLs count; a delta CRL is used where it can be had, and the complete one
// counts without it. LDAP (RFC 4511 and 4516) is one anonymous search, without TLS
// and without referrals. OCSP (RFC 6960) is asked, without a nonce, where no usable
// CRL could be had; stapled answers are not looked at. Who signs CRLs without being on
// the path must have been issued by an authority of that path: RFC 5280 asks for
// the same anchor only.
// A CRL without nextUpdate, which section 5.1.2.5 forbids, counts for 24 hours
// from its thisUpdate; thisUpdate may be up to five minutes ahead of the clock.
// CRLs signed with SHA-1 or MD5 are refused.
package revocation
