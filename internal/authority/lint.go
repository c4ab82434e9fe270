package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailpact/internal/smtp"
)

type extension = pkix.Extension

// LintError says which clauses an artefact would have broken. It was signed with
// a throw-away key only, and exists nowhere.
type LintError struct{ Broken []string }

// Error names the clauses.
func (e *LintError) Error() string {
	return "it would break " + strings.Join(e.Broken, "; ")
}

// certificateRule is one clause that certificates of this authority obey.
type certificateRule struct {
	clause string
	holds  func(c, issuer *x509.Certificate) bool
}

// certificateRules are checked on a certificate that a throw-away key has
// signed, before the authority's own key signs the same octets.
func certificateRules() []certificateRule {
	type certificate = *x509.Certificate
	return []certificateRule{
		{"RFC 5280, section 4.1.2.1: version 3", func(c, _ certificate) bool { return c.Version == 3 }},
		{"RFC 5280, section 4.1.2.2: a positive serial number of at most 20 octets", func(c, _ certificate) bool {
			return c.SerialNumber.Sign() > 0 && c.SerialNumber.BitLen() <= 159
		}},
		{"RFC 5280, section 4.1.2.4: a distinguished name of the issuer, that of its certificate", func(c, issuer certificate) bool {
			return len(c.Issuer.Names) > 0 && bytes.Equal(c.RawIssuer, issuer.RawSubject)
		}},
		{"RFC 5280, section 4.1.2.5: an end after the beginning", func(c, _ certificate) bool { return c.NotAfter.After(c.NotBefore) }},
		{"RFC 5280, section 4.1.2.6: a distinguished name of the subject in an authority's certificate", func(c, _ certificate) bool {
			return !c.IsCA || len(c.Subject.Names) > 0
		}},
		{"RFC 5280, appendix A.1: names within their upper bounds, 64 characters each", func(c, _ certificate) bool {
			for _, n := range c.Subject.Names {
				if s, ok := n.Value.(string); ok && (s == "" || len([]rune(s)) > maxCommonName) {
					return false
				}
			}
			return true
		}},
		{"RFC 5280, section 4.2: no extension twice", func(c, _ certificate) bool {
			seen := map[string]bool{}
			for _, e := range c.Extensions {
				if seen[e.Id.String()] {
					return false
				}
				seen[e.Id.String()] = true
			}
			return true
		}},
		{"RFC 5280, section 4.2.1.1: the authority key identifier, not critical", func(c, issuer certificate) bool {
			selfIssued := bytes.Equal(c.RawIssuer, c.RawSubject)
			return !critical(c, 35) && (selfIssued || len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId))
		}},
		{"RFC 5280, section 4.2.1.2: a subject key identifier, not critical, in every certificate", func(c, _ certificate) bool {
			return !critical(c, 14) && len(c.SubjectKeyId) > 0
		}},
		{"RFC 5280, section 4.2.1.3: key usage, critical, with keyCertSign in an authority's certificate and in no other", func(c, _ certificate) bool {
			return critical(c, 15) && c.KeyUsage != 0 && (c.KeyUsage&x509.KeyUsageCertSign != 0) == c.IsCA
		}},
		{"RFC 5280, section 4.2.1.6: a subject alternative name, and DNS names in their preferred form", func(c, _ certificate) bool {
			if !c.IsCA && len(c.DNSNames) == 0 {
				return false
			}
			return !slices.ContainsFunc(c.DNSNames, func(name string) bool { return !validName(name) })
		}},
		{"RFC 5280, section 4.2.1.9: basic constraints, critical in an authority's certificate, a path length in no other", func(c, _ certificate) bool {
			return c.BasicConstraintsValid && (!c.IsCA || critical(c, 19)) && (c.IsCA || c.MaxPathLen < 0 && !c.MaxPathLenZero)
		}},
		{"RFC 5280, section 4.2.1.9: the issuer's path length leaves room for another authority", func(c, issuer certificate) bool {
			return !c.IsCA || bytes.Equal(c.RawIssuer, c.RawSubject) || !issuer.MaxPathLenZero
		}},
		{"RFC 5280, section 4.2.1.10: name constraints, critical, in an authority's certificate only", func(c, _ certificate) bool {
			return !has(c, 30) || c.IsCA && critical(c, 30)
		}},
		{"RFC 5280, section 4.2.1.12: a purpose in an end entity's certificate", func(c, _ certificate) bool {
			return c.IsCA || len(c.ExtKeyUsage) > 0 || len(c.UnknownExtKeyUsage) > 0
		}},
		{"RFC 5280, section 4.2.1.13: CRL distribution points, not critical, that HTTP can fetch", func(c, _ certificate) bool {
			return !critical(c, 31) && !slices.ContainsFunc(c.CRLDistributionPoints, func(s string) bool { return !fetchable(s) })
		}},
		{"RFC 5280, section 4.2.2.1: where the issuer's certificate is, not critical, that HTTP can fetch", func(c, _ certificate) bool {
			return !slices.ContainsFunc(c.IssuingCertificateURL, func(s string) bool { return !fetchable(s) })
		}},
		{"RFC 5280, section 6.1: no end after its issuer's", func(c, issuer certificate) bool { return !c.NotAfter.After(issuer.NotAfter) }},
		{"RFC 8446, section 4.2.3 and RFC 5480, section 2.1.1.1: a key that TLS 1.3 can use, RSA of 2048 bits or more", func(c, _ certificate) bool { return strongKey(c.PublicKey) }},
		{"RFC 5280, section 4.1.1.2: a signature algorithm with SHA-256 or better", func(c, _ certificate) bool {
			switch c.SignatureAlgorithm {
			case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
				return true
			default:
				return false
			}
		}},
	}
}

