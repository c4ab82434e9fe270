// Package stage sets up what stands around a server under test: a certification
// authority with its CRL over HTTP, certificates for client, gateway and sink,
// and a DNS server that leads to the sink. All of it lives on loopback and in
// one directory.
package stage
