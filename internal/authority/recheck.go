package authority

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// recheckCertificate parses what was just signed and compares it with what was
// ordered. issuer equal to template means self-signed.
func recheckCertificate(der []byte, template, issuer *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	if issuer == template {
		issuer = certificate
	}
	if err := issuer.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature); err != nil {
		return nil, fmt.Errorf("verifying signature: %w", err)
	}
	if known, ok := certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !known.Equal(public) {
		return nil, errors.New("another public key")
	}
	checks := []struct {
		ok   bool
		what string
	}{
		{bytes.Equal(certificate.RawIssuer, issuer.RawSubject), "issuer name"},
		{certificate.Subject.String() == template.Subject.String(), "subject"},
		{certificate.SerialNumber.Cmp(template.SerialNumber) == 0 && certificate.SerialNumber.Sign() > 0, "serial number"},
		{slices.Equal(certificate.DNSNames, template.DNSNames), "DNS names"},
		{slices.Equal(certificate.ExtKeyUsage, template.ExtKeyUsage), "extended key usages"},
		{certificate.KeyUsage == template.KeyUsage, "key usage"},
		{slices.Equal(certificate.CRLDistributionPoints, template.CRLDistributionPoints), "CRL distribution points"},
		{slices.Equal(certificate.IssuingCertificateURL, template.IssuingCertificateURL), "caIssuers"},
		{certificate.BasicConstraintsValid && certificate.IsCA == template.IsCA, "basic constraints"},
		{certificate.MaxPathLenZero == template.MaxPathLenZero && max(certificate.MaxPathLen, -1) == pathLength(template), "path length"},
		{len(template.SubjectKeyId) == 0 || bytes.Equal(certificate.SubjectKeyId, template.SubjectKeyId), "subject key identifier"},
		{slices.Equal(certificate.PermittedDNSDomains, template.PermittedDNSDomains) && len(certificate.ExcludedIPRanges) == len(template.ExcludedIPRanges) &&
			slices.Equal(certificate.PermittedEmailAddresses, template.PermittedEmailAddresses) &&
			slices.Equal(certificate.PermittedURIDomains, template.PermittedURIDomains), "name constraints"},
		{sameSecond(certificate.NotBefore, template.NotBefore) && sameSecond(certificate.NotAfter, template.NotAfter), "dates"},
		{!certificate.NotAfter.After(issuer.NotAfter), "end after its issuer's"},
		{!certificate.IsCA || len(certificate.SubjectKeyId) > 0, "subject key identifier"},
		{issuer == certificate || bytes.Equal(certificate.AuthorityKeyId, issuer.SubjectKeyId), "authority key identifier"},
		{len(certificate.UnhandledCriticalExtensions) == 0, "unknown critical extension"},
	}
	for _, check := range checks {
		if !check.ok {
			return nil, fmt.Errorf("not as ordered: %s", check.what)
		}
	}
	return certificate, nil
}

// pathLength returns the path length that a certificate of template has once it
// is parsed: -1 is none.
func pathLength(template *x509.Certificate) int {
	if !template.IsCA || template.MaxPathLen == 0 && !template.MaxPathLenZero {
		return -1
	}
	return template.MaxPathLen
}

// recheckCRL parses what was just signed and compares it with what was ordered.
func recheckCRL(der []byte, template *x509.RevocationList, issuer *x509.Certificate) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("verifying signature: %w", err)
	}
	switch {
	case !bytes.Equal(list.RawIssuer, issuer.RawSubject):
		return errors.New("not as ordered: issuer name")
	case !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId):
		return errors.New("not as ordered: authority key identifier")
	case list.Number == nil || list.Number.Cmp(template.Number) != 0:
		return errors.New("not as ordered: CRL number")
	case !sameSecond(list.ThisUpdate, template.ThisUpdate) || !sameSecond(list.NextUpdate, template.NextUpdate):
		return errors.New("not as ordered: dates")
	case len(list.RevokedCertificateEntries) != len(template.RevokedCertificateEntries):
		return errors.New("not as ordered: number of entries")
	}
	for i, entry := range list.RevokedCertificateEntries {
		want := template.RevokedCertificateEntries[i]
		if entry.SerialNumber.Cmp(want.SerialNumber) != 0 || entry.ReasonCode != want.ReasonCode || !sameSecond(entry.RevocationTime, want.RevocationTime) {
			return fmt.Errorf("not as ordered: entry %d", i)
		}
	}
	return nil
}

// sameSecond compares times as DER writes them.
func sameSecond(a, b time.Time) bool { return a.Unix() == b.Unix() }
