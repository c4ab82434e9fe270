package revocation

import (
	"bytes"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 signatures are hashed through crypto.Hash
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"mailpact/internal/domainsec/dn"
)

// maxMessageOctets bounds a CRL whose signature needs it in memory whole
// (Ed25519, RFC 8032, section 5.1.7).
const maxMessageOctets = 16 << 20

// The extensions that are understood (RFC 5280, sections 4.2.1 and 5.2).
const (
	oidKeyUsage               = "2.5.29.15"
	oidIssuerAltName          = "2.5.29.18"
	oidCRLNumber              = "2.5.29.20"
	oidDeltaCRLIndicator      = "2.5.29.27"
	oidIssuingPoint           = "2.5.29.28"
	oidCRLDistributionPoints  = "2.5.29.31"
	oidAuthorityKeyIdentifier = "2.5.29.35"
	oidFreshestCRL            = "2.5.29.46"
	oidAuthorityInfoAccess    = "1.3.6.1.5.5.7.1.1"
)

// head is what stands before the entries of a CertificateList.
type head struct {
	version2           bool
	algorithm          []byte // AlgorithmIdentifier, DER
	issuer             []byte // Name, DER
	times              []byte // thisUpdate and, where stated, nextUpdate, DER
	thisUpdate         time.Time
	nextUpdate         time.Time // zero: not stated
	signatureAlgorithm x509.SignatureAlgorithm
}

// message collects what is signed, for algorithms that do not sign a hash.
type message struct {
	octets   []byte
	overflow bool
}

func (m *message) Write(p []byte) (int, error) {
	if len(m.octets)+len(p) > maxMessageOctets {
		m.overflow = true
		return len(p), nil
	}
	m.octets = append(m.octets, p...)
	return len(p), nil
}

func (m *message) Sum([]byte) []byte { return m.octets }
func (m *message) Reset()            { m.octets = nil }
func (m *message) Size() int         { return len(m.octets) }
func (m *message) BlockSize() int    { return 1 }

var _ hash.Hash = (*message)(nil)

// readList reads a CertificateList, DER (RFC 5280, section 5.1), from a stream,
// once, with little of it in memory at a time. The index is made in room.
func readList(source string, in io.Reader, room room) (*List, error) {
	w := newWindow(in)
	defer w.close()
	end, err := w.enter(asn1.SEQUENCE, 1<<62)
	if err != nil {
		return nil, err
	}
	from := w.offset()
	tbsEnd, err := w.enter(asn1.SEQUENCE, end)
	if err != nil {
		return nil, err
	}
	h, err := readHead(w, tbsEnd)
	if err != nil {
		return nil, err
	}
	var sum hash.Hash = &message{}
	hashed := hashOf(h.signatureAlgorithm)
	if hashed != 0 {
		sum = hashed.New()
	}
	if err := w.beginHash(sum, from); err != nil {
		return nil, err
	}
	l := &List{source: source, rawIssuer: h.issuer, issuerName: dn.Key(h.issuer), thisUpdate: h.thisUpdate, nextUpdate: h.nextUpdate}
	if l.nextUpdate.IsZero() {
		l.nextUpdate = l.thisUpdate.Add(lifeWithoutNextUpdate)
	}
	if err := l.readEntries(w, tbsEnd, h, room); err != nil {
		return nil, fmt.Errorf("parsing CRL: %w", err)
	}
	if err := l.readExtensions(w, tbsEnd, h); err != nil {
		return nil, err
	}
	w.endHash()
	if m, ok := sum.(*message); ok && m.overflow {
		return nil, fmt.Errorf("parsing CRL: it is larger than %d octets, the most with the signature algorithm %s", maxMessageOctets, h.signatureAlgorithm)
	}
	l.signed = signed{algorithm: h.signatureAlgorithm, hash: hashed, sum: sum.Sum(nil)}
	return l, l.readSignature(w, end, h)
}

// readHead reads everything before the entries.
func readHead(w *window, limit int64) (head, error) {
	var h head
	next := func(want asn1.Tag) ([]byte, error) {
		e, tag, err := w.element(limit)
		if err == nil && tag != want {
			err = errMalformed
		}
		return slices.Clone(e), err
	}
	tag, _, _, err := w.peek()
	if err != nil {
		return h, err
	}
	if tag == asn1.INTEGER {
		version, err := next(asn1.INTEGER)
		if err != nil {
			return h, err
		}
		// Version 1 is the default, which DER leaves out (RFC 5280, section 5.1.2.1).
		if !bytes.Equal(version, []byte{2, 1, 1}) {
			return h, errors.New("parsing CRL: its version is neither 1 nor 2")
		}
		h.version2 = true
	}
	if h.algorithm, err = next(asn1.SEQUENCE); err != nil {
		return h, err
	}
	if h.issuer, err = next(asn1.SEQUENCE); err != nil {
		return h, err
	}
	if h.thisUpdate, h.times, err = nextTime(w, limit); err != nil {
		return h, err
	}
	if w.offset() < limit {
		if tag, _, _, err = w.peek(); err != nil {
			return h, err
		}
		if tag == asn1.UTCTime || tag == asn1.GeneralizedTime {
			var raw []byte
			if h.nextUpdate, raw, err = nextTime(w, limit); err != nil {
				return h, err
			}
			h.times = append(h.times, raw...)
		}
	}
	frame, err := h.parse(h.algorithm, []byte{0x03, 0x01, 0x00})
	if err != nil {
		return h, err
	}
	h.signatureAlgorithm = frame.SignatureAlgorithm
	return h, nil
}

