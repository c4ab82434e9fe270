// Package dsn builds delivery status notifications: a multipart/report (RFC 6522)
// with a text for people, a message/delivery-status (RFC 3464) for programs, and
// the header of the original message. The original's body is never returned.
//
// Whatever comes from a peer or from the original envelope is reduced to
// printable ASCII, cut and folded, so that it can start no line of its own.
// Build reads no clock and no disk: equal options give equal octets.
package dsn
