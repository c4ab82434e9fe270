// Package testkit runs the shipped binary, and real peers beside it, for the
// tests below tests/: a gateway process with a configuration file, a private
// PKI that publishes its CRL, a DNS zone, a sink that keeps what it is given;
// Postfix, Exim and Dovecot; and the client programs of OpenSSL and GnuTLS.
// Everything listens on loopback addresses and ends with its test. What is not
// installed fails the test when CI=true and skips it otherwise.
package testkit
