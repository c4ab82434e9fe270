package certstore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"
)

// maxIterations bounds the work that a PFX may ask for: the sum of all its
// iteration counts. Windows writes 2,000, OpenSSL 2,048.
const maxIterations = 5_000_000

// The object identifiers in a PFX that are looked at here.
const (
	oidPKCS7Data      = "1.2.840.113549.1.7.1"
	oidPKCS7Encrypted = "1.2.840.113549.1.7.6"
	oidShroudedKeyBag = "1.2.840.113549.1.12.10.1.2"
	oidPBES2          = "1.2.840.113549.1.5.13"
	oidPBKDF2         = "1.2.840.113549.1.5.12"
	oidPBMAC1         = "1.2.840.113549.1.5.14"
	oidPBEPrefix      = "1.2.840.113549.1.12.1."
)

// pfxContents is what a PFX holds.
type pfxContents struct {
	key          crypto.Signer // nil: none
	certificates []*x509.Certificate
}

// pfxFault says what is wrong with a PFX.
func pfxFault(problem, mend string, err error) *Fault {
	return &Fault{Field: "PFX", Problem: problem, Mend: mend, Err: err}
}

const mendPFX = "Write it anew: openssl pkcs12 -in FILE -nodes -out all.pem && openssl pkcs12 -export -in all.pem -out NEW.pfx"

// decodePFX opens a PFX (RFC 7292), old or new. No key is derived before all
// iteration counts are known to be bearable. The key may be absent. The error
// is a *Fault and never quotes the password.
func decodePFX(der []byte, password string) (*pfxContents, error) {
	p, err := readPFX(der)
	if err != nil {
		return nil, pfxFault("it cannot be read", mendPFX, err)
	}
	if p.iterations > maxIterations {
		return nil, pfxFault(fmt.Sprintf("it asks for %d iterations; %d are the limit", p.iterations, maxIterations), mendPFX, nil)
	}
	// Keys below an encryption cannot be counted before it is taken off. The
	// probe takes it off and stops at the first key.
	var certificates []*x509.Certificate
	for _, safe := range p.encrypted {
		found, err := probeSafe(safe, password)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, found...)
	}
	key, leaf, others, err := pkcs12.DecodeChain(der, password)
	switch {
	case err == nil:
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, pfxFault("its key is of a kind that cannot sign", "Use an RSA or ECDSA key", nil)
		}
		return &pfxContents{key: signer, certificates: append([]*x509.Certificate{leaf}, others...)}, nil
	case saysPKCS12(err, "private key missing"):
		if len(certificates) == 0 { // they lie there unencrypted
			if certificates, err = probePlain(p.plain); err != nil {
				return nil, err
			}
		}
		return &pfxContents{certificates: certificates}, nil
	}
	return nil, decodingFault(err)
}

// saysPKCS12 recognises a fault that the library only has words for; a test
// makes each and would notice a change.
func saysPKCS12(err error, words string) bool { return strings.Contains(err.Error(), words) }

func decodingFault(err error) *Fault {
	var unknown pkcs12.NotImplementedError
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return pfxFault("the password is wrong, or the file is damaged", "Give the password with which it was exported", nil)
	case saysPKCS12(err, "no MAC in data"):
		return pfxFault("it is not protected by a password, but one was given", "Leave the password away, or export it anew with one", nil)
	case saysPKCS12(err, "certificate missing"):
		return pfxFault("it holds no certificate", "Export certificate and key together", nil)
	case saysPKCS12(err, "exactly one key bag"):
		return pfxFault("it holds more than one key", "Export one certificate with its key", nil)
	case errors.As(err, &unknown):
		return pfxFault("it uses a form that is not read here", mendPFX, err)
	}
	return pfxFault("it cannot be read", mendPFX, err)
}

// pfxParts are the parts of a PFX that are looked at before the password is used.
type pfxParts struct {
	iterations int64
	encrypted  [][]byte // ContentInfo of type encryptedData
	plain      [][]byte // ContentInfo of type data
}

var errPFX = errors.New("it is not a PFX in DER")

// readPFX finds the parts and adds up all iteration counts in sight.
func readPFX(der []byte) (*pfxParts, error) {
	in := cryptobyte.String(der)
	var pfx, content, safes cryptobyte.String
	var version int
	if !in.ReadASN1(&pfx, cbasn1.SEQUENCE) || !in.Empty() || !pfx.ReadASN1Integer(&version) {
		return nil, errPFX
	}
	if version != 3 {
		return nil, fmt.Errorf("its version is %d, not 3", version)
	}
	kind, ok := readContentInfo(&pfx, &content)
	if !ok || kind != oidPKCS7Data {
		return nil, fmt.Errorf("%w protected by a password", errPFX)
	}
	var octets cryptobyte.String
	if !content.ReadASN1(&octets, cbasn1.OCTET_STRING) || !octets.ReadASN1(&safes, cbasn1.SEQUENCE) || !octets.Empty() {
		return nil, errPFX
	}
	p := &pfxParts{}
	if err := p.readMAC(pfx); err != nil {
		return nil, err
	}
	for !safes.Empty() {
		if err := p.readSafe(&safes); err != nil {
			return nil, err
		}
	}
	if n := len(p.encrypted) + len(p.plain); n > 2 {
		return nil, fmt.Errorf("it has %d parts, more than the two for certificates and key", n)
	}
	return p, nil
}

