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
//   - Only accepted domains are recipients, secured or not. The one exception is
//     a connector that is externally secured: its clients are inner servers of
//     our own, may relay, and are never marked. directory lets such a connector
//     listen on inside addresses only and never be DomainSecureEnabled.
//   - Nothing is fetched for strangers. A peer's certificate is judged when a
//     MAIL names a listed domain, or, for the null reverse-path, when one of
//     its names matches a listed domain.
//   - The handshake never fails over the client's certificate as far as that is
//     in our hands; the verdict falls at MAIL.
//   - Header fields that could pass for our own mark are removed from every
//     message before the true mark, if any, is put in front of it.
//
// It never opens a connection, never reads a certificate file and never keeps
// a message of its own: what was not accepted by the queue does not exist.
//
// Standards: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 2034 and 3463 (enhanced
// codes), RFC 1870 (SIZE), RFC 8601 (Authentication-Results).
//
// Deliberate deviations: all refusals for certificate faults are 4yz, because
// an opportunistic sender's mishap must not become a bounce; 454, which RFC
// 3207 gives for STARTTLS alone, answers MAIL as the described system does.
package receive
