package lab

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"mailpact/internal/authority"
)

// credentials are a certificate with its key, as files and loaded.
type credentials struct {
	certificateFile, keyFile string
	certificate              tls.Certificate
}

// lateHandler lets a server listen before its authority exists, because the
// authority writes the server's address into what it issues.
type lateHandler struct{ handler http.Handler }

func (l *lateHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.handler.ServeHTTP(w, r) }

// makeAuthorities gives each organisation, and the stranger, a root that publishes its CRL.
func (t *town) makeAuthorities() error {
	for _, o := range []*organisation{t.contoso, t.woodgrove} {
		ca, err := t.newAuthority(o.host, o.domain+" Root CA")
		if err != nil {
			return err
		}
		o.ca = ca
		if err := os.MkdirAll(filepath.Join(t.dir, o.domain), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(t.dir, o.domain, "root.pem"), ca.CertificatePEM(), 0o600); err != nil {
			return err
		}
	}
	ca, err := t.newAuthority(strangerHost, "Somebody Else's Root CA")
	t.strangerCA = ca
	return err
}

func (t *town) newAuthority(host, name string) (*authority.CA, error) {
	late := &lateHandler{handler: http.NotFoundHandler()}
	addr, _, err := t.serveHTTP(host, late)
	if err != nil {
		return nil, err
	}
	ca, err := authority.NewRoot(authority.RootOptions{
		CommonName: name, CRLURL: "http://" + addr + "/root.crl", IssuerURL: "http://" + addr + "/root.crt",
	})
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	late.handler = ca.Handler()
	return ca, nil
}

// The names under which makeCredentials keeps what the scenes present.
const (
	deepName     = "deep"
	revokedName  = "revoked"
	offlineName  = "offline"
	strangerName = "stranger"
	goodName     = "good"
)

// makeCredentials issues every certificate that the scenes need, and revokes one.
func (t *town) makeCredentials() error {
	dead, stopDead, err := t.serveHTTP(woodgroveHost, http.NotFoundHandler())
	if err != nil {
		return err
	}
	if err := stopDead(); err != nil {
		return err
	}
	wanted := []struct {
		key string
		ca  *authority.CA
		o   authority.IssueOptions
	}{
		{t.contoso.domain, t.contoso.ca, authority.IssueOptions{DNSNames: []string{t.contoso.mailHost(), t.contoso.domain}}},
		{t.woodgrove.domain, t.woodgrove.ca, authority.IssueOptions{DNSNames: []string{t.woodgrove.mailHost(), t.woodgrove.domain}}},
		{goodName, t.woodgrove.ca, authority.IssueOptions{DNSNames: []string{"mail2.woodgrovebank.com"}}},
		{deepName, t.woodgrove.ca, authority.IssueOptions{DNSNames: []string{"mail1.us.woodgrovebank.com"}}},
		{revokedName, t.woodgrove.ca, authority.IssueOptions{DNSNames: []string{"mail3.woodgrovebank.com"}}},
		{offlineName, t.woodgrove.ca, authority.IssueOptions{DNSNames: []string{"mail4.woodgrovebank.com"}, CRLURL: "http://" + dead + "/root.crl"}},
		{strangerName, t.strangerCA, authority.IssueOptions{DNSNames: []string{"mail1.woodgrovebank.com"}}},
	}
	for _, w := range wanted {
		chain, key, leaf, err := w.ca.Issue(w.o)
		if err != nil {
			return fmt.Errorf("issuing for %v: %w", w.o.DNSNames, err)
		}
		if t.credentials[w.key], err = t.keep(w.key, chain, key, leaf); err != nil {
			return err
		}
	}
	if err := t.woodgrove.ca.Revoke(t.credentials[revokedName].certificate.Leaf.SerialNumber, authority.KeyCompromise); err != nil {
		return err
	}
	chain, key, leaf, err := authority.IssueSelfSigned(authority.SelfSignedOptions{DNSNames: []string{"mail.fabrikam.com", "fabrikam.com"}})
	if err != nil {
		return err
	}
	t.fabrikam, err = t.keep("fabrikam", chain, key, leaf)
	return err
}

func (t *town) keep(name string, chainPEM, keyPEM []byte, leaf *x509.Certificate) (credentials, error) {
	c := credentials{certificateFile: filepath.Join(t.dir, name+".pem"), keyFile: filepath.Join(t.dir, name+".key")}
	var err error
	if c.certificate, err = tls.X509KeyPair(chainPEM, keyPEM); err != nil {
		return c, err
	}
	c.certificate.Leaf = leaf
	if err := os.WriteFile(c.certificateFile, chainPEM, 0o600); err != nil {
		return c, err
	}
	return c, os.WriteFile(c.keyFile, keyPEM, 0o600)
}
