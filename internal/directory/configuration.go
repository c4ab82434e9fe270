package directory

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"mailpact/internal/smtp"
)

// Unlimited is the value of a size, count or duration whose limit was written
// "unlimited". It compares greater than everything, so code needs no special
// case; use Deadline to add it to a time.
const Unlimited = math.MaxInt64

// Deadline returns now plus d, or the zero time when d is Unlimited.
func Deadline(now time.Time, d time.Duration) time.Time {
	if d == Unlimited {
		return time.Time{}
	}
	return now.Add(d)
}

// Configuration is the whole configuration of one server as plain values, with
// every default filled in. It is immutable once it has been validated: whoever
// changes it makes a new one.
type Configuration struct {
	Server            Server
	Certificates      []CertificateFile
	Trust             Trust
	Revocation        Revocation
	Authority         Authority
	TransportConfig   TransportConfig
	Partners          []Partner
	AcceptedDomains   []AcceptedDomain
	ReceiveConnectors []ReceiveConnector
	SendConnectors    []SendConnector
	Queue             Queue
}

// Role says what a server does.
type Role string

// The roles. Only standalone is built.
const (
	RoleStandalone Role = "standalone"
	RoleEdge       Role = "edge"
	RoleHub        Role = "hub"
)

// Server holds what a process needs before anything else. Paths are absolute.
type Server struct {
	Role          Role
	FQDN          smtp.Domain
	DataDirectory string
	AdminSocket   string
	HTTP          string           // host:port of health and metrics; empty: off
	Resolvers     []netip.AddrPort // empty: the system's
	// KeySealFile seals the private keys in the data directory; empty: the
	// systemd credential does, if there is one.
	KeySealFile string
	// AccountsFile lists who may authenticate (package accounts); empty: nobody.
	AccountsFile string
}

// CertificateFile names a certificate (leaf first, then intermediates) and its key. Paths are absolute.
type CertificateFile struct {
	CertificateFile string
	KeyFile         string
	Services        []Service
}

// Service is a use a certificate is enabled for.
type Service string

// The services. Only SMTP exists yet; a certificate can be enabled for the
// others beforehand.
const (
	ServiceSMTP Service = "SMTP"
	ServiceIMAP Service = "IMAP"
	ServicePOP  Service = "POP"
	ServiceWeb  Service = "Web"
)

// Trust names the trust anchors and additional intermediates.
type Trust struct {
	SystemRoots   bool
	Anchors       []Anchor
	Intermediates []Intermediate
	// FetchIntermediates: missing issuers are fetched from where the
	// certificates of listed domains' peers say (caIssuers).
	FetchIntermediates bool
	// CommonName: a subject CN that is a host name counts as a name, by the rules
	// of package trust.
	CommonName bool
}

// Scope is the set of domains that a private root or cross-certificate may
// vouch for. The zero value covers nothing.
type Scope struct {
	Any     bool
	Domains []smtp.Domain
}

// Covers reports whether d is in the scope. A scope names domains exactly; it
// does not reach their subdomains.
func (s Scope) Covers(d smtp.Domain) bool {
	if s.Any {
		return true
	}
	for _, x := range s.Domains {
		if x == d {
			return true
		}
	}
	return false
}

// RevocationMode says whether certificates under an anchor need a CRL.
type RevocationMode string

// The modes. An empty mode is required.
const (
	RevocationRequired RevocationMode = "required"
	RevocationNone     RevocationMode = "none"
)

// Anchor is a private root, or a partner's self-signed certificate trusted by itself.
type Anchor struct {
	File       string // absolute path of a PEM file; every certificate in it is an anchor
	Scope      Scope
	Revocation RevocationMode
}

// Intermediate is a CA certificate (a cross-certificate, say) used for path building.
type Intermediate struct {
	File  string
	Scope Scope
}

