// Package dsn builds delivery status notifications: a multipart/report (RFC 6522)
// with a text for people, a message/delivery-status (RFC 3464) for programs, and
// the header of the original message, or all of it where its sender has asked for
// that (RFC 3461, section 6.2) and the caller gives it. Addresses beyond ASCII
// take their ASCII form in the fields for programs (RFC 6533); the types
// message/global-delivery-status and the like, which need SMTPUTF8 all the way
// back, are not used where they can be done without.
//
// Whatever comes from a peer or from the original envelope is reduced to
// printable ASCII (in the text for people, to visible characters), cut and
// folded, so that it can start no line of its own.
// Build reads no clock and no disk: equal options give equal octets.
package dsn
