package receive

import (
	"cmp"
	"context"
	"crypto/x509"
	"slices"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/protocollog"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
)

// Mail begins a transaction: it decides at once, from the session as it is now
// and the configuration as it is now, what the transaction may do.
func (x *session) Mail(_ context.Context, from smtp.ReversePath, p smtp.MailParameters) (smtp.Reply, error) {
	if !x.source.message(x.server.o.Now(), x.rc.MessageRateLimit) {
		x.server.complain("a client has reached messageRateLimit; its session is ended",
			keySession, x.id, keyConnector, x.connector.name, keyRemote, x.remote.String(), "messageRateLimit", x.rc.MessageRateLimit)
		return smtp.Reply{}, x.delay(refusal(kindTooManyMessages, x.id))
	}
	if err := x.beginTransaction(from, p); err != nil {
		err = x.tarpit(err) // which depends on the verdict
		x.Reset()
		return smtp.Reply{}, err
	}
	x.transactions++
	if x.log != nil {
		x.tellRights(x.tx.rights)
		x.log.Message(protocollog.ContextReceiving)
	}
	return smtp.Reply{}, nil // "Sender OK" with the address, from the loop
}

func (x *session) beginTransaction(from smtp.ReversePath, p smtp.MailParameters) error {
	x.tx = transaction{view: x.server.currentView(), from: from, parameters: p}
	if x.rc.RequireTLS && x.tls == nil && !x.enforced(from.Mailbox.Domain) {
		x.server.o.Recorder.Refused(domainsec.NoTLS, x.connector.name)
		return refusal(kindSTARTTLSRequired, x.id)
	}
	if from.Null() {
		return x.judgeNullSender()
	}
	return x.judgeSender(from.Mailbox.Domain)
}

// enforced reports whether the inbound table answers for d whatever else the
// connector asks of its clients.
func (x *session) enforced(d smtp.Domain) bool {
	p := x.tx.view.sendsFor(d)
	return p != nil && x.rc.DomainSecureEnabled && p.Mode != directory.ModeTest
}

// judgeSender applies the inbound table to the sender's domain.
func (x *session) judgeSender(d smtp.Domain) error {
	partner := x.tx.view.sendsFor(d)
	v := domainsec.VerdictForSender(x.facts(d, partner), d, partner)
	if v.Action == domainsec.ActionRefuse {
		return x.refuseSender(d, v)
	}
	if v.WouldRefuse {
		x.noteWouldRefuse(d, v)
	}
	if v.Unmarked {
		x.logger().Warn("mail of a listed domain is let through without the mark", x.verdictAttributes(d, v)...)
	}
	if err := x.takeVerdict(v); err != nil {
		if v.Action == domainsec.ActionSecure {
			x.logger().Error("a domain-secured partner may not submit: the connector's permissionGroups lack Partners; add it",
				keyDomain, string(d), keyThumbprint, x.peerSHA1)
		}
		return err
	}
	if !x.maySendAs(d) {
		x.logger().Warn("an account may send as our own domains only", keyDomain, string(d), keyAccount, x.account)
		return refusal(kindOwnDomainAsSender, x.id)
	}
	if v.Action != domainsec.ActionSecure {
		return nil
	}
	if a := x.tx.view.accepted[d]; a != nil && a.Type == directory.Authoritative &&
		!x.tx.rights.Has(domainsec.SMTPAcceptAuthoritativeDomainSender) {
		x.logger().Warn("a partner may not send as one of our authoritative domains", keyDomain, string(d))
		return refusal(kindOwnDomainAsSender, x.id)
	}
	x.remember()
	return nil
}

// judgeNullSender decides for "<>", which names no domain and is never refused
// because of the lists: a certificate that is good for a listed domain gives
// Partners rights, anything else leaves ordinary mail.
func (x *session) judgeNullSender() error {
	if x.account == "" && x.rc.DomainSecureEnabled && x.rc.Grants(directory.GroupPartners) {
		for _, p := range x.matchingPartners() {
			v := domainsec.VerdictForNullSender(x.facts(p.Domain, p), p.Domain, p)
			if v.Action == domainsec.ActionSecure {
				x.tx.candidates = append(x.tx.candidates, v)
			}
		}
	}
	if len(x.tx.candidates) > 0 {
		x.remember()
		return x.takeVerdict(x.tx.candidates[0])
	}
	return x.takeVerdict(domainsec.VerdictForSender(x.facts("", nil), "", nil))
}

// takeVerdict gives the transaction the rights of its verdict, or refuses when
// these do not include to submit mail.
func (x *session) takeVerdict(v domainsec.Verdict) error {
	x.tx.verdict = v
	x.tx.rights = domainsec.PermissionsFor(v, x.rc, x.account != "")
	if !x.tx.rights.Has(domainsec.SMTPSubmit) {
		return refusal(kindNotAuthenticated, x.id)
	}
	return nil
}

