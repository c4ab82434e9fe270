package authority

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reasonNames are the names of RFC 5280, section 5.3.1.
func reasonNames() map[Reason]string {
	return map[Reason]string{
		Unspecified: "unspecified", KeyCompromise: "keyCompromise", CACompromise: "cACompromise",
		AffiliationChanged: "affiliationChanged", Superseded: "superseded", CessationOfOperation: "cessationOfOperation",
		CertificateHold: "certificateHold", RemoveFromCRL: "removeFromCRL", PrivilegeWithdrawn: "privilegeWithdrawn",
		AACompromise: "aACompromise",
	}
}

// String returns the reason's name in RFC 5280.
func (r Reason) String() string {
	if name, ok := reasonNames()[r]; ok {
		return name
	}
	return fmt.Sprintf("reason %d", int(r))
}

// ParseReason reads the name of a reason that a complete CRL may have, in any
// capitals. An empty one is unspecified.
func ParseReason(name string) (Reason, error) {
	if name == "" {
		return Unspecified, nil
	}
	names := reasonNames()
	var known []string
	for _, r := range slices.Sorted(maps.Keys(names)) {
		if !r.allowedFor(true) {
			continue
		}
		if strings.EqualFold(names[r], name) {
			return r, nil
		}
		known = append(known, names[r])
	}
	return Unspecified, fmt.Errorf("%q is no reason for a revocation: %s", name, strings.Join(known, ", "))
}
