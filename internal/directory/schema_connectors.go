package directory

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailpact/internal/smtp"
)

func receiveConnectorObject() object[ReceiveConnector] {
	type r = ReceiveConnector
	return object[r]{
		kind:        "a receive connector",
		fields:      slices.Concat(receiveConnectorRules(), receiveConnectorExtensions(), receiveConnectorLimits()),
		unavailable: unavailableInReceiveConnector(),
	}
}

func receiveConnectorRules() []field[ReceiveConnector] {
	type r = ReceiveConnector
	return []field[r]{
		{
			key: "name", doc: "The connector's name.", sample: "Inet", required: true,
			read: into(func(r *r) *string { return &r.Name }, readName),
		},
		{
			key: "bindings", doc: "Addresses with ports. :25 is port 25 of every address.", def: `[":25"]`, sample: `["0.0.0.0:25"]`,
			read: into(func(r *r) *[]string { return &r.Bindings }, listOf(readListenAddress)),
		},
		{
			key: "remoteIPRanges", doc: "Which clients the connector serves: addresses, ranges a-b and networks a/n. Connectors may share a binding; the most specific range wins.", def: `["0.0.0.0/0", "::/0"]`,
			read: into(func(r *r) *[]AddressRange { return &r.RemoteIPRanges }, listOf(readAddressRange)),
		},
		{
			key: "proxyProtocolFrom", doc: "Upstreams, as ranges, whose connections must begin with a PROXY header (version 1 or 2) that names the client. Others must not have one.", def: "[]",
			read: into(func(r *r) *[]AddressRange { return &r.ProxyProtocolFrom }, listOf(readAddressRange)),
		},
		{
			key: "fqdn", doc: "Name in banner and EHLO reply, and key to the certificate. Default: the server's fqdn.", sample: "mail.contoso.com",
			read: into(func(r *r) *smtp.Domain { return &r.FQDN }, readDomain),
		},
		{
			key: "tlsCertificateName", doc: "Key to the certificate for STARTTLS instead of fqdn: <I>ISSUER<S>SUBJECT, a host name or a thumbprint. Without a match STARTTLS is not offered.", def: `""`,
			read: into(func(r *r) *CertificateName { return &r.TLSCertificateName }, readCertificateName),
		},
		{
			key: "banner", doc: `The first line a client sees. It begins with "220 "; "" is the usual one.`, def: `""`,
			read: into(func(r *r) *string { return &r.Banner }, readBanner),
		},
		{
			key: "authMechanism", doc: "Tls offers STARTTLS; BasicAuth offers AUTH to the accounts of server.accountsFile, with BasicAuthRequireTLS in TLS only; None alone offers nothing; ExternalAuthoritative takes every client for an inner server of our own.", def: "[Tls]",
			read: into(func(r *r) *[]AuthMechanism { return &r.AuthMechanism }, orNone(choice([]AuthMechanism{AuthTLS, AuthBasic, AuthBasicRequireTLS, AuthExternalAuthoritative}, "Integrated", "ExchangeServer"))),
		},
		{
			key: "permissionGroups", doc: "Who may submit: AnonymousUsers is anybody, Partners are sessions secured for a partner, ExchangeUsers are clients that have authenticated and may submit to any domain as senders of accepted ones, ExchangeServers are inner servers, which may relay anywhere; None alone is nobody.", def: "[AnonymousUsers, Partners]",
			read: into(func(r *r) *[]PermissionGroup { return &r.PermissionGroups }, orNone(choice([]PermissionGroup{GroupAnonymousUsers, GroupPartners, GroupExchangeUsers, GroupExchangeServers}, "ExchangeLegacyServers", "Custom"))),
		},
		{
			key: "domainSecureEnabled", doc: "Whether clients are asked for a certificate and partners' mail is secured. Needs Tls.", def: "false", sample: "true",
			read: into(func(r *r) *bool { return &r.DomainSecureEnabled }, readBool),
		},
		{
			key: "requireTLS", doc: "Whether every sender must use TLS. Needs Tls.", def: "false",
			read: into(func(r *r) *bool { return &r.RequireTLS }, readBool),
		},
		{
			key: "requireEHLODomain", doc: "Whether EHLO must name a domain or address.", def: "false",
			read: into(func(r *r) *bool { return &r.RequireEHLODomain }, readBool),
		},
		{
			key: "bareLineFeeds", doc: "What happens to a CR or LF that stands alone: reject, or normalize for devices of our own.", def: "reject",
			read: into(func(r *r) *smtp.BareLinePolicy { return &r.BareLineFeeds }, readBareLines),
		},
		{
			key: "protocolLoggingLevel", doc: "None or Verbose.", def: "None", sample: "Verbose",
			read: into(func(r *r) *LoggingLevel { return &r.ProtocolLoggingLevel }, choice([]LoggingLevel{LoggingNone, LoggingVerbose})),
		},
	}
}

