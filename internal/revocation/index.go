package revocation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sort"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of the index.
const (
	// maxSerialOctets is that of a conforming serial number (RFC 5280, section
	// 4.1.2.2) and a sign octet; longer ones are read the slow way.
	maxSerialOctets = 21
	// maxCertificateIssuers bounds whose certificates one indirect CRL lists.
	maxCertificateIssuers = 4096
	// maxRuns bounds how often the certificate issuer changes on an indirect CRL.
	maxRuns = 1 << 20
	// perBucket is how many entries share a bucket on average.
	perBucket = 10
	// entryPeek is how much of an entry is read at first: nearly always the whole.
	entryPeek = 96
)

// index finds serial numbers among the entries of a CRL. The entries themselves
// stay in the CRL; the index has three tables: where each bucket begins, one
// octet of hash for each entry, bucket by bucket, and in the same order where in
// the CRL the entry is. The first two, some 1.4 octets an entry, are in memory or
// mapped; the last and the CRL are read at the place when the octet fits. It is
// immutable and safe for concurrent use.
type index struct {
	seed      uint64 // of the hash: no authority can make serial numbers that collide
	count     int
	buckets   int
	front     []byte // buckets+1 times 4 octets, then count octets
	positions octets // count times 4 octets
	crl       octets
	issuers   []string // canonical names that entries are of; the first is the CRL issuer's
	runs      []run    // where the certificate issuer changes; nil: it is the CRL issuer throughout
	named     bool     // some entry names its certificate issuer
	version2  bool
}

// run says of which issuer the entries from an offset on are.
type run struct{ from, issuer uint32 }

// revokedEntry is what a CRL says of a certificate.
type revokedEntry = crlEntry

// indexBuilder collects entries in the order of the CRL.
type indexBuilder struct {
	x       *index
	pairs   scratch           // offset and hash of each entry
	numbers map[string]uint32 // of x.issuers
	current uint32            // the certificate issuer that counts from here on
}

// newIndexBuilder begins the index of a CRL of that issuer's, canonical, whose
// entries take so many octets.
func newIndexBuilder(issuer string, version2 bool, entryOctets int64) (*indexBuilder, error) {
	const shortest = 20 // octets of an entry
	pairs, err := newScratch(entryOctets/shortest + 1)
	if err != nil {
		return nil, err
	}
	return &indexBuilder{
		x:     &index{seed: rand.Uint64(), issuers: []string{issuer}, version2: version2},
		pairs: pairs, numbers: map[string]uint32{issuer: 0},
	}, nil
}

// add takes one element of revokedCertificates, which is at offset in the CRL.
func (b *indexBuilder) add(element []byte, offset int64) error {
	serial := quickEntry(element, b.x.version2)
	if serial == nil {
		e, err := readEntry(element, b.x.version2)
		if err != nil {
			return err
		}
		serial = e.serial
		if e.issuer != "" {
			if err := b.turn(e.issuer, offset); err != nil {
				return err
			}
		}
	}
	if offset > 1<<32-1 || b.x.count == len(b.pairs.words) {
		return errors.New("the CRL is too large")
	}
	b.pairs.words[b.x.count] = uint64(offset)<<32 | uint64(b.x.hash(serial))
	b.x.count++
	return nil
}

// turn notes the certificate issuer of this entry and those after it (RFC 5280,
// section 5.3.3).
func (b *indexBuilder) turn(issuer string, offset int64) error {
	b.x.named = true
	n, known := b.numbers[issuer]
	if !known {
		if len(b.x.issuers) == maxCertificateIssuers {
			return fmt.Errorf("more than %d certificate issuers", maxCertificateIssuers)
		}
		n = uint32(len(b.x.issuers))
		b.numbers[issuer] = n
		b.x.issuers = append(b.x.issuers, issuer)
	}
	if n == b.current {
		return nil
	}
	if len(b.x.runs) == maxRuns {
		return fmt.Errorf("the certificate issuer changes more than %d times", maxRuns)
	}
	b.current = n
	b.x.runs = append(b.x.runs, run{from: uint32(offset), issuer: n})
	return nil
}

// finish makes the tables in room and returns the index of the CRL.
func (b *indexBuilder) finish(room room) (*index, error) {
	defer b.pairs.free()
	x := b.x
	x.buckets = x.count/perBucket + 1
	frontOctets := 4*(x.buckets+1) + x.count
	table, err := room.allocate((frontOctets+3)&^3 + 4*x.count)
	if err != nil {
		return nil, fmt.Errorf("making room for the index: %w", err)
	}
	starts, prints, positions := table[:4*(x.buckets+1)], table[4*(x.buckets+1):frontOctets], table[(frontOctets+3)&^3:]
	pairs := b.pairs.words[:x.count]
	for _, p := range pairs {
		n := starts[4*x.bucket(uint32(p)):]
		binary.LittleEndian.PutUint32(n, binary.LittleEndian.Uint32(n)+1)
	}
	// Each start becomes the end of its bucket, and comes back to its beginning
	// while the bucket is filled from behind.
	total := uint32(0)
	for i := 0; i < len(starts); i += 4 {
		total += binary.LittleEndian.Uint32(starts[i:])
		binary.LittleEndian.PutUint32(starts[i:], total)
	}
	for _, p := range pairs {
		n := starts[4*x.bucket(uint32(p)):]
		at := binary.LittleEndian.Uint32(n) - 1
		binary.LittleEndian.PutUint32(n, at)
		prints[at] = uint8(p)
		binary.LittleEndian.PutUint32(positions[4*at:], uint32(p>>32))
	}
	x.front, x.positions, x.crl, err = room.settle(frontOctets, (frontOctets+3)&^3)
	if err != nil {
		return nil, fmt.Errorf("mapping the index: %w", err)
	}
	return x, nil
}

