package lab

import (
	"fmt"
	"path/filepath"
)

// configuration is the organisation's file, written as an administrator would.
func (t *town) configuration(o *organisation) string {
	other := t.woodgrove
	extraAnchor, extraPartner := fmt.Sprintf(`
    # Fabrikam has no CA: this one certificate is trusted, for this one domain.
    - {file: %s, scope: [fabrikam.com], revocation: none}`, t.fabrikam.certificateFile),
		`
  - {domain: fabrikam.com, mode: enforce, send: true, receive: true, fromAlignment: refuse}`
	if o == t.woodgrove {
		other, extraAnchor, extraPartner = t.contoso, "", ""
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
    - {file: %[6]s, scope: [%[1]s], revocation: required}
    # The partner's root may vouch for the partner's domain and no other.
    - {file: %[7]s, scope: [%[8]s], revocation: required}%[9]s
revocation: {perURL: 3s, perChain: 5s, allowPrivateTargets: true}   # the lab's CRLs are on loopback
partners:
  - {domain: %[8]s, mode: enforce, send: true, receive: true, fromAlignment: unmarked}%[10]s
acceptedDomains:
  - {name: %[1]s, type: Authoritative, handOff: "smtp://%[11]s"}
receiveConnectors:
  - name: Inet
    bindings: ["%[12]s:%[13]s"]
    fqdn: %[2]s
    authMechanism: [Tls]
    permissionGroups: [AnonymousUsers, Partners]
    domainSecureEnabled: true
    tarpitInterval: 0s                  # nobody waits for a refusal here
    protocolLoggingLevel: Verbose
  - name: Inner                         # our own mail system hands outgoing mail in here
    bindings: ["%[14]s"]
    authMechanism: [ExternalAuthoritative]
    permissionGroups: [ExchangeServers]
    protocolLoggingLevel: Verbose
sendConnectors:
  - name: Internet
    addressSpaces: ["*;1"]
    dnsRoutingEnabled: true
    port: %[13]s
    fqdn: %[2]s
    domainSecureEnabled: true
    sourceIPAddress: %[12]s
    protocolLoggingLevel: Verbose
`, o.domain, o.mailHost(), t.zone.Addr(), own.certificateFile, own.keyFile,
		filepath.Join(t.dir, o.domain, "root.pem"), filepath.Join(t.dir, other.domain, "root.pem"), other.domain,
		extraAnchor, extraPartner, o.mailbox.addr, o.host, t.port, o.inner)
}
