// Package wire holds the lean SMTP plumbing that the load generator and the
// sink of the bench share: a reader that never allocates per line, a scanner
// for dot-terminated bodies, and the socket and TLS settings that make a
// comparison on loopback fair.
//
// It shares nothing with mailpact/internal/smtp on purpose: what measures must
// be cheaper than what is measured, and must not have the same faults. It
// trusts its peer's line lengths and keeps only as much of RFC 5321 as a bench
// needs.
package wire
