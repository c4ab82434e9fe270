package authority

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// RequestOptions say how a certificate is made of a request (PKCS #10, RFC 2986).
type RequestOptions struct {
	// Names replace the DNS names of the request; empty: those of the request.
	Names []string
	// Validity is how long it lasts; 0 means DefaultLeafValidity, or for an
	// authority DefaultIntermediateValidity.
	Validity time.Duration
	// Authority certifies an authority below this one, for end entities only.
	Authority bool
}

// maxRequestBytes bounds a request, in octets.
const maxRequestBytes = 64 << 10

// ParseRequest reads a request in PEM or DER and checks that its own key has signed it.
func ParseRequest(data []byte) (*x509.CertificateRequest, error) {
	if len(data) > maxRequestBytes {
		return nil, fmt.Errorf("reading the request: it has %d octets; %d is the limit", len(data), maxRequestBytes)
	}
	der := data
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, fmt.Errorf("reading the request: the file holds %q and no certificate request", block.Type)
		}
		der = block.Bytes
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("reading the request: it is no PKCS #10 request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("reading the request: its signature is not that of its key: %w", err)
	}
	return request, nil
}

// IssueRequest makes a certificate of a request: of its key, common name,
// organisation and DNS names, and of nothing else that it asks for. chainPEM holds
// the certificate and then the authorities up to, and without, the root.
func (ca *CA) IssueRequest(request *x509.CertificateRequest, o RequestOptions) (chainPEM []byte, certificate *x509.Certificate, err error) {
	organization := ""
	if len(request.Subject.Organization) > 0 {
		organization = request.Subject.Organization[0]
	}
	if o.Authority {
		if certificate, err = ca.certifyAuthority(request, organization, o); err != nil {
			return nil, nil, err
		}
		return EncodeCertificates(append([]*x509.Certificate{certificate}, ca.chain...)...), certificate, nil
	}
	names := o.Names
	if len(names) == 0 {
		names = request.DNSNames
	}
	commonName := request.Subject.CommonName
	if !slices.Contains(names, commonName) {
		commonName = "" // a name that is certified nowhere else is no name of the server
	}
	chainPEM, _, certificate, err = ca.Issue(IssueOptions{
		DNSNames: names, CommonName: commonName, Organization: organization, Validity: o.Validity, PublicKey: request.PublicKey,
	})
	return chainPEM, certificate, err
}

func (ca *CA) certifyAuthority(request *x509.CertificateRequest, organization string, o RequestOptions) (*x509.Certificate, error) {
	if ca.certificate.MaxPathLenZero {
		return nil, fmt.Errorf("certifying an authority: %q may issue for end entities only", ca.certificate.Subject)
	}
	template, err := authorityTemplate(request.Subject.CommonName, organization)
	if err != nil {
		return nil, err
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	ca.complete(template, ca.now().Add(orDefault(o.Validity, DefaultIntermediateValidity)), ca.crlURL)
	certificate, err := sign(template, ca.certificate, request.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("certifying the authority %q: %w", request.Subject.CommonName, err)
	}
	ca.remember(certificate)
	return certificate, nil
}

// NewRequest makes a new ECDSA P-256 key and a request for it with the DNS names,
// or, without any, for an authority called commonName.
func NewRequest(commonName, organization string, names []string) (requestPEM, keyPEM []byte, err error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	if requestPEM, err = requestFor(key, commonName, organization, names); err != nil {
		return nil, nil, err
	}
	keyPEM, err = EncodeKey(key)
	return requestPEM, keyPEM, err
}

func requestFor(key *ecdsa.PrivateKey, commonName, organization string, names []string) ([]byte, error) {
	if commonName == "" && len(names) > 0 && len(names[0]) <= maxCommonName {
		commonName = names[0]
	}
	if commonName == "" && len(names) == 0 {
		return nil, errors.New("making a request: a name is needed")
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: subject(commonName, organization), DNSNames: names,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}
