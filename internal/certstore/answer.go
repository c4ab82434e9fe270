package certstore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxImportBytes bounds what can be imported, in octets.
const MaxImportBytes = 512 << 10

// upload is what a file to import holds.
type upload struct {
	key          crypto.Signer // nil: none
	certificates []*x509.Certificate
}

// uploadFault is a fault of the file that is imported.
func uploadFault(problem, mend string, err error) *Fault {
	return &Fault{Field: "file", Problem: problem, Mend: mend, Err: err}
}

// parseUpload reads certificates, with or without their key, in any form that
// CAs and mail servers hand out: PEM, DER, PKCS #7, PKCS #12. Errors are Faults.
func parseUpload(data []byte, password string) (*upload, error) {
	switch {
	case len(data) == 0:
		return nil, uploadFault("the file is empty", "Name the file that the CA has sent", nil)
	case len(data) > MaxImportBytes:
		return nil, uploadFault(fmt.Sprintf("the file has more than %d octets", MaxImportBytes), "Keep one certificate with its chain in it", nil)
	}
	var u *upload
	var err error
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		u, err = parsePEMUpload(data)
	} else {
		u, err = parseDERUpload(data, password)
	}
	if err != nil {
		return nil, err
	}
	if len(u.certificates) == 0 {
		return nil, uploadFault("the file holds no certificate", "Name the file that the CA has sent", nil)
	}
	if len(u.certificates) > maxCertificates {
		return nil, uploadFault(fmt.Sprintf("the file holds %d certificates; %d are the limit", len(u.certificates), maxCertificates), "Keep one certificate with its chain in it", nil)
	}
	return u, nil
}

func parsePEMUpload(data []byte) (*upload, error) {
	u := &upload{}
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch {
		case b.Type == "CERTIFICATE", b.Type == "X509 CERTIFICATE":
			x, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				// Some CAs write a PKCS #7 under this label.
				bundle, bundleErr := parsePKCS7(b.Bytes)
				if bundleErr != nil {
					return nil, uploadFault(fmt.Sprintf("certificate %d of the file cannot be read", len(u.certificates)+1), "Ask the CA for it again", err)
				}
				u.certificates = append(u.certificates, bundle...)
				continue
			}
			u.certificates = append(u.certificates, x)
		case b.Type == "PKCS7", b.Type == "CMS":
			bundle, err := parsePKCS7(b.Bytes)
			if err != nil {
				return nil, uploadFault("the PKCS #7 in the file cannot be read", mendPKCS7, err)
			}
			u.certificates = append(u.certificates, bundle...)
		case b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "":
			return nil, uploadFault("the key in the file is protected by a password", "Make a PFX of it: openssl pkcs12 -export -in FILE -out NEW.pfx", nil)
		case b.Type == requestType, b.Type == "NEW CERTIFICATE REQUEST":
			return nil, uploadFault("the file is the request, not its answer", "Send it to the CA and import what comes back", nil)
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			key, ok := parseKey(b.Bytes)
			if !ok || u.key != nil {
				return nil, uploadFault("the file holds a key that cannot be read, or more than one", "Keep one certificate with its key in it", nil)
			}
			u.key = key
		}
	}
	return u, nil
}

// IsPFX reports whether data looks like a PFX, which needs a password.
func IsPFX(data []byte) bool {
	in := cryptobyte.String(data)
	var body cryptobyte.String
	return in.ReadASN1(&body, cbasn1.SEQUENCE) && body.PeekASN1Tag(cbasn1.INTEGER)
}

const mendPKCS7 = "Turn it into PEM: openssl pkcs7 -inform DER -in FILE -print_certs -out NEW.pem"

// parseDERUpload tells the DER forms apart by what stands first in them: a PFX
// begins with its version, a PKCS #7 with an object identifier, a certificate
// with a SEQUENCE.
func parseDERUpload(data []byte, password string) (*upload, error) {
	in := cryptobyte.String(data)
	var body cryptobyte.String
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) {
		if data[0] == 0x30 {
			return nil, uploadFault("the file is cut short, or it is not DER", "Compare its size with the CA's, or ask for PEM", nil)
		}
		return nil, uploadFault("the file is no PEM, DER, PKCS #7 or PFX", "Name the file that the CA has sent", nil)
	}
	switch {
	case body.PeekASN1Tag(cbasn1.INTEGER):
		p, err := decodePFX(data, password)
		if err != nil {
			return nil, err
		}
		return &upload{key: p.key, certificates: p.certificates}, nil
	case body.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER):
		bundle, err := parsePKCS7(data)
		if err != nil {
			return nil, uploadFault("the PKCS #7 cannot be read", mendPKCS7, err)
		}
		return &upload{certificates: bundle}, nil
	}
	x, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, uploadFault("the certificate cannot be read", "Ask the CA for it again, in PEM", err)
	}
	return &upload{certificates: []*x509.Certificate{x}}, nil
}

// leafOf returns the certificate of public and, ordered, those that issued it,
// without the root, which peers have or do not trust. Certificates that do not
// belong to its chain are left out. leaf is nil when none has the key.
func leafOf(all []*x509.Certificate, public crypto.PublicKey) (leaf *x509.Certificate, chain []*x509.Certificate) {
	// A cross-certificate or an older one can have the same key: the newest counts.
	for _, x := range all {
		if samePublicKey(x.PublicKey, public) && (leaf == nil || x.NotBefore.After(leaf.NotBefore)) {
			leaf = x
		}
	}
	if leaf == nil {
		return nil, nil
	}
	chain = []*x509.Certificate{leaf}
	for last := leaf; !isSelfSigned(last); {
		i := slices.IndexFunc(all, func(x *x509.Certificate) bool {
			return !slices.ContainsFunc(chain, x.Equal) && bytes.Equal(last.RawIssuer, x.RawSubject) && last.CheckSignatureFrom(x) == nil
		})
		if i < 0 || isSelfSigned(all[i]) {
			break
		}
		last = all[i]
		chain = append(chain, last)
	}
	return leaf, chain
}

// notesOn returns what an administrator should know of an imported certificate.
func notesOn(u *upload, chain []*x509.Certificate, asked []string, now time.Time) []string {
	leaf := chain[0]
	var notes []string
	switch {
	case now.After(leaf.NotAfter):
		notes = append(notes, "the certificate expired on "+day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		notes = append(notes, "the certificate is not valid before "+day(leaf.NotBefore))
	}
	root := slices.ContainsFunc(u.certificates, func(x *x509.Certificate) bool { return bytes.Equal(x.RawSubject, leaf.RawIssuer) })
	if len(chain) == 1 && !root {
		notes = append(notes, "the file holds no certificate of the issuing CA; if that is not a root, import the whole chain, or partners cannot verify it")
	}
	var missing []string
	for _, n := range asked {
		if !slices.Contains(leaf.DNSNames, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		notes = append(notes, "the CA has left out names that were asked for: "+strings.Join(missing, ", "))
	}
	anyUse := len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
	if !anyUse && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		notes = append(notes, "the certificate does not allow serverAuth: clients will refuse it")
	}
	if !anyUse && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		notes = append(notes, "the certificate does not allow clientAuth: partners that insist on it refuse our outbound sessions")
	}
	return notes
}
