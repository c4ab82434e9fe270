package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"mailpact/internal/domainsec"
)

// maxOwnAnswers bounds the remembered answers about certificates of our own.
const maxOwnAnswers = 64

type ownKey struct {
	chain      ChainID
	generation uint64 // of the CRLs
}

// ownAnswers remembers the status of our own certificates. There are few of
// them, so that forgetting all is good enough when there are too many.
type ownAnswers struct {
	mu      sync.Mutex
	answers map[ownKey]ownAnswer
}

type ownAnswer struct {
	status       PathStatus
	since, until time.Time
}

func (o *ownAnswers) get(key ownKey, now time.Time) (PathStatus, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, known := o.answers[key]
	return a.status, known && now.Before(a.until) && !now.Before(a.since)
}

func (o *ownAnswers) put(key ownKey, s PathStatus, now time.Time) {
	until := now.Add(maxFailureAge)
	if s.Status == domainsec.RevocationUnknown {
		until = now.Add(maxUnknownAge)
	}
	until = earliest(until, s.ValidUntil)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answers == nil || len(o.answers) >= maxOwnAnswers {
		o.answers = map[ownKey]ownAnswer{}
	}
	o.answers[key] = ownAnswer{status: s, since: now, until: until}
}

// OwnStatus reports whether our own certificate, with the chain as it is
// presented, can be shown to be good now: Reasons names what is wrong with the
// certificate itself, Status what is known of its revocation. It needs a path:
// to an anchor of the trust settings, whatever its scope, or within the
// presented chain. A self-signed certificate needs no revocation.
//
// Answers are remembered like judgements, so that it may be asked before each message.
func (v *Verifier) OwnStatus(ctx context.Context, chain []*x509.Certificate) PathStatus {
	if len(chain) == 0 || slices.Contains(chain, nil) {
		return PathStatus{Detail: "there is no certificate"}
	}
	now := v.now()
	key := ownKey{chain: HashChain(chain)}
	if v.revocation != nil {
		key.generation = v.revocation.Generation()
	}
	if s, known := v.own.get(key, now); known {
		return s
	}
	s := v.ownStatus(ctx, chain, now)
	if ctx.Err() == nil {
		v.own.put(key, s, now)
	}
	return s
}

func (v *Verifier) ownStatus(ctx context.Context, chain []*x509.Certificate, now time.Time) PathStatus {
	var f pathFaults
	f.dates(chain[0], now)
	s := v.ownRevocation(ctx, chain, now)
	s.Reasons = domainsec.SortReasons(f.reasons)
	if s.Status == domainsec.RevocationRevoked {
		s.Reasons = append([]domainsec.Reason{domainsec.Revoked}, s.Reasons...)
	}
	if f.detail != "" && s.Status != domainsec.RevocationRevoked {
		s.Detail = f.detail
	}
	s.ValidUntil = earliest(s.ValidUntil, chain[0].NotAfter)
	return s
}

func (v *Verifier) ownRevocation(ctx context.Context, chain []*x509.Certificate, now time.Time) PathStatus {
	if selfIssued(chain[0]) && chain[0].CheckSignature(chain[0].SignatureAlgorithm, chain[0].RawTBSCertificate, chain[0].Signature) == nil {
		return PathStatus{Status: domainsec.RevocationNotRequired}
	}
	paths, _ := v.builder.Build(ctx, v.buildRequest(chain, now))
	var unknown *PathStatus
	var good *PathStatus
	for _, p := range paths {
		required := p.Public || !v.store.exempt(p.Elements[len(p.Elements)-1])
		s := v.pathStatus(ctx, p, required)
		switch s.Status {
		case domainsec.RevocationRevoked:
			return s
		case domainsec.RevocationGood, domainsec.RevocationNotRequired:
			if good == nil {
				good = &s
			}
		default:
			if unknown == nil {
				unknown = &s
			}
		}
	}
	switch {
	case good != nil:
		return *good
	case unknown != nil:
		return *unknown
	case v.revocation == nil:
		return PathStatus{Detail: "revocation is not checked by this server"}
	}
	presented := ownPath(chain)
	if len(presented) < 2 {
		return PathStatus{Detail: fmt.Sprintf("the issuer of %s is neither in its file nor in the trust settings; append the CA certificate to certificateFile, or list the root under trust.anchors", certificateLabel(chain[0]))}
	}
	return v.checkPath(ctx, presented)
}

// ownPath returns the part of a presented chain, from the leaf on, in which
// each certificate is signed by the next.
func ownPath(chain []*x509.Certificate) []*x509.Certificate {
	n := 1
	for n < len(chain) && n < maxPathElements && chain[n-1].CheckSignatureFrom(chain[n]) == nil {
		n++
	}
	return chain[:n]
}