// Revocation bounds the fetching of CRLs.
type Revocation struct {
	PerURL              time.Duration
	PerChain            time.Duration
	MaxBytes            int64
	AllowPrivateTargets bool // loopback, private and link-local addresses
	// Proxy is the HTTP proxy, "http://host:port"; empty: none.
	Proxy string
	// ProxyBypass lists hosts that are asked without the proxy; * stands for any
	// characters, "<local>" for names without a dot.
	ProxyBypass []string
	// ProxyAllow lists hosts that the proxy is asked for although this server did
	// not resolve them; * stands for any characters.
	ProxyAllow []string
	// LDAPServer is asked where an ldap:/// address names none, "host:port"; empty: none.
	LDAPServer string
}

// Authority is our own certification authority, if we run one.
type Authority struct {
	Directory string // absolute; its files, which need not be there
	HTTP      string // host:port where CRL and certificate are served; empty: off
}

// TransportConfig holds organisation-wide values.
type TransportConfig struct {
	AuthservID string       // RFC 8601; default: the server's FQDN
	Postmaster smtp.Mailbox // sender of DSNs' From field; default: postmaster@<first accepted domain or FQDN>
}

// Mode says whether a partner's verdict is enforced.
type Mode string

// The modes.
const (
	ModeTest    Mode = "test"
	ModeEnforce Mode = "enforce"
)

// NameRule says which names of a certificate match the partner's domain.
type NameRule string

// The name rules of design.md, section 5, Names.
const (
	NameRuleDomain NameRule = "domain" // D, *.D, one label below D
	NameRuleExact  NameRule = "exact"  // D, or a wildcard that covers it by RFC 9525
	NameRuleListed NameRule = "listed" // Partner.Names replace the rule
)

// UsageRule says which extended key usage a client's chain must allow.
type UsageRule string

// The usage rules.
const (
	UsageMailServer UsageRule = "mailServer" // serverAuth or clientAuth
	UsageStrict     UsageRule = "strict"     // clientAuth
)

// FromAlignment says what happens to a message whose From names a listed
// domain while its transaction is not secured for it.
type FromAlignment string

// The alignments. dmarc is refused until it is built.
const (
	FromUnmarked FromAlignment = "unmarked"
	FromRefuse   FromAlignment = "refuse"
	FromDMARC    FromAlignment = "dmarc"
)

// Partner is one domain with which mail is exchanged over mutual TLS.
type Partner struct {
	Domain        smtp.Domain
	Mode          Mode
	Send, Receive bool
	NameRule      NameRule
	Names         []string // host names, for NameRuleListed only
	Anchors       []string // SHA-256 hex of anchors; when set, no other anchor counts
	// ClientCertificate is the certificate of ours that its servers are shown;
	// empty: that of the send connector.
	ClientCertificate CertificateName
	Usage             UsageRule
	FromAlignment     FromAlignment
	// Shared, with NameRuleListed: a client may show a listed name outside the
	// domain, that of a host which serves others too. Such mail is not marked.
	Shared bool
	// OverrideUntil ends the time in which mail passes, unmarked, although
	// nobody can say whether the peer's certificate is revoked; zero: no such time.
	OverrideUntil time.Time
}

// MaxOverride is how far ahead a partner's override may end.
const MaxOverride = 7 * 24 * time.Hour

// Overridden reports whether the partner's override is in force. A zero now is
// never within it, nor is a time further ahead of its end than MaxOverride.
func (p *Partner) Overridden(now time.Time) bool {
	return !p.OverrideUntil.IsZero() && !now.IsZero() && now.Before(p.OverrideUntil) && p.OverrideUntil.Sub(now) <= MaxOverride
}

// AcceptedDomainType says what happens to mail for an accepted domain.
type AcceptedDomainType string

// The types. Authoritative mail goes to HandOff, InternalRelay mail is routed by send connectors.
const (
	Authoritative AcceptedDomainType = "Authoritative"
	InternalRelay AcceptedDomainType = "InternalRelay"
)

// AcceptedDomain is a domain for which mail is accepted from anyone.
type AcceptedDomain struct {
	Name smtp.Domain
	Type AcceptedDomainType
	// HandOff is "host:port" by SMTP, HandOffLMTP with "host:port", or
	// HandOffLMTPSocket with a path; empty: mail waits.
	HandOff string
}

// LoggingLevel is a connector's protocol logging level.
type LoggingLevel string

// The levels.
const (
	LoggingNone    LoggingLevel = "None"
	LoggingVerbose LoggingLevel = "Verbose"
)

