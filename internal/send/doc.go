// Package send delivers mail: it implements queue.Deliverer over pooled SMTP
// client sessions.
//
// A Sender takes a delivery apart into groups of recipients that demand the
// same of the next hop, and carries each by attempts. What an attempt demands
// (its level, the domain to prove, our certificate) is fixed before anything is
// dialled and never lowered on the way: openSecured, which opens the sessions
// of domains that must be domain-secured, has no branch that goes on without
// TLS or with a doubtful certificate, and openOrdinary, which has, is never
// given such a domain. prove is the only function that decides whether a
// session is good for mail of a listed domain; it runs before the first MAIL
// and again before each further one.
//
// Sessions are kept for the next message under (TLS domain, connector, level,
// client certificate, next hop), so that one verified for a domain never
// carries another's mail. Domain-secured sessions are never resumed.
//
// Hosts are tried in the order that routing gives. A host that cannot be
// reached, does not want to talk, or fails to prove what is demanded is passed
// over; when all fail, the mail is deferred. Only what a host answers to MAIL,
// RCPT or DATA, and a permanent fault of routing, fails mail for good.
//
// What it never does: it does not retry (the queue does), does not report to
// senders, and never looks into a message beyond the header fields that may
// not leave (message.NewOutboundFilter).
//
// RFC 5321 (client), RFC 3207 (STARTTLS), RFC 6152 (8BITMIME: a message
// received as such goes out unconverted to a host that does not offer it, as
// nearly every system does). Deviations from RFC 5321: at most ten connections
// are tried for a message at a time (section 5.1), and the waits of section
// 4.5.3.2 end sooner where the bound on a whole set-up or transaction does.
package send
