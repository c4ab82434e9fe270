package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"mailpact/internal/directory"
)

// Info says what an authority is.
type Info struct {
	// Certificate is nil while the answer to the authority's request is missing.
	Certificate *x509.Certificate
	CRLURL      string
	IssuerURL   string
	CRLValidity time.Duration
	PublishTo   string // directory that Publish has written to; may be empty
	Issued      int
	Revoked     int
	// CRLNumber is that of the last CRL, decimal; empty: there was none.
	CRLNumber  string
	ThisUpdate time.Time
	NextUpdate time.Time
}

// Info returns what the authority is now. It needs no key.
func (r *Registry) Info() (Info, error) {
	s, err := r.readState()
	if err != nil {
		return Info{}, err
	}
	validity, err := time.ParseDuration(s.CRLValidity)
	if err != nil {
		return Info{}, fmt.Errorf("reading %s: crlValidity is %q", r.path(stateFile), s.CRLValidity)
	}
	info := Info{
		CRLURL: s.CRLURL, IssuerURL: s.IssuerURL, CRLValidity: validity, PublishTo: s.PublishTo,
		Issued: len(s.Issued), CRLNumber: s.Number, ThisUpdate: s.ThisUpdate,
	}
	for _, record := range s.Issued {
		if !record.Revoked.IsZero() {
			info.Revoked++
		}
	}
	if s.Number != "" {
		info.NextUpdate = s.ThisUpdate.Add(validity)
	}
	certificates, err := r.readCertificates(certFile)
	if errors.Is(err, ErrNoAuthority) {
		return info, nil
	}
	if err != nil {
		return Info{}, err
	}
	info.Certificate = certificates[0]
	return info, nil
}

// Chain returns the authority's certificate and those above it without the root,
// as partners need them besides a root.
func (r *Registry) Chain() ([]*x509.Certificate, error) {
	chain, err := r.readCertificates(chainFile)
	if errors.Is(err, ErrNoAuthority) {
		return r.readCertificates(certFile)
	}
	return chain, err
}

// Rotate makes a new CRL when there is none or half of the life of the last one
// is over, so that whoever fetches has the other half to notice. It reports
// whether it did, and publishes it where Publish did last.
func (r *Registry) Rotate() (bool, error) {
	s, err := r.readState()
	if err != nil {
		return false, err
	}
	if !r.due(s) {
		return false, nil
	}
	rotated := false
	err = r.change(func(ca *CA, s *state) error {
		if !r.due(s) { // another process was first
			return nil
		}
		rotated = true
		return r.renew(ca, s)
	})
	return rotated, err
}

// due reports whether the last CRL is to be replaced. One that cannot be read
// counts as none.
func (r *Registry) due(s *state) bool {
	validity, err := time.ParseDuration(s.CRLValidity)
	if err != nil || s.Number == "" {
		return true
	}
	if _, err := os.Stat(r.path(listFile)); err != nil {
		return true
	}
	return !r.now().Before(s.ThisUpdate.Add(validity / 2))
}

// renew makes a new CRL. Its number is on the disk before the CRL is anywhere, so
// that no number is used twice.
func (r *Registry) renew(ca *CA, s *state) error {
	ca.mu.Lock()
	der, err := ca.makeCRL(r.now())
	number, thisUpdate := ca.number, ca.thisUpdate
	ca.mu.Unlock()
	if err != nil {
		return err
	}
	s.Number, s.ThisUpdate = number.String(), thisUpdate.UTC()
	if err := r.writeState(s); err != nil {
		return err
	}
	if err := directory.WriteFile(r.path(listFile), der); err != nil {
		return err
	}
	if s.PublishTo == "" {
		return nil
	}
	return r.writePublic(s, ca.certificate.Raw, der)
}

// CRL returns the last CRL, made anew when due, DER.
func (r *Registry) CRL() ([]byte, error) {
	if _, err := r.Rotate(); err != nil {
		return nil, err
	}
	return r.readFile(listFile)
}

