package lab

import (
	"fmt"
	"path/filepath"
)

// configuration is the organisation's file, written as an administrator would.
func (t *town) configuration(o *organisation) string {
	// The other organisation is no line of the file: it comes with its bundle.
	extraAnchor, partners := fmt.Sprintf(`
    # Fabrikam has no CA: this one certificate is trusted, for this one domain.
    - {file: %s, scope: [fabrikam.com], revocation: none}`, t.fabrikam.certificateFile),
		`
partners:
  - {domain: fabrikam.com, mode: enforce, send: true, receive: true, fromAlignment: refuse}`
	if o == t.woodgrove {
		extraAnchor, partners = "", ""
	}
	own := t.credentials[o.domain]
	return fmt.Sprintf(`# %[1]s, as the lab runs it.
server:
  fqdn: %[2]s
  dataDirectory: data
  http: ""
  resolvers: ["%[3]s"]
certificates:
  - {certificateFile: %[4]s, keyFile: %[5]s, services: [SMTP]}
trust:
  systemRoots: false
  anchors:
    # Our own root: before our certificate is shown, it is checked like anybody's.
    - {file: %[6]s, scope: [%[1]s], revocation: required}%[7]s
revocation: {perURL: 3s, perChain: 5s, allowPrivateTargets: true}   # the lab's CRLs are on loopback%[8]s
acceptedDomains:
  - {name: %[1]s, type: Authoritative, handOff: "smtp://%[9]s"}
receiveConnectors:
  - name: Inet
    bindings: ["%[10]s:%[11]s"]
    fqdn: %[2]s
    authMechanism: [Tls]
    permissionGroups: [AnonymousUsers, Partners]
    domainSecureEnabled: true
    tarpitInterval: 0s                  # nobody waits for a refusal here
    protocolLoggingLevel: Verbose
  - name: Inner                         # our own mail system hands outgoing mail in here
    bindings: ["%[12]s"]
    authMechanism: [ExternalAuthoritative]
    permissionGroups: [ExchangeServers]
    protocolLoggingLevel: Verbose
sendConnectors:
  - name: Internet
    addressSpaces: ["*;1"]
    dnsRoutingEnabled: true
    port: %[11]s
    fqdn: %[2]s
    domainSecureEnabled: true
    sourceIPAddress: %[10]s
    protocolLoggingLevel: Verbose
`, o.domain, o.mailHost(), t.zone.Addr(), own.certificateFile, own.keyFile,
		filepath.Join(t.dir, o.domain, "root.pem"), extraAnchor, partners, o.mailbox.addr, o.host, t.port, o.inner)
}
