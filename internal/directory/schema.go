package directory

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"mailpact/internal/smtp"
)

// This file and schema_connectors.go are the table of the file's keys: how
// each is read and what the sample says about it. Where a default is written
// as def, a test holds it against defaults.go.

// section makes a field that holds one object.
func section[T, V any](key, doc string, o object[V], place func(*T) *V) field[T] {
	return field[T]{
		key: key, doc: doc, children: describe(o.fields),
		read: func(d *decoder, v value, t *T) { o.readInto(d, v, place(t)) },
	}
}

// objects makes a field that holds a list of objects.
func objects[T, V any](key, doc string, o object[V], start func() V, place func(*T) *[]V) field[T] {
	return field[T]{
		key: key, doc: doc, children: describe(o.fields), list: true,
		read: func(d *decoder, v value, t *T) { *place(t) = o.readList(d, v, start) },
	}
}

func fileObject() object[Configuration] {
	type c = Configuration
	return object[c]{
		kind: "the file",
		fields: []field[c]{
			section("server", "What the process needs before anything else.", serverObject(), func(c *c) *Server { return &c.Server }),
			objects("certificates", "Our own certificates. Default: none but the self-signed one that serve makes.", certificateObject(), defaultCertificateFile, func(c *c) *[]CertificateFile { return &c.Certificates }),
			section("trust", "Whose certificates vouch for partners.", trustObject(), func(c *c) *Trust { return &c.Trust }),
			section("revocation", "Bounds on the fetching of certificate revocation lists.", revocationObject(), func(c *c) *Revocation { return &c.Revocation }),
			section("authority", "Our own certification authority (mailpact ca), if there is one.", authorityObject(), func(c *c) *Authority { return &c.Authority }),
			section("transportConfig", "Values of the whole organisation.", transportConfigObject(), func(c *c) *TransportConfig { return &c.TransportConfig }),
			objects("partners", "Domains with which mail is exchanged over mutual TLS. The two secure domain lists are derived from them. Default: none.", partnerObject(), defaultPartner, func(c *c) *[]Partner { return &c.Partners }),
			objects("acceptedDomains", "Domains for which mail is accepted from anyone. Default: none.", acceptedDomainObject(), defaultAcceptedDomain, func(c *c) *[]AcceptedDomain { return &c.AcceptedDomains }),
			objects("receiveConnectors", "Listeners with their rules. Without this key there is one on port 25, domain-secure; an empty list means none.", receiveConnectorObject(), defaultReceiveConnector, func(c *c) *[]ReceiveConnector { return &c.ReceiveConnectors }),
			objects("sendConnectors", "Ways out. Without this key there is one for every domain by DNS, domain-secure; an empty list means none.", sendConnectorObject(), defaultSendConnector, func(c *c) *[]SendConnector { return &c.SendConnectors }),
			section("queue", "The retry ladder, and how much is delivered at a time.", queueObject(), func(c *c) *Queue { return &c.Queue }),
		},
		unavailable: unavailableInFile(),
	}
}

func serverObject() object[Server] {
	return object[Server]{
		kind: "server",
		fields: []field[Server]{
			{
				key: "role", doc: "What this server does.", def: "standalone",
				read: into(func(s *Server) *Role { return &s.Role }, choice([]Role{RoleStandalone}, string(RoleEdge), string(RoleHub))),
			},
			{
				key: "fqdn", doc: "The server's own name. Default: the machine's name.", sample: "mail1.contoso.com",
				read: into(func(s *Server) *smtp.Domain { return &s.FQDN }, readDomain),
			},
			{
				key: "dataDirectory", doc: "Where queue, keys, CRLs and logs lie; relative to this file. Default: /var/lib/mailpact as root, else mailpact in $XDG_STATE_HOME.", sample: "data",
				read: into(func(s *Server) *string { return &s.DataDirectory }, readPath),
			},
			{
				key: "adminSocket", doc: `The Unix socket of the administration commands. "" is admin.sock in the data directory.`, def: `""`,
				read: into(func(s *Server) *string { return &s.AdminSocket }, readOptionalPath),
			},
			{
				key: "http", doc: `Address of health and metrics. "" is off.`, def: `""`, sample: "127.0.0.1:9925",
				read: into(func(s *Server) *string { return &s.HTTP }, readHTTPAddress),
			},
			{
				key: "resolvers", doc: "DNS servers for every look-up: MX, smart host, CRL; [127.0.0.1:5300] say. [] is the system's.", def: "[]",
				read: into(func(s *Server) *[]netip.AddrPort { return &s.Resolvers }, listOf(readResolver)),
			},
			{
				key: "keySealFile", doc: `File of 32 to 4096 random octets that seals the private keys in the data directory. "" is the systemd credential mailpact-key-seal, if there is one; else keys lie unsealed.`, def: `""`,
				read: into(func(s *Server) *string { return &s.KeySealFile }, readOptionalPath),
			},
			{
				key: "accountsFile", doc: `Who may authenticate on connectors with BasicAuth: lines NAME:HASH, made with mailpact account line NAME. "" is nobody.`, def: `""`,
				read: into(func(s *Server) *string { return &s.AccountsFile }, readOptionalPath),
			},
		},
		unavailable: unavailableInServer(),
	}
}

