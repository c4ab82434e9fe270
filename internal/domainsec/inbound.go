package domainsec

import (
	"fmt"
	"slices"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// VerdictForSender decides at MAIL FROM what session s may do for the domain of
// the reverse-path. partner is the domain's entry in the directory; nil, or one
// that is not listed for receiving, makes a sender who is neither secured nor
// refused. s.Peer must have been judged for sender, Inbound and that partner.
//
// The verdict is ActionSecure only if no reason stands against it. In test mode
// what would be refused is ActionOrdinary with WouldRefuse and the reasons, and
// what would be secured is ActionOrdinary with Path and MatchedName, so that
// nothing of a test earns a mark.
//
// Refusing mail that was sent before STARTTLS follows RFC 3207, section 4.
func VerdictForSender(s SessionFacts, sender smtp.Domain, partner *directory.Partner) Verdict {
	if s.DirectTrust {
		return Verdict{Action: ActionUpstream}
	}
	if s.Authenticated || sender == "" || partner == nil || !partner.Receive || !s.DomainSecureEnabled {
		return Verdict{Action: ActionOrdinary}
	}
	if partner.Domain != sender {
		// A caller's fault must not let a listed domain pass as an unlisted one.
		return Verdict{
			Action: ActionRefuse, Reasons: []Reason{SubjectMismatch},
			Detail: fmt.Sprintf("the partner's rules are those of %q, not of %q", partner.Domain, sender),
		}
	}
	v := letThrough(sessionVerdict(s, sender, partner), partner, s.Now)
	if partner.Mode == directory.ModeTest {
		return inTest(v)
	}
	return v
}

// VerdictForNullSender decides about the null reverse-path "<>", which is never
// refused because of the lists. If the session's certificate is good for the
// listed domain judged, the verdict is ActionSecure for it: Partners rights,
// and the mark if AlignFrom finds the From field in that domain. Otherwise it
// is ordinary mail. With several listed domains to choose from the caller asks
// for each and takes the first that is secured.
func VerdictForNullSender(s SessionFacts, judged smtp.Domain, partner *directory.Partner) Verdict {
	v := VerdictForSender(s, judged, partner)
	switch v.Action {
	case ActionSecure, ActionUpstream:
		return v
	default:
		return Verdict{Action: ActionOrdinary}
	}
}

// sessionVerdict walks down the inbound table for a listed sender.
func sessionVerdict(s SessionFacts, sender smtp.Domain, partner *directory.Partner) Verdict {
	switch {
	case s.TLS == nil && !s.STARTTLSOffered:
		return refuse([]Reason{NoOwnCertificate}, "no certificate of ours was usable, so STARTTLS was not offered")
	case s.TLS == nil:
		return refuse([]Reason{NoTLS}, "the session is not encrypted")
	}
	return secureOrRefuse(s.Peer, question{domain: sender, way: Inbound, partner: partner})
}

func secureOrRefuse(peer *PeerFacts, q question) Verdict {
	j := judgePeer(peer, q)
	if j.path == nil {
		return refuse(j.reasons, j.detail)
	}
	return Verdict{Action: ActionSecure, Domain: q.domain, Path: j.path, MatchedName: peer.MatchedName}
}

func refuse(reasons []Reason, detail string) Verdict {
	return Verdict{Action: ActionRefuse, Reasons: reasons, Detail: detail, Temporary: allTemporary(reasons)}
}

// letThrough applies what a partner's rules allow beyond being secured. An
// override passes over a lack of answers about revocation and nothing else; a
// name outside the domain, which only "shared" lets match here, proves the host
// and not the domain. What is let through earns no mark.
func letThrough(v Verdict, partner *directory.Partner, now time.Time) Verdict {
	switch {
	case v.Action == ActionRefuse && overridable(v.Reasons) && partner.Overridden(now):
		v.Detail = fmt.Sprintf("the override until %s lets pass: %s", partner.OverrideUntil.UTC().Format(time.RFC3339), v.Detail)
	case v.Action == ActionSecure && partner.Shared && !insideDomain(v.MatchedName, string(partner.Domain)):
		v.Detail = fmt.Sprintf("the certificate's name %s is shared with others", v.MatchedName)
	default:
		return v
	}
	v.Action, v.Domain, v.Unmarked, v.Temporary = ActionOrdinary, "", true, false
	return v
}

// overridable reports whether the reasons are what an override is for.
func overridable(reasons []Reason) bool {
	return len(reasons) > 0 && !slices.ContainsFunc(reasons, func(r Reason) bool { return r != RevocationOffline })
}

// inTest turns a verdict into what a partner in test mode gets: it is recorded
// and not enforced, and never marked.
func inTest(v Verdict) Verdict {
	v.WouldRefuse = v.Action == ActionRefuse
	v.Unmarked = false
	v.Action = ActionOrdinary
	v.Domain = ""
	return v
}
