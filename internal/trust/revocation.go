package trust

import (
	"context"
	"crypto/x509"
	"time"

	"mailpact/internal/domainsec"
)

// Revocation answers whether the certificates of a verified path are revoked.
// It must be safe for concurrent use.
type Revocation interface {
	// CheckPath asks about every certificate of the path, leaf first, but the
	// last, whose key verifies what is said about the one below it.
	CheckPath(ctx context.Context, path []*x509.Certificate) PathStatus
	// Generation changes whenever an answer may have changed.
	Generation() uint64
}

// PathStatus is what is known about the revocation of a whole path. The zero
// value is unknown.
type PathStatus struct {
	Status domainsec.RevocationStatus
	Detail string // which certificate and address, when unknown or revoked
	// ThisUpdate is that of the oldest CRL used. ValidUntil is when the answer
	// ends; zero means that the answer sets no end.
	ThisUpdate, ValidUntil time.Time
	// Checks are the answers for single certificates, leaf first.
	Checks []domainsec.RevocationCheck
	// Reasons are faults of the certificate itself: OwnStatus alone sets them.
	Reasons []domainsec.Reason
}

// Lifetimes up to which a public leaf without any pointer to revocation counts
// as good: the CA/Browser Forum lets such leaves do without (Baseline
// Requirements, section 1.6.1, Short-lived Subscriber Certificate).
const (
	shortLived    = 7 * 24 * time.Hour
	shortLivedOld = 10 * 24 * time.Hour
)

// shortLivedChange is when the shorter of the two limits began, for leaves issued since.
func shortLivedChange() time.Time { return time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC) }

func isShortLived(leaf *x509.Certificate) bool {
	if len(leaf.CRLDistributionPoints) > 0 || len(leaf.OCSPServer) > 0 || hasCRLPoints(leaf) {
		return false
	}
	limit := shortLived
	if leaf.NotBefore.Before(shortLivedChange()) {
		limit = shortLivedOld
	}
	// Both ends belong to the validity (RFC 5280, section 4.1.2.5).
	return leaf.NotAfter.Sub(leaf.NotBefore)+time.Second <= limit
}

// hasCRLPoints reports a distribution points extension (2.5.29.31), in
// whatever form: crypto/x509 lists only those that are URLs.
func hasCRLPoints(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.String() == "2.5.29.31" {
			return true
		}
	}
	return false
}

// pathStatus asks for the revocation status of a path that is good otherwise.
func (v *Verifier) pathStatus(ctx context.Context, p Path, required bool) PathStatus {
	switch {
	case len(p.Elements) == 1:
		// The leaf is the anchor: an administrator trusts this very certificate.
		return PathStatus{Status: domainsec.RevocationNotRequired}
	case !required:
		return PathStatus{Status: domainsec.RevocationNotRequired}
	case v.revocation == nil:
		return PathStatus{Detail: "revocation is not checked by this server"}
	case p.Public && isShortLived(p.Elements[0]):
		if len(p.Elements) == 2 {
			return PathStatus{Status: domainsec.RevocationNotRequired}
		}
		return v.checkPath(ctx, p.Elements[1:])
	default:
		return v.checkPath(ctx, p.Elements)
	}
}

func (v *Verifier) checkPath(ctx context.Context, path []*x509.Certificate) PathStatus {
	s := v.revocation.CheckPath(ctx, path)
	s.Reasons = nil
	return s
}
