package receive

import (
	"context"
	"net/netip"
	"strings"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// Recipient takes recipients in accepted domains, and others only from our own
// inner servers. How many there may be, the loop knows.
func (x *session) Recipient(_ context.Context, to smtp.ForwardPath, p smtp.RecipientParameters) (smtp.Reply, error) {
	target, err := x.target(to.Mailbox)
	if err != nil {
		return smtp.Reply{}, x.tarpit(err)
	}
	if !hasRecipient(x.tx.recipients, target) {
		x.tx.add(target, p)
	}
	return smtp.Reply{}, nil // "Recipient OK" with the address, from the loop
}

// add takes one more recipient.
func (t *transaction) add(to smtp.ForwardPath, p smtp.RecipientParameters) {
	if p != (smtp.RecipientParameters{}) && t.reports == nil {
		t.reports = make([]smtp.RecipientParameters, len(t.recipients), cap(t.recipients)+1)
	}
	t.recipients = append(t.recipients, to)
	if t.reports != nil {
		t.reports = append(t.reports, p)
	}
}

// target returns the address that m is queued for. Mail for <postmaster> (RFC
// 5321, section 4.5.1) and for an address literal of the address that the
// client has connected to goes to our home domain.
func (x *session) target(m smtp.Mailbox) (smtp.ForwardPath, error) {
	v := x.tx.view
	switch {
	case m.Domain != "":
		if v.accepted[m.Domain] == nil && !x.tx.rights.Has(domainsec.SMTPAcceptAnyRecipient) {
			return smtp.ForwardPath{}, refusal(kindRelay, x.id)
		}
		return smtp.ForwardPath{Mailbox: m}, nil
	case m.Literal != "" && !x.isOwnLiteral(m.Literal):
		return smtp.ForwardPath{}, refusal(kindRelay, x.id)
	case m.Literal == "" && !strings.EqualFold(m.LocalPart, "postmaster"):
		return smtp.ForwardPath{}, refusal(kindRecipientUnknown, x.id)
	case v.home == "":
		return smtp.ForwardPath{}, refusal(kindRecipientUnknown, x.id)
	}
	return smtp.ForwardPath{Mailbox: smtp.Mailbox{LocalPart: m.LocalPart, Domain: v.home}}, nil
}

// isOwnLiteral reports whether literal is the local address of the connection.
func (x *session) isOwnLiteral(literal string) bool {
	s := strings.TrimSuffix(strings.TrimPrefix(literal, "["), "]")
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Unmap() == x.local.Addr()
}

// hasRecipient keeps a recipient that is named twice from getting two copies.
// Up to a handful of names are compared; a client that names hundreds does so
// from a list that it keeps clean.
func hasRecipient(list []smtp.ForwardPath, p smtp.ForwardPath) bool {
	if len(list) > maxCompared {
		list = list[len(list)-maxCompared:]
	}
	for _, have := range list {
		if have == p {
			return true
		}
	}
	return false
}

// maxCompared bounds the comparison of recipients.
const maxCompared = 64
