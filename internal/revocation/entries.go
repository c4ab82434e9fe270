package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// crlEntry is one element of revokedCertificates.
type crlEntry struct {
	serial []byte // content of the INTEGER
	reason Reason
	at     time.Time // the zero time when it is no sensible one
	issuer string    // the canonical certificate issuer; empty: the entry names none
	long   bool      // it has extensions
}

// OIDs of CRL entry extensions, as DER content (RFC 5280, section 5.3).
const (
	idReasonCode        = "\x55\x1d\x15"
	idInvalidityDate    = "\x55\x1d\x18"
	idCertificateIssuer = "\x55\x1d\x1d"
	idHoldInstruction   = "\x55\x1d\x17"
)

// onlyReason is crlEntryExtensions with a reason code and nothing else, without
// the code: what nearly every entry has that has extensions.
const onlyReason = "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01"

// quickEntry reads the entries that nearly all are: a serial number, a UTCTime
// and at most a reason. It returns the serial number; nil is an entry that
// readEntry must look at. A CRL may have millions of entries.
func quickEntry(element []byte, version2 bool) []byte {
	// SEQUENCE and INTEGER with lengths of one octet, and a UTCTime.
	if len(element) < 20 || element[1] >= 0x80 || element[2] != 0x02 || element[3] > maxSerialOctets {
		return nil
	}
	end := 4 + int(element[3])
	if len(element) < end+15 || element[end] != 0x17 || element[end+1] != 13 || element[end+14] != 'Z' {
		return nil
	}
	for _, digit := range element[end+2 : end+14] {
		if digit < '0' || digit > '9' {
			return nil
		}
	}
	switch rest := element[end+15:]; {
	case len(rest) == 0:
	case !version2 || len(rest) != len(onlyReason)+1 || string(rest[:len(onlyReason)]) != onlyReason:
		return nil
	}
	serial := element[4:end]
	if !minimalInteger(serial) {
		return nil
	}
	return serial
}

// readEntry reads an element of revokedCertificates. Only version 2 has extensions.
func readEntry(element cryptobyte.String, version2 bool) (crlEntry, error) {
	var e crlEntry
	var entry, serial cryptobyte.String
	if !element.ReadASN1(&entry, asn1.SEQUENCE) || !element.Empty() || !entry.ReadASN1(&serial, asn1.INTEGER) || !minimalInteger(serial) {
		return e, errors.New("malformed")
	}
	e.serial = serial
	at, ok := readTime(&entry)
	if !ok {
		return e, errors.New("malformed revocation date")
	}
	if at.Unix() > 0 {
		e.at = at.UTC()
	}
	if entry.Empty() {
		return e, nil
	}
	e.long = true
	var extensions cryptobyte.String
	if !entry.ReadASN1(&extensions, asn1.SEQUENCE) || !entry.Empty() {
		return e, errors.New("malformed extensions")
	}
	if !version2 {
		return e, errors.New("an entry of version 1 has extensions")
	}
	for !extensions.Empty() {
		if err := e.extend(&extensions); err != nil {
			return e, err
		}
	}
	return e, nil
}

// extend reads one extension of an entry.
func (e *crlEntry) extend(extensions *cryptobyte.String) error {
	x, ok := readExtension(extensions)
	if !ok {
		return errors.New("malformed extension")
	}
	switch string(x.id) {
	case idReasonCode:
		if e.reason, ok = readReasonCode(x.value); !ok {
			return errors.New("malformed reason code")
		}
	case idCertificateIssuer:
		if e.issuer, ok = readCertificateIssuer(x.value); !ok {
			return errors.New("malformed certificate issuer")
		}
	case idInvalidityDate, idHoldInstruction:
		// Neither changes the answer, critical or not.
	default:
		if x.critical {
			// RFC 5280, section 5.3: such a CRL must not be used at all.
			return fmt.Errorf("unknown critical extension %s", oidText(x.id))
		}
	}
	return nil
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

// sameSerial reports whether an entry, DER from its first octet on, has that
// serial number.
func sameSerial(entry, serial []byte) bool {
	in := cryptobyte.String(entry)
	var tag, length uint8
	if !in.ReadUint8(&tag) || !in.ReadUint8(&length) || length >= 0x80 && !in.Skip(int(length&0x7f)) {
		return false
	}
	var content cryptobyte.String
	return in.ReadASN1(&content, asn1.INTEGER) && bytes.Equal(content, serial)
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
