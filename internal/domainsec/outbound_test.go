package domainsec

import (
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func goodConnector() *directory.SendConnector {
	return &directory.SendConnector{
		Name: "Internet", Enabled: true, DNSRoutingEnabled: true, DomainSecureEnabled: true,
		AddressSpaces: []directory.AddressSpace{{Any: true, Cost: 1}},
	}
}

func goodOutbound() OutboundFacts {
	return OutboundFacts{
		Connector:            goodConnector(),
		STARTTLSOffered:      true,
		TLS:                  &TLSFacts{Version: "TLSv1.3", PresentedOwn: true},
		Peer:                 goodPeer(Outbound),
		CertificateRequested: true,
		Own:                  OwnFacts{Chosen: true, Revocation: RevocationGood},
	}
}

// TestVerdictForServer is the row "in TLSSendDomainSecureList" of the table
// "Outbound, for a recipient domain", each thing that it demands spoiled once.
func TestVerdictForServer(t *testing.T) {
	path := func(change func(*PathFacts)) func(*OutboundFacts) {
		return func(o *OutboundFacts) { change(&o.Peer.Paths[0]) }
	}
	fault := func(r Reason) func(*OutboundFacts) {
		return path(func(p *PathFacts) { p.Reasons, p.Detail, p.Revocation = []Reason{r}, "spoiled", RevocationUnknown })
	}
	inClear := func(o *OutboundFacts) { o.TLS, o.Peer, o.CertificateRequested = nil, nil, false }
	tests := []struct {
		name    string
		with    func(*OutboundFacts)
		partner func(*directory.Partner)
		want    Verdict
	}{
		{name: "all good", want: secured()},
		{name: "connector not DomainSecureEnabled", with: func(o *OutboundFacts) { o.Connector.DomainSecureEnabled = false }, want: refused(ConnectorNotDomainSecure)},
		{name: "connector not DNS-routed", with: func(o *OutboundFacts) { o.Connector.DNSRoutingEnabled = false }, want: refused(ConnectorNotDomainSecure)},
		{name: "connector with smart hosts", with: func(o *OutboundFacts) { o.Connector.SmartHosts = []string{"relay.example"} }, want: refused(ConnectorNotDomainSecure)},
		{name: "connector ignores STARTTLS", with: func(o *OutboundFacts) { o.Connector.IgnoreSTARTTLS = true }, want: refused(ConnectorNotDomainSecure)},
		{name: "connector forces HELO", with: func(o *OutboundFacts) { o.Connector.ForceHELO = true }, want: refused(ConnectorNotDomainSecure)},
		{name: "no connector", with: func(o *OutboundFacts) { o.Connector = nil }, want: refused(ConnectorNotDomainSecure)},
		{name: "STARTTLS not offered", with: func(o *OutboundFacts) { inClear(o); o.STARTTLSOffered = false }, want: refused(NoTLS)},
		{name: "STARTTLS refused or handshake failed", with: inClear, want: refused(HandshakeFailed)},
		{name: "handshake ended over our certificate", with: func(o *OutboundFacts) { inClear(o); o.OwnRefused = true }, want: refused(OwnCertificateRefused)},
		{name: "we have no certificate", with: func(o *OutboundFacts) { o.Own, o.TLS.PresentedOwn = OwnFacts{}, false }, want: refused(NoOwnCertificate)},
		{name: "our certificate expired", with: func(o *OutboundFacts) { o.Own.Reasons = []Reason{CertificateExpired} }, want: refused(OwnCertificateInvalid)},
		{name: "our certificate revoked", with: func(o *OutboundFacts) { o.Own.Revocation = RevocationRevoked }, want: refused(OwnCertificateInvalid)},
		{name: "our revocation unknown", with: func(o *OutboundFacts) { o.Own.Revocation = RevocationUnknown }, want: refusedForNow(OwnRevocationOffline)},
		{name: "our revocation not required", with: func(o *OutboundFacts) { o.Own.Revocation = RevocationNotRequired }, want: secured()},
		{name: "no certificate", with: func(o *OutboundFacts) { o.Peer = nil }, want: refused(EmptyCertificate)},
		{name: "untrusted", with: fault(UntrustedRoot), want: refused(UntrustedRoot)},
		{name: "expired", with: fault(CertificateExpired), want: refused(CertificateExpired)},
		{name: "not yet valid", with: fault(CertificateNotYetValid), want: refused(CertificateNotYetValid)},
		{name: "weak", with: fault(WeakSignature), want: refused(WeakSignature)},
		{name: "invalid chain", with: fault(InvalidChain), want: refused(InvalidChain)},
		{name: "clientAuth alone", with: path(func(p *PathFacts) { p.Usage = UsageClientAuth }), want: refused(WrongUsage)},
		{
			name: "serverAuth alone, strict", with: path(func(p *PathFacts) { p.Usage = UsageServerAuth }),
			partner: func(p *directory.Partner) { p.Usage = directory.UsageStrict }, want: securedWith(func(p *PathFacts) { p.Usage = UsageServerAuth }),
		},
		{name: "revoked", with: path(func(p *PathFacts) { p.Revocation = RevocationRevoked }), want: refused(Revoked)},
		{name: "revocation unknown", with: path(func(p *PathFacts) { p.Revocation = RevocationUnknown }), want: refusedForNow(RevocationOffline)},
		{name: "no name matches the recipient's domain", with: func(o *OutboundFacts) { o.Peer.MatchedName = "" }, want: refused(SubjectMismatch)},
		{name: "verified for another domain", with: func(o *OutboundFacts) { o.Peer.Domain = fabrikam }, want: refused(SubjectMismatch)},
		{name: "judged as a client", with: func(o *OutboundFacts) { o.Peer.Direction = Inbound }, want: refused(SubjectMismatch)},
		{name: "our certificate not asked for", with: func(o *OutboundFacts) { o.CertificateRequested, o.TLS.PresentedOwn = false, false }, want: refused(NotMutual)},
		{name: "our certificate asked for after the handshake", with: func(o *OutboundFacts) { o.CertificateRequested = false }, want: refused(NotMutual)},
		{name: "our certificate asked for but not sent", with: func(o *OutboundFacts) { o.TLS.PresentedOwn = false }, want: refused(NotMutual)},
		{name: "our certificate refused", with: func(o *OutboundFacts) { o.OwnRefused = true }, want: refused(OwnCertificateRefused)},

		{name: "all reasons, most severe first", with: func(o *OutboundFacts) {
			o.Connector.DomainSecureEnabled, o.CertificateRequested, o.TLS.PresentedOwn = false, false, false
			fault(CertificateExpired)(o)
			o.Own.Revocation = RevocationUnknown
		}, want: refused(ConnectorNotDomainSecure, CertificateExpired, NotMutual, OwnRevocationOffline)},
		{name: "both unknown is temporary", with: func(o *OutboundFacts) {
			o.Own.Revocation, o.Peer.Paths[0].Revocation = RevocationUnknown, RevocationUnknown
		}, want: refusedForNow(RevocationOffline, OwnRevocationOffline)},
		{name: "nothing known", with: func(o *OutboundFacts) { *o = OutboundFacts{} }, want: refused(ConnectorNotDomainSecure, NoTLS, NoOwnCertificate)},
		{name: "another partner's rules", partner: func(p *directory.Partner) { p.Domain = fabrikam }, want: refused(SubjectMismatch)},
		{name: "test mode does not soften what is asked", partner: inTestMode, with: func(o *OutboundFacts) { o.Peer.MatchedName = "" }, want: refused(SubjectMismatch)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, p := goodOutbound(), enforcing()
			if tt.with != nil {
				tt.with(&o)
			}
			if tt.partner != nil {
				tt.partner(p)
			}
			checkVerdict(t, VerdictForServer(o, woodgrove, p), tt.want)
		})
	}
	t.Run("no longer listed", func(t *testing.T) {
		checkVerdict(t, VerdictForServer(goodOutbound(), woodgrove, nil), secured())
		o := goodOutbound()
		o.Peer.Paths[0].Usage = UsageClientAuth
		checkVerdict(t, VerdictForServer(o, woodgrove, nil), refused(WrongUsage))
	})
	t.Run("no domain", func(t *testing.T) {
		checkVerdict(t, VerdictForServer(goodOutbound(), "", nil), refused(SubjectMismatch))
	})
}

