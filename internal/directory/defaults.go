package directory

import (
	"net"
	"path/filepath"
	"time"

	"mailpact/internal/smtp"
)

// DefaultOptions say what the machine contributes to the defaults.
type DefaultOptions struct {
	// Hostname is the machine's name. What is no domain counts as unknown.
	Hostname string
	// DataDirectory may be relative to the working directory, not empty.
	DataDirectory string
	// Listen is the binding of the receive connector; empty is port 25 of
	// every address.
	Listen string
	// Check is that of LoadOptions.
	Check func(*Configuration) Faults
}

// Default returns the configuration of a server that was given no file: a
// receive connector, a send connector for every domain, no accepted domain, no
// partner but those of the data directory's overlay. Without a usable hostname
// the server calls itself localhost.
func Default(o DefaultOptions) (*Configuration, error) {
	c, faults := Parse(nil, o.load())
	return c, faults.Err()
}

// load returns what a file that says nothing is read with.
func (o DefaultOptions) load() LoadOptions {
	l := LoadOptions{Hostname: o.Hostname, Listen: o.Listen, DataDirectory: o.DataDirectory, Check: o.Check}
	if _, err := parseDomain(o.Hostname); err != nil {
		l.Hostname = "localhost"
	}
	return l
}

// DefaultDataDirectory returns where data lies when nobody says it:
// /var/lib/mailpact as root, else mailpact in $XDG_STATE_HOME, whose own
// default is ~/.local/state. It is empty when there is no home either.
func DefaultDataDirectory(uid int, getenv func(string) string) string {
	if uid == 0 {
		return "/var/lib/mailpact"
	}
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // the XDG base directory rules: a relative one is ignored
		home := getenv("HOME")
		if home == "" {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "mailpact")
}

// defaults is where every default stands: the Edge defaults of the described
// system, which standalone takes. What depends on the rest of the file is
// filled in by derive.
func defaults(o DefaultOptions) *Configuration {
	fqdn, err := parseDomain(o.Hostname)
	if err != nil {
		fqdn = "" // derive leaves it, and Validate says so
	}
	receive, send := defaultReceiveConnector(), defaultSendConnector()
	receive.Name, receive.DomainSecureEnabled = "Default", true
	send.Name, send.DomainSecureEnabled = "Internet", true
	send.AddressSpaces = []AddressSpace{{Any: true, Cost: 1}}
	return &Configuration{
		Server: Server{Role: RoleStandalone, FQDN: fqdn, DataDirectory: o.DataDirectory},
		Trust:  Trust{SystemRoots: true, FetchIntermediates: true, CommonName: true},
		Revocation: Revocation{
			PerURL: 15 * time.Second, PerChain: 20 * time.Second, MaxBytes: 64 << 20,
		},
		ReceiveConnectors: []ReceiveConnector{receive},
		SendConnectors:    []SendConnector{send},
		Queue: Queue{
			GlitchRetryInterval: time.Minute, GlitchRetryCount: 4,
			TransientRetryInterval: 10 * time.Minute, TransientRetryCount: 6,
			RetryInterval:     30 * time.Minute,
			DelayNotification: 4 * time.Hour, Expiration: 48 * time.Hour,
			MaxConnectionsPerDestination: 64,
		},
	}
}

func defaultCertificateFile() CertificateFile {
	return CertificateFile{Services: []Service{ServiceSMTP}}
}

func defaultAnchor() Anchor { return Anchor{Revocation: RevocationRequired} }

func defaultPartner() Partner {
	return Partner{
		Mode: ModeEnforce, Send: true, Receive: true,
		NameRule: NameRuleDomain, Usage: UsageMailServer, FromAlignment: FromUnmarked,
	}
}

func defaultAcceptedDomain() AcceptedDomain { return AcceptedDomain{Type: Authoritative} }