// listRule is one clause that CRLs of this authority obey.
type listRule struct {
	clause string
	holds  func(l *x509.RevocationList, issuer *x509.Certificate) bool
}

func listRules() []listRule {
	type (
		list   = *x509.RevocationList
		issuer = *x509.Certificate
	)
	return []listRule{
		{"RFC 5280, section 5.1.2.3: the issuer's distinguished name", func(l list, i issuer) bool { return bytes.Equal(l.RawIssuer, i.RawSubject) }},
		{"RFC 5280, section 5.1.2.4 and 5.1.2.5: a nextUpdate after thisUpdate", func(l list, _ issuer) bool { return l.NextUpdate.After(l.ThisUpdate) }},
		{"RFC 5280, section 5.1.2.6: no serial number twice, none revoked later than thisUpdate", func(l list, _ issuer) bool {
			seen := map[string]bool{}
			for _, e := range l.RevokedCertificateEntries {
				serial := e.SerialNumber.String()
				if seen[serial] || e.RevocationTime.Truncate(time.Second).After(l.ThisUpdate) {
					return false
				}
				seen[serial] = true
			}
			return true
		}},
		{"RFC 5280, section 5.2.1: the authority key identifier", func(l list, i issuer) bool {
			return len(l.AuthorityKeyId) > 0 && bytes.Equal(l.AuthorityKeyId, i.SubjectKeyId)
		}},
		{"RFC 5280, section 5.2.3: a CRL number of at most 20 octets", func(l list, _ issuer) bool {
			return l.Number != nil && l.Number.Sign() >= 0 && l.Number.BitLen() <= 159
		}},
		{"RFC 5280, section 5.3.1: reasons of a complete CRL, unspecified left out", func(l list, _ issuer) bool {
			for _, e := range l.RevokedCertificateEntries {
				written := slices.ContainsFunc(e.Extensions, func(x extension) bool { return x.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 21}) })
				if !Reason(e.ReasonCode).allowedFor(true) || written == (e.ReasonCode == 0) {
					return false
				}
			}
			return true
		}},
		{"RFC 5280, section 4.2.1.3: the issuer may sign CRLs", func(_ list, i issuer) bool { return i.KeyUsage&x509.KeyUsageCRLSign != 0 }},
	}
}

func lintCertificate(c, issuer *x509.Certificate) error {
	var broken []string
	for _, r := range certificateRules() {
		if !r.holds(c, issuer) {
			broken = append(broken, r.clause)
		}
	}
	if len(broken) > 0 {
		return &LintError{broken}
	}
	return nil
}

func lintList(l *x509.RevocationList, issuer *x509.Certificate) error {
	var broken []string
	for _, r := range listRules() {
		if !r.holds(l, issuer) {
			broken = append(broken, r.clause)
		}
	}
	if len(broken) > 0 {
		return &LintError{broken}
	}
	return nil
}

// validName reports whether name is a host name, or one below *.
func validName(name string) bool {
	d, err := smtp.ParseDomain(strings.TrimPrefix(name, "*."))
	return err == nil && string(d) == strings.TrimPrefix(name, "*.") && !strings.Contains(string(d), "_")
}

// fetchable reports whether s is an address from which relying parties fetch.
func fetchable(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && u.Host != "" && strings.Trim(u.Path, "/") != ""
}

func strongKey(public any) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048 && k.E >= 65537
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	default:
		return false
	}
}

// has and critical look for the extension id-ce n.
func has(c *x509.Certificate, n int) bool {
	return slices.ContainsFunc(c.Extensions, func(e extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, n}) })
}

func critical(c *x509.Certificate, n int) bool {
	return slices.ContainsFunc(c.Extensions, func(e extension) bool {
		return e.Critical && e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, n})
	})
}

// errDraft means that the key was not used because something differs from what was linted.
var errDraft = errors.New("what was signed is not what was checked")

// hexSerial is how a serial number is written for people: lower-case hex.
func hexSerial(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func lintFault(what string, err error) error {
	return fmt.Errorf("checking %s with a throw-away key: %w", what, err)
}
