package certstore

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"mailpact/internal/directory"
)

// minThumbprintDigits is how much of a thumbprint must be given.
const minThumbprintDigits = 8

const thumbprintField = "thumbprint"

// normalThumbprint takes out what people put into a thumbprint.
func normalThumbprint(t string) (string, error) {
	t = strings.ToUpper(strings.NewReplacer(" ", "", ":", "").Replace(t))
	if strings.Trim(t, "0123456789ABCDEF") != "" || len(t) < minThumbprintDigits {
		return "", &Fault{Field: thumbprintField, Problem: fmt.Sprintf("%q is no thumbprint", cut(t)), Mend: fmt.Sprintf("Give at least %d of its hexadecimal digits; mailpact cert list shows them", minThumbprintDigits)}
	}
	return t, nil
}

// oneOf returns the only one of all that one of its thumbprints names.
func oneOf[T any](all []T, t string, thumbprints func(T) []string) (found T, err error) {
	t, err = normalThumbprint(t)
	if err != nil {
		return found, err
	}
	n := 0
	for _, x := range all {
		if slices.ContainsFunc(thumbprints(x), func(s string) bool { return strings.HasPrefix(s, t) }) {
			found = x
			n++
		}
	}
	switch n {
	case 0:
		return found, &Fault{Kind: FaultMissing, Field: "certificate " + t, Problem: "there is none with this thumbprint", Mend: "See mailpact cert list and mailpact cert pending"}
	case 1:
		return found, nil
	}
	return found, &Fault{Field: thumbprintField, Problem: fmt.Sprintf("%s begins %d thumbprints", t, n), Mend: "Give more of its digits"}
}

// Find returns the certificate with a thumbprint, SHA-1 or SHA-256, of which
// the first eight digits are enough if no other begins alike. The error is a
// *Fault.
func (s *Store) Find(thumbprint string) (*Certificate, error) {
	return oneOf(s.All(), thumbprint, func(c *Certificate) []string { return []string{c.Thumbprint(), c.SHA256()} })
}

// FindPending returns the request with a thumbprint, as Find does.
func (s *Store) FindPending(thumbprint string) (*Pending, error) {
	return oneOf(s.Pending(), thumbprint, func(p *Pending) []string { return []string{p.Thumbprint()} })
}

// managed returns a certificate that lies in the keys directory.
func (s *Store) managed(thumbprint string) (*Certificate, error) {
	c, err := s.Find(thumbprint)
	if err != nil {
		return nil, err
	}
	if !c.Managed() {
		return nil, &Fault{
			Kind: FaultState, Field: "certificate " + c.Thumbprint(), Problem: "it is a file of the configuration, " + c.File,
			Mend: "Change it under certificates in the configuration file and send SIGHUP",
		}
	}
	return c, nil
}

// ImportOptions say what to import.
type ImportOptions struct {
	Data     []byte // PEM, DER, PKCS #7 or PFX, at most MaxImportBytes
	Password string // of a PFX
	// FriendlyName is at most 63 characters; empty: the request's, else Mailpact.
	FriendlyName string
	Exportable   bool // whether the key may be exported; of an answer the request says it, too
	Services     []directory.Service
	// Backup is whether a PFX of certificate and key is wanted, protected by
	// BackupPassword: the one chance where the key is not exportable.
	Backup         bool
	BackupPassword string
}

// Imported is what an import did.
type Imported struct {
	Certificate *Certificate
	Bound       bool     // it answered a pending request
	Backup      []byte   // a PFX; nil: not wanted
	Notes       []string // what is unwise about it
}

// Import takes a certificate in: the answer to a pending request, which is bound
// to its key, or a certificate that comes with its key. Errors of type *Fault
// are the caller's; then nothing has changed.
func (s *Store) Import(o ImportOptions) (*Imported, error) {
	u, err := parseUpload(o.Data, o.Password)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.key == nil {
		return s.bind(o, u)
	}
	leaf, chain := leafOf(u.certificates, u.key.Public())
	if leaf == nil {
		return nil, uploadFault(fmt.Sprintf("the key belongs to none of the %d certificates in the file", len(u.certificates)), "Export certificate and key together", nil)
	}
	if err := checkImportable(leaf, u.key); err != nil {
		return nil, err
	}
	if longer, err := s.present(u, leaf, chain); longer != nil || err != nil {
		return longer, err
	}
	name, err := checkFriendlyName(o.FriendlyName)
	if err != nil {
		return nil, err
	}
	now := s.now()
	base, err := s.newBase(managedPrefix, u.key.Public(), now)
	if err != nil {
		return nil, err
	}
	if s.taken(base) { // another certificate of the same key, imported today
		base += "-" + fmt.Sprintf("%x", sha256.Sum256(leaf.Raw))[:8]
	}
	result := &Imported{Notes: notesOn(u, chain, nil, now)}
	if result.Backup, err = backup(o, u.key, chain); err != nil {
		return nil, err
	}
	result.Certificate, err = s.add(base, u.key, chain, metadata{FriendlyName: name, Services: o.Services, Exportable: o.Exportable, Created: now.UTC()})
	return result, err
}

