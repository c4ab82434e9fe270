// Package directory holds the organisation's configuration as plain values:
// what stands in the file of "mailpact serve --config", with every default
// filled in and every fault found.
//
// Its main types are Configuration, the values; Faults, what is wrong with a
// file, each with line and mend; Finding, what is unwise in a configuration
// that is valid; and Directory, which holds the configuration in force and can
// swap it while the server runs.
//
// Invariants. A Configuration that Load, Parse or Default returned is complete
// (no reader fills in defaults), consistent (Validate found nothing) and never
// changed afterwards. Every fault of a file is reported at once. A key that is
// unknown, or whose feature is not built, is refused by name and never ignored.
// Paths are absolute.
//
// It never opens a socket, resolves a name or prints. It reads the file, and
// the PEM files that the file names, and nothing else; keys are never held.
//
// Sizes are binary as in Exchange (1 KB is 1024 octets). Domains are compared
// in the form that smtp.ParseDomain gives them (RFC 5321, section 2.3.5, as
// A-labels of UTS 46). The authserv-id follows RFC 8601, section 2.5.
package directory
