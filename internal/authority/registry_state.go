package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"mailpact/internal/directory"
)

// The files of a registry.
const (
	stateFile   = "state.json"
	certFile    = "ca.crt"
	keyFile     = "ca.key"
	chainFile   = "chain.pem"
	requestFile = "ca.csr"
	listFile    = "ca.crl"
	lockFile    = "lock"
	issuedDir   = "issued"
)

// Limits of a registry.
const (
	maxRegistryBytes = 64 << 20 // of one file
	maxIssued        = 100_000
	lockPatience     = 30 * time.Second
	stateFormat      = 1
)

// state is state.json: everything that is neither a key nor a certificate.
type state struct {
	Format      int       `json:"format"`
	CRLURL      string    `json:"crlURL,omitempty"`
	IssuerURL   string    `json:"issuerURL,omitempty"`
	CRLValidity string    `json:"crlValidity"`
	Number      string    `json:"crlNumber,omitempty"` // decimal; of the last CRL
	ThisUpdate  time.Time `json:"thisUpdate,omitzero"` // of the last CRL
	PublishTo   string    `json:"publishTo,omitempty"`
	Issued      []Record  `json:"issued"`
}

// Kind is what a certificate of the authority was made for.
type Kind string

// The kinds.
const (
	KindServer    Kind = "server"
	KindAuthority Kind = "authority"
	KindCross     Kind = "cross"
)

// Record is one certificate that the authority has signed.
type Record struct {
	Serial    string    `json:"serial"` // lower-case hex
	Kind      Kind      `json:"kind"`
	Subject   string    `json:"subject"`
	Names     []string  `json:"names,omitempty"` // DNS names, or the domains of a cross-certificate
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	SHA256    string    `json:"sha256"`
	// Revoked is when it was revoked; zero: it was not.
	Revoked time.Time `json:"revoked,omitzero"`
	Reason  string    `json:"reason,omitempty"` // see ParseReason
}

// lock lets one process at a time change the registry.
func (r *Registry) lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(r.dir, issuedDir), 0o700); err != nil {
		return nil, fmt.Errorf("making the authority's directory: %w", err)
	}
	unlock, err = directory.LockFile(context.Background(), filepath.Join(r.dir, lockFile), lockPatience)
	if errors.Is(err, directory.ErrLocked) {
		err = errors.New("another command is using the authority")
	}
	return unlock, err
}

func (r *Registry) path(name string) string { return filepath.Join(r.dir, name) }

// readFile reads a file of the registry; one that is not there is ErrNoAuthority.
func (r *Registry) readFile(name string) ([]byte, error) {
	f, err := os.Open(r.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", r.path(name), ErrNoAuthority)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRegistryBytes+1))
	if err == nil && len(data) > maxRegistryBytes {
		err = fmt.Errorf("%s has more than %d octets", f.Name(), maxRegistryBytes)
	}
	return data, err
}

func (r *Registry) readState() (*state, error) {
	data, err := r.readFile(stateFile)
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.path(stateFile), err)
	}
	if s.Format != stateFormat {
		return nil, fmt.Errorf("reading %s: it has the format %d; this version knows %d", r.path(stateFile), s.Format, stateFormat)
	}
	return s, nil
}

func (r *Registry) writeState(s *state) error {
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return directory.WriteFile(r.path(stateFile), append(data, '\n'))
}

// open reads the authority with its key, as an in-memory CA.
func (r *Registry) open() (*CA, *state, error) {
	s, err := r.readState()
	if err != nil {
		return nil, nil, err
	}
	certificates, err := r.readCertificates(certFile)
	if err != nil {
		return nil, nil, err
	}
	key, err := r.readKey()
	if err != nil {
		return nil, nil, err
	}
	if !key.PublicKey.Equal(certificates[0].PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", r.path(keyFile), r.path(certFile))
	}
	ca := &CA{
		certificate: certificates[0], key: key, crlURL: s.CRLURL, issuerURL: s.IssuerURL, now: r.now,
		issued: make(map[string]bool, len(s.Issued)),
	}
	if _, err := os.Stat(r.path(chainFile)); err == nil {
		if ca.chain, err = r.readCertificates(chainFile); err != nil {
			return nil, nil, err
		}
	}
	return ca, s, ca.restore(s)
}

// restore puts what the state remembers into ca.
func (ca *CA) restore(s *state) error {
	var err error
	if ca.crlValidity, err = time.ParseDuration(s.CRLValidity); err != nil || ca.crlValidity <= 0 {
		return fmt.Errorf("crlValidity is %q", s.CRLValidity)
	}
	if s.Number != "" {
		number, ok := new(big.Int).SetString(s.Number, 10)
		if !ok {
			return fmt.Errorf("crlNumber is %q", s.Number)
		}
		ca.number, ca.thisUpdate = number, s.ThisUpdate
	}
	for _, record := range s.Issued {
		serial, ok := new(big.Int).SetString(record.Serial, 16)
		if !ok {
			return fmt.Errorf("a serial number is %q", record.Serial)
		}
		ca.issued[serial.String()] = record.Kind != KindServer
		if record.Revoked.IsZero() {
			continue
		}
		reason, err := ParseReason(record.Reason)
		if err != nil {
			return err
		}
		ca.revoked = append(ca.revoked, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: record.Revoked, ReasonCode: int(reason)})
	}
	return nil
}

func (r *Registry) readCertificates(name string) ([]*x509.Certificate, error) {
	data, err := r.readFile(name)
	if err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.path(name), err)
	}
	return certificates, nil
}

// parseCertificates reads at least one certificate, PEM or a single one in DER.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	if block, _ := pem.Decode(data); block == nil {
		c, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("it is no certificate in PEM or DER: %w", err)
		}
		return []*x509.Certificate{c}, nil
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds %q where certificates are wanted", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (r *Registry) readKey() (*ecdsa.PrivateKey, error) {
	data, err := r.readFile(keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", r.path(keyFile))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: the key cannot be read", r.path(keyFile))
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading %s: it is no ECDSA key", r.path(keyFile))
	}
	return key, nil
}