// defaultReceiveConnector is a connector as the file writes one. The one that
// stands in for a missing list is domain-secure besides.
func defaultReceiveConnector() ReceiveConnector {
	return ReceiveConnector{
		Bindings:                    []string{net.JoinHostPort("", "25")},
		RemoteIPRanges:              everyAddress(),
		AuthMechanism:               []AuthMechanism{AuthTLS},
		PermissionGroups:            []PermissionGroup{GroupAnonymousUsers, GroupPartners},
		BareLineFeeds:               smtp.BareLinesReject,
		ProtocolLoggingLevel:        LoggingNone,
		ConnectionTimeout:           5 * time.Minute,
		ConnectionInactivityTimeout: time.Minute,
		MaxMessageSize:              10 << 20,
		MaxHeaderSize:               64 << 10,
		MaxRecipientsPerMessage:     200,
		MaxProtocolErrors:           5,
		MaxLogonFailures:            3,
		MaxHopCount:                 30,
		MaxInboundConnection:        5000,
		TarpitInterval:              5 * time.Second,
		CertificateRequestBackoff:   time.Hour,
	}
}

func defaultSendConnector() SendConnector {
	return SendConnector{
		Enabled:                      true,
		DNSRoutingEnabled:            true,
		Port:                         25,
		MaxMessageSize:               10 << 20,
		ProtocolLoggingLevel:         LoggingNone,
		ConnectionInactivityTimeout:  10 * time.Minute,
		SMTPMaxMessagesPerConnection: 20,
	}
}

// derive fills in the defaults that come from other values of the file.
func (c *Configuration) derive() {
	fqdn := c.Server.FQDN
	if c.Server.AdminSocket == "" && c.Server.DataDirectory != "" {
		c.Server.AdminSocket = filepath.Join(c.Server.DataDirectory, "admin.sock")
	}
	if c.Authority.Directory == "" && c.Server.DataDirectory != "" {
		c.Authority.Directory = filepath.Join(c.Server.DataDirectory, "ca")
	}
	for i := range c.Certificates {
		if c.Certificates[i].KeyFile == "" {
			c.Certificates[i].KeyFile = c.Certificates[i].CertificateFile
		}
	}
	for i := range c.ReceiveConnectors {
		if c.ReceiveConnectors[i].FQDN == "" {
			c.ReceiveConnectors[i].FQDN = fqdn
		}
		c.ReceiveConnectors[i].deriveSourceLimits()
	}
	for i := range c.SendConnectors {
		if c.SendConnectors[i].FQDN == "" {
			c.SendConnectors[i].FQDN = fqdn
		}
	}
	if c.TransportConfig.AuthservID == "" {
		c.TransportConfig.AuthservID = string(fqdn)
	}
	if c.TransportConfig.Postmaster == (smtp.Mailbox{}) {
		domain := fqdn
		if len(c.AcceptedDomains) > 0 && c.AcceptedDomains[0].Name != "" {
			domain = c.AcceptedDomains[0].Name
		}
		c.TransportConfig.Postmaster = smtp.Mailbox{LocalPart: "postmaster", Domain: domain}
	}
}

// deriveSourceLimits fills in the limits per client that the file leaves out.
// One client is a stranger on a connector of the Internet, and a mail system of
// our own, with all its mail, on one that is externally secured: there the
// described system's inner servers have no such limits.
func (r *ReceiveConnector) deriveSourceLimits() {
	connections, percentage, rate := int64(20), int64(2), int64(600)
	if r.ExternallySecured() {
		connections, percentage, rate = Unlimited, Unlimited, Unlimited
	}
	for _, l := range []struct {
		limit *int64
		value int64
	}{
		{&r.MaxInboundConnectionPerSource, connections},
		{&r.MaxInboundConnectionPercentagePerSource, percentage},
		{&r.MessageRateLimit, rate},
	} {
		if *l.limit == 0 { // no limit can be written as 0
			*l.limit = l.value
		}
	}
}
