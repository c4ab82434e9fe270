// Package sink is the next hop of the bench: an SMTP server that offers
// STARTTLS, requires a client certificate, throws bodies away and counts
// distinct sequence numbers (X-Bench-Seq), so that a message which was lost or
// came twice is seen. It keeps nothing and offers no more than a relay needs.
package sink
