package domainsec

import (
	"fmt"
	"strings"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// OutboundFacts is what is known of a session with a next hop, before mail is
// given to it.
type OutboundFacts struct {
	// Connector is the send connector; nil cannot secure anything.
	Connector *directory.SendConnector
	// STARTTLSOffered: the EHLO reply named STARTTLS.
	STARTTLSOffered bool
	// HandshakeDetail says how STARTTLS or the handshake failed.
	HandshakeDetail string
	TLS             *TLSFacts // nil in the clear
	// Peer is the server's certificate, judged for the recipient's domain; nil without one.
	Peer *PeerFacts
	// CertificateRequested: the server asked for our certificate during the handshake.
	CertificateRequested bool
	// Now decides whether a partner's override is in force; zero: none is.
	Now time.Time
	// Own describes our certificate, the one chosen for this session.
	Own OwnFacts
	// OwnRefused: the peer ended the session over our certificate (an alert
	// or a close before the reply to the second EHLO).
	OwnRefused bool
}

// OwnFacts say whether our own certificate can be shown to be good. The zero
// value is a certificate that we do not have.
type OwnFacts struct {
	// Chosen: a certificate with its key was found for the session.
	Chosen bool
	// Reasons are faults of the certificate itself, such as CertificateExpired or Revoked.
	Reasons    []Reason
	Revocation RevocationStatus
	Detail     string
}

// VerdictForServer decides whether the next hop has proved what mail at
// LevelDomainSecure for d demands. ActionSecure means that it has; ActionRefuse
// that nothing may be sent at that level; ActionOrdinary with Unmarked that the
// partner's override lets mail pass over this session, whose server lacks nothing
// but an answer about revocation. There is no other answer: the caller
// asks because of a Requirement, and that alone says whether a refusal defers
// the message or, with TrySecured, counts as would-have-failed. partner is d's
// rules; nil has the default ones, for mail that was queued as domain-secured
// before d was taken off the list.
//
// Facts that a failed step made impossible to gather are not held against the
// server: without TLS there is no certificate to judge. All other reasons are reported.
func VerdictForServer(o OutboundFacts, d smtp.Domain, partner *directory.Partner) Verdict {
	if d == "" || partner != nil && partner.Domain != d {
		return refuse([]Reason{SubjectMismatch}, fmt.Sprintf("the rules at hand are not those of %q", d))
	}
	f := faults{}
	f.addConnector(o.Connector)
	f.addOwn(o)
	var v Verdict
	switch {
	case o.TLS == nil && !o.STARTTLSOffered:
		f.add(NoTLS, "the server does not offer STARTTLS")
	case o.TLS == nil && o.OwnRefused:
		f.add(OwnCertificateRefused, "the server ended the handshake over our certificate: "+o.HandshakeDetail)
	case o.TLS == nil:
		f.add(HandshakeFailed, detailOf(o.HandshakeDetail, "STARTTLS failed"))
	default:
		v = secureOrRefuse(o.Peer, question{domain: d, way: Outbound, partner: partner})
		f.reasons = append(f.reasons, v.Reasons...)
		if v.Detail != "" {
			f.details = append(f.details, v.Detail)
		}
		f.addMutual(o)
	}
	if len(f.reasons) > 0 || v.Action != ActionSecure {
		v = refuse(SortReasons(f.reasons), strings.Join(f.details, "; "))
		if partner != nil {
			return letThrough(v, partner, o.Now)
		}
	}
	return v
}

type faults struct {
	reasons []Reason
	details []string
}

func (f *faults) add(r Reason, detail string) {
	f.reasons = append(f.reasons, r)
	f.details = append(f.details, detail)
}

func (f *faults) addConnector(c *directory.SendConnector) {
	if c == nil {
		f.add(ConnectorNotDomainSecure, "no send connector")
		return
	}
	if conflicts := secureConflicts(c); len(conflicts) > 0 {
		f.add(ConnectorNotDomainSecure, fmt.Sprintf("send connector %q %s", c.Name, strings.Join(conflicts, ", and ")))
	}
}

// addMutual adds what keeps the session from being mutual: the server must have
// asked for our certificate in the handshake, got it, and not ended the session over it.
func (f *faults) addMutual(o OutboundFacts) {
	switch {
	case o.OwnRefused:
		f.add(OwnCertificateRefused, "the server ended the session over our certificate")
	case !o.CertificateRequested:
		f.add(NotMutual, "the server did not ask for our certificate")
	case o.Own.Chosen && !o.TLS.PresentedOwn:
		f.add(NotMutual, "the server did not get our certificate")
	}
}

// addOwn adds what stands against our own certificate: one reason, the first that applies.
func (f *faults) addOwn(o OutboundFacts) {
	switch {
	case !o.Own.Chosen:
		f.add(NoOwnCertificate, "no certificate of ours fits the send connector")
	case len(o.Own.Reasons) > 0 || o.Own.Revocation == RevocationRevoked:
		f.add(OwnCertificateInvalid, "our own certificate: "+detailOf(o.Own.Detail, "it is not valid"))
	case o.Own.Revocation != RevocationGood && o.Own.Revocation != RevocationNotRequired:
		f.add(OwnRevocationOffline, "own CRL unreachable: "+detailOf(o.Own.Detail, "the status of our own certificate is unknown"))
	}
}
