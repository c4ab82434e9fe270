package directory

import (
	"errors"
	"fmt"
	"strings"

	"mailpact/internal/smtp"
)

// CertificateName says which of our own certificates is meant, in one of three
// forms: a host name that it carries; <I>ISSUER<S>SUBJECT, two distinguished
// names that a renewal by the same CA keeps; or its SHA-1 or SHA-256
// thumbprint. The zero value names none.
type CertificateName string

// maxCertificateNameBytes bounds a name, in octets.
const maxCertificateNameBytes = 1024

// ParseCertificateName reads a name in any of its forms.
func ParseCertificateName(s string) (CertificateName, error) {
	s = strings.TrimSpace(s)
	n := CertificateName(s)
	if len(s) > maxCertificateNameBytes {
		return "", fmt.Errorf("has more than %d octets", maxCertificateNameBytes)
	}
	if strings.HasPrefix(s, "<") {
		issuer, subject, ok := n.IssuerAndSubject()
		if !ok {
			return "", errors.New("is not of the form <I>ISSUER<S>SUBJECT")
		}
		for _, dn := range []string{issuer, subject} {
			if _, err := ParseDN(dn); err != nil {
				return "", err
			}
		}
		return n, nil
	}
	if t := CertificateName(strings.ToUpper(strings.NewReplacer(":", "", " ", "").Replace(s))); t.isThumbprint() {
		return t, nil
	}
	d, err := smtp.ParseDomain(s)
	return CertificateName(d), err
}

// IssuerAndSubject returns the distinguished names of the second form.
func (n CertificateName) IssuerAndSubject() (issuer, subject string, ok bool) {
	rest, ok := strings.CutPrefix(string(n), "<I>")
	if !ok {
		return "", "", false
	}
	issuer, subject, ok = strings.Cut(rest, "<S>")
	return issuer, subject, ok
}

// Thumbprint returns the thumbprint of the third form, in upper-case hex.
func (n CertificateName) Thumbprint() (string, bool) { return string(n), n.isThumbprint() }

func (n CertificateName) isThumbprint() bool {
	return (len(n) == 40 || len(n) == 64) && strings.Trim(string(n), "0123456789ABCDEF") == ""
}

// ParseDN brings a distinguished name of RFC 4514, or as certificates show it,
// into a form in which equal names are equal: its parts as KEY=value with
// values in lower case and single spaces, in the order given. Case and
// neighbouring spaces do not count, as in RFC 5280, section 7.1.
func ParseDN(text string) ([]string, error) {
	var parts []string
	for rest := strings.TrimSpace(text); rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		key = strings.ToUpper(strings.TrimSpace(key))
		if !ok || key == "" || strings.ContainsAny(key, ` ,"\`) {
			return nil, errors.New("holds a distinguished name that is not KEY=VALUE, separated by commas")
		}
		var value string
		var err error
		if value, rest, err = readDNValue(strings.TrimLeft(after, " ")); err != nil {
			return nil, err
		}
		parts = append(parts, DNPart(key, value))
	}
	if len(parts) == 0 {
		return nil, errors.New("holds an empty distinguished name")
	}
	return parts, nil
}

// DNPart returns one part of a distinguished name as ParseDN does.
func DNPart(key, value string) string {
	key = strings.TrimPrefix(key, "OID.")
	switch key {
	case "ST":
		key = "S"
	case "EMAILADDRESS", "1.2.840.113549.1.9.1":
		key = "E"
	}
	return key + "=" + strings.ToLower(strings.Join(strings.Fields(value), " "))
}

// readDNValue reads a value and the comma or plus sign behind it.
func readDNValue(text string) (value, rest string, err error) {
	var b strings.Builder
	quoted := strings.HasPrefix(text, `"`)
	if quoted {
		text = text[1:]
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case quoted && c == '"' && strings.HasPrefix(text[i+1:], `"`):
			i++
			b.WriteByte('"')
		case quoted && c == '"':
			rest = strings.TrimLeft(text[i+1:], " ")
			if rest != "" && rest[0] != ',' && rest[0] != '+' {
				return "", "", errors.New("holds text after quotation marks")
			}
			return b.String(), strings.TrimLeft(strings.TrimLeft(rest, ",+"), " "), nil
		case !quoted && (c == ',' || c == '+'):
			return b.String(), strings.TrimLeft(text[i+1:], " "), nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("holds quotation marks that are not closed")
	}
	return b.String(), "", nil
}

// OwnCertificate is the name by which the certificate for STARTTLS is chosen.
func (c *ReceiveConnector) OwnCertificate() CertificateName {
	if c.TLSCertificateName != "" {
		return c.TLSCertificateName
	}
	return CertificateName(c.FQDN)
}

// OwnCertificate is the name by which our client certificate is chosen; fqdn is
// the server's own, for a connector without one.
func (c *SendConnector) OwnCertificate(fqdn smtp.Domain) CertificateName {
	switch {
	case c.TLSCertificateName != "":
		return c.TLSCertificateName
	case c.FQDN != "":
		return CertificateName(c.FQDN)
	}
	return CertificateName(fqdn)
}

// CertificateNames returns the names by which our certificates are chosen, each
// once: those of receive connectors that offer STARTTLS, of domain-secure send
// connectors, and those for single partners.
func (c *Configuration) CertificateNames() []CertificateName {
	var names []CertificateName
	for i := range c.ReceiveConnectors {
		if r := &c.ReceiveConnectors[i]; r.HasTLS() {
			names = append(names, r.OwnCertificate())
		}
	}
	for i := range c.SendConnectors {
		if s := &c.SendConnectors[i]; s.DomainSecureEnabled {
			names = append(names, s.OwnCertificate(c.Server.FQDN))
		}
	}
	for i := range c.Partners {
		if p := &c.Partners[i]; p.Send {
			names = append(names, p.ClientCertificate)
		}
	}
	return distinct(names)
}

// ServerNames returns the names of the server and of its connectors, each once.
func (c *Configuration) ServerNames() []smtp.Domain {
	names := []smtp.Domain{c.Server.FQDN}
	for i := range c.ReceiveConnectors {
		names = append(names, c.ReceiveConnectors[i].FQDN)
	}
	for i := range c.SendConnectors {
		names = append(names, c.SendConnectors[i].FQDN)
	}
	return distinct(names)
}

// KnownNames returns every name the configuration knows this server by, each
// once: ServerNames and the accepted domains.
func (c *Configuration) KnownNames() []smtp.Domain {
	names := c.ServerNames()
	for i := range c.AcceptedDomains {
		names = append(names, c.AcceptedDomains[i].Name)
	}
	return distinct(names)
}

// distinct returns names in their order, each once, without the empty one.
func distinct[T ~string](names []T) []T {
	var out []T
	seen := map[T]bool{"": true}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
