// Package accounts is the list of those who may authenticate: names and hashes
// of passwords, from one file that the administrator writes.
//
// A line is NAME:HASH, where the hash is argon2id in the PHC string format; Line
// makes one. Empty lines and lines that begin with # are left out. Names are
// compared without regard to the case of ASCII letters.
//
// Invariants:
//
//   - A file with a fault is not read at all, and every fault is reported.
//   - No more than a few passwords are checked at a time, because each check
//     takes the memory that its hash asks for; who waits too long for his turn is
//     told to come back.
//   - An unknown name costs as much time as a wrong password.
//   - No password, and no hash, is ever part of an error.
//
// It imports no other room and logs nothing.
//
// Standards: RFC 9106 (Argon2).
package accounts
