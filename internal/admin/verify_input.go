package admin

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"mailpact/internal/directory"
	"mailpact/internal/dnsx"
	"mailpact/internal/domainsec"
	"mailpact/internal/revocation"
	"mailpact/internal/trust"
)

// maxVerifyCertificates bounds the certificates of one input file.
const maxVerifyCertificates = 1000

// parsed is a certificate of an input, or why it is none.
type parsed struct {
	certificate *x509.Certificate
	fault       string
}

// parseInput finds the certificates of a file. Its error means that there is
// nothing of the kind in it; a certificate that is there but broken is not an error.
func parseInput(f File) ([]parsed, error) {
	var found []parsed
	add := func(der []byte) {
		c, err := trust.ParseCertificate(der)
		p := parsed{certificate: c}
		if err != nil {
			p = parsed{fault: fmt.Sprintf("%s: certificate %d cannot be parsed: %v", f.Name, len(found)+1, err)}
		}
		found = append(found, p)
	}
	if !bytes.Contains(f.Content, []byte("-----BEGIN")) {
		rest := cryptobyte.String(f.Content)
		for !rest.Empty() {
			var der cryptobyte.String
			if !rest.ReadASN1Element(&der, asn1.SEQUENCE) {
				return nil, invalid(f.Name, "neither a PEM nor a DER certificate")
			}
			add(der)
			if len(found) > maxVerifyCertificates {
				return nil, invalid(f.Name, "more than %d certificates", maxVerifyCertificates)
			}
		}
	}
	for rest := f.Content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, invalid(f.Name, "it contains a private key; name a file of certificates only")
		case block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE":
			return nil, invalid(f.Name, "it contains %q; only CERTIFICATE blocks are read", block.Type)
		case len(found) == maxVerifyCertificates:
			return nil, invalid(f.Name, "more than %d certificates", maxVerifyCertificates)
		}
		add(block.Bytes)
	}
	if len(found) == 0 {
		return nil, invalid(f.Name, "no certificate found, neither PEM nor DER")
	}
	return found, nil
}

// readCertificates parses all inputs. Without its leaf the certificate is not
// valid; what else cannot be parsed is only missing.
func (v *verification) readCertificates() error {
	chain, err := parseInput(v.request.Certificate)
	if err != nil {
		return err
	}
	v.leafFault = chain[0].fault
	if v.leafFault == "" {
		v.keep(&v.presented, chain)
	} else {
		v.unusable = append(v.unusable, v.leafFault)
	}
	for _, group := range []struct {
		files []File
		into  *[]*x509.Certificate
	}{{v.request.Intermediates, &v.intermediates}, {v.request.Roots, &v.roots}} {
		for _, f := range group.files {
			found, err := parseInput(f)
			if err != nil {
				return err
			}
			v.keep(group.into, found)
		}
	}
	return nil
}

func (v *verification) keep(into *[]*x509.Certificate, found []parsed) {
	for _, p := range found {
		if p.certificate == nil {
			v.unusable = append(v.unusable, p.fault)
			continue
		}
		*into = append(*into, p.certificate)
	}
}

// PathRevocation shows the CRL checker to trust, which may not import it.
type PathRevocation struct{ Checker *revocation.Checker }

var _ trust.Revocation = PathRevocation{}

// CheckPath asks for every certificate of path but the anchor.
func (p PathRevocation) CheckPath(ctx context.Context, path []*x509.Certificate) trust.PathStatus {
	s := p.Checker.CheckPath(ctx, path)
	return trust.PathStatus{Status: s.Status, Detail: s.Detail, ThisUpdate: s.ThisUpdate, ValidUntil: s.ValidUntil}
}

// Generation changes whenever an answer may have changed.
func (p PathRevocation) Generation() uint64 { return p.Checker.Generation() }

// notAsked answers that nobody wants to know.
type notAsked struct{}

func (notAsked) CheckPath(context.Context, []*x509.Certificate) trust.PathStatus {
	return trust.PathStatus{Status: domainsec.RevocationNotRequired}
}

func (notAsked) Generation() uint64 { return 0 }

// revocation makes what answers about revocation, and what ends it.
func (v *verification) revocation() (trust.Revocation, func(), error) {
	nothing := func() {}
	switch v.mode {
	case RevocationNone:
		return notAsked{}, nothing, nil
	case RevocationFiles:
		return nil, nil, invalid("revocation", "CRLs from files are not built yet")
	}
	if v.environment.Revocation != nil {
		return v.environment.Revocation, nothing, nil
	}
	var settings directory.Revocation
	servers := dnsx.NewStub(nil, dnsx.StubOptions{})
	if cfg := v.environment.Configuration; cfg != nil {
		settings = cfg.Revocation
		servers = dnsx.NewStub(cfg.Server.Resolvers, dnsx.StubOptions{})
	}
	cache, err := os.MkdirTemp("", "mailpact-verify-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a directory for CRLs: %w", err)
	}
	remove := func() {
		if err := os.RemoveAll(cache); err != nil {
			slog.Default().Warn("removing the directory of fetched CRLs", slog.String("directory", cache), slog.Any("error", err))
		}
	}
	checker, err := revocation.Open(revocation.Options{
		Directory: cache, Settings: settings, Resolver: servers, Now: v.clock,
	})
	if err != nil {
		remove()
		return nil, nil, err
	}
	return PathRevocation{Checker: checker}, func() { checker.Stop(); remove() }, nil
}