// readHTTPAddress reads host:port, or the empty value for off.
func readHTTPAddress(d *decoder, v value) (string, bool) {
	return parsed(`Write an address with a port, 127.0.0.1:9925 say, or ""`, func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		return parseListenAddress(s)
	})(d, v)
}

func certificateObject() object[CertificateFile] {
	type c = CertificateFile
	return object[c]{
		kind: "a certificate",
		fields: []field[c]{
			{
				key: "certificateFile", doc: "PEM file: the certificate first, then its intermediates.", sample: "mail1.pem", required: true,
				read: into(func(c *c) *string { return &c.CertificateFile }, readPath),
			},
			{
				key: "keyFile", doc: "PEM file of its private key. Default: the key stands in certificateFile.", sample: "mail1.key",
				read: into(func(c *c) *string { return &c.KeyFile }, readPath),
			},
			{
				key: "services", doc: "What the certificate is used for.", def: "[SMTP]",
				read: into(func(c *c) *[]Service { return &c.Services }, orNone(choice([]Service{ServiceSMTP}, "IMAP", "POP", "IIS", "UM", "UMCallRouter", "Federation"))),
			},
		},
		unavailable: unavailableInCertificate(),
	}
}

func trustObject() object[Trust] {
	return object[Trust]{
		kind: "trust",
		fields: []field[Trust]{
			{
				key: "systemRoots", doc: "Whether the roots of the operating system count, for any domain.", def: "true",
				read: into(func(t *Trust) *bool { return &t.SystemRoots }, readBool),
			},
			{
				key: "fetchIntermediates", doc: "Whether a CA certificate that a listed domain's peer forgot to send is fetched from the address that his certificate names.", def: "true",
				read: into(func(t *Trust) *bool { return &t.FetchIntermediates }, readBool),
			},
			{
				key: "commonName", doc: "Whether a subject CN that is a host name counts as a name, where no CA of the chain could forbid it by name constraints.", def: "true",
				read: into(func(t *Trust) *bool { return &t.CommonName }, readBool),
			},
			objects("anchors", "Private roots, and partners' self-signed certificates. Default: none.", anchorObject(), defaultAnchor, func(t *Trust) *[]Anchor { return &t.Anchors }),
			objects("intermediates", "CA certificates for the building of paths, cross-certificates say. Default: none.", intermediateObject(), func() Intermediate { return Intermediate{} }, func(t *Trust) *[]Intermediate { return &t.Intermediates }),
		},
		unavailable: unavailableInTrust(),
	}
}

func anchorObject() object[Anchor] {
	return object[Anchor]{
		kind: "an anchor",
		fields: []field[Anchor]{
			{
				key: "file", doc: "PEM file; every certificate in it is an anchor.", sample: "woodgrove-root.pem", required: true,
				read: into(func(a *Anchor) *string { return &a.File }, readPath),
			},
			{
				key: "scope", doc: "The domains for which it may vouch, or [any].", sample: "[woodgrovebank.com]", required: true,
				read: into(func(a *Anchor) *Scope { return &a.Scope }, readScope),
			},
			{
				key: "revocation", doc: "Whether certificates under it need a CRL: required or none.", def: "required",
				read: into(func(a *Anchor) *RevocationMode { return &a.Revocation }, choice([]RevocationMode{RevocationRequired, RevocationNone})),
			},
		},
		unavailable: map[string]string{},
	}
}

