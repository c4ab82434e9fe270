package certstore

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"mailpact/internal/directory"
)

// Findings returns what is unwise about our own certificates now, and for which
// of names there is none, or none that a stranger would trust. names are those
// that connectors use; partners is whether there is anybody to convince.
func (s *Store) Findings(names []directory.CertificateName, partners bool) []directory.Finding {
	now := s.now()
	var out []directory.Finding
	add := func(level directory.Level, object, text, fix string) {
		out = append(out, directory.Finding{Level: level, Object: object, Text: text, Fix: fix})
	}
	for _, fe := range s.current.Load().damaged {
		level := directory.LevelError
		if automatic(fe) {
			level = directory.LevelWarning
		}
		add(level, fe.File, "the file cannot be read and its certificate is not used: "+fe.Text(), damageMend(fe))
	}
	if n := len(s.unsealed()); n > 0 {
		fix := "Run mailpact cert seal"
		if s.seal == nil {
			fix = "Make (umask 077; head -c 32 /dev/urandom > FILE), write keySealFile: FILE under server, reload, and run mailpact cert seal"
		}
		add(directory.LevelWarning, s.keysDirectory, fmt.Sprintf("private keys lie there unsealed (%d): who can read the disk or a copy of it has them", n), fix)
	}
	for _, c := range s.All() {
		if c.keyReadable != 0 {
			add(directory.LevelWarning, c.KeyFile, "others than its owner may read the key", "Run chmod 600 "+c.KeyFile)
		}
	}
	for _, n := range distinct(names) {
		object := fmt.Sprintf("certificates[%s]", n)
		found := s.Select(n, nil)
		if len(found) == 0 {
			add(directory.LevelError, object, missingText(n), "See mailpact cert list; make one with mailpact cert request, or add one under certificates")
			continue
		}
		f := judge(found[0], now, partners)
		if f.Text != "" {
			add(f.Level, object, f.Text+" ("+found[0].File+")", f.Fix)
		}
	}
	return out
}

// judge returns what is unwise about the certificate chosen for a name.
func judge(c *Certificate, now time.Time, partners bool) directory.Finding {
	leaf := c.TLS.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return directory.Finding{Level: directory.LevelError, Text: "the best certificate expired on " + day(leaf.NotAfter), Fix: c.renewal()}
	case now.Before(leaf.NotBefore):
		return directory.Finding{Level: directory.LevelError, Text: "the best certificate is not valid before " + day(leaf.NotBefore), Fix: "Check this machine's clock"}
	case ExpiryThreshold(leaf.NotAfter, now) > 0:
		return directory.Finding{
			Level: directory.LevelWarning, Text: fmt.Sprintf("the certificate expires on %s, in %d days", day(leaf.NotAfter), DaysLeft(leaf.NotAfter, now)), Fix: c.renewal(),
		}
	case c.SelfSigned && partners:
		return directory.Finding{
			Level: directory.LevelWarning, Text: "only a self-signed certificate carries the name; partners refuse it unless they trust it by itself",
			Fix: "Ask a CA that your partners trust for one (mailpact cert request), or give them this one",
		}
	}
	return directory.Finding{}
}

// renewal says how the certificate is renewed.
func (c *Certificate) renewal() string {
	switch {
	case c.automatic:
		return "Start again; this certificate is renewed by itself"
	case !c.Managed():
		return "Renew it, write the new files and send SIGHUP"
	case c.SelfSigned:
		return "Run mailpact cert clone --services SMTP " + c.Thumbprint()
	}
	return "Run mailpact cert renew " + c.Thumbprint()
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// automatic reports whether fe is about a file of EnsureSelfSigned, which can be
// made again.
func automatic(fe *FileError) bool {
	return strings.HasPrefix(filepath.Base(fe.File), selfSignedPrefix)
}

// damageMend says what to do about a damaged file in the keys directory.
func damageMend(fe *FileError) string {
	if automatic(fe) {
		return "Delete the pair; another is made at the next start"
	}
	return fe.Mend
}

// missingText says what the lack of a certificate means.
func missingText(n directory.CertificateName) string {
	if _, _, dn := n.IssuerAndSubject(); dn {
		return "no certificate enabled for SMTP has this issuer and subject, so that none is shown where it is named"
	}
	if _, is := n.Thumbprint(); is {
		return "no certificate enabled for SMTP has this thumbprint, so that none is shown where it is named"
	}
	return "no certificate carries the name, so that STARTTLS is not offered under it"
}
