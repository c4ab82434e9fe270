// Package certstore holds our own certificates and chooses the one to show.
//
// Its main types are Store and Certificate. Open reads the pairs of
// certificate and key that the configuration names, and the self-signed ones
// that EnsureSelfSigned made. Select is the one place where a certificate is
// chosen, for STARTTLS and for client authentication alike, and lists what it
// passes over, in order.
//
// Invariants. A certificate in the store has its private key, and the key
// belongs to it. An expired or revoked certificate is chosen only where no
// other fits. A file in the keys directory is complete or absent, and only the
// server's user can read it.
//
// It never asks whether a certificate is revoked (its caller knows), never
// judges a peer's certificate, never fetches, and never prints a key: a
// Certificate shows its names and thumbprint whatever the format.
//
// Names are compared as RFC 9525, section 6.3 says, and the subject's CN counts
// besides the subject alternative names, as in the described system. Key files
// are PKCS #8 (RFC 5958), PKCS #1 (RFC 8017) or SEC 1 (RFC 5915), in PEM (RFC
// 7468).
package certstore
