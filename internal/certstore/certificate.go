package certstore

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailpact/internal/directory"
)

// Certificate is one of our own certificates, with its key. It is immutable.
// However it is printed, the key does not appear.
type Certificate struct {
	// TLS is what a handshake presents: leaf, intermediates and key, with Leaf set.
	TLS *tls.Certificate `json:"-"`
	// SelfSigned is whether the certificate was signed with its own key.
	SelfSigned bool
	// Services are the uses that it is enabled for.
	Services []directory.Service
	// File is the file it was read from.
	File string
	// KeyFile is the file its key was read from.
	KeyFile string
	// FriendlyName is what its administrator calls it; may be empty.
	FriendlyName string
	// EnabledFrom is when its services begin; zero: they have begun. Before
	// then it stands by.
	EnabledFrom time.Time
	// Exportable is whether the key may be handed out again.
	Exportable bool
	// KeySealed is whether the key lies encrypted.
	KeySealed bool
	// base is the common path of its files in the keys directory, without
	// extension; empty: its files are the administrator's.
	base string
	// automatic: EnsureSelfSigned made it.
	automatic bool
	// keyReadable is the mode of a key file that others than its owner may read; 0 is fine.
	keyReadable uint32
}

// Leaf returns the certificate itself, without its chain.
func (c *Certificate) Leaf() *x509.Certificate { return c.TLS.Leaf }

// Chain returns the certificate and its intermediates as they are presented.
func (c *Certificate) Chain() ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, 0, len(c.TLS.Certificate))
	for i, der := range c.TLS.Certificate {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate %d of %s: %w", i+1, c.File, err)
		}
		chain = append(chain, x)
	}
	return chain, nil
}

// Thumbprint returns the SHA-1 thumbprint in upper-case hex, as the described
// system shows it.
func (c *Certificate) Thumbprint() string {
	return fmt.Sprintf("%X", sha1.Sum(c.TLS.Leaf.Raw))
}

// SHA256 returns the SHA-256 thumbprint in upper-case hex.
func (c *Certificate) SHA256() string {
	return fmt.Sprintf("%X", sha256.Sum256(c.TLS.Leaf.Raw))
}

// Names returns the names that Select compares, in lower case, each once: the
// DNS names and, where it is a host name, the subject's CN.
func (c *Certificate) Names() []string {
	var names []string
	for _, n := range append(slices.Clone(c.TLS.Leaf.DNSNames), c.TLS.Leaf.Subject.CommonName) {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if isHostName(n) && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// Current reports whether now lies within the certificate's dates.
func (c *Certificate) Current(now time.Time) bool {
	return !now.Before(c.TLS.Leaf.NotBefore) && !now.After(c.TLS.Leaf.NotAfter)
}

// Managed reports whether the certificate lies in the keys directory, so that
// it can be enabled, exported and removed by command.
func (c *Certificate) Managed() bool { return c.base != "" }

// EnabledFor reports whether c may be used for s at the time now.
func (c *Certificate) EnabledFor(s directory.Service, now time.Time) bool {
	return slices.Contains(c.Services, s) && !now.Before(c.EnabledFrom)
}

// matches reports whether c is meant by name, and whether without a wildcard.
func (c *Certificate) matches(name directory.CertificateName) (ok, exact bool) {
	if issuer, subject, is := name.IssuerAndSubject(); is {
		ok = sameDN(issuer, c.TLS.Leaf.Issuer) && sameDN(subject, c.TLS.Leaf.Subject)
		return ok, ok
	}
	if t, is := name.Thumbprint(); is {
		ok = t == c.Thumbprint() || t == c.SHA256()
		return ok, ok
	}
	for _, n := range c.Names() {
		if n == string(name) {
			return true, true
		}
		// RFC 9525, section 6.3: a wildcard is the whole left-most label and
		// stands for exactly one.
		if rest, wild := strings.CutPrefix(n, "*."); wild {
			_, parent, dotted := strings.Cut(string(name), ".")
			ok = ok || dotted && parent == rest
		}
	}
	return ok, false
}

// sameDN compares a written distinguished name with that of a certificate. Some
// programs write the root of a name first and some last, so both will do.
func sameDN(text string, name pkix.Name) bool {
	written, err := directory.ParseDN(text)
	if err != nil {
		return false
	}
	var parts []string
	for _, n := range name.Names {
		parts = append(parts, directory.DNPart(attributeKey(n.Type), fmt.Sprint(n.Value)))
	}
	if slices.Equal(written, parts) {
		return true
	}
	slices.Reverse(parts)
	return slices.Equal(written, parts)
}

// attributeKey returns the short name of an attribute, or its numbers.
func attributeKey(oid asn1.ObjectIdentifier) string {
	for _, r := range attributeRules() {
		if r.oid.Equal(oid) {
			return r.key
		}
	}
	switch s := oid.String(); s {
	case "2.5.4.5":
		return "SERIALNUMBER"
	case "2.5.4.9":
		return "STREET"
	case "2.5.4.17":
		return "POSTALCODE"
	default:
		return s
	}
}

// isHostName reports whether s is a host name in ASCII, with or without a
// wildcard as its left-most label.
func isHostName(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// String names the certificate without its key.
func (c Certificate) String() string {
	if c.TLS == nil || c.TLS.Leaf == nil {
		return "certificate (none)"
	}
	return fmt.Sprintf("certificate %q, thumbprint %s, key redacted", c.TLS.Leaf.Subject.String(), c.Thumbprint())
}

// Format prints String whatever the verb, so that no verb reaches the key.
func (c Certificate) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// GoString is String: %#v must not reach the key either.
func (c Certificate) GoString() string { return c.String() }

// LogValue is what a log line shows.
func (c Certificate) LogValue() slog.Value { return slog.StringValue(c.String()) }