func TestRequirementFor(t *testing.T) {
	tests := []struct {
		name      string
		connector func(*directory.SendConnector)
		partner   func(*directory.Partner)
		want      Requirement
		hold      []string // what Hold must say; none: it must be empty
	}{
		{name: "listed", want: Requirement{Level: LevelDomainSecure, TLSDomain: woodgrove}},
		{
			name: "listed, connector not DomainSecureEnabled", connector: func(c *directory.SendConnector) { c.DomainSecureEnabled = false },
			want: held(), hold: []string{"woodgrovebank.com", `"Internet"`, "domainSecureEnabled"},
		},
		{
			name: "listed, smart hosts", connector: func(c *directory.SendConnector) { c.DNSRoutingEnabled, c.SmartHosts = false, []string{"x.example"} },
			want: held(), hold: []string{"dnsRoutingEnabled"},
		},
		{name: "listed, STARTTLS ignored", connector: func(c *directory.SendConnector) { c.IgnoreSTARTTLS = true }, want: held(), hold: []string{"ignoreSTARTTLS"}},
		{name: "listed, HELO forced", connector: func(c *directory.SendConnector) { c.ForceHELO = true }, want: held(), hold: []string{"forceHELO"}},
		{
			name: "listed, two faults", connector: func(c *directory.SendConnector) { c.ForceHELO, c.DomainSecureEnabled = true, false },
			want: held(), hold: []string{"forceHELO", "domainSecureEnabled"},
		},
		{name: "listed, unknown mode", partner: func(p *directory.Partner) { p.Mode = "" }, want: Requirement{Level: LevelDomainSecure, TLSDomain: woodgrove}},
		{name: "test mode", partner: inTestMode, want: Requirement{Level: LevelOpportunistic, TLSDomain: woodgrove, TrySecured: true}},
		{
			name: "test mode, connector cannot", partner: inTestMode, connector: func(c *directory.SendConnector) { c.DomainSecureEnabled = false },
			want: Requirement{Level: LevelOpportunistic},
		},
		{
			name: "test mode, TLS required", partner: inTestMode, connector: func(c *directory.SendConnector) { c.RequireTLS = true },
			want: Requirement{Level: LevelTLSRequired, TLSDomain: woodgrove, TrySecured: true},
		},
		{name: "not in the list", partner: func(p *directory.Partner) { p.Send = false }, want: Requirement{Level: LevelOpportunistic}},
		{name: "another domain's partner", partner: func(p *directory.Partner) { p.Domain = fabrikam }, want: Requirement{Level: LevelOpportunistic}},
		{
			name: "not in the list, TLS required", partner: func(p *directory.Partner) { p.Send = false },
			connector: func(c *directory.SendConnector) { c.RequireTLS = true }, want: Requirement{Level: LevelTLSRequired},
		},
		{
			name: "not in the list, STARTTLS ignored", partner: func(p *directory.Partner) { p.Send = false },
			connector: func(c *directory.SendConnector) { c.IgnoreSTARTTLS = true }, want: Requirement{Level: LevelPlain},
		},
		{
			name: "not in the list, HELO forced", partner: func(p *directory.Partner) { p.Send = false },
			connector: func(c *directory.SendConnector) { c.ForceHELO = true }, want: Requirement{Level: LevelPlain},
		},
		{
			name: "TLS required and ignored", partner: func(p *directory.Partner) { p.Send = false },
			connector: func(c *directory.SendConnector) { c.RequireTLS, c.IgnoreSTARTTLS = true, true },
			want:      Requirement{Level: LevelTLSRequired, Reasons: []Reason{NoTLS}}, hold: []string{"requireTLS", "ignoreSTARTTLS"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, p := goodConnector(), enforcing()
			if tt.connector != nil {
				tt.connector(c)
			}
			if tt.partner != nil {
				tt.partner(p)
			}
			got := RequirementFor(woodgrove, p, c)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Requirement{}, "Hold")); diff != "" {
				t.Errorf("requirement (-want +got):\n%s", diff)
			}
			if (got.Hold != "") != (len(tt.hold) > 0) {
				t.Errorf("hold: %q", got.Hold)
			}
			for _, s := range tt.hold {
				if !strings.Contains(got.Hold, s) {
					t.Errorf("hold %q does not say %q", got.Hold, s)
				}
			}
		})
	}
	if got := RequirementFor(woodgrove, nil, goodConnector()); got.Level != LevelOpportunistic {
		t.Errorf("no partner: %+v", got)
	}
	if got := RequirementFor(woodgrove, nil, nil); got.Hold == "" || got.Level != LevelUnknown {
		t.Errorf("no connector: %+v", got)
	}
	if LevelUnknown >= LevelPlain || LevelTLSRequired >= LevelDomainSecure || LevelUnknown.String() != "Unknown" || LevelDomainSecure.String() != "DomainSecure" {
		t.Error("levels are out of order or misnamed")
	}
}

