package server

import (
	"context"
	"crypto/x509"

	"mailpact/internal/revocation"
	"mailpact/internal/trust"
)

// pathRevocation shows the CRL checker to trust, which may not import it.
type pathRevocation struct{ checker *revocation.Checker }

var _ trust.Revocation = pathRevocation{}

// CheckPath asks for every certificate of path but the anchor.
func (p pathRevocation) CheckPath(ctx context.Context, path []*x509.Certificate) trust.PathStatus {
	s := p.checker.CheckPath(ctx, path)
	return trust.PathStatus{Status: s.Status, Detail: s.Detail, ThisUpdate: s.ThisUpdate, ValidUntil: s.ValidUntil}
}

// Generation changes whenever an answer may have changed.
func (p pathRevocation) Generation() uint64 { return p.checker.Generation() }
