package receive

import (
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/message"
	"mailpact/internal/smtp"
)

// alignFrom compares the From field with what the transaction is secured for.
// It returns the reply when the message is refused; the rest of it need not be
// read then.
func (x *session) alignFrom(h *message.Header) (domainsec.FromVerdict, error) {
	if !x.rc.DomainSecureEnabled || len(x.tx.view.partners) == 0 {
		return domainsec.FromVerdict{}, nil
	}
	facts := h.From()
	t := domainsec.Transaction{
		Verdict: x.tx.verdict,
		Partner: func(d smtp.Domain) *directory.Partner { return x.tx.view.partners[d] },
		Session: x.verdictFor,
	}
	v := domainsec.AlignFrom(facts, t)
	if v.Mark == "" && len(x.tx.candidates) > 1 {
		v = x.alignNullSender(facts, t, v)
	}
	if v.WouldRefuse {
		x.server.o.Recorder.WouldRefuse(domainsec.FromMismatch, v.Unsecured[0])
	}
	if !v.Refuse {
		if len(v.Unsecured) > 0 {
			x.logger().Info("From names a listed domain that the message is not secured for; it gets no mark",
				keyDomain, string(v.Unsecured[0]), keyDetail, cut(v.Detail))
		}
		return v, nil
	}
	x.server.o.Recorder.Refused(domainsec.FromMismatch, x.connector.name)
	x.logger().Warn("a message was refused for its From field", keyReason, domainsec.FromMismatch.String(),
		keyDomain, named(v), keyDetail, cut(v.Detail), "temporary", v.Temporary, keyThumbprint, x.peerSHA1)
	if v.Temporary {
		return v, refusal(kindFromDeferred, x.id)
	}
	return v, refusal(kindFromRefused, x.id)
}

// named is a domain that From names and that the message is not secured for, ""
// when From was not looked at to its end.
func named(v domainsec.FromVerdict) string {
	if len(v.Unsecured) == 0 {
		return ""
	}
	return string(v.Unsecured[0])
}

// alignNullSender finds, for a message from "<>" whose certificate is good for
// several listed domains, the one that From lies in. With none, the first
// stays.
func (x *session) alignNullSender(facts domainsec.FromFacts, t domainsec.Transaction, first domainsec.FromVerdict) domainsec.FromVerdict {
	for _, c := range x.tx.candidates[1:] {
		t.Verdict = c
		if v := domainsec.AlignFrom(facts, t); v.Mark != "" {
			x.tx.verdict = c
			return v
		}
	}
	return first
}

// verdictFor judges the session for a domain that From names.
func (x *session) verdictFor(d smtp.Domain) domainsec.Verdict {
	p := x.tx.view.sendsFor(d)
	return domainsec.VerdictForSender(x.facts(d, p), d, p)
}