// matchingPartners returns the partners one of whose names the peer's
// certificate carries, by domain. It asks nobody.
func (x *session) matchingPartners() []*directory.Partner {
	leaf := x.presented()
	if leaf == nil || x.tls == nil {
		return nil
	}
	return x.server.matchingPartners(x.tx.view, leaf, maxCandidates)
}

// matchingPartners returns at most limit of the partners that leaf names.
func (s *Server) matchingPartners(v *view, leaf *x509.Certificate, limit int) []*directory.Partner {
	var out []*directory.Partner
	for _, p := range v.partners {
		if s.o.Judge.NameMatches(leaf, p) != "" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *directory.Partner) int { return cmp.Compare(a.Domain, b.Domain) })
	return out[:min(len(out), limit)]
}

// maxCandidates bounds the judgements that one "<>" can cause.
const maxCandidates = 16

// facts are what domainsec needs to judge the session for domain d. Only for a
// listed domain is the peer's certificate looked at. What that waits for ends
// with the server and not with the session: a client that hangs up is not
// noticed before the decision anyway.
func (x *session) facts(d smtp.Domain, partner *directory.Partner) domainsec.SessionFacts {
	f := domainsec.SessionFacts{
		Authenticated:       x.rc.ExternallySecured() || x.account != "",
		DomainSecureEnabled: x.rc.DomainSecureEnabled,
		STARTTLSOffered:     x.offered,
		TLS:                 x.tls,
		Now:                 x.server.o.Now(),
	}
	if partner != nil && !f.Authenticated && f.DomainSecureEnabled && x.tls != nil && len(x.peer) > 0 {
		f.Peer = x.server.o.Judge.Judge(x.server.judging, trust.Request{
			Presented: x.peer,
			Chain:     x.chain,
			Domain:    d,
			Direction: domainsec.Inbound,
			Partner:   partner,
			Now:       f.Now,
		})
	}
	return f
}

// remember notes that the address can do mutual TLS, so that a later mishap in
// a handshake does not cost it certificateRequestBackoff.
func (x *session) remember() {
	if x.remembered {
		return
	}
	x.remembered = true
	now := x.server.o.Now()
	x.server.secured.put(x.remote.Addr(), now, now.Add(securedMemory))
	x.server.backoff.forget(x.remote.Addr())
}

// mainReason is the reason that a refusal names: the most severe.
func mainReason(v domainsec.Verdict) domainsec.Reason {
	if len(v.Reasons) == 0 {
		return domainsec.ReasonUnknown
	}
	return v.Reasons[0]
}

func (x *session) refuseSender(d smtp.Domain, v domainsec.Verdict) error {
	r := mainReason(v)
	x.server.o.Recorder.Refused(r, x.connector.name)
	x.logger().Warn("mail of a listed domain was refused", x.verdictAttributes(d, v)...)
	// Each of them may have cost a judgement: they count as errors do.
	if x.refused++; int64(x.refused) > x.rc.MaxProtocolErrors {
		return refusal(kindTooManyRefusals, x.id)
	}
	return refusalFor(r, x.id)
}

func (x *session) noteWouldRefuse(d smtp.Domain, v domainsec.Verdict) {
	x.server.o.Recorder.WouldRefuse(mainReason(v), d)
	x.logger().Info("mail of a partner in test mode would have been refused", x.verdictAttributes(d, v)...)
}

func (x *session) verdictAttributes(d smtp.Domain, v domainsec.Verdict) []any {
	r := mainReason(v)
	attrs := []any{keyEvent, eventOf(r), keyReason, r.String(), keyDomain, string(d)}
	if len(v.Reasons) > 1 {
		words := make([]string, len(v.Reasons))
		for i, w := range v.Reasons {
			words[i] = w.String()
		}
		attrs = append(attrs, "reasons", words)
	}
	if v.Detail != "" {
		attrs = append(attrs, keyDetail, cut(v.Detail))
	}
	if x.peerSHA1 != "" {
		attrs = append(attrs, keyThumbprint, x.peerSHA1, "subject", cut(x.peerFacts.Subject))
	}
	if x.tls != nil && !x.asked {
		attrs = append(attrs, "certificateRequested", false)
	}
	return attrs
}

func eventOf(r domainsec.Reason) int {
	switch r {
	case domainsec.NoTLS:
		return eventTLSNotStarted
	case domainsec.NoOwnCertificate:
		return eventNoCertificate
	case domainsec.EmptyCertificate:
		return eventNoClientCertificate
	case domainsec.SubjectMismatch:
		return eventSubjectMismatch
	default:
		return eventClientCertificate
	}
}
