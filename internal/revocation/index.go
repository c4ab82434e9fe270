package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// maxCertificateIssuers bounds whose certificates one indirect CRL lists.
const maxCertificateIssuers = 4096

// maxKeyOctets bounds the serial numbers that the compact index holds: 20
// octets (RFC 5280, section 4.1.2.2) and a sign octet.
const maxKeyOctets = 21

// index is the set of serial numbers on a CRL, in little memory: one sorted
// array without pointers. It is immutable once built.
type index struct {
	records []record
	// long holds the rare serial numbers that no conforming authority issues.
	long    map[string][]record
	issuers []string // canonical names that entries are of; the first is the CRL issuer's
	named   bool     // some entry names its certificate issuer
}

// record is one entry. key is the DER content of the serial number with its
// length in front, so that numbers of different length or sign never collide.
type record struct {
	key      [maxKeyOctets + 1]byte
	reason   Reason
	extended bool
	issuer   uint32 // of index.issuers
	at       uint32 // seconds of the Unix time; 0 for times that do not fit
}

// recordOctets is the size of a record in memory.
const recordOctets = 32

// revokedEntry is what the index knows of a revoked certificate.
type revokedEntry struct {
	reason Reason
	at     time.Time // the zero time when not known
}

// OIDs of CRL entry extensions, as DER content (RFC 5280, section 5.3).
const (
	idReasonCode        = "\x55\x1d\x15"
	idInvalidityDate    = "\x55\x1d\x18"
	idCertificateIssuer = "\x55\x1d\x1d"
	idHoldInstruction   = "\x55\x1d\x17"
)

// indexBuilder collects entries in their order.
type indexBuilder struct {
	x       *index
	issuers map[string]uint32 // of x.issuers
	current uint32            // the certificate issuer that counts from here on
}

// newIndexBuilder begins the index of a CRL of that issuer's, canonical.
func newIndexBuilder(issuer string) *indexBuilder {
	return &indexBuilder{x: &index{issuers: []string{issuer}}, issuers: map[string]uint32{issuer: 0}}
}

// add reads one element of revokedCertificates. Only version 2 has extensions.
func (b *indexBuilder) add(element cryptobyte.String, version2 bool) error {
	var entry, serial cryptobyte.String
	if !element.ReadASN1(&entry, asn1.SEQUENCE) || !element.Empty() || !entry.ReadASN1(&serial, asn1.INTEGER) || !minimalInteger(serial) {
		return errors.New("malformed")
	}
	r, issuer, err := readEntry(entry)
	if err != nil {
		return err
	}
	if issuer != "" {
		// It counts for this entry and those after it (RFC 5280, section 5.3.3).
		n, known := b.issuers[issuer]
		if !known {
			if len(b.x.issuers) == maxCertificateIssuers {
				return fmt.Errorf("more than %d certificate issuers", maxCertificateIssuers)
			}
			n = uint32(len(b.x.issuers))
			b.issuers[issuer] = n
			b.x.issuers = append(b.x.issuers, issuer)
		}
		b.current = n
		b.x.named = true
	}
	if !version2 && r.extended {
		return errors.New("an entry of version 1 has extensions")
	}
	r.issuer = b.current
	if len(serial) > maxKeyOctets {
		if b.x.long == nil {
			b.x.long = make(map[string][]record)
		}
		b.x.long[string(serial)] = append(b.x.long[string(serial)], r)
		return nil
	}
	r.key = keyOf(serial)
	b.x.records = append(b.x.records, r)
	return nil
}

// finish returns the index.
func (b *indexBuilder) finish() *index {
	slices.SortFunc(b.x.records, func(a, b record) int { return bytes.Compare(a.key[:], b.key[:]) })
	return b.x
}