// bind gives an answer to the request that has its key.
func (s *Store) bind(o ImportOptions, u *upload) (*Imported, error) {
	for _, p := range s.Pending() {
		leaf, chain := leafOf(u.certificates, p.key.Public())
		if leaf == nil {
			continue
		}
		if err := checkImportable(leaf, p.key); err != nil {
			return nil, err
		}
		m, err := readMetadata(p.base)
		if err != nil {
			return nil, err
		}
		if o.FriendlyName != "" {
			if m.FriendlyName, err = checkFriendlyName(o.FriendlyName); err != nil {
				return nil, err
			}
		}
		m.Services, m.Exportable = o.Services, m.Exportable || o.Exportable
		result := &Imported{Bound: true, Notes: notesOn(u, chain, p.Names(), s.now())}
		if result.Backup, err = backup(o, p.key, chain); err != nil {
			return nil, err
		}
		// The certificate beside the request answers it; from then on the
		// request's file is of no use.
		if result.Certificate, err = s.complete(p.base, chain, m); err != nil {
			return nil, err
		}
		return result, removeAnswered(p.base)
	}
	for _, c := range s.All() {
		if leaf, chain := leafOf(u.certificates, c.TLS.Leaf.PublicKey); leaf != nil {
			if longer, err := s.present(u, leaf, chain); longer != nil || err != nil {
				return longer, err
			}
		}
	}
	return nil, &Fault{
		Kind: FaultState, Field: "file", Problem: fmt.Sprintf("it holds no key, and none of its %d certificates answers a pending request (there are %d)", len(u.certificates), len(s.Pending())),
		Mend: "Compare with mailpact cert pending, or import a PFX with the key",
	}
}

// present reports a certificate that is in the store already: a *Fault, unless
// the chain that came with it now is longer, which is then kept.
func (s *Store) present(u *upload, leaf *x509.Certificate, chain []*x509.Certificate) (*Imported, error) {
	for _, c := range s.All() {
		if !c.TLS.Leaf.Equal(leaf) {
			continue
		}
		if c.Managed() && len(chain) > len(c.TLS.Certificate) {
			if err := writeChain(c.base, chain); err != nil {
				return nil, err
			}
			longer, err := s.readBack(c.base)
			return &Imported{Certificate: longer, Notes: append(notesOn(u, chain, nil, s.now()), "the certificate was there; its chain has been completed")}, err
		}
		return nil, &Fault{Kind: FaultState, Field: "certificate " + c.Thumbprint(), Problem: "it is already present", Mend: "See mailpact cert show " + c.Thumbprint()}
	}
	return nil, nil
}

// taken reports whether files of base exist.
func (s *Store) taken(base string) bool {
	return slices.ContainsFunc(s.All(), func(c *Certificate) bool { return c.base == base }) ||
		slices.ContainsFunc(s.Pending(), func(p *Pending) bool { return p.base == base })
}

// checkImportable refuses what could never be shown.
func checkImportable(leaf *x509.Certificate, key crypto.Signer) error {
	if leaf.Version < 3 {
		return uploadFault(fmt.Sprintf("the certificate is X.509 version %d; mail servers need version 3", leaf.Version), "Ask the CA for another", nil)
	}
	if !samePublicKey(key.Public(), leaf.PublicKey) {
		return uploadFault("the key belongs to another certificate", "Export certificate and key together", nil)
	}
	return nil
}

func backup(o ImportOptions, key crypto.Signer, chain []*x509.Certificate) ([]byte, error) {
	if !o.Backup {
		return nil, nil
	}
	return encodePFX(key, chain, o.BackupPassword, false, "backupPassword")
}

