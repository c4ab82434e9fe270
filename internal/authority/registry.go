package authority

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailpact/internal/directory"
)

// Errors of a Registry.
var (
	// ErrNoAuthority means that the directory holds no authority that can sign.
	ErrNoAuthority = errors.New("there is no authority here")
	// ErrIsThere means that the directory holds an authority, or a request for one, already.
	ErrIsThere = errors.New("there is an authority here already")
)

// Registry is an authority with its files: key, certificate, what it has issued
// and revoked, and its last CRL. Every operation reads the files and writes them
// before it returns anything, under a lock that holds across processes; nothing
// stays in memory. It is safe for concurrent use.
type Registry struct {
	dir string
	now func() time.Time
}

// NewRegistry returns the registry of a directory, which need not exist yet. now
// is the clock; nil means time.Now.
func NewRegistry(dir string, now func() time.Time) *Registry {
	if now == nil {
		now = time.Now
	}
	return &Registry{dir: dir, now: now}
}

// Init makes a root with a new key. o.Now is the registry's clock.
func (r *Registry) Init(o RootOptions) (*x509.Certificate, error) {
	unlock, err := r.fresh()
	if err != nil {
		return nil, err
	}
	defer unlock()
	o.Now = r.now
	ca, err := NewRoot(o)
	if err != nil {
		return nil, err
	}
	if err := r.writeKey(ca); err != nil {
		return nil, err
	}
	s := &state{Format: stateFormat, CRLURL: o.CRLURL, IssuerURL: o.IssuerURL, CRLValidity: ca.crlValidity.String(), Issued: []Record{}}
	if err := directory.WriteFile(r.path(certFile), ca.CertificatePEM()); err != nil {
		return nil, err
	}
	return ca.certificate, r.renew(ca, s)
}

// InitRequest makes the key of an issuing authority below an outside one, and
// returns the request (PKCS #10, PEM) for its certificate. Complete follows.
func (r *Registry) InitRequest(o IntermediateOptions) ([]byte, error) {
	unlock, err := r.fresh()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkAddresses(o.CRLURL, o.IssuerURL); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	request, err := requestFor(key, o.CommonName, o.Organization, nil)
	if err != nil {
		return nil, err
	}
	if err := r.writeKey(&CA{key: key}); err != nil {
		return nil, err
	}
	s := &state{
		Format: stateFormat, CRLURL: o.CRLURL, IssuerURL: o.IssuerURL, Issued: []Record{},
		CRLValidity: orDefault(o.CRLValidity, DefaultCRLValidity).String(),
	}
	return request, errors.Join(r.writeState(s), directory.WriteFile(r.path(requestFile), request))
}

