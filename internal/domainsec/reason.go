package domainsec

import (
	"fmt"
	"slices"
)

// reasonRow is what is fixed about a reason: its word and its place when
// several are reported.
type reasonRow struct {
	reason Reason
	word   string
	// temporary: what stands in the way may pass by itself, without anybody mending anything.
	temporary bool
}

// reasonTable lists every reason, most severe first: what leaves the peer
// without any identity comes before a doubtful identity, that before one that
// is merely another or out of date, and what is unknown comes last.
func reasonTable() []reasonRow {
	return []reasonRow{
		{ConnectorNotDomainSecure, "ConnectorNotDomainSecure", false},
		{NoTLS, "NoTLS", false},
		{NoOwnCertificate, "NoOwnCertificate", false},
		{HandshakeFailed, "HandshakeFailed", false},
		{EmptyCertificate, "EmptyCertificate", false},
		{Revoked, "Revoked", false},
		{UntrustedRoot, "UntrustedRoot", false},
		{InvalidChain, "InvalidChain", false},
		{WeakSignature, "WeakSignature", false},
		{SubjectMismatch, "SubjectMismatch", false},
		{WrongUsage, "WrongUsage", false},
		{CertificateNotYetValid, "CertificateNotYetValid", false},
		{CertificateExpired, "CertificateExpired", false},
		{FromMismatch, "FromMismatch", false},
		{OwnCertificateRefused, "OwnCertificateRefused", false},
		{OwnCertificateInvalid, "OwnCertificateInvalid", false},
		{NotMutual, "NotMutual", false},
		{RevocationOffline, "RevocationOffline", true},
		{OwnRevocationOffline, "OwnRevocationOffline", true},
	}
}

// Reasons returns every reason there is, most severe first.
func Reasons() []Reason {
	rows := reasonTable()
	all := make([]Reason, len(rows))
	for i, row := range rows {
		all[i] = row.reason
	}
	return all
}

// String returns the reason's word as it stands in replies, logs, counters and
// metrics. It is "Unknown" for a value that is no reason.
func (r Reason) String() string {
	for _, row := range reasonTable() {
		if row.reason == r {
			return row.word
		}
	}
	return "Unknown"
}

// MarshalText returns String, so that reasons are words in JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts what ParseReason accepts.
func (r *Reason) UnmarshalText(text []byte) error {
	parsed, err := ParseReason(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// ParseReason returns the reason whose word is s, spelled exactly as String
// spells it.
func ParseReason(s string) (Reason, error) {
	for _, row := range reasonTable() {
		if row.word == s {
			return row.reason, nil
		}
	}
	return ReasonUnknown, fmt.Errorf("reading reason: %q is none", s)
}

// Severity orders reasons: the most severe has the greatest value. It is 0 for
// a value that is no reason.
func (r Reason) Severity() int {
	rows := reasonTable()
	for i, row := range rows {
		if row.reason == r {
			return len(rows) - i
		}
	}
	return 0
}

// Temporary reports whether what stands in the way may pass by itself.
func (r Reason) Temporary() bool {
	for _, row := range reasonTable() {
		if row.reason == r {
			return row.temporary
		}
	}
	return false
}

// SortReasons returns the reasons without repetition, most severe first. The
// argument is not changed; nil stays nil.
func SortReasons(reasons []Reason) []Reason {
	if len(reasons) == 0 {
		return nil
	}
	sorted := slices.Clone(reasons)
	slices.SortFunc(sorted, func(a, b Reason) int { return b.Severity() - a.Severity() })
	return slices.Compact(sorted)
}

// allTemporary reports whether there are reasons and each of them is temporary.
func allTemporary(reasons []Reason) bool {
	for _, r := range reasons {
		if !r.Temporary() {
			return false
		}
	}
	return len(reasons) > 0
}
