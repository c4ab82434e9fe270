// Package message reads and changes the header section of messages on their
// way: it finds out whom the From field names, removes fields that only we may
// write, and makes the fields that we prepend (Received, the mark of Domain
// Security and its Authentication-Results).
//
// Invariants. A message is a stream of octets; its header section is held raw,
// as a list of slices, within a limit. Whole fields are removed or prepended
// and nothing is ever re-serialised: what stays, stays octet for octet and in
// order. Where parsers of the world disagree, removal and From.Union take the
// sum of what any of them might see, and the mark wants them all to agree.
//
// The header section ends at the first empty line and nowhere else. A line that
// is not a field does not end it, because such a line would otherwise be a way
// to hide a forged field from us that another parser still sees. A message that
// begins with a continuation line keeps it; so that it cannot continue the
// mark, put Received, not Mark, directly above the original message.
//
// The package never reads a clock, a disk or a socket, and decides nothing:
// what the facts mean is the business of domainsec.
//
// Standards: RFC 5322 (syntax of header fields and addresses, with the obsolete
// forms), RFC 2047 (encoded words, only to look through them), RFC 5321,
// section 4.4 (Received), RFC 6854 (groups in From), RFC 8601
// (Authentication-Results). Deliberate deviation: RFC 5322 knows no octets
// below space in fields; they are kept, and looked through.
package message