func intermediateObject() object[Intermediate] {
	return object[Intermediate]{
		kind: "an intermediate",
		fields: []field[Intermediate]{
			{
				key: "file", doc: "PEM file.", sample: "cross.pem", required: true,
				read: into(func(i *Intermediate) *string { return &i.File }, readPath),
			},
			{
				key: "scope", doc: "The domains for which it may vouch, or [any].", sample: "[any]", required: true,
				read: into(func(i *Intermediate) *Scope { return &i.Scope }, readScope),
			},
		},
		unavailable: map[string]string{},
	}
}

// readScope reads a list of domains, or [any]. An empty scope would cover
// nothing, so that the file it belongs to would do nothing.
func readScope(d *decoder, v value) (Scope, bool) {
	var s Scope
	items, before := d.elements(v), len(d.faults)
	for _, e := range items {
		if e.node.Value != "any" {
			if x, ok := readDomain(d, e); ok {
				s.Domains = append(s.Domains, x)
			}
			continue
		}
		s.Any = true
		if len(items) > 1 {
			d.fault(e, "any stands alone", "Delete it, or the domains beside it")
		}
	}
	if len(items) == 0 && !d.faults.touches(v.path) {
		d.fault(v, "an empty scope vouches for nothing", "Write the partners' domains, or [any]")
	}
	return s, len(d.faults) == before && len(items) > 0
}

func revocationObject() object[Revocation] {
	type r = Revocation
	return object[r]{
		kind: "revocation",
		fields: []field[r]{
			{
				key: "perURL", doc: "Time for one CRL.", def: "15s",
				read: into(func(r *r) *time.Duration { return &r.PerURL }, readTimeout),
			},
			{
				key: "perChain", doc: "Time for all CRLs of a chain.", def: "20s",
				read: into(func(r *r) *time.Duration { return &r.PerChain }, readTimeout),
			},
			{
				key: "maxBytes", doc: "Size of one CRL.", def: "64MB",
				read: into(func(r *r) *int64 { return &r.MaxBytes }, readSize),
			},
			{
				key: "allowPrivateTargets", doc: "Whether CRLs are fetched from loopback, private and link-local addresses.", def: "false",
				read: into(func(r *r) *bool { return &r.AllowPrivateTargets }, readBool),
			},
			{
				key: "proxy", doc: "HTTP proxy that CRLs are fetched through. LDAP never goes through it. Default: none.", sample: "http://proxy.contoso.com:3128",
				read: into(func(r *r) *string { return &r.Proxy }, readProxy),
			},
			{
				key: "proxyBypass", doc: "Hosts that are asked without the proxy. * stands for any characters, <local> for names without a dot. Default: none.", sample: `["<local>", "*.contoso.com"]`,
				read: into(func(r *r) *[]string { return &r.ProxyBypass }, listOf(readHostPattern)),
			},
			{
				key: "proxyAllow", doc: "Hosts that the proxy may be asked for although this server cannot resolve them. Default: none.", sample: `["crl.woodgrovebank.com"]`,
				read: into(func(r *r) *[]string { return &r.ProxyAllow }, listOf(readHostPattern)),
			},
			{
				key: "ldapServer", doc: "Server for LDAP addresses that name none, as those of Active Directory. Default: none.", sample: "dc1.contoso.com:389",
				read: into(func(r *r) *string { return &r.LDAPServer }, readHostPort),
			},
		},
		unavailable: unavailableInRevocation(),
	}
}

func authorityObject() object[Authority] {
	type a = Authority
	return object[a]{
		kind: "authority",
		fields: []field[a]{
			{
				key: "directory", doc: `Where its key and files lie. "" is ca in the data directory.`, def: `""`,
				read: into(func(a *a) *string { return &a.Directory }, readOptionalPath),
			},
			{
				key: "http", doc: `Address where its CRL and certificate are served to everybody. "" is off.`, def: `""`, sample: "192.0.2.1:80",
				read: into(func(a *a) *string { return &a.HTTP }, readHTTPAddress),
			},
		},
		unavailable: map[string]string{},
	}
}

