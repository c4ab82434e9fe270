// Package receive is the way in: the listeners of the receive connectors and
// the decisions behind each SMTP session on them.
//
// A Server binds every binding of every receive connector, all or nothing, and
// runs one smtp.ServeSession per connection. The wire (order of commands,
// limits, line ends, pipelining) is smtp's; what may be said and carried is
// decided here, by asking domainsec with facts that trust, certstore and
// message made.
//
// Invariants:
//
//   - 250 at the end of data is said only after Accepter.Accept has returned nil.
//   - Rights are computed anew at each MAIL. A transaction that is secured for
//     a listed domain has the rights of the Partners group and no others; the
//     next one in the same session starts from nothing.
//   - A client that has authenticated is one of our users: it may submit to any
//     domain, as a sender of ours, and is never judged or marked as a partner. What
//     it has proven ends at a TLS handshake.
//   - Only accepted domains are recipients of all others, secured or not, but on
//     a connector that is externally secured: its clients are inner servers of
//     our own, may relay, and are never marked. directory lets such a connector
//     serve inside clients or listen on inside addresses only, never be
//     DomainSecureEnabled, and take nobody's word for a client's address.
//   - A connection belongs to the connector whose range holds the client most
//     narrowly among those that share the listener, and to none when no range
//     does. Where a client is not its own peer address, a PROXY header of an
//     upstream that the connector names has said so; nothing else of the header
//     is believed.
//   - What a client does is counted by address, or by its IPv6 network of 64
//     bits, per connector. The tables are bounded; clients without a connection
//     are forgotten, the oldest first.
//   - Nothing is fetched for strangers. A peer's certificate is judged when a
//     MAIL names a listed domain, and when one of its names matches a listed
//     domain: right after the handshake, in the background, so that the answer
//     is there at MAIL, and for the null reverse-path.
//   - The handshake never fails over the client's certificate as far as that is
//     in our hands; the verdict falls at MAIL.
//   - Header fields that could pass for our own mark are removed from every
//     message before the true mark, if any, is put in front of it.
//
// It never opens a connection, never reads a certificate file and never keeps
// a message of its own: what was not accepted by the queue does not exist.
//
// Standards: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 2034 and 3463 (enhanced
// codes), RFC 1870 (SIZE), RFC 8601 (Authentication-Results), RFC 4954
// (AUTH), RFC 4616 (PLAIN). The PROXY protocol,
// versions 1 and 2, is HAProxy's.
//
// Deliberate deviations: all refusals for certificate faults are 4yz, because
// an opportunistic sender's mishap must not become a bounce; 454, which RFC
// 3207 gives for STARTTLS alone, answers MAIL as the described system does. A
// client that no connector serves is told 421 and not 554, after which RFC 5321,
// section 3.1, would have us wait for its QUIT. VRFY is always answered 252.
// Every MAIL counts for messageRateLimit, a refused one too.
package receive
