package dnsx

import "strings"

// Limits of RFC 1035, section 2.3.4, without the final dot.
const (
	maxNameBytes  = 253
	maxLabelBytes = 63
)

// Normalize returns name in lower case without a final dot, and whether it is a
// name that this package asks for: letters, digits, hyphens and underscores in
// labels of at most 63 octets, 253 in all.
func Normalize(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxNameBytes {
		return "", false
	}
	label := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return "", false
		}
		if label++; label > maxLabelBytes {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	return strings.ToLower(name), true
}