// discard frees what an unfinished index takes.
func (b *indexBuilder) discard() { b.pairs.free() }

// bucket returns which bucket a hash belongs to, by its upper bits.
func (x *index) bucket(hash uint32) int { return int(uint64(hash) * uint64(x.buckets) >> 32) }

// hash mixes the content of a serial number with the seed.
func (x *index) hash(serial []byte) uint32 {
	h := x.seed ^ uint64(len(serial))*0x9e3779b97f4a7c15
	for len(serial) >= 8 {
		h = mix(h^binary.LittleEndian.Uint64(serial), x.seed^0xa0761d6478bd642f)
		serial = serial[8:]
	}
	var rest uint64
	for i, b := range serial {
		rest |= uint64(b) << (8 * i)
	}
	return uint32(mix(h^rest, x.seed^0xe7037ed1a0b428db) >> 32)
}

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b|1)
	return high ^ low
}

// lookup finds a serial number of a certificate issuer, canonical. Of several
// entries for one number the one that revokes counts. The error means that the
// CRL or the index could not be read: nothing is known then.
func (x *index) lookup(issuer string, serial *big.Int) (revokedEntry, bool, error) {
	var b cryptobyte.Builder
	b.AddASN1BigInt(serial)
	der, err := b.Bytes()
	if err != nil {
		return revokedEntry{}, false, fmt.Errorf("writing the serial number: %w", err)
	}
	element := cryptobyte.String(der)
	var content cryptobyte.String
	if !element.ReadASN1(&content, asn1.INTEGER) {
		return revokedEntry{}, false, errors.New("writing the serial number")
	}
	return x.find(issuer, content)
}

// find is lookup for the content of the INTEGER.
func (x *index) find(issuer string, serial []byte) (result revokedEntry, found bool, err error) {
	if x.count == 0 {
		return result, false, nil
	}
	hash := x.hash(serial)
	n := 4 * x.bucket(hash)
	from, to := binary.LittleEndian.Uint32(x.front[n:]), binary.LittleEndian.Uint32(x.front[n+4:])
	prints := x.front[4*(x.buckets+1):]
	for i := from; i < to; i++ {
		if prints[i] != uint8(hash) {
			continue
		}
		e, same, err := x.entry(int64(i), issuer, serial)
		if err != nil {
			return revokedEntry{}, false, err
		}
		if same && (!found || result.reason == RemoveFromCRL) {
			result, found = e, true
		}
	}
	runtime.KeepAlive(x) // what is mapped stays until here
	return result, found, nil
}

// entry reads the entry of that place in the tables. not same is another's.
func (x *index) entry(i int64, issuer string, serial []byte) (e revokedEntry, same bool, err error) {
	var place [4]byte
	if n, err := x.positions.read(place[:], 4*i); err != nil || n != len(place) {
		return e, false, fmt.Errorf("reading the index of the CRL: %d octets, %w", n, err)
	}
	offset := binary.LittleEndian.Uint32(place[:])
	var peek [entryPeek]byte
	n, err := x.crl.read(peek[:], int64(offset))
	if err != nil {
		return e, false, fmt.Errorf("reading the CRL: %w", err)
	}
	if n == len(peek) && !sameSerial(peek[:], serial) && len(serial) <= maxSerialOctets {
		return e, false, nil
	}
	whole := peek[:n]
	length := elementOctets(whole)
	if length == 0 || whole[0] != byte(asn1.SEQUENCE) {
		return e, false, errors.New("reading the CRL: it was changed since it was verified")
	}
	if length > n {
		whole = make([]byte, length)
		if n, err = x.crl.read(whole, int64(offset)); err != nil || n != length {
			return e, false, fmt.Errorf("reading the CRL: %d octets, %w", n, err)
		}
	} else {
		whole = append([]byte(nil), whole[:length]...)
	}
	if !sameSerial(whole, serial) || x.issuers[x.issuerAt(offset)] != issuer {
		return e, false, nil
	}
	if e, err = readEntry(whole, x.version2); err != nil {
		// A date such as the 30th of February: what was meant is clear enough.
		return revokedEntry{serial: serial}, true, nil
	}
	return e, true, nil
}

// issuerAt returns whose certificate the entry at an offset lists.
func (x *index) issuerAt(offset uint32) uint32 {
	i := sort.Search(len(x.runs), func(i int) bool { return x.runs[i].from > offset })
	if i == 0 {
		return 0
	}
	return x.runs[i-1].issuer
}

// elementOctets returns how long an element is, by its header; 0 when the header is cut.
func elementOctets(b []byte) int {
	switch {
	case len(b) < 2:
		return 0
	case b[1] < 0x80:
		return 2 + int(b[1])
	}
	octets := int(b[1] & 0x7f)
	if len(b) < 2+octets || octets > 4 {
		return 0
	}
	length := 0
	for _, o := range b[2 : 2+octets] {
		length = length<<8 | int(o)
	}
	return 2 + octets + length
}

// octets returns about how much memory the index takes that is nobody else's.
func (x *index) octets() int64 {
	n := int64(len(x.runs))*8 + int64(len(x.issuers))*64
	if x.crl.memory != nil {
		n += int64(len(x.crl.memory)) + int64(len(x.front)) + int64(len(x.positions.memory))
	}
	return n
}

// foreign reports whether an entry names its certificate issuer.
func (x *index) foreign() bool { return x.named }
