package certstore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// renewBefore is how long before its end a self-signed certificate is replaced.
const renewBefore = 30 * 24 * time.Hour

// clockSkew is how far behind ours a peer's clock may be.
const clockSkew = 5 * time.Minute

// EnsureSelfSigned sees to it that one certificate in the keys directory
// carries all of names, is enabled for SMTP and lasts for another 30 days. It
// makes a self-signed one of 12 months (ECDSA P-256, serverAuth and clientAuth)
// when there is none, and says so. The pair is on disk before it can be selected. Older ones of ours that
// the new one makes useless are no longer in the store; their files stay, since
// somebody may trust them by themselves. Call it again at least once a week.
func (s *Store) EnsureSelfSigned(names []smtp.Domain) (created bool, err error) {
	if s.keysDirectory == "" {
		return false, errors.New("making a self-signed certificate: there is no keys directory")
	}
	wanted := distinct(names)
	if len(wanted) == 0 {
		return false, errors.New("making a self-signed certificate: there is no name for it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	// One that an administrator put into the keys directory serves as well.
	if slices.ContainsFunc(s.All(), func(c *Certificate) bool {
		return c.Managed() && c.EnabledFor(directory.ServiceSMTP, now) && coversAll(c, wanted) &&
			c.Current(now) && c.TLS.Leaf.NotAfter.Sub(now) >= renewBefore
	}) {
		return false, s.refresh()
	}
	p, err := selfSignedFor(wanted)
	if err != nil {
		return false, fmt.Errorf("making a self-signed certificate: %w", err)
	}
	m := metadata{FriendlyName: p.friendlyName, Services: []directory.Service{directory.ServiceSMTP}}
	if _, err := s.makeSelfSigned(selfSignedPrefix, p, m); err != nil {
		return false, fmt.Errorf("making a self-signed certificate: %w", err)
	}
	return true, nil
}

// selfSignedFor says what the certificate for names holds.
func selfSignedFor(names []smtp.Domain) (*issue, error) {
	p := &issue{friendlyName: "Mailpact self-signed"}
	for _, n := range names {
		p.names = append(p.names, string(n))
	}
	// RFC 5280, appendix A.1: a CN has at most 64 characters.
	cn := p.names[0]
	if len(cn) > 64 {
		cn = "Mailpact self-signed certificate"
	}
	var err error
	p.rawSubject, err = Subject{{Key: "CN", Value: cn}}.der()
	return p, err
}

func coversAll(c *Certificate, names []smtp.Domain) bool {
	have := c.Names()
	return !slices.ContainsFunc(names, func(n smtp.Domain) bool { return !slices.Contains(have, string(n)) })
}

// distinct returns names in their order, each once, without the empty one.
func distinct[T ~string](names []T) []T {
	var out []T
	for _, n := range names {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// makePrivateDirectory makes a directory that only its owner can enter, and
// takes the others' rights off one that is there.
func makePrivateDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making the keys directory: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("closing the keys directory to others: %w", err)
	}
	return nil
}
