package certstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// renewBefore is how long before its end a self-signed certificate is replaced.
const renewBefore = 30 * 24 * time.Hour

// clockSkew is how far behind ours a peer's clock may be.
const clockSkew = 5 * time.Minute

// EnsureSelfSigned sees to it that one self-signed certificate of our own
// making carries all of names and lasts for another 30 days. It makes one of 12
// months (ECDSA P-256, serverAuth and clientAuth) when there is none, and says
// so. The pair is on disk before it can be selected. Older ones of ours that
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
	var others, own []*Certificate
	for _, c := range s.All() {
		if s.isOwn(c) {
			own = append(own, c)
		} else {
			others = append(others, c)
		}
	}
	if !slices.ContainsFunc(own, func(c *Certificate) bool {
		return coversAll(c, wanted) && c.Current(now) && c.TLS.Leaf.NotAfter.Sub(now) >= renewBefore
	}) {
		c, err := s.makeSelfSigned(wanted, now)
		if err != nil {
			return false, fmt.Errorf("making a self-signed certificate: %w", err)
		}
		own, created = append(own, c), true
	}
	all := append(others, stillOf(own, now)...)
	s.certificates.Store(&all)
	return created, nil
}

// isOwn reports whether c is one that EnsureSelfSigned made.
func (s *Store) isOwn(c *Certificate) bool {
	return c.SelfSigned && filepath.Dir(c.File) == filepath.Clean(s.keysDirectory)
}

func coversAll(c *Certificate, names []smtp.Domain) bool {
	have := c.Names()
	return !slices.ContainsFunc(names, func(n smtp.Domain) bool { return !slices.Contains(have, string(n)) })
}

// distinct returns names in their order, each once, without the empty one.
func distinct(names []smtp.Domain) []smtp.Domain {
	var out []smtp.Domain
	for _, n := range names {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// makeSelfSigned writes a new pair. The key comes first: a certificate without
// its key would be a fault, a key without certificate is merely unused.
func (s *Store) makeSelfSigned(names []smtp.Domain, now time.Time) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	der, err := selfSignedDER(names, now, key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key: %w", err)
	}
	if err := makePrivateDirectory(s.keysDirectory); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	base := filepath.Join(s.keysDirectory, fmt.Sprintf("%s%s-%x", selfSignedPrefix, now.UTC().Format("20060102"), sum[:4]))
	if err := writeFile(base+keyExtension, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})); err != nil {
		return nil, err
	}
	if err := writeFile(base+certificateExtension, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return nil, err
	}
	// What was written is what is used: a pair that cannot be read back must
	// not come to light at the next start.
	return load(directory.CertificateFile{
		CertificateFile: base + certificateExtension, KeyFile: base + keyExtension,
		Services: []directory.Service{directory.ServiceSMTP},
	})
}

func selfSignedDER(names []smtp.Domain, now time.Time, key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding the public key: %w", err)
	}
	id := sha256.Sum256(spki)
	from := now.UTC().Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)), // RFC 5280, section 4.1.2.2: not zero
		NotBefore:             from.Add(-clockSkew),
		NotAfter:              from.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          id[:20],
	}
	for _, n := range names {
		t.DNSNames = append(t.DNSNames, string(n))
	}
	// RFC 5280, appendix A.1: a CN has at most 64 characters.
	if len(names[0]) <= 64 {
		t.Subject = pkix.Name{CommonName: string(names[0])}
	} else {
		t.Subject = pkix.Name{CommonName: "Mailpact self-signed certificate"}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return der, nil
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

// writeFile writes a file that only its owner can read. After a crash it is
// whole or absent.
func writeFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// syncDirectory makes a rename durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
