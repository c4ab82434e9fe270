package revocation

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Limits on what a certificate may name.
const (
	maxPoints    = 8 // distribution points per certificate
	maxNames     = 8 // names per distribution point
	maxURLOctets = 2048
)

// Tags of a GeneralName (RFC 5280, section 4.2.1.6).
const (
	tagDirectoryName = 4
	tagURI           = 6
)

// generalName is one GeneralName. For a URI, value is normal in scheme and
// host; otherwise it is the content octets.
type generalName struct {
	tag   uint8
	value string
}

// point is one distribution point of a certificate that can be used, or could
// be if it had an address.
type point struct {
	names []generalName
	urls  []string // the http addresses among names, in their order
}

// scope is what a CRL's issuingDistributionPoint says it covers. The zero value
// covers everything of its issuer.
type scope struct {
	raw      []byte // the extension, for comparing two CRLs
	names    []generalName
	onlyUser bool
	onlyCA   bool
}

// matches returns nil when the CRL's distribution point is one of the
// certificate's (RFC 5280, section 6.3.3, step b 2 i).
func (s scope) matches(p []generalName) error {
	if len(s.names) == 0 {
		return nil
	}
	for _, a := range s.names {
		for _, b := range p {
			if a == b {
				return nil
			}
		}
	}
	if s.names[0].tag != tagURI {
		return errors.New("the CRL is that of another distribution point")
	}
	return fmt.Errorf("the CRL is that of another distribution point, %q", cut(s.names[0].value))
}

// covers returns nil when certificates of this kind are on the CRL (RFC 5280,
// section 6.3.3, steps b 2 ii to iv).
func (s scope) covers(certificate *x509.Certificate) error {
	isCA := certificate.BasicConstraintsValid && certificate.IsCA
	if s.onlyUser && isCA {
		return errors.New("the CRL covers end-entity certificates only")
	}
	if s.onlyCA && !isCA {
		return errors.New("the CRL covers CA certificates only")
	}
	return nil
}

// parseScope reads an issuingDistributionPoint (RFC 5280, section 5.2.5). A
// scope that would need more than one CRL for an answer is an error.
func parseScope(value []byte) (scope, error) {
	malformed := errors.New("parsing CRL: malformed issuingDistributionPoint")
	s := scope{raw: value}
	input := cryptobyte.String(value)
	var fields cryptobyte.String
	if !input.ReadASN1(&fields, asn1.SEQUENCE) || !input.Empty() {
		return s, malformed
	}
	var name cryptobyte.String
	var hasName bool
	if !fields.ReadOptionalASN1(&name, &hasName, asn1.Tag(0).ContextSpecific().Constructed()) {
		return s, malformed
	}
	if hasName {
		var err error
		if s.names, err = readPointName(name); err != nil {
			return s, fmt.Errorf("parsing CRL: issuingDistributionPoint: %w", err)
		}
	}
	var onlyAttribute, indirect, someReasons bool
	for _, f := range []struct {
		tag  uint8
		flag *bool
	}{{1, &s.onlyUser}, {2, &s.onlyCA}, {3, &someReasons}, {4, &indirect}, {5, &onlyAttribute}} {
		var content cryptobyte.String
		var present bool
		if !fields.ReadOptionalASN1(&content, &present, asn1.Tag(f.tag).ContextSpecific()) {
			return s, malformed
		}
		if !present {
			continue
		}
		if f.tag == 3 { // onlySomeReasons is a BIT STRING
			*f.flag = true
			continue
		}
		if len(content) != 1 || (content[0] != 0 && content[0] != 0xff) {
			return s, malformed
		}
		*f.flag = content[0] != 0
	}
	switch {
	case !fields.Empty():
		return s, malformed
	case someReasons:
		return s, errors.New("parsing CRL: it covers only some reasons")
	case indirect:
		return s, errors.New("parsing CRL: it is an indirect CRL, which is not used")
	case onlyAttribute:
		return s, errors.New("parsing CRL: it covers attribute certificates only")
	}
	return s, nil
}

// distributionPoints reads the CRL distribution points of a certificate (RFC
// 5280, section 4.2.1.13). It returns those that can answer for every reason
// and are the issuer's own; the error says why there is none.
func distributionPoints(certificate *x509.Certificate) ([]point, error) {
	value, ok := pointsExtension(certificate)
	if !ok {
		return nil, errors.New("the certificate names no CRL distribution point")
	}
	malformed := errors.New("the certificate's CRL distribution points are malformed")
	input := cryptobyte.String(value)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() {
		return nil, malformed
	}
	var usable []point
	var why []string
	for n := 0; !sequence.Empty(); n++ {
		if n == maxPoints {
			return nil, fmt.Errorf("the certificate names more than %d CRL distribution points", maxPoints)
		}
		var fields cryptobyte.String
		if !sequence.ReadASN1(&fields, asn1.SEQUENCE) {
			return nil, malformed
		}
		p, err := readPoint(fields, certificate)
		if err != nil {
			why = append(why, err.Error())
			continue
		}
		usable = append(usable, p)
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("no CRL distribution point can be used: %s", strings.Join(why, "; "))
	}
	return usable, nil
}

