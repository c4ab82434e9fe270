// Package pkitest makes certificates, cross-certificates and CRLs for tests,
// good ones and broken ones. Only tests import it.
//
// A test starts from a root (NewRoot), adds what it needs (CA.Intermediate,
// CA.CrossSign, CA.Issue, CA.CRL) and spoils one thing through the options.
// Every option has a working zero value: an ECDSA P-256 key, dates around the
// present, a random serial number. Every fault of making ends the test.
//
// CRLServer publishes CRLs over HTTP on a loopback address, counts requests and
// can be told to fail.
package pkitest
