package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailpact/internal/domainsec"
)

// DescribeCertificate returns what logs, marks and evidence show of a
// certificate. The strings are the issuer's words: whoever writes them into a
// reply, a header or a log escapes and cuts them.
func DescribeCertificate(c *x509.Certificate) domainsec.CertificateFacts {
	sum1, sum256 := sha1.Sum(c.Raw), sha256.Sum256(c.Raw)
	names := c.DNSNames
	if len(names) == 0 && domainsec.IsHostName(c.Subject.CommonName) {
		names = []string{c.Subject.CommonName}
	}
	return domainsec.CertificateFacts{
		Subject:      distinguishedName(c.RawSubject),
		Issuer:       distinguishedName(c.RawIssuer),
		SerialNumber: serialNumber(c.SerialNumber),
		SHA1:         strings.ToUpper(hex.EncodeToString(sum1[:])),
		SHA256:       strings.ToUpper(hex.EncodeToString(sum256[:])),
		Names:        names,
		NotBefore:    c.NotBefore,
		NotAfter:     c.NotAfter,
		Key:          keyKind(c.PublicKey),
		Signature:    c.SignatureAlgorithm.String(),
		Usages:       extendedUsages(c),
		CA:           c.BasicConstraintsValid && c.IsCA,
	}
}

func keyKind(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	default:
		return "of an unknown kind"
	}
}

// extendedUsages lists the extended key usages, by name where crypto/x509 has one.
func extendedUsages(c *x509.Certificate) []string {
	var names []string
	for _, u := range c.ExtKeyUsage {
		names = append(names, u.String())
	}
	for _, oid := range c.UnknownExtKeyUsage {
		names = append(names, oid.String())
	}
	return names
}

// certificateLabel names a certificate in the details of a refusal: by its
// subject, or by its first name when the subject is empty, as public leaves' are.
func certificateLabel(c *x509.Certificate) string {
	if s := distinguishedName(c.RawSubject); s != "" {
		return s
	}
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return "serial number " + serialNumber(c.SerialNumber)
}

func serialNumber(n *big.Int) string {
	if n == nil {
		return ""
	}
	s := fmt.Sprintf("%X", new(big.Int).Abs(n))
	if len(s)%2 == 1 {
		s = "0" + s
	}
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// distinguishedName writes a DER name most specific part first, parts separated
// by ", ", values escaped as in RFC 4514, section 2.4. It is "" for the empty
// name and for one that cannot be read.
func distinguishedName(der []byte) string {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for i := len(rdns) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		for j, a := range rdns[i] {
			if j > 0 {
				b.WriteString(" + ")
			}
			b.WriteString(attributeType(a.Type))
			b.WriteByte('=')
			writeAttributeValue(&b, a.Value)
		}
	}
	return b.String()
}

// attributeType returns the short name of RFC 4514, section 3, or of custom, or the OID.
func attributeType(oid asn1.ObjectIdentifier) string {
	s := oid.String()
	switch s {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.5":
		return "SERIALNUMBER"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "STREET"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "E"
	default:
		return s
	}
}

func writeAttributeValue(b *strings.Builder, value any) {
	s, ok := value.(string)
	if !ok {
		der, err := asn1.Marshal(value)
		if err != nil {
			return
		}
		b.WriteByte('#')
		b.WriteString(hex.EncodeToString(der))
		return
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size <= 1, unicode.IsControl(r):
			for _, c := range []byte(s[i : i+size]) {
				fmt.Fprintf(b, `\%02X`, c)
			}
		case strings.ContainsRune(`,+"\<>;`, r),
			i == 0 && (r == '#' || r == ' '),
			i+size == len(s) && r == ' ':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
}
