// Package dnsx resolves names for mail: MX records and the addresses of hosts.
//
// Resolver is the small interface that routing, revocation and others use;
// Stub is the one that asks recursive servers (github.com/miekg/dns stays
// behind it). Package dnsserver answers authoritatively for labs and tests,
// package dnsxtest is a Resolver made of maps.
//
// Invariants. "There is no such name or record" (ErrNotFound) is said only
// when a server answered so; everything else is temporary, because a sender
// that took a silent server for an empty zone would send mail the wrong way. A
// reply counts only when it came over the socket of the query with the query's
// ID and question. The cache is bounded, honours the TTL of what it holds and
// never keeps a temporary failure.
//
// What it never does: it does not validate DNSSEC, it follows no search list
// and it never appends a local domain.
//
// RFC 1035; RFC 2308 (negative answers: cached by the SOA's minimum, at most 15
// minutes, and not at all without an SOA); RFC 6891 (EDNS, 1232 octets); RFC
// 7505 (null MX: one MX whose Host is empty). Deviation: underscores are let
// through in names, because hosts of real mail systems have them.
package dnsx
