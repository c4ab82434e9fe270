// Package dnsserver is a small authoritative DNS server over UDP and TCP, for
// the lab and for tests.
//
// A Zone holds the records by owner name and can be changed while the server
// answers. The server is authoritative for every name: what the zone does not
// hold does not exist. It never recurses and it is not meant for the Internet:
// it listens where it is told, which ought to be a loopback address.
//
// RFC 1035, RFC 2308 (negative answers carry an SOA), RFC 6891 (EDNS buffer
// sizes are honoured, what does not fit is cut and asked again over TCP).
package dnsserver