func transportConfigObject() object[TransportConfig] {
	type t = TransportConfig
	return object[t]{
		kind: "transportConfig",
		fields: []field[t]{
			{
				key: "authservID", doc: "The organisation's name in Authentication-Results. Default: the server's fqdn.", sample: "contoso.com",
				read: into(func(t *t) *string { return &t.AuthservID }, readAuthservID),
			},
			{
				key: "postmaster", doc: "Sender of our delivery reports. Default: postmaster at the first accepted domain, else at the server's fqdn.", sample: "postmaster@contoso.com",
				read: into(func(t *t) *smtp.Mailbox { return &t.Postmaster }, readMailbox),
			},
		},
		unavailable: unavailableInTransportConfig(),
	}
}

// readAuthservID reads an authserv-id that needs no quoting (RFC 8601, section
// 2.2: a token or a domain).
func readAuthservID(d *decoder, v value) (string, bool) {
	return parsed("Write a word like contoso.com", func(s string) (string, error) {
		const special = `()<>@,;:\"/[]?= `
		if s == "" || len(s) > 255 {
			return "", errors.New("is not an authserv-id")
		}
		for _, r := range s {
			if r > '~' || strings.ContainsRune(special, r) {
				return "", errors.New("is not an authserv-id")
			}
		}
		return strings.ToLower(s), nil
	})(d, v)
}

func partnerObject() object[Partner] {
	type p = Partner
	return object[p]{
		kind: "a partner",
		fields: []field[p]{
			{
				key: "domain", doc: "The partner's mail domain. A subdomain is a partner of its own.", sample: "woodgrovebank.com", required: true,
				read: into(func(p *p) *smtp.Domain { return &p.Domain }, readDomain),
			},
			{
				key: "mode", doc: "enforce, or test: the verdict is logged and counted and changes nothing.", def: "enforce",
				read: into(func(p *p) *Mode { return &p.Mode }, choice([]Mode{ModeTest, ModeEnforce})),
			},
			{
				key: "send", doc: "Whether mail to the domain is secured.", def: "true",
				read: into(func(p *p) *bool { return &p.Send }, readBool),
			},
			{
				key: "receive", doc: "Whether mail from the domain is secured.", def: "true",
				read: into(func(p *p) *bool { return &p.Receive }, readBool),
			},
			{
				key: "nameRule", doc: "Which names in a certificate stand for the domain D: domain (D, *.D, one label below D), exact (D, or a wildcard that covers it), listed (those of names).", def: "domain",
				read: into(func(p *p) *NameRule { return &p.NameRule }, choice([]NameRule{NameRuleDomain, NameRuleExact, NameRuleListed})),
			},
			{
				key: "names", doc: "Host names, with nameRule listed only.", def: "[]",
				read: into(func(p *p) *[]string { return &p.Names }, listOf(readHostName)),
			},
			{
				key: "anchors", doc: "SHA-256 thumbprints of the only anchors that count for this partner. [] is every anchor in scope.", def: "[]",
				read: into(func(p *p) *[]string { return &p.Anchors }, listOf(readThumbprint)),
			},
			{
				key: "clientCertificate", doc: "The certificate of ours that its servers are shown, as tlsCertificateName names one. \"\" is that of the send connector.", def: `""`,
				read: into(func(p *p) *CertificateName { return &p.ClientCertificate }, readCertificateName),
			},
			{
				key: "usage", doc: "What the client's certificate must allow: mailServer (serverAuth or clientAuth) or strict (clientAuth).", def: "mailServer",
				read: into(func(p *p) *UsageRule { return &p.Usage }, choice([]UsageRule{UsageMailServer, UsageStrict})),
			},
			{
				key: "fromAlignment", doc: "What happens to a message whose From names the domain while its sender is not secured: unmarked (delivered without the mark) or refuse.", def: "unmarked",
				read: into(func(p *p) *FromAlignment { return &p.FromAlignment }, choice([]FromAlignment{FromUnmarked, FromRefuse}, string(FromDMARC))),
			},
			{
				key: "shared", doc: "With nameRule listed: a client may show a listed name outside the domain, its provider's say. Such mail is accepted and never marked.", def: "false",
				read: into(func(p *p) *bool { return &p.Shared }, readBool),
			},
			{
				key: "overrideUntil", doc: `A time at most 7 days ahead. Until then mail passes, unmarked, although nobody can say whether the peer's certificate is revoked. "" is never.`, def: `""`,
				read: into(func(p *p) *time.Time { return &p.OverrideUntil }, readOverride),
			},
		},
		unavailable: unavailableInPartner(),
	}
}