func pointsExtension(certificate *x509.Certificate) ([]byte, bool) {
	for _, e := range certificate.Extensions {
		if e.Id.String() == oidCRLDistributionPoints {
			return e.Value, true
		}
	}
	return nil, false
}

// readPoint reads one DistributionPoint.
func readPoint(fields cryptobyte.String, certificate *x509.Certificate) (point, error) {
	var name, reasons, crlIssuer cryptobyte.String
	var hasName, hasReasons, hasIssuer bool
	if !fields.ReadOptionalASN1(&name, &hasName, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!fields.ReadOptionalASN1(&reasons, &hasReasons, asn1.Tag(1).ContextSpecific()) ||
		!fields.ReadOptionalASN1(&crlIssuer, &hasIssuer, asn1.Tag(2).ContextSpecific().Constructed()) || !fields.Empty() {
		return point{}, errors.New("one is malformed")
	}
	if hasReasons {
		return point{}, errors.New("one covers only some reasons")
	}
	if hasIssuer && !namesIssuer(crlIssuer, certificate) {
		return point{}, errors.New("one names another CRL issuer (indirect CRLs are not used)")
	}
	if !hasName {
		return point{}, errors.New("one has no name")
	}
	names, err := readPointName(name)
	if err != nil {
		return point{}, fmt.Errorf("one has a %w", err)
	}
	p := point{names: names}
	var why error
	for _, n := range names {
		if n.tag != tagURI {
			continue
		}
		if _, err := checkURL(n.value); err != nil {
			why = err
			continue
		}
		p.urls = append(p.urls, n.value)
	}
	if len(p.urls) == 0 {
		if why == nil {
			why = errors.New("one has no address")
		}
		return point{}, why
	}
	return p, nil
}

// namesIssuer reports whether a cRLIssuer is the certificate's issuer itself:
// it should be left out then, but some authorities write it.
func namesIssuer(crlIssuer cryptobyte.String, certificate *x509.Certificate) bool {
	for !crlIssuer.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if !crlIssuer.ReadAnyASN1(&content, &tag) {
			return false
		}
		if tag == asn1.Tag(tagDirectoryName).ContextSpecific().Constructed() && bytes.Equal(content, certificate.RawIssuer) {
			return true
		}
	}
	return false
}

// readPointName reads a DistributionPointName, which must be a full name.
func readPointName(name cryptobyte.String) ([]generalName, error) {
	var full cryptobyte.String
	if name.PeekASN1Tag(asn1.Tag(1).ContextSpecific().Constructed()) {
		return nil, errors.New("name relative to the CRL issuer, which is not used")
	}
	if !name.ReadASN1(&full, asn1.Tag(0).ContextSpecific().Constructed()) || !name.Empty() {
		return nil, errors.New("malformed name")
	}
	var names []generalName
	for !full.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if len(names) == maxNames {
			return nil, fmt.Errorf("name of more than %d parts", maxNames)
		}
		if !full.ReadAnyASN1(&content, &tag) {
			return nil, errors.New("malformed name")
		}
		n := generalName{tag: uint8(tag) & 0x1f, value: string(content)}
		if n.tag == tagURI {
			n.value = normalURI(n.value)
		}
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil, errors.New("name without parts")
	}
	return names, nil
}

// normalURI writes scheme and host in lower case (RFC 5280, section 7.4). What
// does not parse stays as it is.
func normalURI(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		return s
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	return u.String()
}

// checkURL accepts the addresses that may be fetched: http, with a host, and no
// credentials in them.
func checkURL(s string) (*url.URL, error) {
	if len(s) > maxURLOctets {
		return nil, fmt.Errorf("the address is longer than %d octets", maxURLOctets)
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("the address %q is malformed", cut(s))
	}
	switch {
	case u.Scheme == "https":
		return nil, fmt.Errorf("the address %q is https, whose certificate would itself need a CRL", cut(s))
	case u.Scheme != "http":
		return nil, fmt.Errorf("the address %q is not http", cut(s))
	case u.Hostname() == "":
		return nil, fmt.Errorf("the address %q has no host", cut(s))
	case u.User != nil:
		return nil, fmt.Errorf("the address of %s contains credentials", u.Hostname())
	}
	return u, nil
}

// cut shortens what strangers wrote for a detail.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
