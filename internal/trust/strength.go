package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"

	"mailpact/internal/domainsec"
)

// keyFault says why a certificate's key is too weak, or too large, to be
// relied on; "" when it is neither.
func keyFault(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fmt.Sprintf("RSA key of %d bits, outside %d to %d", n, minRSABits, maxRSABits)
		}
		return ""
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return ""
		}
		return "ECDSA key on " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return ""
	default:
		return "key of an unknown kind"
	}
}

// weakAlgorithm reports whether signatures of the algorithm can be forged, or
// cannot be told to be safe.
func weakAlgorithm(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.PureEd25519:
		return false
	default:
		return true
	}
}

// verifyWeakSignature verifies the signatures that crypto/x509 refuses to look
// at. It serves the diagnosis alone: a path with one is never good.
func verifyWeakSignature(child, parent *x509.Certificate) error {
	switch child.SignatureAlgorithm {
	case x509.MD5WithRSA:
		sum := md5.Sum(child.RawTBSCertificate)
		return verifyWeakRSA(parent, crypto.MD5, sum[:], child.Signature)
	case x509.SHA1WithRSA:
		sum := sha1.Sum(child.RawTBSCertificate)
		return verifyWeakRSA(parent, crypto.SHA1, sum[:], child.Signature)
	case x509.ECDSAWithSHA1:
		key, ok := parent.PublicKey.(*ecdsa.PublicKey)
		sum := sha1.Sum(child.RawTBSCertificate)
		if !ok || !ecdsa.VerifyASN1(key, sum[:], child.Signature) {
			return errors.New("the signature is wrong")
		}
		return nil
	default:
		return x509.InsecureAlgorithmError(child.SignatureAlgorithm)
	}
}

func verifyWeakRSA(parent *x509.Certificate, h crypto.Hash, sum, signature []byte) error {
	key, ok := parent.PublicKey.(*rsa.PublicKey)
	if !ok {
		return errors.New("the issuer's key is no RSA key")
	}
	return rsa.VerifyPKCS1v15(key, h, sum, signature)
}

// commonUsage returns the purposes that every certificate of the path allows.
// A certificate without extended key usages, or with anyExtendedKeyUsage,
// allows both.
func commonUsage(path []*x509.Certificate) string {
	server, client := true, true
	for _, c := range path {
		if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
			continue
		}
		var s, cl bool
		for _, u := range c.ExtKeyUsage {
			s = s || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
			cl = cl || u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny
		}
		server, client = server && s, client && cl
	}
	switch {
	case server && client:
		return domainsec.UsageBoth
	case server:
		return domainsec.UsageServerAuth
	case client:
		return domainsec.UsageClientAuth
	default:
		return ""
	}
}