// readOverride reads the end of an override, a time or a day, in UTC.
func readOverride(d *decoder, v value) (time.Time, bool) {
	return parsed(`Write a time at most 7 days ahead, like 2026-12-01T08:00:00Z, or ""`, func(s string) (time.Time, error) {
		if s == "" {
			return time.Time{}, nil
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, s); err != nil {
				return time.Time{}, errors.New("is no time")
			}
		}
		if time.Until(t) > MaxOverride {
			return time.Time{}, errors.New("is more than 7 days ahead")
		}
		return t.UTC(), nil
	})(d, v)
}

func readHostName(d *decoder, v value) (string, bool) {
	name, ok := readDomain(d, v)
	return string(name), ok
}

// readThumbprint reads a SHA-256 thumbprint in hex, with or without colons or
// spaces, and returns it in lower case.
func readThumbprint(d *decoder, v value) (string, bool) {
	return parsed("Write the 64 hex digits that openssl x509 -noout -fingerprint -sha256 -in FILE shows", func(s string) (string, error) {
		hex := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(s))
		switch {
		case strings.Trim(hex, "0123456789abcdef") != "":
			return "", errors.New("is not a thumbprint in hex")
		case len(hex) == 40:
			return "", errors.New("is a SHA-1 thumbprint where SHA-256 is wanted")
		case len(hex) != 64:
			return "", errors.New("is not a SHA-256 thumbprint")
		}
		return hex, nil
	})(d, v)
}

func acceptedDomainObject() object[AcceptedDomain] {
	type a = AcceptedDomain
	return object[a]{
		kind: "an accepted domain",
		fields: []field[a]{
			{
				key: "name", doc: "The domain.", sample: "contoso.com", required: true,
				read: into(func(a *a) *smtp.Domain { return &a.Name }, readDomain),
			},
			{
				key: "type", doc: "Authoritative: handed off. InternalRelay: accepted from anyone and routed by send connectors.", def: "Authoritative",
				read: into(func(a *a) *AcceptedDomainType { return &a.Type }, choice([]AcceptedDomainType{Authoritative, InternalRelay}, "ExternalRelay")),
			},
			{
				key: "handOff", doc: "The mail system behind this server: smtp://host:port, lmtp://host:port or lmtp+unix:///path. Default: none, mail waits in the queue.", sample: `"smtp://127.0.0.1:2601"`,
				read: into(func(a *a) *string { return &a.HandOff }, readHandOff),
			},
		},
		unavailable: unavailableInAcceptedDomain(),
	}
}

func queueObject() object[Queue] {
	type q = Queue
	return object[q]{
		kind: "queue",
		fields: []field[q]{
			{
				key: "glitchRetryInterval", doc: "Time between the first tries after a failure.", def: "1m",
				read: into(func(q *q) *time.Duration { return &q.GlitchRetryInterval }, readInterval),
			},
			{
				key: "glitchRetryCount", doc: "How many of these tries there are.", def: "4",
				read: into(func(q *q) *int { return &q.GlitchRetryCount }, readTries),
			},
			{
				key: "transientRetryInterval", doc: "Time between the tries after those.", def: "10m",
				read: into(func(q *q) *time.Duration { return &q.TransientRetryInterval }, readInterval),
			},
			{
				key: "transientRetryCount", doc: "How many of these tries there are.", def: "6",
				read: into(func(q *q) *int { return &q.TransientRetryCount }, readTries),
			},
			{
				key: "retryInterval", doc: "Time between all later tries.", def: "30m",
				read: into(func(q *q) *time.Duration { return &q.RetryInterval }, readInterval),
			},
			{
				key: "delayNotification", doc: "When the sender is told that a message waits.", def: "4h",
				read: into(func(q *q) *time.Duration { return &q.DelayNotification }, readTimeout),
			},
			{
				key: "expiration", doc: "When a message is given up and its sender told.", def: "48h",
				read: into(func(q *q) *time.Duration { return &q.Expiration }, readTimeout),
			},
			{
				key: "maxConnectionsPerDestination", doc: "How many messages are delivered to one destination at a time, each over a connection of its own. All destinations share 1000.", def: "64",
				read: into(func(q *q) *int { return &q.MaxConnectionsPerDestination }, readConnections),
			},
		},
		unavailable: map[string]string{},
	}
}
