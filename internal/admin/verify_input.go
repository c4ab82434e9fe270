package admin

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"mailpact/internal/trust"
)

// maxVerifyCertificates bounds the certificates of one input file.
const maxVerifyCertificates = 1000

// maxVerifyLists bounds the CRLs of one input file; further ones are missing.
const maxVerifyLists = 1000

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
			if len(bytes.TrimSpace(f.Content)) == 0 {
				continue // scripts pass an empty file where there is nothing
			}
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