func receiveConnectorLimits() []field[ReceiveConnector] {
	type r = ReceiveConnector
	return []field[r]{
		{
			key: "connectionTimeout", doc: "How long a session may last; longer than connectionInactivityTimeout.", def: "5m",
			read: into(func(r *r) *time.Duration { return &r.ConnectionTimeout }, readTimeout),
		},
		{
			key: "connectionInactivityTimeout", doc: "How long a session may be silent.", def: "1m",
			read: into(func(r *r) *time.Duration { return &r.ConnectionInactivityTimeout }, readTimeout),
		},
		{
			key: "maxMessageSize", doc: "Size of a message.", def: "10MB",
			read: into(func(r *r) *int64 { return &r.MaxMessageSize }, readSize),
		},
		{
			key: "maxHeaderSize", doc: "Size of its header.", def: "64KB",
			read: into(func(r *r) *int64 { return &r.MaxHeaderSize }, readSize),
		},
		{
			key: "maxRecipientsPerMessage", doc: "Recipients in one transaction.", def: "200",
			read: into(func(r *r) *int64 { return &r.MaxRecipientsPerMessage }, readCount),
		},
		{
			key: "maxProtocolErrors", doc: "Errors before a session is ended.", def: "5",
			read: into(func(r *r) *int64 { return &r.MaxProtocolErrors }, readCount),
		},
		{
			key: "maxLogonFailures", doc: "Failures to authenticate that a session may have; the next one ends it.", def: "3",
			read: into(func(r *r) *int64 { return &r.MaxLogonFailures }, readCount),
		},
		{
			key: "maxHopCount", doc: "Received fields before a message counts as looping.", def: "30",
			read: into(func(r *r) *int64 { return &r.MaxHopCount }, readCount),
		},
		{
			key: "maxInboundConnection", doc: "Connections at the same time.", def: "5000",
			read: into(func(r *r) *int64 { return &r.MaxInboundConnection }, readCount),
		},
		{
			key: "maxInboundConnectionPerSource", doc: "Connections of one client at the same time; an IPv6 client is its network of 64 bits. With ExternalAuthoritative unlimited.", def: "20",
			read: into(func(r *r) *int64 { return &r.MaxInboundConnectionPerSource }, readCount),
		},
		{
			key: "maxInboundConnectionPercentagePerSource", doc: "How many percent of the connections still free one client may hold. With ExternalAuthoritative unlimited.", def: "2",
			read: into(func(r *r) *int64 { return &r.MaxInboundConnectionPercentagePerSource }, readPercentage),
		},
		{
			key: "messageRateLimit", doc: "Messages of one client in a minute, refused senders included. With ExternalAuthoritative unlimited.", def: "600",
			read: into(func(r *r) *int64 { return &r.MessageRateLimit }, readCount),
		},
		{
			key: "tarpitInterval", doc: "How long an unauthenticated client waits for a refusal, at most 10m; 0 is off.", def: "5s",
			read: into(func(r *r) *time.Duration { return &r.TarpitInterval }, readTarpitInterval),
		},
		{
			key: "certificateRequestBackoff", doc: "How long an address is not asked for a certificate after a handshake failed on the one it sent; 0 is off.", def: "1h",
			read: into(func(r *r) *time.Duration { return &r.CertificateRequestBackoff }, readSwitchedTime),
		},
	}
}

func sendConnectorObject() object[SendConnector] {
	type s = SendConnector
	return object[s]{
		kind:        "a send connector",
		fields:      append(sendConnectorRules(), sendConnectorLimits()...),
		unavailable: unavailableInSendConnector(),
	}
}

