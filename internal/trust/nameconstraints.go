package trust

import (
	"crypto/x509"
	encoding "encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// nameConstraintsOID is the extension's (RFC 5280, section 4.2.1.10).
func nameConstraintsOID() encoding.ObjectIdentifier {
	return encoding.ObjectIdentifier{2, 5, 29, 30}
}

// unsupportedConstraints says what of a certificate's name constraints nobody
// here can apply; "" when there is nothing of the kind. crypto/x509 reports it
// only where the extension is critical and ignores it otherwise: a CA that is
// confined to a part of a directory would then issue for everybody.
func unsupportedConstraints(c *x509.Certificate) string {
	for i := range c.Extensions {
		e := &c.Extensions[i]
		if !e.Id.Equal(nameConstraintsOID()) {
			continue
		}
		var all cryptobyte.String
		in := cryptobyte.String(e.Value)
		if !in.ReadASN1(&all, asn1.SEQUENCE) || !in.Empty() {
			return "name constraints that cannot be read"
		}
		for !all.Empty() {
			var subtrees cryptobyte.String
			var tag asn1.Tag
			if !all.ReadAnyASN1(&subtrees, &tag) {
				return "name constraints that cannot be read"
			}
			if fault := unsupportedSubtrees(subtrees); fault != "" {
				return fault
			}
		}
	}
	return ""
}

// unsupportedSubtrees looks at permitted or excluded subtrees.
func unsupportedSubtrees(subtrees cryptobyte.String) string {
	for !subtrees.Empty() {
		var subtree, base cryptobyte.String
		var tag asn1.Tag
		if !subtrees.ReadASN1(&subtree, asn1.SEQUENCE) || !subtree.ReadAnyASN1(&base, &tag) {
			return "name constraints that cannot be read"
		}
		if !subtree.Empty() { // minimum, which must be 0 and so is left away in DER, or maximum
			return "a name constraint with a distance"
		}
		switch tag {
		case generalName(1), generalName(2), generalName(6), generalName(7): // what crypto/x509 applies
		case generalName(4).Constructed():
			return "a name constraint on directory names"
		default:
			return fmt.Sprintf("a name constraint on names of type %d", tag&0x1f)
		}
	}
	return ""
}

// generalName is the tag of a choice of GeneralName.
func generalName(choice uint8) asn1.Tag { return asn1.Tag(choice).ContextSpecific() }
