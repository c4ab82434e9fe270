package trust

import (
	"context"
	"crypto/x509"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/trust/rfc5280"
)

// Bounds of path building. A peer that exceeds the number of certificates,
// signatures, steps or good paths is refused with InvalidChain; a path that is too
// long does not count.
const (
	maxPresented       = 40   // certificates in the handshake, the leaf included
	maxPathElements    = 10   // certificates of one path, the anchor included
	maxPaths           = 16   // paths of each sort that are kept without looking what they add
	maxGoodPaths       = 128  // good paths that are kept
	maxSignatureChecks = 100  // signatures verified for one leaf
	maxSearchSteps     = 5000 // certificates visited for one leaf
	maxRSABits         = 8192 // of a key that a signature is verified with
	minRSABits         = 2048
	notBeforeTolerance = 5 * time.Minute
)

// PathBuilder finds the paths from a peer's certificate to the anchors. It
// knows no domains, scopes or partners: those are applied to what it returns.
//
// Build returns paths in which nothing is wrong but perhaps the purpose
// (Path.Usage says which ones all elements allow), and paths it tried in vain. Of
// many good ones with the same anchor, purposes and Intermediates it returns enough
// that each certificate is there together with each that signed it; of many that
// failed, the first. If it cannot finish within its bounds it
// returns no path at all. It must be safe for
// concurrent use and must not change certificates.
type PathBuilder interface {
	Build(ctx context.Context, r BuildRequest) ([]Path, []FailedPath)
}

// BuildRequest is what a PathBuilder works on.
type BuildRequest struct {
	Presented     []*x509.Certificate // leaf first, the others in any order; at least one
	Anchors       []Anchor
	Intermediates []*x509.Certificate // of the store; they are tried before the presented ones
	SystemRoots   *x509.CertPool      // nil: none
	Now           time.Time
	// IgnoreCommonName: nobody takes the leaf's CN for a host name, so that DNS name
	// constraints do not bind it.
	IgnoreCommonName bool
	// Policy is what certificate policies are asked of every path; the zero
	// value accepts any, as mail does.
	Policy PolicyInputs
}

// PolicyInputs are the policy inputs of a path (RFC 5280, section 6.1.1).
type PolicyInputs = rfc5280.PolicyInputs

// Anchor is a certificate that is trusted by itself.
type Anchor struct {
	Certificate *x509.Certificate
	// Issuer: it may vouch for others. Otherwise it is good only as the leaf.
	Issuer bool
}

// Path is a path that verified.
type Path struct {
	Elements []*x509.Certificate // leaf first, anchor last; one element when the leaf is the anchor
	// Usage is the purposes that every element allows, a constant of
	// domainsec, or "" when there is none.
	Usage string
	// Public: the anchor is one of the system's roots.
	Public bool
}

// FailedPath is a path that was tried in vain.
type FailedPath struct {
	Path
	// Anchored: the last element is an anchor and all signatures are right.
	Anchored bool
	Reasons  []domainsec.Reason // at least one
	Detail   string             // of the first fault
}