// PermissionGroup is a set of rights that a receive connector grants (reference, 5.3).
type PermissionGroup string

// The groups that have meaning yet.
const (
	GroupAnonymousUsers PermissionGroup = "AnonymousUsers"
	GroupPartners       PermissionGroup = "Partners"
	// GroupExchangeServers are our own inner servers, which may relay to any
	// domain and are never marked.
	GroupExchangeServers PermissionGroup = "ExchangeServers"
	// GroupExchangeUsers are clients that have authenticated: they may submit to
	// any domain, as senders of our own domains, and are never marked.
	GroupExchangeUsers PermissionGroup = "ExchangeUsers"
)

// AuthMechanism is an element of a receive connector's AuthMechanism.
type AuthMechanism string

// The mechanisms. AuthTLS offers STARTTLS. AuthExternalAuthoritative takes
// every client for an inner server, because something outside (the network, a
// binding that only they can reach) has authenticated it.
const (
	AuthTLS                   AuthMechanism = "Tls"
	AuthExternalAuthoritative AuthMechanism = "ExternalAuthoritative"
	// AuthBasic offers AUTH, and AuthBasicRequireTLS offers it in TLS only.
	AuthBasic           AuthMechanism = "BasicAuth"
	AuthBasicRequireTLS AuthMechanism = "BasicAuthRequireTLS"
)

// ReceiveConnector is one set of listeners with its rules (reference, 5.2).
type ReceiveConnector struct {
	Name string
	// Bindings are host:port. Connectors may share one; RemoteIPRanges then
	// tell their clients apart.
	Bindings []string
	// RemoteIPRanges are the clients that the connector serves; empty is nobody.
	// Where connectors share a binding the most specific range wins.
	RemoteIPRanges []AddressRange
	// ProxyProtocolFrom are the upstreams whose connections begin with a PROXY
	// header that names the client. No other connection may have one.
	ProxyProtocolFrom   []AddressRange
	TLSCertificateName  CertificateName // the certificate for STARTTLS; empty: by FQDN
	FQDN                smtp.Domain
	Banner              string // without "220 "; empty: the default
	AuthMechanism       []AuthMechanism
	PermissionGroups    []PermissionGroup
	DomainSecureEnabled bool
	RequireTLS          bool
	RequireEHLODomain   bool
	BareLineFeeds       smtp.BareLinePolicy
	// Withheld are the EHLO keywords that the connector does not offer.
	Withheld smtp.KeywordSet
	// SizeWithoutValue offers SIZE without MaxMessageSize.
	SizeWithoutValue            bool
	ProtocolLoggingLevel        LoggingLevel
	ConnectionTimeout           time.Duration
	ConnectionInactivityTimeout time.Duration
	MaxMessageSize              int64
	MaxHeaderSize               int64
	MaxRecipientsPerMessage     int64
	MaxProtocolErrors           int64
	// MaxLogonFailures is how many times a client may fail to authenticate in a
	// session; the next failure ends it.
	MaxLogonFailures     int64
	MaxHopCount          int64
	MaxInboundConnection int64
	// MaxInboundConnectionPerSource counts connections of one client: an IPv4
	// address, or an IPv6 network of 64 bits.
	MaxInboundConnectionPerSource int64
	// MaxInboundConnectionPercentagePerSource is the part, in percent, of the
	// connections still free that one client may hold; at least one.
	MaxInboundConnectionPercentagePerSource int64
	// MessageRateLimit is how many MAIL commands one client may give in a
	// minute, refused ones included.
	MessageRateLimit int64
	// TarpitInterval delays refusals to clients that nobody has
	// authenticated. 0 is off.
	TarpitInterval time.Duration
	// CertificateRequestBackoff: see design.md, section 5. 0 is off.
	CertificateRequestBackoff time.Duration
}

// HasTLS reports whether the connector offers STARTTLS.
func (c *ReceiveConnector) HasTLS() bool { return c.authenticates(AuthTLS) }

// HasBasicAuth reports whether clients can authenticate with a password, in TLS at least.
func (c *ReceiveConnector) HasBasicAuth() bool { return c.authenticates(AuthBasic) }

