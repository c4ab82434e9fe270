package authority

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Errors of Revoke.
var (
	// ErrNotIssued means that the serial number is none of this authority's.
	ErrNotIssued = errors.New("the serial number was not issued by this authority")
	// ErrReason means that the reason may not stand on a complete CRL for this certificate.
	ErrReason = errors.New("the reason may not be used")
)

// Reason is a CRL reason code (RFC 5280, section 5.3.1). The zero value is
// Unspecified, which is written by leaving the code out.
type Reason int

// The reason codes. 7 is not used; 8 exists on delta CRLs only.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	CertificateHold      Reason = 6
	RemoveFromCRL        Reason = 8
	PrivilegeWithdrawn   Reason = 9
	AACompromise         Reason = 10
)

// allowedFor reports whether this authority may give r, for one of its
// authorities or for an end entity. It issues no attribute certificates and no
// delta CRLs.
func (r Reason) allowedFor(authority bool) bool {
	switch r {
	case CACompromise:
		return authority
	case Unspecified, KeyCompromise, AffiliationChanged, Superseded, CessationOfOperation, CertificateHold, PrivilegeWithdrawn:
		return true
	default:
		return false
	}
}

// Revoke puts a certificate of this authority on its CRL, as of now. A
// certificate that is revoked already keeps its first date and reason, and that
// is no error. The next CRL names it, and so does Handler at once.
func (ca *CA) Revoke(serial *big.Int, reason Reason) error {
	now := ca.now()
	ca.mu.Lock()
	defer ca.mu.Unlock()
	authority, ok := ca.issued[serial.String()]
	if !ok {
		return fmt.Errorf("revoking %s: %w", serial.Text(16), ErrNotIssued)
	}
	if !reason.allowedFor(authority) {
		return fmt.Errorf("revoking %s for reason %d: %w", serial.Text(16), reason, ErrReason)
	}
	for _, entry := range ca.revoked {
		if entry.SerialNumber.Cmp(serial) == 0 {
			return nil
		}
	}
	ca.revoked = append(ca.revoked, x509.RevocationListEntry{
		SerialNumber: new(big.Int).Set(serial), RevocationTime: now, ReasonCode: int(reason),
	})
	ca.published = nil
	return nil
}

// CRL makes a new complete CRL, DER. Its number is higher than that of every
// CRL before, and its thisUpdate is now, or that of the one before if that is later.
func (ca *CA) CRL(now time.Time) ([]byte, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.makeCRL(now)
}

// makeCRL expects ca.mu to be held.
func (ca *CA) makeCRL(now time.Time) ([]byte, error) {
	if now.Before(ca.thisUpdate) {
		now = ca.thisUpdate
	}
	number := big.NewInt(now.UnixNano())
	if ca.number != nil && number.Cmp(ca.number) <= 0 {
		number = new(big.Int).Add(ca.number, big.NewInt(1))
	}
	template := &x509.RevocationList{
		Number: number, ThisUpdate: now, NextUpdate: now.Add(ca.crlValidity),
		RevokedCertificateEntries: slices.Clone(ca.revoked),
	}
	if err := draftCRL(template, ca.certificate); err != nil {
		return nil, err
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.certificate, ca.key)
	if err != nil {
		return nil, fmt.Errorf("signing CRL: %w", err)
	}
	if err := recheckCRL(der, template, ca.certificate); err != nil {
		return nil, fmt.Errorf("checking the CRL just signed: %w", err)
	}
	ca.number, ca.thisUpdate = number, now
	return der, nil
}

// draftCRL checks the CRL as a throw-away key signs it against the rules.
func draftCRL(template *x509.RevocationList, issuer *x509.Certificate) error {
	throwAway, err := newKey()
	if err != nil {
		return err
	}
	standIn := *issuer
	standIn.PublicKey = throwAway.Public()
	der, err := x509.CreateRevocationList(rand.Reader, template, &standIn, throwAway)
	if err != nil {
		return lintFault("the CRL", err)
	}
	draft, err := x509.ParseRevocationList(der)
	if err != nil {
		return lintFault("the CRL", err)
	}
	if err := lintList(draft, issuer); err != nil {
		return lintFault("the CRL", err)
	}
	return nil
}

// publish returns the CRL to serve at now: the last one, or a new one when
// something was revoked since or half of its life is over.
func (ca *CA) publish(now time.Time) (der []byte, thisUpdate, refreshAt time.Time, err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.published == nil || !now.Before(ca.refreshAt) {
		made, err := ca.makeCRL(now)
		if err != nil {
			return nil, time.Time{}, time.Time{}, err
		}
		ca.published, ca.refreshAt = made, ca.thisUpdate.Add(ca.crlValidity/2)
	}
	return bytes.Clone(ca.published), ca.thisUpdate, ca.refreshAt, nil
}
