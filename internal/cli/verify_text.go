package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"mailpact/internal/admin"
)

// writeVerification prints what was asked, a tree for each path, leaf first, and
// at the end the verdict.
func writeVerification(w io.Writer, r admin.CertificateVerifyResponse) error {
	t := &errWriter{w: w}
	subject := ""
	if r.Certificate != nil {
		subject = nameOf(*r.Certificate)
	}
	t.err = list(w,
		[2]string{"Certificate", subject}, [2]string{"File", r.File}, [2]string{"Time", utc(r.Time)},
		[2]string{"Purpose", r.Purpose}, [2]string{"Names", namesAsked(r)},
		[2]string{"Anchors", r.Anchors}, [2]string{"Revocation", r.Revocation})
	for _, u := range r.Unusable {
		t.line("Unusable    : %s", u)
	}
	for _, f := range r.Fetched {
		what := fmt.Sprintf("%d certificate(s)", f.Certificates)
		if f.Error != "" {
			what = f.Error
		}
		t.line("Issuer from : %s: %s (took %d ms)", f.Address, what, f.Milliseconds)
	}
	for i := range r.Paths {
		writePath(t, i+1, &r.Paths[i])
	}
	t.line("")
	if r.Valid {
		t.line("VALID")
		return t.err
	}
	word := "NOT VALID"
	if r.Temporary {
		word = "NOT VALID NOW (the fault may pass by itself)"
	}
	t.line("%s: %s", word, reasonWords(r))
	if r.Detail != "" {
		t.line("  %s", r.Detail)
	}
	return t.err
}

func writePath(t *errWriter, number int, p *admin.VerifiedPath) {
	t.line("")
	verdict := p.Status
	if p.Valid {
		verdict += " until " + utc(p.ValidUntil)
	}
	t.line("Path %d: %s", number, verdict)
	for i := range p.Certificates {
		c := &p.Certificates[i]
		indent := strings.Repeat("   ", i)
		joint := "  "
		if i > 0 {
			joint = "  " + indent[3:] + "└─ "
		}
		t.line("%s%s  %s", joint, nameOf(*c), roleOf(c))
		inner := "  " + indent + "   "
		t.line("%sSHA-256    %s", inner, c.SHA256)
		t.line("%svalid      %s to %s", inner, utc(c.NotBefore), utc(c.NotAfter))
		t.line("%skey        %s, signed with %s", inner, c.Key, c.Signature)
		if len(c.Names) > 0 && i == 0 {
			t.line("%snames      %s", inner, strings.Join(c.Names, ", "))
		}
		if len(c.Usages) > 0 {
			t.line("%susages     %s", inner, strings.Join(c.Usages, ", "))
		}
		writeRevocation(t, inner, c.Revocation)
	}
	if p.Detail != "" {
		t.line("  %s", p.Detail)
	}
}

func writeRevocation(t *errWriter, inner string, r *admin.VerifiedRevocation) {
	if r == nil {
		return
	}
	text := r.Status
	if !r.ThisUpdate.IsZero() {
		text += ", as of " + utc(r.ThisUpdate)
	}
	if !r.ValidUntil.IsZero() {
		text += ", until " + utc(r.ValidUntil)
	}
	t.line("%srevocation %s (took %d ms)", inner, text, r.Milliseconds)
	for _, s := range r.Sources {
		what := s.Kind + " " + s.Address
		if s.Number != "" {
			what += ", number " + s.Number
		}
		if !s.ThisUpdate.IsZero() {
			what += ", of " + utc(s.ThisUpdate)
		}
		if !s.NextUpdate.IsZero() {
			what += ", next " + utc(s.NextUpdate)
		}
		if s.Error != "" {
			what += ": not used: " + s.Error
		}
		t.line("%s           %s", inner, what)
	}
	if r.Detail != "" {
		t.line("%s           %s", inner, r.Detail)
	}
}

func nameOf(c admin.VerifiedCertificate) string {
	switch {
	case c.Subject != "":
		return c.Subject
	case len(c.Names) > 0:
		return c.Names[0]
	default:
		return "serial number " + c.SerialNumber
	}
}

func roleOf(c *admin.VerifiedCertificate) string {
	if c.Role == "anchor" {
		return "[trust anchor]"
	}
	return "[" + c.Role + "]"
}

func namesAsked(r admin.CertificateVerifyResponse) string {
	rule, name := "", ""
	switch {
	case r.Domain != "":
		rule, name = "the Domain Security rule", r.Domain
	case r.Host != "":
		rule, name = "RFC 9525", r.Host
	default:
		return "not looked at (use --domain or --host)"
	}
	if r.MatchedName == "" {
		return fmt.Sprintf("%s, by %s: no name matches", name, rule)
	}
	return fmt.Sprintf("%s, by %s: %s matches", name, rule, r.MatchedName)
}

func reasonWords(r admin.CertificateVerifyResponse) string {
	words := make([]string, len(r.Reasons))
	for i, reason := range r.Reasons {
		words[i] = reason.String()
	}
	return strings.Join(words, ", ")
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// errWriter prints lines until one fails. What it prints is made printable.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) line(format string, args ...any) {
	if e.err == nil {
		_, e.err = fmt.Fprintln(e.w, printable(fmt.Sprintf(format, args...)))
	}
}
