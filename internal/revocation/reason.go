package revocation

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Reason says why a certificate was revoked (RFC 5280, section 5.3.1). The zero
// value is unspecified.
type Reason uint8

// The reasons. There is no 7.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	CertificateHold      Reason = 6
	RemoveFromCRL        Reason = 8
	PrivilegeWithdrawn   Reason = 9
	AACompromise         Reason = 10
)

// String names the reason as RFC 5280 does.
func (r Reason) String() string {
	names := []string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "reason 7", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// reasonMask is a set of ReasonFlags (RFC 5280, section 4.2.1.13), bit 1 up.
type reasonMask uint16

// allReasons are those that must be covered before a certificate is good. Bit 0 is not used.
const allReasons reasonMask = 0x1fe

// readReasons reads the content of a ReasonFlags BIT STRING.
func readReasons(content cryptobyte.String) (reasonMask, bool) {
	var unused uint8
	if !content.ReadUint8(&unused) || unused > 7 || len(content) > 2 || len(content) == 0 && unused != 0 {
		return 0, false
	}
	var m reasonMask
	for i := range len(content)*8 - int(unused) {
		if content[i/8]&(0x80>>(i%8)) != 0 {
			m |= 1 << i
		}
	}
	return m & allReasons, true
}

// String lists the reasons of the set.
func (m reasonMask) String() string {
	text := ""
	for i, name := range []string{
		"unused", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "privilegeWithdrawn", "aACompromise",
	} {
		if m&(1<<i) == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += name
	}
	return text
}

// readReasonCode reads a reason code.
func readReasonCode(value cryptobyte.String) (Reason, bool) {
	var content cryptobyte.String
	if !value.ReadASN1(&content, asn1.ENUM) || len(content) != 1 || !value.Empty() {
		return 0, false
	}
	return Reason(content[0]), true
}
