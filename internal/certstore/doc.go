// Package certstore holds our own certificates and chooses the one to show.
//
// Its main types are Store, Certificate and Pending. Open reads the pairs of
// certificate and key that the configuration names, and the keys directory,
// where everything made or imported by command lies, each change of which is on
// disk before it is used. Select is the one place where a certificate is
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
// Strangers' octets are read here: answers of CAs, PKCS #7 and PFX. Each has a
// size limit, PFX a limit of the work they may ask for, and each a fuzz target.
//
// Names are compared as RFC 9525, section 6.3 says, and the subject's CN counts
// besides the subject alternative names, as in the described system. Key files
// are PKCS #8 (RFC 5958), PKCS #1 (RFC 8017) or SEC 1 (RFC 5915), in PEM (RFC
// 7468). Requests are PKCS #10 (RFC 2986), bundles PKCS #7 (RFC 5652), PFX PKCS
// #12 (RFC 7292).
package certstore