// Publish writes a CRL that is current and the authority's certificate, DER, into
// a directory from which a web server serves them, under the last parts of their
// addresses, and does so again for every later CRL. An empty directory means the
// one of last time. It returns the paths.
func (r *Registry) Publish(dir string) (files []string, err error) {
	err = r.change(func(ca *CA, s *state) error {
		if dir != "" {
			if s.PublishTo, err = filepath.Abs(dir); err != nil {
				return err
			}
		}
		if s.PublishTo == "" {
			return errors.New("publishing: no directory is named")
		}
		if err := r.renew(ca, s); err != nil {
			return err
		}
		crl, certificate := publicNames(s)
		files = []string{filepath.Join(s.PublishTo, crl), filepath.Join(s.PublishTo, certificate)}
		return nil
	})
	return files, err
}

// publicMode lets a web server of another user read what is published.
const publicMode = 0o644

func (r *Registry) writePublic(s *state, certificate, crl []byte) error {
	crlName, certificateName := publicNames(s)
	for name, data := range map[string][]byte{crlName: crl, certificateName: certificate} {
		file := filepath.Join(s.PublishTo, name)
		if err := directory.WriteFile(file, data); err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		if err := os.Chmod(file, publicMode); err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
	}
	return nil
}

// publicNames returns the file names of CRL and certificate: the last parts of
// their addresses, or ca.crl and ca.crt.
func publicNames(s *state) (crl, certificate string) {
	return lastPart(s.CRLURL, listFile), lastPart(s.IssuerURL, certFile)
}

func lastPart(address, otherwise string) string {
	u, err := url.Parse(address)
	if err != nil || !filepath.IsLocal(path.Base(u.Path)) || path.Base(u.Path) == "." {
		return otherwise
	}
	return path.Base(u.Path)
}

// checkAddresses refuses addresses that no relying party could fetch, before they
// stand in certificates, and two that would be one file.
func checkAddresses(crlURL, issuerURL string) error {
	for _, a := range []string{crlURL, issuerURL} {
		if a != "" && !fetchable(a) {
			return fmt.Errorf("%q is not an address of the form http://HOST/FILE (RFC 5280, section 4.2.1.13: what proves a certificate cannot need one itself)", a)
		}
	}
	crl, certificate := publicNames(&state{CRLURL: crlURL, IssuerURL: issuerURL})
	if crl == certificate {
		return fmt.Errorf("CRL and certificate would both be the file %s", crl)
	}
	return nil
}

// Handler serves CRL and certificate under the paths of their addresses, to GET
// and HEAD, as CA.Handler does. What the files hold when somebody asks is what is
// served; while there is no authority everything is 404. To make a CRL is for
// Rotate: a stranger's request costs no signature.
func (r *Registry) Handler() http.Handler {
	known := &published{}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Only GET and HEAD are answered here.", http.StatusMethodNotAllowed)
			return
		}
		f, err := r.published(known, q.URL.Path)
		if err != nil {
			http.NotFound(w, q)
			return
		}
		serve(w, q, f)
	})
}

// published is what the state says about what is served, read again when its
// file has changed.
type published struct {
	mu       sync.Mutex
	modified time.Time
	size     int64
	state    *state // without what was issued; nil: not read yet
}

func (r *Registry) published(known *published, path string) (file, error) {
	s, err := known.read(r)
	if err != nil {
		return file{}, err
	}
	now := r.now()
	switch path {
	case pathOf(s.CRLURL, CRLPath):
		der, err := r.readFile(listFile)
		validity, _ := time.ParseDuration(s.CRLValidity) // 0 keeps it out of caches
		return file{
			content: der, mediaType: crlType, modified: s.ThisUpdate, now: now, maxAge: s.ThisUpdate.Add(validity / 2).Sub(now),
		}, err
	case pathOf(s.IssuerURL, CertificatePath):
		certificates, err := r.readCertificates(certFile)
		if err != nil {
			return file{}, err
		}
		c := certificates[0]
		return file{content: c.Raw, mediaType: certificateType, modified: c.NotBefore, now: now, maxAge: 24 * time.Hour}, nil
	}
	return file{}, os.ErrNotExist
}

func (p *published) read(r *Registry) (*state, error) {
	st, err := os.Stat(r.path(stateFile))
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != nil && st.ModTime().Equal(p.modified) && st.Size() == p.size {
		return p.state, nil
	}
	s, err := r.readState()
	if err != nil {
		return nil, err
	}
	s.Issued = nil
	p.state, p.modified, p.size = s, st.ModTime(), st.Size()
	return s, nil
}

func pathOf(address, otherwise string) string {
	u, err := url.Parse(address)
	if err != nil || u.Path == "" {
		return otherwise
	}
	return u.Path
}
