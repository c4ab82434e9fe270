package message

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// MarkField is the name of the field that says that a message came domain-secured.
const MarkField = "Mailpact-Domain-Secured"

// securedMethod is the method in Authentication-Results.
const securedMethod = "x-domain-secured"

// MarkOptions are the facts that the mark tells. Certificate strings may come
// from strangers.
type MarkOptions struct {
	Domain         smtp.Domain // the secured domain
	Name           string      // the certificate's name that matched
	Certificate    domainsec.CertificateFacts
	TLS            domainsec.TLSFacts
	Revocation     domainsec.RevocationStatus
	RevocationTime time.Time // zero: none
	By             string    // our own host name
	AuthservID     string    // RFC 8601, section 2.5
}

// Mark makes the two fields of a domain-secured message, each with its CRLF:
// the mark itself and the Authentication-Results entry.
//
// Put them above Received, not below (see the package comment).
func Mark(o MarkOptions) []byte {
	pairs := []struct {
		key, value string
		quoted     bool
	}{
		{"domain", string(o.Domain), false},
		{"name", o.Name, false},
		{"subject", o.Certificate.Subject, true},
		{"issuer", o.Certificate.Issuer, true},
		{"sha1", o.Certificate.SHA1, false},
		{"sha256", o.Certificate.SHA256, false},
		{"tls", o.TLS.Version, false},
		{"cipher", o.TLS.CipherSuite, false},
		{"revocation", revocationWord(o.Revocation), false},
		{"revocation-time", revocationTime(o.RevocationTime), false},
		{"by", o.By, false},
	}
	clauses := make([]string, 0, len(pairs))
	for _, p := range pairs {
		switch {
		case p.quoted:
			clauses = append(clauses, p.key+`="`+escaped(p.value, "")+`";`)
		case p.value != "":
			clauses = append(clauses, p.key+"="+escaped(p.value, " ")+";")
		}
	}
	last := &clauses[len(clauses)-1]
	*last = strings.TrimSuffix(*last, ";")
	dst := appendFolded(make([]byte, 0, 1024), MarkField, clauses...)
	return appendFolded(dst, "Authentication-Results", authservToken(o.AuthservID)+";",
		securedMethod+"=pass policy.domain="+escaped(string(o.Domain), " "))
}

// authservToken returns id as a token. What cannot stand in one is escaped: an
// authserv-id is a domain name in practice.
func authservToken(id string) string {
	if id == "" {
		return "unknown"
	}
	return escaped(id, " ()<>@,:/[]?=")
}

func revocationWord(s domainsec.RevocationStatus) string {
	switch s {
	case domainsec.RevocationGood:
		return "good"
	case domainsec.RevocationNotRequired:
		return "not-required"
	case domainsec.RevocationRevoked:
		return "revoked"
	default:
		return "unknown"
	}
}

func revocationTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// DomainSecured is the content of a mark, as ParseMark reads it. Subject,
// Issuer and Name have their escapes undone: they are a stranger's strings.
type DomainSecured struct {
	Domain                                      smtp.Domain
	Name, Subject, Issuer, SHA1, SHA256         string
	TLSVersion, CipherSuite, Revocation, Server string
	RevocationTime                              time.Time // zero: none
}

// ErrNotMark says that a field is not a mark in the form that Mark writes.
var ErrNotMark = errors.New("not a " + MarkField + " field")

// ParseMark reads a whole field, name and line end included, as Mark writes it.
// It does not say whether the field is genuine: only the server that the
// message came from can, by removing all others. Its errors are ErrNotMark, wrapped.
func ParseMark(field []byte) (DomainSecured, error) {
	var m DomainSecured
	name, value, ok := strings.Cut(unfold(field), ":")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), MarkField) {
		return m, ErrNotMark
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(value, ";") {
		key, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || seen[key] {
			return DomainSecured{}, fmt.Errorf("%w: part %q", ErrNotMark, printable([]byte(part), maxNameShown))
		}
		seen[key] = true
		if err := m.set(key, v); err != nil {
			return DomainSecured{}, err
		}
	}
	if m.Domain == "" {
		return DomainSecured{}, fmt.Errorf("%w: no domain", ErrNotMark)
	}
	return m, nil
}

// set takes one key; keys of later versions are passed over.
func (m *DomainSecured) set(key, v string) error {
	quoted := strings.HasPrefix(v, `"`)
	if quoted {
		if len(v) < 2 || !strings.HasSuffix(v, `"`) {
			return fmt.Errorf("%w: %s is not quoted to its end", ErrNotMark, printable([]byte(key), maxNameShown))
		}
		v = v[1 : len(v)-1]
	}
	v = unescaped(v)
	switch key {
	case "domain":
		d, err := smtp.ParseDomain(v)
		if err != nil {
			return fmt.Errorf("%w: domain: %w", ErrNotMark, err)
		}
		m.Domain = d
	case "name":
		m.Name = v
	case "subject":
		m.Subject = v
	case "issuer":
		m.Issuer = v
	case "sha1":
		m.SHA1 = v
	case "sha256":
		m.SHA256 = v
	case "tls":
		m.TLSVersion = v
	case "cipher":
		m.CipherSuite = v
	case "revocation":
		m.Revocation = v
	case "revocation-time":
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return fmt.Errorf("%w: revocation-time: %w", ErrNotMark, err)
		}
		m.RevocationTime = t
	case "by":
		m.Server = v
	}
	return nil
}
