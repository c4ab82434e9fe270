package message

import (
	"bytes"
)

// Firewall says which fields are removed from messages that did not come, or
// do not leave, over direct trust: those named Mailpact-*,
// X-MS-Exchange-Organization-* and X-MS-Exchange-Forest-*, and those
// Authentication-Results that carry our own authserv-id.
type Firewall struct {
	// AuthservID is our own (RFC 8601, section 2.5). When it is empty, every
	// Authentication-Results field is removed, because any could be taken for ours.
	AuthservID string
}

const authenticationResults = "authentication-results"

// removedPrefixes are in lower case.
var removedPrefixes = [...]string{
	"mailpact-",
	"x-ms-exchange-organization-",
	"x-ms-exchange-forest-",
}

// Remove removes the fields that fw names, whole and in every spelling, and
// returns their names as written, made printable and cut to 78 octets each. It
// returns nil when there were none.
func (h *Header) Remove(fw Firewall) (removed []string) {
	kept := h.fields[:0]
	for _, f := range h.fields {
		if name, gone := fw.removes(f); gone {
			removed = append(removed, name)
			continue
		}
		kept = append(kept, f)
	}
	h.fields = kept
	h.removed = h.removed || removed != nil
	return removed
}

// removes reports whether f, or what some parser could see in it, is to go.
func (fw Firewall) removes(f Field) (name string, gone bool) {
	if !f.odd && !canBeRemoved(f.raw) {
		return "", false
	}
	if kind := kindOf(f); kind == ourField || kind == resultsField && fw.ours(f.Body()) {
		return printable(bytes.TrimSpace(f.raw[:f.colon]), maxNameShown), true
	}
	asked := false
	f.hidden(func(p Field) bool {
		switch kindOf(p) {
		case ourField:
			gone = true
		case resultsField:
			if !asked {
				asked, gone = true, fw.AuthservID == "" || mentions(string(f.raw), fw.AuthservID)
			}
		}
		if gone {
			name = printable(bytes.TrimSpace(p.raw[:p.colon]), maxNameShown)
		}
		return !gone
	})
	return name, gone
}

const maxNameShown = 78

// canBeRemoved is the quick look: false for nearly every field of ordinary
// mail, by its first octet.
func canBeRemoved(raw []byte) bool {
	c := raw[0] | 0x20
	if c < 'a' || c > 'z' || c == 'm' || c == 'x' || c == 'a' {
		return true
	}
	// Only a well-formed name excludes that something hides in the element.
	for _, c := range raw {
		if c == ':' {
			return false
		}
		if c <= ' ' || c >= 0x7f {
			return true
		}
	}
	return true
}

// fieldKind is what the firewall sees in a name.
type fieldKind uint8

const (
	otherField   fieldKind = iota
	ourField               // only we may write it
	resultsField           // Authentication-Results: ours if the authserv-id is
)

func kindOf(f Field) fieldKind {
	if f.colon < 0 {
		return otherField
	}
	var b [maxSqueezed]byte
	name := squeeze(&b, f.raw[:f.colon])
	for _, p := range removedPrefixes {
		if len(name) >= len(p) && string(name[:len(p)]) == p {
			return ourField
		}
	}
	if len(name) < len(authenticationResults) || string(name[:len(authenticationResults)]) != authenticationResults {
		return otherField
	}
	if len(name) > len(authenticationResults) &&
		string(squeeze(&b, firstToken(f.raw[:f.colon]))) != authenticationResults {
		return otherField
	}
	return resultsField
}

// ours reports whether an Authentication-Results body could be taken for ours.
func (fw Firewall) ours(body []byte) bool {
	return fw.AuthservID == "" || carriesAuthservID(body, fw.AuthservID)
}