// BasicAuthNeedsTLS reports whether they can in TLS only.
func (c *ReceiveConnector) BasicAuthNeedsTLS() bool { return c.authenticates(AuthBasicRequireTLS) }

// ExternallySecured reports whether every client of the connector counts as an
// inner server of our own.
func (c *ReceiveConnector) ExternallySecured() bool {
	return c.authenticates(AuthExternalAuthoritative) && c.Grants(GroupExchangeServers)
}

func (c *ReceiveConnector) authenticates(m AuthMechanism) bool {
	for _, x := range c.AuthMechanism {
		if x == m {
			return true
		}
	}
	return false
}

// ListenerKey returns what is equal for bindings of connectors that stand behind
// one listener. Port 0 is a free port of each connector's own.
func (c *ReceiveConnector) ListenerKey(binding string) string {
	if strings.HasSuffix(binding, ":0") {
		return binding + " " + c.Name
	}
	return binding
}

// ServesInsideOnly reports whether every client of the connector has a loopback,
// private or link-local address.
func (c *ReceiveConnector) ServesInsideOnly() bool { return allInside(c.RemoteIPRanges) }

// ProxiedFrom reports whether a names an upstream of the connector.
func (c *ReceiveConnector) ProxiedFrom(a netip.Addr) bool {
	for _, r := range c.ProxyProtocolFrom {
		if r.Contains(a) {
			return true
		}
	}
	return false
}

// Grants reports whether the connector's permission groups contain g.
func (c *ReceiveConnector) Grants(g PermissionGroup) bool {
	for _, x := range c.PermissionGroups {
		if x == g {
			return true
		}
	}
	return false
}

// AddressSpace is one address space of a send connector: "*", "x.y" or "*.x.y", with its cost.
type AddressSpace struct {
	Any        bool        // "*"
	Domain     smtp.Domain // of "x.y" and "*.x.y"
	Subdomains bool        // "*.x.y"
	Cost       int         // 1 to 100
}

// Specificity is 0 when the space does not hold d, else the greater the fewer
// domains it holds: "*" is 1, "*.x.y" grows with its length, "x.y" is the most.
// "*.x.y" holds x.y too.
func (a AddressSpace) Specificity(d smtp.Domain) int {
	const exact = 1 << 20 // more than any domain is long
	switch {
	case a.Any:
		return 1
	case a.Domain == "" || d == "":
		return 0
	case !a.Subdomains:
		if a.Domain == d {
			return exact
		}
	case a.Domain == d, strings.HasSuffix(string(d), "."+string(a.Domain)):
		return 1 + len(a.Domain)
	}
	return 0
}

// SendConnector is one way out (reference, 5.1).
type SendConnector struct {
	Name                         string
	Enabled                      bool
	AddressSpaces                []AddressSpace
	TLSCertificateName           CertificateName // our client certificate; empty: by FQDN
	DNSRoutingEnabled            bool
	SmartHosts                   []string // host names or addresses, optional port
	Port                         int
	FQDN                         smtp.Domain
	DomainSecureEnabled          bool
	RequireTLS                   bool
	IgnoreSTARTTLS               bool
	ForceHELO                    bool
	SourceIPAddress              netip.Addr // invalid: any
	MaxMessageSize               int64
	ProtocolLoggingLevel         LoggingLevel
	ConnectionInactivityTimeout  time.Duration
	SMTPMaxMessagesPerConnection int64
}

// Queue holds the retry ladder (reference, 7).
type Queue struct {
	GlitchRetryInterval    time.Duration
	GlitchRetryCount       int
	TransientRetryInterval time.Duration
	TransientRetryCount    int
	RetryInterval          time.Duration
	DelayNotification      time.Duration
	Expiration             time.Duration
	// MaxConnectionsPerDestination bounds the deliveries to one destination
	// at a time, each over a connection of its own.
	MaxConnectionsPerDestination int
}

// Partner returns the partner for d, or nil.
func (c *Configuration) Partner(d smtp.Domain) *Partner {
	for i := range c.Partners {
		if c.Partners[i].Domain == d {
			return &c.Partners[i]
		}
	}
	return nil
}
