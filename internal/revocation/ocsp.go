package revocation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"mailpact/internal/domainsec"
)

// Bounds on OCSP.
const (
	maxResponders   = 2
	maxOCSPOctets   = 64 << 10
	maxOCSPAnswers  = 1024 // remembered
	oidOCSPNoCheck  = "1.3.6.1.5.5.7.48.1.5"
	ocspContentType = "application/ocsp-request"
)

// ocspKey names what an OCSP answer is about: a certificate and its issuer's key.
type ocspKey [sha256.Size]byte

func ocspKeyOf(certificate, issuer *x509.Certificate) ocspKey {
	h := sha256.New()
	h.Write(issuer.RawSubjectPublicKeyInfo)
	h.Write(certificate.Raw)
	return ocspKey(h.Sum(nil))
}

// askResponders asks the OCSP responders of a certificate (RFC 6960), where no
// usable CRL could be had. It returns an unknown answer, with the reasons in its
// sources, when none says anything, and nothing when the certificate names none.
func (c *Checker) askResponders(ctx context.Context, certificate, issuer *x509.Certificate) (Answer, bool) {
	if len(certificate.OCSPServer) == 0 {
		return Answer{}, false
	}
	key, now := ocspKeyOf(certificate, issuer), c.now()
	c.mu.Lock()
	a, known := c.ocsp[key]
	c.mu.Unlock()
	if known && now.Before(a.ValidUntil) {
		return a, true
	}
	a = Answer{Certificate: certificate, ValidUntil: now.Add(retrySoon)}
	for _, address := range certificate.OCSPServer[:min(len(certificate.OCSPServer), maxResponders)] {
		source := Source{Kind: "OCSP", Where: cut(address), Issuer: issuer.Subject.String()}
		r, err := c.askResponder(ctx, address, certificate, issuer)
		if err != nil {
			source.Fault = err.Error()
			a.Sources = append(a.Sources, source)
			continue
		}
		source.Used, source.ThisUpdate, source.NextUpdate = true, r.ThisUpdate.UTC(), ocspEnd(r)
		a.Sources = append(a.Sources, source)
		a.ThisUpdate, a.ValidUntil = source.ThisUpdate, source.NextUpdate
		a.Status = domainsec.RevocationGood
		if r.Status == ocsp.Revoked {
			a.Status, a.Reason, a.RevokedAt = domainsec.RevocationRevoked, Reason(r.RevocationReason), r.RevokedAt.UTC()
			a.Detail = fmt.Sprintf("%s: revoked %s(%s) by the OCSP responder %s", describe(certificate), when(a.RevokedAt), a.Reason, source.Where)
		}
		break
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ocsp) >= maxOCSPAnswers {
		clear(c.ocsp) // they are few in a sane world, and come back when needed
	}
	c.ocsp[key] = a
	return a, true
}

// askResponder asks one responder and checks its answer, which says good or revoked.
func (c *Checker) askResponder(ctx context.Context, address string, certificate, issuer *x509.Certificate) (*ocsp.Response, error) {
	// SHA-1 names the issuer here and protects nothing: every responder knows it.
	request, err := ocsp.CreateRequest(certificate, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		return nil, fmt.Errorf("making OCSP request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.perURL)
	defer cancel()
	body, err := c.fetcher.post(ctx, address, request)
	if err != nil {
		return nil, timeoutText(err, c.perURL)
	}
	return checkOCSP(body, certificate, issuer, c.now())
}

// checkOCSP checks an OCSP answer about a certificate and returns it when it says
// good or revoked (RFC 6960, sections 3.2 and 4.2.2).
func checkOCSP(body []byte, certificate, issuer *x509.Certificate, now time.Time) (*ocsp.Response, error) {
	r, err := ocsp.ParseResponseForCert(body, certificate, issuer)
	if err != nil {
		return nil, fmt.Errorf("reading OCSP answer: %w", err)
	}
	switch r.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return nil, fmt.Errorf("verifying OCSP answer: signature algorithm %s is too weak", r.SignatureAlgorithm)
	}
	if err := checkResponder(r.Certificate, issuer, now); err != nil {
		return nil, err
	}
	switch {
	case r.ThisUpdate.After(now.Add(clockTolerance)):
		return nil, fmt.Errorf("the OCSP answer is not valid before %s", stamp(r.ThisUpdate))
	case !now.Before(ocspEnd(r)):
		return nil, fmt.Errorf("the OCSP answer expired at %s", stamp(ocspEnd(r)))
	case r.Status != ocsp.Good && r.Status != ocsp.Revoked:
		return nil, errors.New("the OCSP responder does not know the certificate")
	}
	return r, nil
}

// checkResponder returns nil when a certificate that came with the answer may sign
// it; nil is the issuer itself. ParseResponseForCert has verified that the issuer
// issued it.
func checkResponder(responder, issuer *x509.Certificate, now time.Time) error {
	if responder == nil || bytes.Equal(responder.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		return nil
	}
	name := cut(responder.Subject.String())
	switch {
	case !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("verifying OCSP answer: its signer %q may not sign OCSP answers", name)
	case responder.KeyUsage != 0 && responder.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("verifying OCSP answer: its signer %q lacks the key usage digitalSignature", name)
	case now.Before(responder.NotBefore.Add(-clockTolerance)) || now.After(responder.NotAfter):
		return fmt.Errorf("verifying OCSP answer: the certificate of its signer %q is not valid now", name)
	case !hasExtension(responder, oidOCSPNoCheck):
		// Nobody has said that the responder itself need not be asked about.
		return fmt.Errorf("verifying OCSP answer: whether its signer %q is revoked cannot be known (no id-pkix-ocsp-nocheck)", name)
	}
	return nil
}

// ocspEnd is the end of an answer's use: without nextUpdate, that of a CRL without one.
func ocspEnd(r *ocsp.Response) time.Time {
	if r.NextUpdate.IsZero() {
		return r.ThisUpdate.Add(lifeWithoutNextUpdate).UTC()
	}
	return r.NextUpdate.UTC()
}

// post sends an OCSP request and returns the answer (RFC 6960, appendix A).
func (f *fetcher) post(ctx context.Context, address string, body []byte) ([]byte, error) {
	u, err := checkURL(address)
	if err != nil {
		return nil, err
	}
	leave, err := f.enter(ctx, u.Host)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends whatever the client may have left behind
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	request.Header.Set("Content-Type", ocspContentType)
	request.Header.Set("Accept", "application/ocsp-response")
	response, err := f.send(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking: the server answered with status %d", response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxOCSPOctets+1))
	if err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	if len(answer) > maxOCSPOctets {
		return nil, fmt.Errorf("asking: the answer is larger than %d octets", maxOCSPOctets)
	}
	return answer, nil
}
