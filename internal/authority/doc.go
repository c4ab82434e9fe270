// Package authority is a small private certification authority: a root, the
// authorities below it, certificates for mail servers, and the CRLs that say
// which of them are revoked.
//
// # What it is for
//
// Partners who exchange mail over mutual TLS need certificates with both
// purposes, serverAuth and clientAuth, and a CRL that can be fetched. CA makes
// both; Handler publishes the CRL and the authority's own certificate. CrossSign
// certifies a partner's authority for its domains alone. CA is an authority in
// memory; Registry is one with its files, as 'mailpact ca' uses it.
//
// # Invariants
//
//   - Everything is signed with a throw-away key first and held against one rule
//     for each clause of the standards (lint.go); only then the real key signs the
//     same octets.
//   - Everything signed is parsed back and checked before it leaves: signature,
//     key, names, extensions, dates (recheck.go). A wrong artefact is an error,
//     never a result.
//   - CRL numbers only grow and thisUpdate never goes back, whatever the clock
//     does. The number is derived from the clock, so that an authority made
//     anew does not start below the numbers of the one before.
//   - A certificate never outlives its issuer's and says where its CRL is,
//     unless the authority was made without a CRL address.
//   - What a Registry has issued is on its record before anybody has it, and the
//     number of a CRL before the CRL is anywhere.
//   - A revoked certificate stays on the list, with its first date and reason.
//
// # What it never does
//
// It opens no socket and reads no clock but the one it was given. It issues no partitioned, indirect or delta CRLs.
//
// # Standards
//
// RFC 5280, sections 4.1, 4.2 and 5.1 to 5.3; RFC 2585 for the media types.
// No deliberate deviations.
package authority
