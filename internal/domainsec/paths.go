package domainsec

import (
	"fmt"
	"slices"
	"strings"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// The values of PathFacts.Usage. The empty string allows neither purpose.
const (
	UsageServerAuth = "serverAuth"
	UsageClientAuth = "clientAuth"
	UsageBoth       = "serverAuth+clientAuth"
)

// UsageSuffices reports whether a path whose every element allows the purposes
// of usage (a PathFacts.Usage) may identify partner p's peer in direction way.
// A server needs serverAuth. A client needs one purpose, serverAuth or
// clientAuth, or clientAuth under the partner's rule "strict": a mail server's
// certificate is a mail server's certificate in both directions.
func UsageSuffices(usage string, way Direction, p *directory.Partner) bool {
	server := usage == UsageServerAuth || usage == UsageBoth
	client := usage == UsageClientAuth || usage == UsageBoth
	switch way {
	case Outbound:
		return server
	case Inbound:
		if p != nil && p.Usage != "" && p.Usage != directory.UsageMailServer {
			return client
		}
		return server || client
	default:
		return false
	}
}

// AnchorAllowed reports whether the anchor with the given SHA-256 (hex) may
// vouch for partner p, who may be tied to anchors of his own. No anchor, "", may not.
func AnchorAllowed(sha256 string, p *directory.Partner) bool {
	if sha256 == "" {
		return false
	}
	if p == nil || len(p.Anchors) == 0 {
		return true
	}
	return slices.ContainsFunc(p.Anchors, func(a string) bool { return strings.EqualFold(a, sha256) })
}

// question is what a peer's facts are asked.
type question struct {
	domain  smtp.Domain
	way     Direction
	partner *directory.Partner
	names   NameCheck
}

// judgement is the answer to a question. The peer is good for the question's
// domain exactly when path is not nil, and then there are no reasons.
type judgement struct {
	path    *PathFacts
	reasons []Reason // sorted
	detail  string
}

// judgePeer applies the rows of the tables that look at the peer's certificate:
// chain, usage, names and revocation.
func judgePeer(peer *PeerFacts, q question) judgement {
	if peer == nil {
		return judgement{reasons: []Reason{EmptyCertificate}, detail: "the peer presented no certificate"}
	}
	if peer.Domain != q.domain || peer.Direction != q.way || peer.NameCheck != q.names || q.domain == "" && q.names != NamesUnchecked {
		return judgement{
			reasons: []Reason{SubjectMismatch},
			detail:  fmt.Sprintf("the certificate was judged for %q, not for %q", peer.Domain, q.domain),
		}
	}
	j := combinePaths(peer, q)
	if peer.MatchedName == "" && q.names != NamesUnchecked {
		detail := fmt.Sprintf("no name in the certificate (%s) matches %s", listNames(peer.Certificate.Names), q.domain)
		// What a stranger's certificate might still lack is not looked for, so
		// that an unknown revocation is no reason of its own here.
		reasons := slices.DeleteFunc(slices.Clone(j.reasons), func(r Reason) bool { return r == RevocationOffline })
		if len(reasons) > 0 {
			detail = j.detail + "; " + detail
		}
		return judgement{reasons: SortReasons(append(reasons, SubjectMismatch)), detail: detail}
	}
	return j
}

// VerdictForCertificate decides on a certificate alone, as far as the peer's
// facts go: by the same rules that VerdictForServer and VerdictForSender hold a
// peer to, for the domain, direction and name check that the facts were gathered
// for. ActionSecure means valid; it secures no mail. A nil partner has the
// default rules.
func VerdictForCertificate(peer *PeerFacts, partner *directory.Partner) Verdict {
	if peer == nil {
		return refuse([]Reason{EmptyCertificate}, "there is no certificate")
	}
	return secureOrRefuse(peer, question{domain: peer.Domain, way: peer.Direction, partner: partner, names: peer.NameCheck})
}

// PathReasons returns why a path of the peer does not do by itself, as
// VerdictForCertificate sees it: its own faults, most severe first, or else what
// is known of its revocation. It is nil for a path that is good.
func PathReasons(peer *PeerFacts, p *PathFacts, partner *directory.Partner) []Reason {
	reasons := pathFaults(p, question{domain: peer.Domain, way: peer.Direction, partner: partner, names: peer.NameCheck})
	if p.Incomplete && onlyUntrusted(reasons) {
		reasons = []Reason{RevocationOffline}
	}
	if peer.MatchedName == "" && peer.NameCheck != NamesUnchecked {
		reasons = SortReasons(append(reasons, SubjectMismatch))
	}
	switch {
	case p.Revocation == RevocationRevoked:
		return SortReasons(append(reasons, Revoked))
	case len(reasons) > 0 || p.Revocation == RevocationGood || p.Revocation == RevocationNotRequired:
		return reasons
	default:
		return []Reason{RevocationOffline}
	}
}

// combinePaths makes one answer of all candidate paths. Revoked by a validly
// signed answer is revoked on every path. Otherwise one good path is enough;
// else the result is unknown, and so temporary, if some path lacks nothing but
// the answer about revocation, or an issuer that could not be fetched; else it is the refusal of the path that got furthest.
func combinePaths(peer *PeerFacts, q question) judgement {
	var good, waiting, furthest *PathFacts
	var faults []Reason // of furthest
	for i := range peer.Paths {
		p := &peer.Paths[i]
		if p.Revocation == RevocationRevoked {
			return judgement{reasons: []Reason{Revoked}, detail: detailOf(p.RevocationDetail, "a certificate of the chain is revoked")}
		}
		reasons := pathFaults(p, q)
		switch {
		case p.Incomplete && onlyUntrusted(reasons):
			if waiting == nil {
				waiting = p
			}
		case len(reasons) > 0:
			if furthest == nil || p.Progress > furthest.Progress {
				furthest, faults = p, reasons
			}
		case p.Revocation == RevocationGood || p.Revocation == RevocationNotRequired:
			if good == nil {
				good = p
			}
		case waiting == nil:
			waiting = p
		}
	}
	switch {
	case good != nil:
		return judgement{path: good}
	case waiting != nil:
		return judgement{reasons: []Reason{RevocationOffline}, detail: detailOf(waiting.RevocationDetail, "the revocation status of the chain is unknown")}
	case furthest != nil:
		return judgement{reasons: faults, detail: detailOf(furthest.Detail, detailOf(peer.NoPath, "the chain is not good: "+words(faults)))}
	default:
		return judgement{reasons: []Reason{UntrustedRoot}, detail: detailOf(peer.NoPath, "no path to a trust anchor")}
	}
}

// onlyUntrusted reports whether the reasons say no more than that a path leads
// to no anchor.
func onlyUntrusted(reasons []Reason) bool {
	return len(reasons) == 1 && reasons[0] == UntrustedRoot
}

// pathFaults returns the path's own faults and those that only show against the
// question, sorted. A path without faults reached an anchor that may vouch for
// the partner, by elements that all allow the purpose asked for.
func pathFaults(p *PathFacts, q question) []Reason {
	reasons := slices.Clone(p.Reasons)
	if !AnchorAllowed(p.Anchor, q.partner) && !slices.Contains(reasons, InvalidChain) && !slices.Contains(reasons, WeakSignature) {
		reasons = append(reasons, UntrustedRoot)
	}
	if p.Anchor != "" && !UsageSuffices(p.Usage, q.way, q.partner) {
		reasons = append(reasons, WrongUsage)
	}
	return SortReasons(reasons)
}

func detailOf(detail, otherwise string) string {
	if detail == "" {
		return otherwise
	}
	return detail
}

// listNames writes the first names of a certificate that may have thousands.
func listNames(names []string) string {
	const shown = 8
	if len(names) == 0 {
		return "it has none"
	}
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}

func words(reasons []Reason) string {
	w := make([]string, len(reasons))
	for i, r := range reasons {
		w[i] = r.String()
	}
	return strings.Join(w, ", ")
}
