package revocation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"mailpact/internal/domainsec/dn"
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
// host; for a directory name it is the canonical name; otherwise it is the
// content octets.
type generalName struct {
	tag   uint8
	value string
}

// point is one distribution point of a certificate or a CRL (RFC 5280, section
// 4.2.1.13).
type point struct {
	names     []generalName // none: not stated
	issuers   []generalName // cRLIssuer, directory names only; none: the certificate's issuer itself
	reasons   reasonMask
	addresses []string // the URIs among names, in their order
}

// scope is what a CRL's issuingDistributionPoint says it covers. The zero value
// covers everything of its issuer.
type scope struct {
	raw       []byte        // the extension, for comparing two CRLs; nil: there is none
	names     []generalName // none: not stated
	onlyUser  bool
	onlyCA    bool
	attribute bool
	indirect  bool
	partial   bool // reasons counts
	reasons   reasonMask
}

// mask returns the reasons that a CRL of the scope covers.
func (s scope) mask() reasonMask {
	if s.partial {
		return s.reasons
	}
	return allReasons
}

// matches returns nil when the CRL's distribution point is p (RFC 5280, section
// 6.3.3, step b 2 i).
func (s scope) matches(p point) error {
	if len(s.names) == 0 {
		return nil
	}
	names := p.names
	if len(names) == 0 {
		names = p.issuers
	}
	for _, a := range s.names {
		if slices.Contains(names, a) {
			return nil
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
	switch {
	case s.attribute:
		return errors.New("the CRL covers attribute certificates only")
	case s.onlyUser && isCA:
		return errors.New("the CRL covers end-entity certificates only")
	case s.onlyCA && !isCA:
		return errors.New("the CRL covers CA certificates only")
	}
	return nil
}

// parseScope reads an issuingDistributionPoint (RFC 5280, section 5.2.5) of a
// CRL by that issuer, DER.
func parseScope(value, issuer []byte) (scope, error) {
	malformed := errors.New("parsing CRL: malformed issuingDistributionPoint")
	s := scope{raw: value}
	input := cryptobyte.String(value)
	var fields, name cryptobyte.String
	var hasName bool
	if !input.ReadASN1(&fields, asn1.SEQUENCE) || !input.Empty() ||
		!fields.ReadOptionalASN1(&name, &hasName, asn1.Tag(0).ContextSpecific().Constructed()) {
		return s, malformed
	}
	if hasName {
		var err error
		if s.names, err = readPointName(name, issuer); err != nil {
			return s, fmt.Errorf("parsing CRL: issuingDistributionPoint: %w", err)
		}
	}
	for _, f := range []struct {
		tag  uint8
		flag *bool
	}{{1, &s.onlyUser}, {2, &s.onlyCA}, {3, &s.partial}, {4, &s.indirect}, {5, &s.attribute}} {
		var content cryptobyte.String
		var present bool
		if !fields.ReadOptionalASN1(&content, &present, asn1.Tag(f.tag).ContextSpecific()) {
			return s, malformed
		}
		switch {
		case !present:
		case f.flag == &s.partial:
			s.partial = true
			if s.reasons, present = readReasons(content); !present {
				return s, malformed
			}
		case len(content) != 1 || (content[0] != 0 && content[0] != 0xff):
			return s, malformed
		default:
			*f.flag = content[0] != 0
		}
	}
	if !fields.Empty() {
		return s, malformed
	}
	return s, nil
}

// distributionPoints reads the CRL distribution points of a certificate; none
// is no error.
func distributionPoints(certificate *x509.Certificate) ([]point, error) {
	return pointsOf(certificate, oidCRLDistributionPoints)
}

// pointsOf reads the distribution points in the extension id of a certificate.
func pointsOf(certificate *x509.Certificate, id string) ([]point, error) {
	for _, e := range certificate.Extensions {
		if e.Id.String() != id {
			continue
		}
		points, err := readPoints(e.Value, certificate.RawIssuer)
		if err != nil {
			return nil, fmt.Errorf("the certificate's CRL distribution points: %w", err)
		}
		return points, nil
	}
	return nil, nil
}

// readPoints reads CRLDistributionPoints. issuer is the name, DER, that a name
// relative to the CRL issuer continues where no cRLIssuer is stated.
func readPoints(value cryptobyte.String, issuer []byte) ([]point, error) {
	malformed := errors.New("the distribution points are malformed")
	var sequence cryptobyte.String
	if !value.ReadASN1(&sequence, asn1.SEQUENCE) || !value.Empty() {
		return nil, malformed
	}
	var points []point
	for !sequence.Empty() {
		if len(points) == maxPoints {
			return nil, fmt.Errorf("there are more than %d distribution points", maxPoints)
		}
		var fields cryptobyte.String
		if !sequence.ReadASN1(&fields, asn1.SEQUENCE) {
			return nil, malformed
		}
		p, err := readPoint(fields, issuer)
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	return points, nil
}

// readPoint reads one DistributionPoint.
func readPoint(fields cryptobyte.String, issuer []byte) (point, error) {
	var name, reasons, crlIssuer cryptobyte.String
	var hasName, hasReasons, hasIssuer bool
	if !fields.ReadOptionalASN1(&name, &hasName, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!fields.ReadOptionalASN1(&reasons, &hasReasons, asn1.Tag(1).ContextSpecific()) ||
		!fields.ReadOptionalASN1(&crlIssuer, &hasIssuer, asn1.Tag(2).ContextSpecific().Constructed()) || !fields.Empty() {
		return point{}, errors.New("a distribution point is malformed")
	}
	if !hasName && !hasIssuer {
		return point{}, errors.New("a distribution point has neither a name nor a CRL issuer")
	}
	p := point{reasons: allReasons}
	if hasReasons {
		var ok bool
		if p.reasons, ok = readReasons(reasons); !ok {
			return point{}, errors.New("a distribution point has malformed reasons")
		}
	}
	if hasIssuer {
		directory, err := directoryNames(crlIssuer)
		if err != nil {
			return point{}, fmt.Errorf("a distribution point has a CRL issuer: %w", err)
		}
		for _, n := range directory {
			p.issuers = append(p.issuers, generalName{tag: tagDirectoryName, value: dn.Key(n)})
		}
		if len(directory) == 1 {
			issuer = directory[0]
		}
	}
	if !hasName {
		return p, nil
	}
	var err error
	if p.names, err = readPointName(name, issuer); err != nil {
		return point{}, fmt.Errorf("a distribution point has a %w", err)
	}
	for _, n := range p.names {
		if n.tag == tagURI {
			p.addresses = append(p.addresses, n.value)
		}
	}
	return p, nil
}

// directoryNames returns the directory names, DER, among GeneralNames, at least one.
func directoryNames(names cryptobyte.String) ([][]byte, error) {
	var found [][]byte
	for !names.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if !names.ReadAnyASN1(&content, &tag) {
			return nil, errors.New("malformed name")
		}
		if tag == asn1.Tag(tagDirectoryName).ContextSpecific().Constructed() && len(found) < maxNames {
			found = append(found, content)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no directory name")
	}
	return found, nil
}

// readPointName reads a DistributionPointName. A name relative to the CRL
// issuer, of which issuer is the name, becomes the full one.
func readPointName(name cryptobyte.String, issuer []byte) ([]generalName, error) {
	var content cryptobyte.String
	var tag asn1.Tag
	if !name.ReadAnyASN1(&content, &tag) || !name.Empty() {
		return nil, errors.New("malformed name")
	}
	switch tag {
	case asn1.Tag(0).ContextSpecific().Constructed():
		return readNames(content)
	case asn1.Tag(1).ContextSpecific().Constructed():
		full, ok := appendRDN(issuer, content)
		if !ok || len(content) == 0 {
			return nil, errors.New("malformed name relative to the CRL issuer")
		}
		return []generalName{{tag: tagDirectoryName, value: dn.Key(full)}}, nil
	}
	return nil, errors.New("malformed name")
}

// readNames reads GeneralNames, at least one.
func readNames(full cryptobyte.String) ([]generalName, error) {
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
		switch n.tag {
		case tagURI:
			n.value = normalURI(n.value)
		case tagDirectoryName:
			n.value = dn.Key(content)
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

// checkAddress accepts the addresses that a certificate may name: those of HTTP
// and of LDAP, which need no host.
func checkAddress(s string) (*url.URL, error) {
	if len(s) <= maxURLOctets && len(s) > 5 && strings.EqualFold(s[:5], "ldap:") {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("the address %q is malformed", cut(s))
		}
		if u.User != nil {
			return nil, fmt.Errorf("the address of %s contains credentials", u.Hostname())
		}
		_, err = parseLDAP(u)
		return u, err
	}
	return checkURL(s)
}

// checkURL accepts the addresses that HTTP may fetch: http, with a host, and no
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
