package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// ParseCertificate parses a DER certificate like x509.ParseCertificate, but for
// distribution points that are named relative to their CRL issuer (RFC 5280,
// section 4.2.1.13): that one refuses the whole certificate over them, which is
// right otherwise. Package revocation reads the extension itself.
//
// A TLS handshake parses without it, so that a peer with such a certificate
// never gets as far as being judged.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	if masked := parseMasked(der); masked != nil {
		return masked, nil
	}
	return nil, err
}

// parseMasked parses der with the type of its CRL distribution points written
// over by one of the same length that nobody knows, and puts the original back
// into the result. It returns nil when that does not help either.
func parseMasked(der []byte) *x509.Certificate {
	// The extension's type, 2.5.29.31, and one that is assigned to nothing.
	points, unknown := []byte{0x06, 0x03, 0x55, 0x1d, 0x1f}, []byte{0x06, 0x03, 0x55, 0x1d, 0x7f}
	if bytes.Count(der, points) != 1 || bytes.Contains(der, unknown) {
		return nil
	}
	at := bytes.Index(der, points)
	masked := slices.Clone(der)
	copy(masked[at:], unknown)
	c, err := x509.ParseCertificate(masked)
	if err != nil {
		return nil
	}
	oid := asn1.ObjectIdentifier{2, 5, 29, 127}
	found := false
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(oid) {
			c.Extensions[i].Id = asn1.ObjectIdentifier{2, 5, 29, 31}
			found = true
		}
	}
	if !found { // the octets stood somewhere else
		return nil
	}
	c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, oid.Equal)
	// What is raw in c lies within masked: putting the original octets back there
	// puts them back everywhere.
	copy(masked[at:], points)
	if !bytes.Equal(c.Raw, der) || bytes.Contains(c.RawTBSCertificate, unknown) {
		return nil
	}
	return c
}
