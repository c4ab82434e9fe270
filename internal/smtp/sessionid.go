package smtp

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// SessionID names one session in logs, replies and reports: 16 upper-case
// hexadecimal digits.
type SessionID string

// NewSessionID returns a session id that nobody can guess and that, being 64
// random bits, will not come twice. It is safe for concurrent use.
func NewSessionID() SessionID {
	var b [8]byte
	// Read fills b and never returns an error (crypto/rand, since Go 1.24).
	_, _ = rand.Read(b[:])
	return SessionID(strings.ToUpper(hex.EncodeToString(b[:])))
}
