// Package lab runs two organisations on one machine and shows what the product
// is for: Contoso and Woodgrove Bank as two complete servers on loopback
// addresses, each with a private CA that publishes its CRL, who set up trust in one
// another by partner bundles, Fabrikam as a partner
// who is trusted by a self-signed certificate alone, a DNS server with their MX
// records, and a sender who is nobody's partner.
//
// Each scene is one conversation with an expected outcome. The lab asserts it
// and shows the replies as they came over the wire; nothing is simulated but the
// world outside.
package lab