// encodePFX makes a PFX: AES-256 and SHA-256, or for legacy 3DES and SHA-1,
// which Windows Server 2016 and older read.
func encodePFX(key crypto.Signer, chain []*x509.Certificate, password string, legacy bool, field string) ([]byte, error) {
	if password == "" {
		return nil, &Fault{Field: field, Problem: "a PFX needs a password", Mend: "Write one into a file and name it with --" + passwordFlag(field)}
	}
	encoder := pkcs12.Modern2023
	if legacy {
		encoder = pkcs12.LegacyDES
	}
	der, err := encoder.Encode(key, chain[0], chain[1:], password)
	if err != nil {
		return nil, &Fault{Field: field, Problem: "the PFX cannot be made with this password", Mend: "Use a password of characters of the Basic Multilingual Plane", Err: err}
	}
	return der, nil
}

func passwordFlag(field string) string {
	if field == "backupPassword" {
		return "backup-password-file"
	}
	return "password-file"
}

// ExportKey returns a PFX of a certificate with its chain and key. The error is
// a *Fault where the key is not exportable.
func (s *Store) ExportKey(thumbprint, password string, legacy bool) ([]byte, error) {
	c, err := s.managed(thumbprint)
	if err != nil {
		return nil, err
	}
	if !c.Exportable {
		return nil, &Fault{
			Kind: FaultState, Field: "certificate " + c.Thumbprint(), Problem: "its key is not exportable",
			Mend: "Use the backup that was made at its import, or make another with mailpact cert renew --exportable " + c.Thumbprint(),
		}
	}
	key, ok := c.TLS.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("exporting a key: it is of no known kind")
	}
	chain, err := c.Chain()
	if err != nil {
		return nil, err
	}
	return encodePFX(key, chain, password, legacy, "password")
}

// ChainPEM returns a certificate and its intermediates in PEM.
func (c *Certificate) ChainPEM() ([]byte, error) {
	chain, err := c.Chain()
	if err != nil {
		return nil, err
	}
	return encodeChain(chain), nil
}

// Enable adds services to those of a certificate. From then on, or from the
// time from, it takes part in the choice for them. The error is a *Fault where
// it is the caller's.
func (s *Store) Enable(thumbprint string, services []directory.Service, from time.Time) (*Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.managed(thumbprint)
	if err != nil {
		return nil, err
	}
	if len(services) == 0 {
		return nil, &Fault{Field: "services", Problem: "no service is named", Mend: "Write --services SMTP"}
	}
	if !from.IsZero() && !from.Before(c.TLS.Leaf.NotAfter) {
		return nil, &Fault{Field: "from", Problem: "the certificate will have expired by then (" + day(c.TLS.Leaf.NotAfter) + ")", Mend: "Choose an earlier time"}
	}
	m, err := readMetadata(c.base)
	if err != nil {
		return nil, err
	}
	for _, x := range services {
		if !slices.Contains(m.Services, x) {
			m.Services = append(m.Services, x)
		}
	}
	m.EnabledFrom = from.UTC()
	if from.IsZero() {
		m.EnabledFrom = time.Time{}
	}
	if err := writeMetadata(c.base, m); err != nil {
		return nil, err
	}
	return s.readBack(c.base)
}

// Remove removes a certificate with its key, or a pending request. It refuses
// the certificate that would be shown under one of names, unless another just
// as good takes its place. The error is a *Fault where it is the caller's. With
// dryRun nothing is removed.
func (s *Store) Remove(thumbprint string, names []directory.CertificateName, dryRun bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := ""
	if p, err := s.FindPending(thumbprint); err == nil {
		base = p.base
	} else {
		c, err := s.managed(thumbprint)
		if err != nil {
			return err
		}
		if err := s.checkReplaced(c, names); err != nil {
			return err
		}
		base = c.base
	}
	if dryRun {
		return nil
	}
	if err := removeFiles(base); err != nil {
		return fmt.Errorf("removing %s: %w", base, err)
	}
	return s.refresh()
}

// checkReplaced refuses a certificate that is in use and has no successor.
func (s *Store) checkReplaced(c *Certificate, names []directory.CertificateName) error {
	for _, n := range distinct(names) {
		found := s.candidates(n, nil)
		if len(found) == 0 || found[0].Certificate != c {
			continue
		}
		if len(found) > 1 && found[1].preference <= found[0].preference {
			continue
		}
		return &Fault{
			Kind: FaultState, Field: "certificate " + c.Thumbprint(), Problem: "it is in use under the name " + string(n) + ", and no other as good carries it",
			Mend: "Enable its replacement first: mailpact cert renew " + c.Thumbprint(),
		}
	}
	return nil
}
