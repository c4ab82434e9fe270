// Package load sends messages over SMTP as fast as a server takes them, for a
// given time: STARTTLS with a client certificate, MAIL, RCPT and DATA in one
// write, connections kept or made anew. In the steady state it allocates
// nothing per message.
//
// Every message carries a number of its own in the field X-Bench-Seq, so that
// the sink can tell whether each accepted message came exactly once. A message
// that was not accepted is tried again under its number.
package load
