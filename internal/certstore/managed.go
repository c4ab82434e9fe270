package certstore

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailpact/internal/directory"
)

// The names of the files in the keys directory: a prefix, something unique and
// an extension. A certificate has .crt (its chain), .key and .json; a pending
// request has .csr, .key and .json. A .key alone is what a crash leaves and is
// no fault.
const (
	selfSignedPrefix     = "self-signed-" // made by EnsureSelfSigned
	managedPrefix        = "cert-"
	certificateExtension = ".crt"
	keyExtension         = ".key"
	requestExtension     = ".csr"
	metadataExtension    = ".json"
)

// requestType is the label of a request in PEM (RFC 7468, section 7).
const requestType = "CERTIFICATE REQUEST"

// metadata is what stands in no certificate.
type metadata struct {
	FriendlyName string              `json:"friendlyName"`
	Services     []directory.Service `json:"services"`
	EnabledFrom  time.Time           `json:"enabledFrom,omitzero"`
	Exportable   bool                `json:"exportable"`
	Created      time.Time           `json:"created"`
}

// Pending is a request whose answer has not come. It is immutable, and however
// it is printed, the key does not appear.
type Pending struct {
	Request      *x509.CertificateRequest
	FriendlyName string
	Exportable   bool
	Created      time.Time
	base         string
	key          crypto.Signer
	keySealed    bool
}

// Thumbprint returns the SHA-1 thumbprint of the request in upper-case hex, by
// which commands name it.
func (p *Pending) Thumbprint() string { return fmt.Sprintf("%X", sha1.Sum(p.Request.Raw)) }

// PEM returns the request as a CA wants it.
func (p *Pending) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: p.Request.Raw})
}

// Names returns the DNS names that were asked for.
func (p *Pending) Names() []string { return p.Request.DNSNames }

// Subject returns the name that was asked for, the most specific part first, as
// certificates are shown.
func (p *Pending) Subject() string {
	s := subjectOf(p.Request.Subject)
	slices.Reverse(s)
	return s.String()
}

// String names the request without its key.
func (p Pending) String() string {
	return fmt.Sprintf("request for %q, key redacted", p.Subject())
}

// Format prints String whatever the verb, so that no verb reaches the key.
func (p Pending) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

// readKeysDirectory reads everything in the keys directory.
func (s *Store) readKeysDirectory() (*shelf, error) {
	found := &shelf{}
	if s.keysDirectory == "" {
		return found, nil
	}
	entries, err := os.ReadDir(s.keysDirectory)
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the keys directory: %w", err)
	}
	answered := map[string]bool{}
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), certificateExtension); ok {
			answered[base] = true
		}
	}
	for _, e := range entries {
		extension := filepath.Ext(e.Name())
		base := strings.TrimSuffix(e.Name(), extension)
		automatic := strings.HasPrefix(base, selfSignedPrefix)
		if !automatic && !strings.HasPrefix(base, managedPrefix) {
			continue
		}
		var err error
		switch {
		case extension == certificateExtension:
			var c *Certificate
			if c, err = s.readManaged(filepath.Join(s.keysDirectory, base), automatic); err == nil {
				found.certificates = append(found.certificates, c)
			}
		case extension == requestExtension && !answered[base]:
			var p *Pending
			if p, err = s.readPending(filepath.Join(s.keysDirectory, base)); err == nil {
				found.pending = append(found.pending, p)
			}
		}
		var damage *FileError
		switch {
		case errors.As(err, &damage):
			found.damaged = append(found.damaged, damage)
		case err != nil:
			return nil, err
		}
	}
	slices.SortStableFunc(found.pending, func(a, b *Pending) int { return a.Created.Compare(b.Created) })
	return found, nil
}

func (s *Store) readManaged(base string, automatic bool) (*Certificate, error) {
	m, err := readMetadata(base)
	if err != nil {
		return nil, err
	}
	c, err := load(directory.CertificateFile{
		CertificateFile: base + certificateExtension, KeyFile: base + keyExtension, Services: m.Services,
	}, s.seal)
	if err != nil {
		return nil, err
	}
	c.base, c.automatic = base, automatic
	c.FriendlyName, c.EnabledFrom, c.Exportable = m.FriendlyName, m.EnabledFrom, m.Exportable
	return c, nil
}

func (s *Store) readPending(base string) (*Pending, error) {
	m, err := readMetadata(base)
	if err != nil {
		return nil, err
	}
	path := base + requestExtension
	blocks, _, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	request, err := x509.ParseCertificateRequest(blocks[0].Bytes)
	if err != nil {
		return nil, &FileError{File: path, Problem: "the request cannot be read", Mend: "Remove its files and make another", Err: err}
	}
	key, file, err := readKey(base+keyExtension, s.seal)
	if err != nil {
		return nil, err
	}
	if !samePublicKey(key.Public(), request.PublicKey) {
		return nil, &FileError{File: path, Problem: "the key beside it belongs to another request", Mend: "Remove its files and make another"}
	}
	return &Pending{Request: request, FriendlyName: m.FriendlyName, Exportable: m.Exportable, Created: m.Created, base: base, key: key, keySealed: file.sealed}, nil
}

// readMetadata reads the .json beside a certificate. Without one it is enabled
// for SMTP, as the first version of this server wrote its self-signed pairs.
func readMetadata(base string) (metadata, error) {
	path := base + metadataExtension
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return metadata{Services: []directory.Service{directory.ServiceSMTP}}, nil
	} else if err != nil {
		return metadata{}, &FileError{File: path, Problem: "the file cannot be read", Err: cause(err)}
	}
	var m metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return metadata{}, &FileError{File: path, Problem: "the file is not the JSON that was written there", Mend: `Write {"services": ["SMTP"]} into it, or remove the certificate's files`, Err: err}
	}
	return m, nil
}

func writeMetadata(base string, m metadata) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", base+metadataExtension, err)
	}
	return directory.WriteFile(base+metadataExtension, append(data, '\n'))
}

// newBase returns the path of a new certificate's files without extension.
func (s *Store) newBase(prefix string, public crypto.PublicKey, now time.Time) (string, error) {
	id, err := keyID(public)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.keysDirectory, fmt.Sprintf("%s%s-%x", prefix, now.UTC().Format("20060102"), id[:6])), nil
}

// writeKey writes the private key of base: sealed, if there is a seal.
func (s *Store) writeKey(base string, key crypto.Signer) error {
	if s.keysDirectory == "" {
		return errors.New("writing a key: there is no keys directory")
	}
	if err := makePrivateDirectory(s.keysDirectory); err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key: %w", err)
	}
	return directory.WriteFile(base+keyExtension, pem.EncodeToMemory(s.seal.close(pkcs8)))
}

func writeChain(base string, chain []*x509.Certificate) error {
	return directory.WriteFile(base+certificateExtension, encodeChain(chain))
}

func encodeChain(chain []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, x := range chain {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: x.Raw}) // a Buffer does not fail
	}
	return b.Bytes()
}

// samePublicKey compares two public keys.
func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// removeFiles removes what makes base count first, so that after a crash
// nothing is left that would be read.
func removeFiles(base string) error {
	var errs []error
	for _, extension := range []string{certificateExtension, requestExtension, keyExtension, metadataExtension} {
		if err := os.Remove(base + extension); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, directory.SyncDirectory(filepath.Dir(base)))...)
}

// removeAnswered removes a request that has its answer.
func removeAnswered(base string) error {
	if err := os.Remove(base + requestExtension); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the answered request: %w", err)
	}
	return directory.SyncDirectory(filepath.Dir(base))
}