func nextTime(w *window, limit int64) (time.Time, []byte, error) {
	e, _, err := w.element(limit)
	if err != nil {
		return time.Time{}, nil, err
	}
	raw := slices.Clone(e)
	t, ok := readTime(&e)
	if !ok || !e.Empty() {
		return time.Time{}, nil, errMalformed
	}
	return t.UTC(), raw, nil
}

// parse gives the head to the standard library's parser, as a CRL of version 2
// without entries: that knows algorithms and names.
func (h head) parse(outerAlgorithm, signature []byte) (*x509.RevocationList, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddBytes(h.algorithm)
			b.AddBytes(h.issuer)
			b.AddBytes(h.times)
		})
		b.AddBytes(outerAlgorithm)
		b.AddBytes(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("parsing CRL: %w", err)
	}
	frame, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("parsing CRL: %w", err)
	}
	return frame, nil
}

// readEntries walks revokedCertificates, if there are any.
func (l *List) readEntries(w *window, tbsEnd int64, h head, room room) error {
	start, end := w.offset(), w.offset()
	if start < tbsEnd {
		tag, _, _, err := w.peek()
		if err != nil {
			return err
		}
		if tag == asn1.SEQUENCE {
			if end, err = w.enter(asn1.SEQUENCE, tbsEnd); err != nil {
				return err
			}
		}
	}
	b, err := newIndexBuilder(l.issuerName, h.version2, end-start)
	if err != nil {
		return err
	}
	defer b.discard()
	for n := 0; w.offset() < end; n++ {
		offset := w.offset()
		entry, tag, err := w.element(end)
		if err == nil && tag != asn1.SEQUENCE {
			err = errMalformed
		}
		if err == nil {
			err = b.add(entry, offset)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
	}
	l.revoked, err = b.finish(room)
	return err
}

// readExtensions reads crlExtensions, which end the TBSCertList.
func (l *List) readExtensions(w *window, tbsEnd int64, h head) error {
	if w.offset() < tbsEnd {
		explicit, tag, err := w.element(tbsEnd)
		if err != nil {
			return err
		}
		var content, extensions cryptobyte.String
		if tag != asn1.Tag(0).ContextSpecific().Constructed() || !h.version2 || w.offset() != tbsEnd ||
			!explicit.ReadASN1(&content, tag) || !content.ReadASN1(&extensions, asn1.SEQUENCE) || !content.Empty() {
			return errMalformed
		}
		seen := map[string]bool{}
		for !extensions.Empty() {
			e, ok := readExtension(&extensions)
			if !ok || seen[string(e.id)] {
				return errMalformed
			}
			seen[string(e.id)] = true
			if err := l.extend(e); err != nil {
				return err
			}
		}
	}
	if l.revoked.foreign() && !l.scope.indirect {
		return errors.New("parsing CRL: an entry names another certificate issuer, but the CRL is not an indirect one")
	}
	if h.version2 && l.number == nil {
		// RFC 5280, section 5.2.3: every CRL of version 2 has one. Without it an
		// old list could be served in place of a newer one.
		return errors.New("parsing CRL: it has no CRL number (for openssl ca: set crlnumber and crl_extensions with authorityKeyIdentifier)")
	}
	return nil
}

// extend reads one extension (RFC 5280, section 5.2).
func (l *List) extend(e extension) (err error) {
	value := slices.Clone(e.value)
	switch id := oidText(e.id); id {
	case oidIssuingPoint:
		l.scope, err = parseScope(value, l.rawIssuer)
	case oidDeltaCRLIndicator:
		l.base, err = readNumber(value)
	case oidCRLNumber:
		if e.critical {
			return errors.New("parsing CRL: its CRL number is critical, which RFC 5280, section 5.2.3, forbids")
		}
		l.number, err = readNumber(value)
	case oidFreshestCRL:
		l.freshest, err = readPoints(value, l.rawIssuer)
	case oidAuthorityKeyIdentifier, oidIssuerAltName, oidAuthorityInfoAccess:
		// Critical or not, they do not change what the entries mean.
	default:
		if e.critical {
			// RFC 5280, section 5.2: such a CRL must not be used.
			return fmt.Errorf("parsing CRL: unknown critical extension %s", id)
		}
	}
	return err
}

// readNumber reads a CRLNumber, which has at most 20 octets (RFC 5280, section 5.2.3).
func readNumber(value cryptobyte.String) (*big.Int, error) {
	n := new(big.Int)
	if !value.ReadASN1Integer(n) || !value.Empty() || n.Sign() < 0 || n.BitLen() > 8*maxSerialOctets {
		return nil, errors.New("parsing CRL: malformed CRL number")
	}
	return n, nil
}

// readSignature reads what follows the TBSCertList.
func (l *List) readSignature(w *window, end int64, h head) error {
	algorithm, _, err := w.element(end)
	if err != nil {
		return err
	}
	outer := slices.Clone(algorithm)
	signature, _, err := w.element(end)
	if err != nil {
		return err
	}
	if w.offset() != end || !w.finished() {
		return errMalformed
	}
	frame, err := h.parse(outer, slices.Clone(signature))
	if err != nil {
		return err
	}
	l.issuer = frame.Issuer.String()
	l.signed.signature = frame.Signature
	sum := sha256.New()
	sum.Write(l.signed.sum)
	sum.Write(l.signed.signature)
	sum.Sum(l.digest[:0])
	return nil
}