func readContentInfo(in, content *cryptobyte.String) (kind string, ok bool) {
	var info cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&oid) ||
		!info.ReadASN1(content, cbasn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() {
		return "", false
	}
	return oid.String(), true
}

// readMAC adds the iterations of MacData (RFC 7292, section 4) or PBMAC1 (RFC 9579).
func (p *pfxParts) readMAC(pfx cryptobyte.String) error {
	if pfx.Empty() {
		return nil
	}
	var mac, digest, salt cryptobyte.String
	if !pfx.ReadASN1(&mac, cbasn1.SEQUENCE) || !mac.ReadASN1(&digest, cbasn1.SEQUENCE) || !mac.ReadASN1(&salt, cbasn1.OCTET_STRING) {
		return errPFX
	}
	count := int64(1)
	if !mac.Empty() && !mac.ReadASN1Integer(&count) {
		return errPFX
	}
	var algorithm cryptobyte.String
	if !digest.ReadASN1(&algorithm, cbasn1.SEQUENCE) {
		return errPFX
	}
	var oid asn1.ObjectIdentifier
	if !algorithm.ReadASN1ObjectIdentifier(&oid) {
		return errPFX
	}
	if oid.String() != oidPBMAC1 {
		return p.add(count)
	}
	var params, kdf cryptobyte.String
	if !algorithm.ReadASN1(&params, cbasn1.SEQUENCE) || !params.ReadASN1(&kdf, cbasn1.SEQUENCE) {
		return errPFX
	}
	return p.addKDF(kdf)
}

func (p *pfxParts) add(count int64) error {
	if count < 1 || count > 1<<40 {
		return fmt.Errorf("%d is no iteration count", count)
	}
	p.iterations += count
	return nil
}

// readSafe reads one ContentInfo of the authenticated safe.
func (p *pfxParts) readSafe(safes *cryptobyte.String) error {
	var whole cryptobyte.String
	if !safes.ReadASN1Element(&whole, cbasn1.SEQUENCE) {
		return errPFX
	}
	element := []byte(whole)
	var content cryptobyte.String
	kind, ok := readContentInfo(&whole, &content)
	if !ok {
		return errPFX
	}
	switch kind {
	case oidPKCS7Encrypted:
		p.encrypted = append(p.encrypted, element)
		var data, info, algorithm cryptobyte.String
		var version int
		var oid asn1.ObjectIdentifier
		if !content.ReadASN1(&data, cbasn1.SEQUENCE) || !data.ReadASN1Integer(&version) || !data.ReadASN1(&info, cbasn1.SEQUENCE) ||
			!info.ReadASN1ObjectIdentifier(&oid) || !info.ReadASN1(&algorithm, cbasn1.SEQUENCE) {
			return errPFX
		}
		return p.addPBE(algorithm)
	case oidPKCS7Data:
		p.plain = append(p.plain, element)
		var octets, bags cryptobyte.String
		if !content.ReadASN1(&octets, cbasn1.OCTET_STRING) || !octets.ReadASN1(&bags, cbasn1.SEQUENCE) {
			return errPFX
		}
		return p.readBags(bags)
	}
	return fmt.Errorf("a part of it has the content type %s, which is not read here", kind)
}

// readBags adds the counts of the protected keys among bags.
func (p *pfxParts) readBags(bags cryptobyte.String) error {
	for !bags.Empty() {
		var bag, value, shrouded, algorithm cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !bags.ReadASN1(&bag, cbasn1.SEQUENCE) || !bag.ReadASN1ObjectIdentifier(&oid) || !bag.ReadASN1(&value, cbasn1.Tag(0).ContextSpecific().Constructed()) {
			return errPFX
		}
		if oid.String() != oidShroudedKeyBag {
			continue
		}
		if !value.ReadASN1(&shrouded, cbasn1.SEQUENCE) || !shrouded.ReadASN1(&algorithm, cbasn1.SEQUENCE) {
			return errPFX
		}
		if err := p.addPBE(algorithm); err != nil {
			return err
		}
	}
	return nil
}

