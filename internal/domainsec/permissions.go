package domainsec

import (
	"strings"

	"mailpact/internal/directory"
)

// Permissions are the rights of one transaction on a receive connector. The
// zero value has none.
type Permissions uint8

// The rights that have meaning yet.
const (
	SMTPSubmit Permissions = 1 << iota
	SMTPAcceptAnySender
	SMTPAcceptAuthoritativeDomainSender
	AcceptRoutingHeaders
	// SMTPAcceptAnyRecipient is the right to relay: recipients of any domain.
	SMTPAcceptAnyRecipient
)

// Has reports whether p contains every right of q.
func (p Permissions) Has(q Permissions) bool { return p&q == q }

// String returns the rights as the protocol log shows them at the start of a
// session, or "None".
func (p Permissions) String() string {
	var words []string
	for _, right := range []struct {
		p    Permissions
		word string
	}{
		{SMTPSubmit, "SMTPSubmit"},
		{SMTPAcceptAnySender, "SMTPAcceptAnySender"},
		{SMTPAcceptAuthoritativeDomainSender, "SMTPAcceptAuthoritativeDomainSender"},
		{AcceptRoutingHeaders, "AcceptRoutingHeaders"},
		{SMTPAcceptAnyRecipient, "SMTPAcceptAnyRecipient"},
	} {
		if p.Has(right.p) {
			words = append(words, right.word)
		}
	}
	if words == nil {
		return "None"
	}
	return strings.Join(words, " ")
}

// PermissionsFor computes the rights of a transaction from its verdict and its
// connector's permission groups, anew at each MAIL: a session that was secured
// for one sender is anonymous again for the next. A secured transaction has the
// rights of Partners and nothing more, an ordinary one those of
// AnonymousUsers, or, on an externally secured connector, those of our own inner
// servers, or, when authenticated says that the client has proven to be one of our
// users, those of ExchangeUsers. A group that the connector does not grant gives nothing, and so does
// a refusal. Without SMTPSubmit the client is answered 530 5.7.1.
//
// Before the first MAIL a session has the rights of the verdict
// {Action: ActionOrdinary}.
func PermissionsFor(v Verdict, c *directory.ReceiveConnector, authenticated bool) Permissions {
	switch {
	case c == nil:
		return 0
	case v.Action != ActionOrdinary && authenticated:
		return 0 // who has authenticated is never judged as a partner
	case v.Action == ActionSecure && v.Domain != "" && c.Grants(directory.GroupPartners):
		return SMTPSubmit | AcceptRoutingHeaders
	case v.Action == ActionOrdinary && authenticated && c.Grants(directory.GroupExchangeUsers):
		// Without SMTPAcceptAnySender: a user speaks for our own domains, not for
		// anybody's.
		return SMTPSubmit | SMTPAcceptAuthoritativeDomainSender | AcceptRoutingHeaders | SMTPAcceptAnyRecipient
	case v.Action == ActionOrdinary && c.ExternallySecured():
		return SMTPSubmit | SMTPAcceptAnySender | SMTPAcceptAuthoritativeDomainSender | AcceptRoutingHeaders | SMTPAcceptAnyRecipient
	case v.Action == ActionOrdinary && c.Grants(directory.GroupAnonymousUsers):
		return SMTPSubmit | SMTPAcceptAnySender | SMTPAcceptAuthoritativeDomainSender | AcceptRoutingHeaders
	default:
		return 0
	}
}