// readEntry reads what follows the serial number of an entry. issuer is the
// canonical name of the certificate issuer, empty when the entry names none.
func readEntry(entry cryptobyte.String) (r record, issuer string, err error) {
	at, ok := readTime(&entry)
	if !ok {
		return r, "", errors.New("malformed revocation date")
	}
	if s := at.Unix(); s > 0 && s <= 1<<32-1 {
		r.at = uint32(s)
	}
	if entry.Empty() {
		return r, "", nil
	}
	r.extended = true
	var extensions cryptobyte.String
	if !entry.ReadASN1(&extensions, asn1.SEQUENCE) || !entry.Empty() {
		return r, "", errors.New("malformed extensions")
	}
	for !extensions.Empty() {
		e, ok := readExtension(&extensions)
		if !ok {
			return r, "", errors.New("malformed extension")
		}
		switch string(e.id) {
		case idReasonCode:
			if r.reason, ok = readReasonCode(e.value); !ok {
				return r, "", errors.New("malformed reason code")
			}
		case idCertificateIssuer:
			if issuer, ok = readCertificateIssuer(e.value); !ok {
				return r, "", errors.New("malformed certificate issuer")
			}
		case idInvalidityDate, idHoldInstruction:
			// Neither changes the answer, critical or not.
		default:
			if e.critical {
				// RFC 5280, section 5.3: such a CRL must not be used at all.
				return r, "", fmt.Errorf("unknown critical extension %s", oidText(e.id))
			}
		}
	}
	return r, issuer, nil
}

// readCertificateIssuer returns the canonical directory name among GeneralNames.
func readCertificateIssuer(value cryptobyte.String) (string, bool) {
	var names cryptobyte.String
	if !value.ReadASN1(&names, asn1.SEQUENCE) || !value.Empty() {
		return "", false
	}
	found, err := readNames(names)
	if err != nil {
		return "", false
	}
	for _, n := range found {
		if n.tag == tagDirectoryName {
			return n.value, true
		}
	}
	return "", false
}

// lookup finds a serial number of a certificate issuer, canonical. Of several
// entries for one number the one that revokes counts.
func (x *index) lookup(issuer string, serial *big.Int) (revokedEntry, bool) {
	var b cryptobyte.Builder
	b.AddASN1BigInt(serial)
	der, err := b.Bytes()
	if err != nil {
		return revokedEntry{}, false
	}
	element := cryptobyte.String(der)
	var content cryptobyte.String
	if !element.ReadASN1(&content, asn1.INTEGER) {
		return revokedEntry{}, false
	}
	candidates := x.long[string(content)]
	if len(content) <= maxKeyOctets {
		key := keyOf(content)
		i, _ := slices.BinarySearchFunc(x.records, key, func(r record, k [maxKeyOctets + 1]byte) int {
			return bytes.Compare(r.key[:], k[:])
		})
		j := i
		for j < len(x.records) && x.records[j].key == key {
			j++
		}
		candidates = x.records[i:j]
	}
	var result revokedEntry
	found := false
	for _, r := range candidates {
		if x.issuers[r.issuer] == issuer && (!found || result.reason == RemoveFromCRL) {
			result, found = r.entry(), true
		}
	}
	return result, found
}

// foreign reports whether an entry names its certificate issuer.
func (x *index) foreign() bool { return x.named }

func (r record) entry() revokedEntry {
	e := revokedEntry{reason: r.reason}
	if r.at != 0 {
		e.at = time.Unix(int64(r.at), 0).UTC()
	}
	return e
}

// count is the number of entries.
func (x *index) count() int { return len(x.records) + len(x.long) }

// octets is about how much memory the index takes.
func (x *index) octets() int64 {
	return int64(cap(x.records))*recordOctets + int64(len(x.long))*128
}

func keyOf(content []byte) (key [maxKeyOctets + 1]byte) {
	key[0] = byte(len(content))
	copy(key[1:], content)
	return key
}

// minimalInteger reports whether content is a DER integer (X.690, section 8.3.2).
func minimalInteger(content []byte) bool {
	switch {
	case len(content) == 0:
		return false
	case len(content) == 1:
		return true
	case content[0] == 0 && content[1]&0x80 == 0, content[0] == 0xff && content[1]&0x80 != 0:
		return false
	}
	return true
}