func sendConnectorRules() []field[SendConnector] {
	type s = SendConnector
	return []field[s]{
		{
			key: "name", doc: "The connector's name.", sample: "Internet", required: true,
			read: into(func(s *s) *string { return &s.Name }, readName),
		},
		{
			key: "enabled", doc: "false holds its mail.", def: "true",
			read: into(func(s *s) *bool { return &s.Enabled }, readBool),
		},
		{
			key: "addressSpaces", doc: "Which domains go this way, with a cost from 1 to 100: *, x.y or *.x.y.", sample: `["*;1"]`, required: true,
			read: into(func(s *s) *[]AddressSpace { return &s.AddressSpaces }, listOf(readAddressSpace)),
		},
		{
			key: "dnsRoutingEnabled", doc: "Whether hosts are found by MX; false needs smartHosts.", def: "true",
			read: into(func(s *s) *bool { return &s.DNSRoutingEnabled }, readBool),
		},
		{
			key: "smartHosts", doc: "Hosts that take all mail of this connector, name or address, with an optional port.", def: "[]",
			read: into(func(s *s) *[]string { return &s.SmartHosts }, listOf(readSmartHost)),
		},
		{
			key: "port", doc: "The port of the next hop, where a smart host names none.", def: "25",
			read: into(func(s *s) *int { return &s.Port }, readPort),
		},
		{
			key: "fqdn", doc: "Name in EHLO, and key to the client certificate. Default: the server's fqdn.", sample: "mail.contoso.com",
			read: into(func(s *s) *smtp.Domain { return &s.FQDN }, readDomain),
		},
		{
			key: "tlsCertificateName", doc: "Key to the client certificate instead of fqdn: <I>ISSUER<S>SUBJECT, a host name or a thumbprint. Without a match mail waits.", def: `""`,
			read: into(func(s *s) *CertificateName { return &s.TLSCertificateName }, readCertificateName),
		},
		{
			key: "domainSecureEnabled", doc: "Whether partners' mail may leave here. Needs dnsRoutingEnabled.", def: "false", sample: "true",
			read: into(func(s *s) *bool { return &s.DomainSecureEnabled }, readBool),
		},
		{
			key: "requireTLS", doc: "Whether mail never leaves in the clear.", def: "false",
			read: into(func(s *s) *bool { return &s.RequireTLS }, readBool),
		},
		{
			key: "ignoreSTARTTLS", doc: "Whether TLS is not tried.", def: "false",
			read: into(func(s *s) *bool { return &s.IgnoreSTARTTLS }, readBool),
		},
		{
			key: "forceHELO", doc: "Whether HELO is said instead of EHLO, which rules out TLS.", def: "false",
			read: into(func(s *s) *bool { return &s.ForceHELO }, readBool),
		},
		{
			key: "sourceIPAddress", doc: "The address to connect from; 0.0.0.0 is any.", def: "0.0.0.0",
			read: into(func(s *s) *netip.Addr { return &s.SourceIPAddress }, readSourceAddress),
		},
		{
			key: "smartHostAuthMechanism", doc: "Only None is available in this version.", def: "None",
			read: func(d *decoder, v value, _ *s) {
				choice([]string{"None"}, "BasicAuth", "BasicAuthRequireTLS", "ExchangeServer", "ExternalAuthoritative")(d, v)
			},
		},
	}
}

func sendConnectorLimits() []field[SendConnector] {
	type s = SendConnector
	return []field[s]{
		{
			key: "maxMessageSize", doc: "Size of a message that may go this way.", def: "10MB",
			read: into(func(s *s) *int64 { return &s.MaxMessageSize }, readSize),
		},
		{
			key: "protocolLoggingLevel", doc: "None or Verbose.", def: "None", sample: "Verbose",
			read: into(func(s *s) *LoggingLevel { return &s.ProtocolLoggingLevel }, choice([]LoggingLevel{LoggingNone, LoggingVerbose})),
		},
		{
			key: "connectionInactivityTimeout", doc: "How long the next hop may be silent.", def: "10m",
			read: into(func(s *s) *time.Duration { return &s.ConnectionInactivityTimeout }, readTimeout),
		},
		{
			key: "smtpMaxMessagesPerConnection", doc: "Messages before a connection is made anew.", def: "20",
			read: into(func(s *s) *int64 { return &s.SMTPMaxMessagesPerConnection }, readCount),
		},
	}
}

// readName reads a connector's name: 1 to 64 printable characters.
func readName(d *decoder, v value) (string, bool) {
	return parsed("Write a name of at most 64 octets", func(s string) (string, error) {
		if strings.TrimSpace(s) != s || s == "" || len(s) > 64 {
			return "", errors.New("is not a name for a connector")
		}
		return s, nil
	})(d, v)
}

func readAddressRange(d *decoder, v value) (AddressRange, bool) {
	return parsed("Write an address, a range 192.0.2.1-192.0.2.9 or a network 192.0.2.0/24", ParseAddressRange)(d, v)
}

