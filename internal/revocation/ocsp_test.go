package revocation

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"mailpact/internal/domainsec"
)

// TestOCSP: a responder is asked where no CRL can be had, and believed only when
// the issuer or one it sent says good or revoked, now.
func TestOCSP(t *testing.T) {
	authority, stranger := newCA(t, "Contoso Root"), newCA(t, "Stranger Root")
	responder := func(usages []x509.ExtKeyUsage, noCheck bool) *ca {
		r := authority.below("Responder", 90, x509.KeyUsageDigitalSignature)
		template := &x509.Certificate{SerialNumber: big.NewInt(90), Subject: pkix.Name{CommonName: "Responder"}, ExtKeyUsage: usages, KeyUsage: x509.KeyUsageDigitalSignature}
		if noCheck {
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}}
		}
		r.certificate = authority.issueWith(template, r.key.Public())
		return r
	}
	signing := []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	delegated, checkable, unfit := responder(signing, true), responder(signing, false), responder(nil, true)
	good := ocsp.Response{Status: ocsp.Good, SerialNumber: big.NewInt(42), ThisUpdate: start, NextUpdate: start.Add(time.Hour), IssuerHash: crypto.SHA256}
	with := func(change func(*ocsp.Response)) ocsp.Response { r := good; change(&r); return r }
	for _, tt := range []struct {
		name     string
		signer   *ca
		template ocsp.Response
		want     domainsec.RevocationStatus
		detail   string
	}{
		{"good, by the issuer", authority, good, domainsec.RevocationGood, ""},
		{"good, delegated", delegated, good, domainsec.RevocationGood, ""},
		{"revoked", authority, with(func(r *ocsp.Response) {
			r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, start.Add(-time.Minute), ocsp.Superseded
		}), domainsec.RevocationRevoked, "revoked at 2026-11-23T11:59:00Z (superseded) by the OCSP responder"},
		{"unknown", authority, with(func(r *ocsp.Response) { r.Status = ocsp.Unknown }), domainsec.RevocationUnknown, "does not know"},
		{"of another certificate", authority, with(func(r *ocsp.Response) { r.SerialNumber = big.NewInt(43) }), domainsec.RevocationUnknown, "reading OCSP answer"},
		{"by a stranger", stranger, good, domainsec.RevocationUnknown, "reading OCSP answer"},
		{"signer without the usage", unfit, good, domainsec.RevocationUnknown, "may not sign OCSP answers"},
		{"signer that would have to be checked", checkable, good, domainsec.RevocationUnknown, "nocheck"},
		{"expired", authority, with(func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = start.Add(-time.Hour), start }), domainsec.RevocationUnknown, "expired"},
		{"future", authority, with(func(r *ocsp.Response) { r.ThisUpdate = start.Add(time.Hour) }), domainsec.RevocationUnknown, "not valid before"},
		{"no nextUpdate", authority, with(func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), domainsec.RevocationGood, ""},
		{"no nextUpdate, old", authority, with(func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = start.Add(-24*time.Hour), time.Time{} }), domainsec.RevocationUnknown, "expired"},
		{"garbage", nil, good, domainsec.RevocationUnknown, "reading OCSP answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newServer(t, nil)
			server.handle(func(w http.ResponseWriter, r *http.Request) {
				body := must(io.ReadAll(r.Body))
				if q, err := ocsp.ParseRequest(body); err != nil || q.SerialNumber.Int64() != 42 {
					t.Errorf("request %x: %v", body, err)
				}
				if tt.signer == nil {
					_, _ = w.Write([]byte("x"))
					return
				}
				template := tt.template
				if tt.signer != authority {
					template.Certificate = tt.signer.certificate
				}
				_, _ = w.Write(must(ocsp.CreateResponse(authority.certificate, tt.signer.certificate, template, tt.signer.key)))
			})
			leaf := authority.issueWith(&x509.Certificate{SerialNumber: big.NewInt(42), OCSPServer: []string{server.address()}}, nil)
			checker := open(t, newClock())
			for range 2 {
				got := checker.CheckCertificate(t.Context(), leaf, authority.certificate)
				if got.Status != tt.want || !strings.Contains(got.Detail, tt.detail) {
					t.Errorf("%+v; want %d, %q", got, tt.want, tt.detail)
				}
				if got.ValidUntil.IsZero() || (tt.want != domainsec.RevocationUnknown) == got.ThisUpdate.IsZero() {
					t.Errorf("no times: %+v", got)
				}
			}
			if n := server.requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestOCSPBesideCRL: a CRL that answers is enough; a responder inside is not asked.
func TestOCSPBesideCRL(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	crl, responder := newServer(t, authority.crl(revoking(42))), newServer(t, []byte("x"))
	leaf := authority.issueWith(&x509.Certificate{
		SerialNumber: big.NewInt(42), OCSPServer: []string{responder.address()}, CRLDistributionPoints: []string{crl.address()},
	}, nil)
	if got := open(t, newClock()).CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationRevoked {
		t.Errorf("%+v", got)
	}
	crl.put([]byte("gone"))
	for _, inside := range []bool{true, false} {
		checker := open(t, newClock(), func(o *Options) { o.Settings.AllowPrivateTargets = inside })
		if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, "OCSP http") {
			t.Errorf("%+v", got)
		}
	}
	if n := responder.requests.Load(); n != 1 {
		t.Errorf("the responder was asked %d times", n)
	}
}