// addPBE adds the count of a password-based encryption: those of PKCS #12 (RFC
// 7292, appendix C) or PBES2 (RFC 8018, section 6.2).
func (p *pfxParts) addPBE(algorithm cryptobyte.String) error {
	var oid asn1.ObjectIdentifier
	var params cryptobyte.String
	if !algorithm.ReadASN1ObjectIdentifier(&oid) || !algorithm.ReadASN1(&params, cbasn1.SEQUENCE) {
		return errPFX
	}
	switch name := oid.String(); {
	case strings.HasPrefix(name, oidPBEPrefix):
		var salt cryptobyte.String
		var count int64
		if !params.ReadASN1(&salt, cbasn1.OCTET_STRING) || !params.ReadASN1Integer(&count) {
			return errPFX
		}
		return p.add(count)
	case name == oidPBES2:
		var kdf cryptobyte.String
		if !params.ReadASN1(&kdf, cbasn1.SEQUENCE) {
			return errPFX
		}
		return p.addKDF(kdf)
	default:
		return fmt.Errorf("its encryption %s is not read here", name)
	}
}

// addKDF adds the count of a PBKDF2 (RFC 8018, appendix A.2).
func (p *pfxParts) addKDF(kdf cryptobyte.String) error {
	var oid asn1.ObjectIdentifier
	var params, salt cryptobyte.String
	var count int64
	if !kdf.ReadASN1ObjectIdentifier(&oid) || oid.String() != oidPBKDF2 {
		return errors.New("its keys are not derived by PBKDF2")
	}
	if !kdf.ReadASN1(&params, cbasn1.SEQUENCE) || !params.ReadASN1(&salt, cbasn1.OCTET_STRING) || !params.ReadASN1Integer(&count) {
		return errPFX
	}
	return p.add(count)
}

// probeSafe decrypts one part of a PFX and returns its certificates. It does so
// as the second part of a PFX whose first holds a key, so that the library
// refuses a second key before it derives anything for it.
func probeSafe(safe []byte, password string) ([]*x509.Certificate, error) {
	forms := [][]byte{bmpPassword(password)}
	if password == "" {
		forms = append(forms, nil) // how some programs write the empty password
	}
	for _, form := range forms {
		probe, err := wrapSafe(safe, form)
		if err != nil {
			return nil, err
		}
		_, leaf, others, err := pkcs12.DecodeChain(probe, password)
		var unknown pkcs12.NotImplementedError
		switch {
		case err == nil:
			return append([]*x509.Certificate{leaf}, others...), nil
		case saysPKCS12(err, "exactly one key bag"):
			return nil, pfxFault("its key lies below a second encryption, whose cost is not known before", mendPFX, nil)
		case saysPKCS12(err, "certificate missing"):
			return nil, nil
		case errors.As(err, &unknown):
			return nil, decodingFault(err)
		}
	}
	return nil, decodingFault(pkcs12.ErrIncorrectPassword) // what comes of a wrong one is noise
}

// probePlain returns the certificates of parts that are not encrypted.
func probePlain(safes [][]byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, safe := range safes {
		found, err := probeSafe(safe, "")
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, pfxFault("it holds no certificate", "Export certificate and key together", nil)
	}
	return out, nil
}

// bmpPassword is a password as PKCS #12 takes it (RFC 7292, appendix B.1).
func bmpPassword(password string) []byte {
	out := make([]byte, 0, 2*len(password)+2)
	for _, u := range utf16.Encode([]rune(password)) {
		out = binary.BigEndian.AppendUint16(out, u)
	}
	return append(out, 0, 0)
}

// wrapSafe makes a PFX of a throw-away key and safe.
func wrapSafe(safe, password []byte) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	keyBag := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	explicit := cbasn1.Tag(0).ContextSpecific().Constructed()

	bags := build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(keyBag)
				b.AddASN1(explicit, func(b *cryptobyte.Builder) { b.AddBytes(pkcs8) })
			})
		})
	})
	authenticated := build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addData(b, data, explicit, bags)
			b.AddBytes(safe)
		})
	})
	mac := probeMAC(authenticated, password)
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(3)
			addData(b, data, explicit, authenticated)
			b.AddBytes(mac)
		})
	}), nil
}

func build(f func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic() // only values of our own go in
}

func addData(b *cryptobyte.Builder, data asn1.ObjectIdentifier, explicit cbasn1.Tag, content []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(data)
		b.AddASN1(explicit, func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
	})
}

// probeMAC returns the MacData of a probe (RFC 7292, section 4 and appendix B)
// with SHA-256 and one iteration, since it protects nothing.
func probeMAC(content, password []byte) []byte {
	const block = 64 // v of the appendix
	salt := []byte("mailpact")
	in := bytes.Repeat([]byte{3}, block) // D: the key of a MAC
	for _, part := range [][]byte{salt, password} {
		if n := (len(part) + block - 1) / block * block; n > 0 {
			in = append(in, bytes.Repeat(part, n/len(part)+1)[:n]...)
		}
	}
	key := sha256.Sum256(in)
	h := hmac.New(sha256.New, key[:])
	h.Write(content)
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1})
					b.AddASN1NULL()
				})
				b.AddASN1OctetString(h.Sum(nil))
			})
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(1)
		})
	})
}
