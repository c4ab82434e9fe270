// Package domainsec decides whether a session, a message or a next hop is
// domain-secured.
//
// It holds the decision tables of Domain Security and nothing else. Every fact
// arrives as a value (SessionFacts, OutboundFacts, PeerFacts, FromFacts): no
// function here reads a clock, a disk or a socket, and equal facts give equal
// verdicts. Package trust makes the facts about certificates, package message
// those about From fields; the replies that carry a refusal belong to receive.
//
// The questions and who answers them:
//   - May this session speak for the sender's domain? VerdictForSender, and
//     VerdictForNullSender for "<>". PermissionsFor turns the answer into rights.
//   - Does the message earn the mark, or is it refused for its From field? AlignFrom.
//   - What must the next hop prove? RequirementFor; did it? VerdictForServer.
//   - Does a certificate name belong to a domain? MatchDomain, MatchServerName.
//   - Does the configuration leave a door open? Findings.
//
// Invariants. Unknown is never good: the zero value of every fact and of every
// verdict secures nothing, and facts gathered for one domain or direction never
// count for another. A decision reports all its reasons, most severe first; a
// refusal is temporary only when every reason may pass by itself.
//
// Standards: RFC 3207, section 4.2 (what TLS proves to SMTP); RFC 5280, section
// 6.3 (revocation); RFC 9525 (names in certificates). Deliberate deviation from
// RFC 9525: it compares host names, Domain Security compares a mail domain with
// the names of hosts one label below it. See MatchDomain.
package domainsec
