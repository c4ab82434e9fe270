// Package smtptest has the far sides that tests of SMTP need: Peer, a server
// that plays a script or answers by a table, for tests of clients; and Client, a
// raw client that says what it is told, for tests of servers. Neither uses
// package smtp's engine, so that neither shares its mistakes.
//
// A script that does not go as written fails the test. Every connection and
// goroutine ends with the test. Only tests import this package.
package smtptest