// readPercentage reads a share in percent: 1 to 100, or unlimited.
func readPercentage(d *decoder, v value) (int64, bool) {
	return parsed(`Write a number from 1 to 100, or "unlimited"`, func(s string) (int64, error) {
		n, err := parseCount(strings.TrimSuffix(s, "%"))
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errors.New("would let nothing through")
		case n > 100 && n != Unlimited:
			return 0, errors.New("is more than everything")
		}
		return n, nil
	})(d, v)
}

// readTarpitInterval reads a delay. A longer one than the described system's
// longest would only make clients give up.
func readTarpitInterval(d *decoder, v value) (time.Duration, bool) {
	return parsed("Write a time up to 10m, or 0 for off", func(s string) (time.Duration, error) {
		t, err := parseWrittenDuration(s)
		if err == nil && t > 10*time.Minute {
			return 0, errors.New("is longer than clients wait")
		}
		return t, err
	})(d, v)
}

// readBanner reads a banner and takes off its code.
func readBanner(d *decoder, v value) (string, bool) {
	return parsed(`Write "220 " and the text after it`, func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		text, ok := strings.CutPrefix(s, "220 ")
		switch {
		case !ok:
			return "", errors.New(`does not begin with "220 "`)
		case strings.TrimSpace(text) == "":
			return "", errors.New("has no text")
		case len(s) > 510:
			// RFC 5321, section 4.5.3.1.5: a reply line has 512 octets.
			return "", errors.New("is longer than a reply line")
		}
		for _, r := range text {
			if r > '~' {
				return "", errors.New("is not ASCII")
			}
		}
		return text, nil
	})(d, v)
}

func readBareLines(d *decoder, v value) (smtp.BareLinePolicy, bool) {
	s, ok := choice([]string{"reject", "normalize"})(d, v)
	if s == "normalize" {
		return smtp.BareLinesNormalize, ok
	}
	return smtp.BareLinesReject, ok
}

// readAddressSpace reads "space", "space;cost" or "SMTP:space;cost".
func readAddressSpace(d *decoder, v value) (AddressSpace, bool) {
	return parsed(`Write "*", "x.y" or "*.x.y", and a cost if wanted: "*;1"`, parseAddressSpace)(d, v)
}

func parseAddressSpace(s string) (AddressSpace, error) {
	space, cost, costed := strings.Cut(s, ";")
	a := AddressSpace{Cost: 1}
	if costed {
		n, err := strconv.ParseUint(strings.TrimSpace(cost), 10, 8)
		if err != nil || n < 1 || n > 100 {
			return a, errors.New("has no cost from 1 to 100")
		}
		a.Cost = int(n)
	}
	space = strings.TrimSpace(space)
	if kind, rest, ok := strings.Cut(space, ":"); ok {
		if !strings.EqualFold(kind, "SMTP") {
			return a, errors.New("is of an address type other than SMTP")
		}
		space = rest
	}
	if space == "--" {
		return a, errors.New("stands for an Edge Subscription, which is not available in this version")
	}
	if space == "*" {
		a.Any = true
		return a, nil
	}
	space, a.Subdomains = strings.CutPrefix(space, "*.")
	var err error
	if a.Domain, err = parseDomain(space); err != nil {
		return a, errors.New("is not an address space")
	}
	return a, nil
}

// readSmartHost reads "host", "host:port", "address" or "[address]:port".
func readSmartHost(d *decoder, v value) (string, bool) {
	return parsed("Write a host name or an address, with :port if wanted", parseSmartHost)(d, v)
}

func parseSmartHost(s string) (string, error) {
	if s == "--" {
		return "", errors.New("stands for an Edge Subscription, which is not available in this version")
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.String(), nil
	}
	if strings.Contains(s, ":") {
		return parseHostPort(s)
	}
	d, err := parseDomain(s)
	if err != nil {
		return "", errors.New("is not a host")
	}
	return string(d), nil
}

// parseHostPort reads host:port where host is a name or an address.
func parseHostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("is not a host with a port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("has no port from 1 to 65535")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(a.String(), port), nil
	}
	d, err := parseDomain(host)
	if err != nil {
		return "", errors.New("names no host")
	}
	return net.JoinHostPort(string(d), port), nil
}

// readSourceAddress reads an address; the unspecified ones mean any.
func readSourceAddress(d *decoder, v value) (netip.Addr, bool) {
	return parsed("Write an address of this machine, or 0.0.0.0 for any", func(s string) (netip.Addr, error) {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil || a.IsMulticast():
			return netip.Addr{}, errors.New("is not an address")
		case a.IsUnspecified():
			return netip.Addr{}, nil
		}
		return a, nil
	})(d, v)
}