func held() Requirement {
	return Requirement{Level: LevelDomainSecure, TLSDomain: woodgrove, Reasons: []Reason{ConnectorNotDomainSecure}}
}

func TestFindings(t *testing.T) {
	secureDoor := func() directory.ReceiveConnector {
		return directory.ReceiveConnector{
			Name: "Inet", Bindings: []string{"0.0.0.0:25"}, DomainSecureEnabled: true,
			AuthMechanism:    []directory.AuthMechanism{directory.AuthTLS},
			PermissionGroups: []directory.PermissionGroup{directory.GroupAnonymousUsers, directory.GroupPartners},
		}
	}
	addresses := func(texts ...string) (out []directory.AddressRange) {
		for _, s := range texts {
			r, err := directory.ParseAddressRange(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, r)
		}
		return out
	}
	good := func() *directory.Configuration {
		return &directory.Configuration{
			Partners:          []directory.Partner{*enforcing()},
			ReceiveConnectors: []directory.ReceiveConnector{secureDoor()},
			SendConnectors:    []directory.SendConnector{*goodConnector()},
		}
	}
	tests := []struct {
		name string
		with func(*directory.Configuration)
		want []string // "level object"
	}{
		{"good", func(*directory.Configuration) {}, nil},
		{"the other door", func(c *directory.Configuration) {
			open := secureDoor()
			open.Name, open.DomainSecureEnabled = "Open", false
			c.ReceiveConnectors = append(c.ReceiveConnectors, open)
		}, []string{"error receiveConnectors[Open]"}},
		{"the other door on loopback", func(c *directory.Configuration) {
			c.ReceiveConnectors[0].DomainSecureEnabled, c.ReceiveConnectors[0].Bindings = false, []string{"127.0.0.1:25"}
		}, []string{"warning receiveConnectors[Inet]"}},
		{"the other door behind a proxy on loopback", func(c *directory.Configuration) {
			c.ReceiveConnectors[0].DomainSecureEnabled, c.ReceiveConnectors[0].Bindings = false, []string{"127.0.0.1:25"}
			c.ReceiveConnectors[0].ProxyProtocolFrom = addresses("127.0.0.1")
		}, []string{"error receiveConnectors[Inet]"}},
		{"the other door for inside clients", func(c *directory.Configuration) {
			c.ReceiveConnectors[0].DomainSecureEnabled, c.ReceiveConnectors[0].RemoteIPRanges = false, addresses("10.0.0.0/8")
		}, []string{"warning receiveConnectors[Inet]"}},
		{"the other door for inside clients and others", func(c *directory.Configuration) {
			c.ReceiveConnectors[0].DomainSecureEnabled, c.ReceiveConnectors[0].RemoteIPRanges = false, addresses("10.0.0.0/8", "192.0.2.0/24")
		}, []string{"error receiveConnectors[Inet]"}},
		{"a door for partners alone", func(c *directory.Configuration) {
			c.ReceiveConnectors[0].DomainSecureEnabled = false
			c.ReceiveConnectors[0].PermissionGroups = []directory.PermissionGroup{directory.GroupPartners}
		}, nil},
		{"nobody listed", func(c *directory.Configuration) {
			c.Partners, c.ReceiveConnectors[0].DomainSecureEnabled = nil, false
		}, nil},
		{"test mode only", func(c *directory.Configuration) {
			inTestMode(&c.Partners[0])
			c.ReceiveConnectors[0].DomainSecureEnabled, c.SendConnectors = false, nil
		}, nil},
		{
			"send connector cannot secure", func(c *directory.Configuration) { c.SendConnectors[0].DomainSecureEnabled = false },
			[]string{"error sendConnectors[Internet]"},
		},
		{"one of two cannot secure", func(c *directory.Configuration) {
			s := *goodConnector()
			s.Name, s.IgnoreSTARTTLS = "Other", true
			s.AddressSpaces = []directory.AddressSpace{{Domain: woodgrove, Cost: 1}}
			c.SendConnectors = append(c.SendConnectors, s)
		}, []string{"warning sendConnectors[Other]"}},
		{"no send connector", func(c *directory.Configuration) {
			c.SendConnectors[0].AddressSpaces = []directory.AddressSpace{{Domain: fabrikam, Cost: 1}}
		}, []string{"error partners[woodgrovebank.com]"}},
		{"a connector for its subdomains", func(c *directory.Configuration) {
			c.SendConnectors[0].AddressSpaces = []directory.AddressSpace{{Domain: "com", Subdomains: true, Cost: 1}}
		}, nil},
		{"a listed name outside", func(c *directory.Configuration) {
			c.Partners[0].NameRule, c.Partners[0].Names = directory.NameRuleListed, []string{"mx.woodgrovebank.com", "mx.provider.example"}
		}, []string{"warning partners[woodgrovebank.com].names"}},
		{"all listed names outside", func(c *directory.Configuration) {
			c.Partners[0].NameRule, c.Partners[0].Names = directory.NameRuleListed, []string{"*.provider.example"}
		}, []string{"error partners[woodgrovebank.com].names"}},
		{"listed names outside, sending only", func(c *directory.Configuration) {
			c.Partners[0].NameRule, c.Partners[0].Names, c.Partners[0].Receive = directory.NameRuleListed, []string{"mx.provider.example"}, false
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.with(c)
			var got []string
			for _, f := range Findings(c) {
				got = append(got, string(f.Level)+" "+f.Object)
				if f.Text == "" || f.Fix == "" {
					t.Errorf("%s has no text or no mend: %+v", f.Object, f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
	if got := listDomains([]smtp.Domain{"a.b", "c.d", "e.f", "g.h"}); got != "a.b, c.d, e.f and 1 more" {
		t.Errorf("listDomains: %q", got)
	}
}
