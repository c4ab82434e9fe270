package certstore

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// errNotDER is what a file in BER with indefinite lengths gets.
var errNotDER = errors.New("it is not DER")

// parsePKCS7 reads the certificates of a degenerate SignedData (RFC 5652,
// section 5.2): the form in which CAs hand out chains. What is signed is
// refused, because nobody here would check the signature; other choices of
// certificates (RFC 5652, section 10.2.2) and trailing octets are, too.
func parsePKCS7(der []byte) ([]*x509.Certificate, error) {
	oidSignedData := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	in := cryptobyte.String(der)
	var outer, explicit, signed cryptobyte.String
	var kind asn1.ObjectIdentifier
	switch {
	case !in.ReadASN1(&outer, cbasn1.SEQUENCE):
		return nil, fmt.Errorf("ContentInfo: %w", errNotDER)
	case !in.Empty():
		return nil, errors.New("octets follow the ContentInfo")
	case !outer.ReadASN1ObjectIdentifier(&kind):
		return nil, errors.New("ContentInfo has no content type")
	case !kind.Equal(oidSignedData):
		return nil, fmt.Errorf("its content type is %v, not signedData", kind)
	case !outer.ReadASN1(&explicit, cbasn1.Tag(0).ContextSpecific().Constructed()) || !outer.Empty(),
		!explicit.ReadASN1(&signed, cbasn1.SEQUENCE) || !explicit.Empty():
		return nil, fmt.Errorf("SignedData: %w", errNotDER)
	}
	return readSignedData(signed)
}

// readSignedData reads the fields of SignedData in their order.
func readSignedData(signed cryptobyte.String) ([]*x509.Certificate, error) {
	oidData := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	var version int
	var digests, content, certificates, signers cryptobyte.String
	var kind asn1.ObjectIdentifier
	var present bool
	switch {
	case !signed.ReadASN1Integer(&version) || version < 1 || version > 5:
		return nil, errors.New("SignedData has no version from 1 to 5")
	case !signed.ReadASN1(&digests, cbasn1.SET):
		return nil, errors.New("SignedData has no digestAlgorithms")
	case !signed.ReadASN1(&content, cbasn1.SEQUENCE) || !content.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidData):
		return nil, errors.New("what SignedData encloses is not of type data")
	case !content.Empty():
		return nil, errors.New("it encloses a text; a bundle of certificates encloses nothing")
	case !signed.ReadOptionalASN1(&certificates, &present, cbasn1.Tag(0).ContextSpecific().Constructed()):
		return nil, errors.New("the certificates of SignedData cannot be read")
	case !signed.SkipOptionalASN1(cbasn1.Tag(1).ContextSpecific().Constructed()): // CRLs
		return nil, errors.New("the CRLs of SignedData cannot be read")
	case !signed.ReadASN1(&signers, cbasn1.SET) || !signed.Empty():
		return nil, errors.New("SignedData has no signerInfos at its end")
	case !signers.Empty():
		return nil, errors.New("it is a signed message; a bundle of certificates has no signer")
	}
	var out []*x509.Certificate
	for !certificates.Empty() {
		var one cryptobyte.String
		if !certificates.ReadASN1Element(&one, cbasn1.SEQUENCE) {
			return nil, errors.New("it holds something else than X.509 certificates")
		}
		if len(out) == maxCertificates {
			return nil, fmt.Errorf("it holds more than %d certificates", maxCertificates)
		}
		x, err := x509.ParseCertificate(one)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(out)+1, err)
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return out, nil
}
