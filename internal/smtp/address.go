package smtp

// Domain is a mail domain in its one internal form: ASCII, lower case, A-labels
// (UTS 46), no trailing dot. Make one with ParseDomain; the empty Domain means
// "none" and matches nothing.
type Domain string

// Mailbox is an address of the form local-part@domain (RFC 5321, section
// 4.1.2). LocalPart keeps its case and is unquoted; String quotes it where
// necessary. Exactly one of Domain and Literal is set.
type Mailbox struct {
	LocalPart string
	Domain    Domain
	Literal   string // address literal with its brackets, "[192.0.2.1]", lower case
}

// ReversePath is the argument of MAIL FROM. The zero value is the null
// reverse-path "<>".
type ReversePath struct{ Mailbox Mailbox }

// ForwardPath is the argument of RCPT TO: a mailbox, or <postmaster> without a
// domain, for which Domain and Literal are empty.
type ForwardPath struct{ Mailbox Mailbox }