// Complete takes the answer to InitRequest's request: the authority's certificate
// and those above it, in any order, with or without the root.
func (r *Registry) Complete(answer []byte) (*x509.Certificate, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(r.path(certFile)); err == nil {
		return nil, fmt.Errorf("%s: %w", r.dir, ErrIsThere)
	}
	key, err := r.readKey()
	if err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(answer)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	own := slices.IndexFunc(certificates, func(c *x509.Certificate) bool { return key.PublicKey.Equal(c.PublicKey) })
	if own < 0 {
		return nil, errors.New("reading the answer: none of its certificates is for the key that waits here")
	}
	certificate := certificates[own]
	switch {
	case !certificate.BasicConstraintsValid || !certificate.IsCA:
		return nil, errors.New("reading the answer: the certificate is none of an authority (basic constraints, RFC 5280, section 4.2.1.9)")
	case certificate.KeyUsage&x509.KeyUsageCertSign == 0 || certificate.KeyUsage&x509.KeyUsageCRLSign == 0:
		return nil, errors.New("reading the answer: the certificate may not sign certificates and CRLs (key usage, RFC 5280, section 4.2.1.3)")
	case len(certificate.SubjectKeyId) == 0:
		return nil, errors.New("reading the answer: the certificate has no subject key identifier (RFC 5280, section 4.2.1.2)")
	case !r.now().Before(certificate.NotAfter):
		return nil, fmt.Errorf("reading the answer: the certificate ended on %s", certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	chain := chainOf(certificate, certificates)
	if err := errors.Join(
		directory.WriteFile(r.path(chainFile), EncodeCertificates(chain...)),
		directory.WriteFile(r.path(certFile), EncodeCertificates(certificate)),
	); err != nil {
		return nil, err
	}
	ca, s, err := r.open()
	if err != nil {
		return nil, err
	}
	return certificate, r.renew(ca, s)
}

// chainOf returns c and what stands above it among candidates, without a root.
func chainOf(c *x509.Certificate, candidates []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{c}
	for len(chain) <= len(candidates) {
		last := chain[len(chain)-1]
		i := slices.IndexFunc(candidates, func(x *x509.Certificate) bool {
			return x != last && string(x.RawSubject) == string(last.RawIssuer) && string(x.RawSubject) != string(x.RawIssuer) && last.CheckSignatureFrom(x) == nil
		})
		if i < 0 {
			break
		}
		chain = append(chain, candidates[i])
	}
	return chain
}

// IssueRequest is that of CA. What it returns is on record.
func (r *Registry) IssueRequest(request *x509.CertificateRequest, o RequestOptions) (chainPEM []byte, record Record, err error) {
	kind := KindServer
	if o.Authority {
		kind = KindAuthority
	}
	err = r.change(func(ca *CA, s *state) error {
		chain, certificate, err := ca.IssueRequest(request, o)
		if err != nil {
			return err
		}
		chainPEM = chain
		record, err = r.keep(s, certificate, kind, certificate.DNSNames)
		return err
	})
	return chainPEM, record, err
}

// CrossSign is that of CA. What it returns is on record.
func (r *Registry) CrossSign(o CrossOptions) (certificate *x509.Certificate, record Record, err error) {
	err = r.change(func(ca *CA, s *state) error {
		if certificate, err = ca.CrossSign(o); err != nil {
			return err
		}
		record, err = r.keep(s, certificate, KindCross, o.Domains)
		return err
	})
	return certificate, record, err
}

// Revoke is that of CA, for a serial number in hex, of which the beginning is
// enough while only one certificate has it. It makes a new CRL at once.
func (r *Registry) Revoke(serial string, reason Reason) (record Record, err error) {
	err = r.change(func(ca *CA, s *state) error {
		i, err := find(s.Issued, serial)
		if err != nil {
			return err
		}
		number, _ := new(big.Int).SetString(s.Issued[i].Serial, 16) // restore has read it
		if err := ca.Revoke(number, reason); err != nil {
			return err
		}
		if s.Issued[i].Revoked.IsZero() {
			s.Issued[i].Revoked, s.Issued[i].Reason = r.now().UTC().Truncate(time.Second), reason.String()
		}
		record = s.Issued[i]
		return r.renew(ca, s)
	})
	return record, err
}

// List returns what the authority has issued, oldest first.
func (r *Registry) List() ([]Record, error) {
	s, err := r.readState()
	if err != nil {
		return nil, err
	}
	return s.Issued, nil
}

// Find returns one certificate that the authority has issued, by its serial
// number as Revoke takes it.
func (r *Registry) Find(serial string) (Record, *x509.Certificate, error) {
	s, err := r.readState()
	if err != nil {
		return Record{}, nil, err
	}
	i, err := find(s.Issued, serial)
	if err != nil {
		return Record{}, nil, err
	}
	c, err := r.readCertificates(filepath.Join(issuedDir, s.Issued[i].Serial+".crt"))
	if err != nil {
		return Record{}, nil, err
	}
	return s.Issued[i], c[0], nil
}

func find(records []Record, serial string) (int, error) {
	serial = strings.ToLower(strings.ReplaceAll(serial, ":", ""))
	found := -1
	for i := range records {
		if !strings.HasPrefix(records[i].Serial, serial) || serial == "" {
			continue
		}
		if records[i].Serial == serial {
			return i, nil
		}
		if found >= 0 {
			return 0, fmt.Errorf("several serial numbers begin with %s: %w", serial, ErrNotIssued)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("%q: %w", serial, ErrNotIssued)
	}
	return found, nil
}

// fresh locks a directory that holds no authority.
func (r *Registry) fresh() (unlock func(), err error) {
	if unlock, err = r.lock(); err != nil {
		return nil, err
	}
	for _, name := range []string{keyFile, certFile, stateFile} {
		if _, err := os.Lstat(r.path(name)); err == nil {
			unlock()
			return nil, fmt.Errorf("%s: %w", r.path(name), ErrIsThere)
		}
	}
	return unlock, nil
}

func (r *Registry) writeKey(ca *CA) error {
	pem, err := EncodeKey(ca.key)
	if err != nil {
		return err
	}
	return directory.WriteFile(r.path(keyFile), pem)
}

// change runs one operation under the lock and writes the state that it leaves.
func (r *Registry) change(operation func(*CA, *state) error) error {
	if _, err := os.Stat(r.path(stateFile)); err != nil {
		return fmt.Errorf("%s: %w", r.dir, ErrNoAuthority) // and makes no directory
	}
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	ca, s, err := r.open()
	if err != nil {
		return err
	}
	if err := operation(ca, s); err != nil {
		return err
	}
	return r.writeState(s)
}

// keep puts a certificate on record. It is on the disk before its issuer hands it
// out: one that nobody knows of could not be revoked.
func (r *Registry) keep(s *state, c *x509.Certificate, kind Kind, names []string) (Record, error) {
	if len(s.Issued) >= maxIssued {
		return Record{}, fmt.Errorf("the authority has issued %d certificates, which is its limit", maxIssued)
	}
	sum := sha256.Sum256(c.Raw)
	record := Record{
		Serial: hexSerial(c), Kind: kind, Subject: c.Subject.String(), Names: names,
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SHA256: hex.EncodeToString(sum[:]),
	}
	s.Issued = append(s.Issued, record)
	return record, directory.WriteFile(r.path(filepath.Join(issuedDir, record.Serial+".crt")), EncodeCertificates(c))
}
