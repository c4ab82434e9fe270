// Package routing says where mail for a domain goes: Route picks the way from
// the configuration alone, Hosts finds the addresses of the next hop.
//
// Route knows accepted domains (handed off, or relayed) and send connectors:
// the most specific address space wins, then the lowest cost, then the lowest
// name. It states for which domain the next hop must be domain-secured, and
// holds the mail, naming the setting to change, when the connector that would
// carry it cannot secure it. Only listing decides that: no answer of the DNS
// changes what is demanded of a next hop.
//
// Hosts follows RFC 5321, section 5.1 (MX in order of preference, shuffled
// among equals, the implicit MX, ourselves and everything no better than us
// taken out) and RFC 7505 (null MX). We recognise ourselves by address and
// port, because several servers may share one machine.
//
// What it never does: it opens no connection and decides nothing about trust.
// Deviation: an alias as the host of an MX record is followed (RFC 2181,
// section 10.3 forbids it, senders have to live with it).
package routing
