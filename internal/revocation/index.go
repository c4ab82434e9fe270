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

// maxKeyOctets bounds the serial numbers that the compact index holds: 20
// octets (RFC 5280, section 4.1.2.2) and a sign octet.
const maxKeyOctets = 21

// Reason codes that the answer depends on (RFC 5280, section 5.3.1).
const reasonRemoveFromCRL = 8

// index is the set of serial numbers on a CRL, in little memory: one sorted
// array without pointers. It is immutable once built.
type index struct {
	records []record
	// long holds the rare serial numbers that no conforming authority issues.
	long map[string]record
}

// record is one entry. key is the DER content of the serial number with its
// length in front, so that numbers of different length or sign never collide.
type record struct {
	key    [maxKeyOctets + 1]byte
	reason uint8
	at     uint32 // seconds of the Unix time; 0 for times that do not fit
}

// recordOctets is the size of a record in memory.
const recordOctets = 28

// revokedEntry is what the index knows of a revoked certificate.
type revokedEntry struct {
	reason uint8
	at     time.Time // the zero time when not known
}

// OIDs of CRL entry extensions, as DER content (RFC 5280, section 5.3).
const (
	idReasonCode        = "\x55\x1d\x15"
	idInvalidityDate    = "\x55\x1d\x18"
	idCertificateIssuer = "\x55\x1d\x1d"
	idHoldInstruction   = "\x55\x1d\x17"
)

// buildIndex walks revokedCertificates (the content of the SEQUENCE OF).
func buildIndex(entries cryptobyte.String) (*index, error) {
	x := &index{}
	// The shortest entry takes 20 octets; growing the array once or twice for
	// longer ones is cheaper than reserving for the shortest.
	x.records = make([]record, 0, len(entries)/40)
	for n := 0; !entries.Empty(); n++ {
		var entry, serial cryptobyte.String
		if !entries.ReadASN1(&entry, asn1.SEQUENCE) || !entry.ReadASN1(&serial, asn1.INTEGER) || !minimalInteger(serial) {
			return nil, fmt.Errorf("parsing entry %d: malformed", n)
		}
		r, err := readEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("parsing entry %d: %w", n, err)
		}
		if len(serial) > maxKeyOctets {
			if x.long == nil {
				x.long = make(map[string]record)
			}
			if old, ok := x.long[string(serial)]; !ok || old.reason == reasonRemoveFromCRL {
				x.long[string(serial)] = r
			}
			continue
		}
		r.key = keyOf(serial)
		x.records = append(x.records, r)
	}
	slices.SortFunc(x.records, func(a, b record) int { return bytes.Compare(a.key[:], b.key[:]) })
	return x, nil
}

// readEntry reads what follows the serial number of an entry.
func readEntry(entry cryptobyte.String) (record, error) {
	at, ok := readTime(&entry)
	if !ok {
		return record{}, errors.New("malformed revocation date")
	}
	r := record{}
	if s := at.Unix(); s > 0 && s <= 1<<32-1 {
		r.at = uint32(s)
	}
	if entry.Empty() {
		return r, nil
	}
	var extensions cryptobyte.String
	if !entry.ReadASN1(&extensions, asn1.SEQUENCE) || !entry.Empty() {
		return record{}, errors.New("malformed extensions")
	}
	for !extensions.Empty() {
		e, ok := readExtension(&extensions)
		if !ok {
			return record{}, errors.New("malformed extension")
		}
		switch string(e.id) {
		case idReasonCode:
			var value cryptobyte.String
			if !e.value.ReadASN1(&value, asn1.ENUM) || len(value) != 1 || !e.value.Empty() {
				return record{}, errors.New("malformed reason code")
			}
			r.reason = value[0]
		case idCertificateIssuer:
			return record{}, errors.New("the entry names another certificate issuer: indirect CRLs are not used")
		case idInvalidityDate, idHoldInstruction:
			// Neither changes the answer, critical or not.
		default:
			if e.critical {
				// RFC 5280, section 5.3: such a CRL must not be used at all.
				return record{}, fmt.Errorf("unknown critical extension %s", oidText(e.id))
			}
		}
	}
	return r, nil
}

// lookup finds a serial number. Of several entries for one number the one that
// revokes counts.
func (x *index) lookup(serial *big.Int) (revokedEntry, bool) {
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
	if len(content) > maxKeyOctets {
		r, ok := x.long[string(content)]
		return r.entry(), ok
	}
	key := keyOf(content)
	i, found := slices.BinarySearchFunc(x.records, key, func(r record, k [maxKeyOctets + 1]byte) int {
		return bytes.Compare(r.key[:], k[:])
	})
	if !found {
		return revokedEntry{}, false
	}
	result := x.records[i]
	for ; i < len(x.records) && x.records[i].key == key; i++ {
		if x.records[i].reason != reasonRemoveFromCRL {
			result = x.records[i]
			break
		}
	}
	return result.entry(), true
}

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
