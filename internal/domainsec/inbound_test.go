package domainsec

import (
	"slices"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	woodgrove smtp.Domain = "woodgrovebank.com"
	fabrikam  smtp.Domain = "fabrikam.example"
)

var epoch = time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)

func goodPath() PathFacts {
	return PathFacts{
		Elements:   []CertificateFacts{{Subject: "CN=mail1.woodgrovebank.com"}, {Subject: "CN=Woodgrove Root"}},
		Usage:      UsageBoth,
		Progress:   100,
		Anchor:     "AA",
		Revocation: RevocationGood,
		ValidUntil: epoch.Add(time.Hour),
	}
}

func goodPeer(way Direction) *PeerFacts {
	return &PeerFacts{
		Domain:      woodgrove,
		Direction:   way,
		Certificate: CertificateFacts{Subject: "CN=mail1.woodgrovebank.com", Names: []string{"mail1.woodgrovebank.com"}},
		MatchedName: "mail1.woodgrovebank.com",
		Paths:       []PathFacts{goodPath()},
	}
}

func goodSession() SessionFacts {
	return SessionFacts{
		DomainSecureEnabled: true,
		STARTTLSOffered:     true,
		TLS:                 &TLSFacts{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", PresentedOwn: true},
		Peer:                goodPeer(Inbound),
	}
}

func enforcing() *directory.Partner {
	return &directory.Partner{Domain: woodgrove, Mode: directory.ModeEnforce, Send: true, Receive: true}
}

func refused(reasons ...Reason) Verdict {
	return Verdict{Action: ActionRefuse, Reasons: reasons}
}

func refusedForNow(reasons ...Reason) Verdict {
	return Verdict{Action: ActionRefuse, Reasons: reasons, Temporary: true}
}

func secured() Verdict {
	p := goodPath()
	return Verdict{Action: ActionSecure, Domain: woodgrove, Path: &p, MatchedName: "mail1.woodgrovebank.com"}
}

// ignoringDetail compares verdicts by everything but the text for eyes, which
// a refusal must have.
func checkVerdict(t *testing.T, got, want Verdict) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Verdict{}, "Detail")); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	if got.Action == ActionRefuse && got.Detail == "" {
		t.Error("the refusal has no detail")
	}
}

// TestVerdictForSender is the table "Inbound, at each MAIL FROM on a receive
// connector", in its order, each row spoiling one thing of a good session.
func TestVerdictForSender(t *testing.T) {
	path := func(change func(*PathFacts)) func(*SessionFacts) {
		return func(s *SessionFacts) { change(&s.Peer.Paths[0]) }
	}
	fault := func(r Reason) func(*SessionFacts) {
		return path(func(p *PathFacts) { p.Reasons, p.Detail, p.Revocation = []Reason{r}, "spoiled", RevocationUnknown })
	}
	tests := []struct {
		name    string
		with    func(*SessionFacts)
		partner func(*directory.Partner)
		sender  smtp.Domain // "": woodgrove
		want    Verdict
	}{
		{name: "direct trust", with: func(s *SessionFacts) { s.DirectTrust = true }, want: Verdict{Action: ActionUpstream}},
		{name: "direct trust in the clear", with: func(s *SessionFacts) { s.DirectTrust, s.TLS = true, nil }, want: Verdict{Action: ActionUpstream}},
		{name: "authenticated client", with: func(s *SessionFacts) { s.Authenticated = true }, want: Verdict{Action: ActionOrdinary}},
		{name: "not in the list", partner: func(p *directory.Partner) { p.Receive = false }, want: Verdict{Action: ActionOrdinary}},
		{name: "connector not DomainSecureEnabled", with: func(s *SessionFacts) { s.DomainSecureEnabled = false }, want: Verdict{Action: ActionOrdinary}},
		{name: "no TLS", with: func(s *SessionFacts) { s.TLS, s.Peer = nil, nil }, want: refused(NoTLS)},
		{name: "no usable certificate to offer STARTTLS with", with: func(s *SessionFacts) { s.TLS, s.Peer, s.STARTTLSOffered = nil, nil, false }, want: refused(NoOwnCertificate)},
		{name: "no certificate", with: func(s *SessionFacts) { s.Peer = nil }, want: refused(EmptyCertificate)},
		{name: "untrusted", with: fault(UntrustedRoot), want: refused(UntrustedRoot)},
		{name: "expired", with: fault(CertificateExpired), want: refused(CertificateExpired)},
		{name: "not yet valid", with: fault(CertificateNotYetValid), want: refused(CertificateNotYetValid)},
		{name: "wrong usage", with: path(func(p *PathFacts) { p.Usage = "" }), want: refused(WrongUsage)},
		{name: "no name matches", with: func(s *SessionFacts) { s.Peer.MatchedName = "" }, want: refused(SubjectMismatch)},
		{name: "weak", with: fault(WeakSignature), want: refused(WeakSignature)},
		{name: "invalid chain", with: fault(InvalidChain), want: refused(InvalidChain)},
		{name: "revoked", with: path(func(p *PathFacts) { p.Revocation = RevocationRevoked }), want: refused(Revoked)},
		{name: "revocation unknown", with: path(func(p *PathFacts) { p.Revocation = RevocationUnknown }), want: refusedForNow(RevocationOffline)},
		{name: "all good", want: secured()},

		{name: "no path at all", with: func(s *SessionFacts) { s.Peer.Paths = nil }, want: refused(UntrustedRoot)},
		{name: "path without anchor", with: path(func(p *PathFacts) { p.Anchor = "" }), want: refused(UntrustedRoot)},
		{name: "zero path", with: func(s *SessionFacts) { s.Peer.Paths = make([]PathFacts, 1) }, want: refused(UntrustedRoot)},
		{name: "zero peer", with: func(s *SessionFacts) { s.Peer = &PeerFacts{} }, want: refused(SubjectMismatch)},
		{name: "judged for another domain", with: func(s *SessionFacts) { s.Peer.Domain = fabrikam }, want: refused(SubjectMismatch)},
		{name: "judged as a server", with: func(s *SessionFacts) { s.Peer.Direction = Outbound }, want: refused(SubjectMismatch)},
		{name: "another partner's rules", partner: func(p *directory.Partner) { p.Domain = fabrikam }, want: refused(SubjectMismatch)},
		{name: "sender without a domain", sender: "none", want: Verdict{Action: ActionOrdinary}},
		{name: "unknown mode enforces", partner: func(p *directory.Partner) { p.Mode = "" }, with: func(s *SessionFacts) { s.TLS = nil }, want: refused(NoTLS)},

		{name: "serverAuth alone", with: path(func(p *PathFacts) { p.Usage = UsageServerAuth }), want: securedWith(func(p *PathFacts) { p.Usage = UsageServerAuth })},
		{name: "clientAuth alone", with: path(func(p *PathFacts) { p.Usage = UsageClientAuth }), want: securedWith(func(p *PathFacts) { p.Usage = UsageClientAuth })},
		{name: "serverAuth alone, strict", with: path(func(p *PathFacts) { p.Usage = UsageServerAuth }), partner: func(p *directory.Partner) { p.Usage = directory.UsageStrict }, want: refused(WrongUsage)},
		{name: "serverAuth alone, unknown rule", with: path(func(p *PathFacts) { p.Usage = UsageServerAuth }), partner: func(p *directory.Partner) { p.Usage = "later" }, want: refused(WrongUsage)},
		{name: "revocation not required", with: path(func(p *PathFacts) { p.Revocation = RevocationNotRequired }), want: securedWith(func(p *PathFacts) { p.Revocation = RevocationNotRequired })},
		{name: "tied to its anchor", partner: func(p *directory.Partner) { p.Anchors = []string{"BB", "aa"} }, want: secured()},
		{name: "tied to another anchor", partner: func(p *directory.Partner) { p.Anchors = []string{"BB"} }, want: refused(UntrustedRoot)},

		{name: "all reasons, most severe first", with: func(s *SessionFacts) {
			fault(CertificateExpired)(s)
			s.Peer.Paths[0].Usage, s.Peer.MatchedName = "", ""
		}, want: refused(SubjectMismatch, WrongUsage, CertificateExpired)},
		{name: "a stranger's revocation is not looked for", with: func(s *SessionFacts) {
			s.Peer.MatchedName, s.Peer.Paths[0].Revocation = "", RevocationUnknown
		}, want: refused(SubjectMismatch)},

		{
			name: "test mode, refused", partner: inTestMode, with: func(s *SessionFacts) { s.TLS = nil },
			want: Verdict{Action: ActionOrdinary, Reasons: []Reason{NoTLS}, WouldRefuse: true},
		},
		{
			name: "test mode, revocation unknown", partner: inTestMode, with: path(func(p *PathFacts) { p.Revocation = RevocationUnknown }),
			want: Verdict{Action: ActionOrdinary, Reasons: []Reason{RevocationOffline}, WouldRefuse: true, Temporary: true},
		},
		{name: "test mode, all good", partner: inTestMode, want: func() Verdict {
			v := secured()
			v.Action, v.Domain = ActionOrdinary, ""
			return v
		}()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, p, sender := goodSession(), enforcing(), woodgrove
			if tt.with != nil {
				tt.with(&s)
			}
			if tt.partner != nil {
				tt.partner(p)
			}
			if tt.sender == "none" {
				sender = ""
			}
			checkVerdict(t, VerdictForSender(s, sender, p), tt.want)
		})
	}
	t.Run("no partner", func(t *testing.T) {
		checkVerdict(t, VerdictForSender(goodSession(), woodgrove, nil), Verdict{Action: ActionOrdinary})
	})
}

func inTestMode(p *directory.Partner) { p.Mode = directory.ModeTest }

func securedWith(change func(*PathFacts)) Verdict {
	v := secured()
	change(v.Path)
	return v
}

// TestSeveralPaths is the paragraph "Several paths, one verdict".
func TestSeveralPaths(t *testing.T) {
	path := func(change func(*PathFacts)) PathFacts {
		p := goodPath()
		if change != nil {
			change(&p)
		}
		return p
	}
	good := path(nil)
	revoked := path(func(p *PathFacts) { p.Revocation = RevocationRevoked })
	unknown := path(func(p *PathFacts) { p.Revocation = RevocationUnknown })
	expired := path(func(p *PathFacts) {
		p.Reasons, p.Progress, p.Revocation = []Reason{CertificateExpired}, 50, RevocationUnknown
	})
	untrusted := path(func(p *PathFacts) {
		p.Reasons, p.Progress, p.Anchor, p.Revocation = []Reason{UntrustedRoot}, 2, "", RevocationUnknown
	})
	tests := []struct {
		name  string
		paths []PathFacts
		want  Verdict
	}{
		{"one good is enough", []PathFacts{expired, unknown, good, untrusted}, secured()},
		{"revoked on one is revoked on all", []PathFacts{good, revoked}, refused(Revoked)},
		{"revoked before the good one", []PathFacts{revoked, good}, refused(Revoked)},
		{"revoked on a path that is bad anyway", []PathFacts{good, path(func(p *PathFacts) {
			p.Reasons, p.Revocation = []Reason{CertificateExpired}, RevocationRevoked
		})}, refused(Revoked)},
		{"unknown is temporary whatever else failed", []PathFacts{expired, unknown, untrusted}, refusedForNow(RevocationOffline)},
		{"unknown on a path that is bad anyway does not count", []PathFacts{expired, untrusted}, refused(CertificateExpired)},
		{"the furthest is reported", []PathFacts{untrusted, expired}, refused(CertificateExpired)},
		{"of equals the first", []PathFacts{untrusted, path(func(p *PathFacts) {
			p.Reasons, p.Progress = []Reason{WeakSignature}, 2
		})}, refused(UntrustedRoot)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := goodSession()
			s.Peer.Paths = tt.paths
			checkVerdict(t, VerdictForSender(s, woodgrove, enforcing()), tt.want)
		})
	}
}

func TestVerdictForNullSender(t *testing.T) {
	spoil := map[string]func(*SessionFacts){
		"no TLS":                func(s *SessionFacts) { s.TLS = nil },
		"no certificate":        func(s *SessionFacts) { s.Peer = nil },
		"name does not match":   func(s *SessionFacts) { s.Peer.MatchedName = "" },
		"revoked":               func(s *SessionFacts) { s.Peer.Paths[0].Revocation = RevocationRevoked },
		"unknown":               func(s *SessionFacts) { s.Peer.Paths[0].Revocation = RevocationUnknown },
		"judged for another":    func(s *SessionFacts) { s.Peer.Domain = fabrikam },
		"connector not enabled": func(s *SessionFacts) { s.DomainSecureEnabled = false },
	}
	for name, with := range spoil {
		t.Run(name, func(t *testing.T) {
			s := goodSession()
			with(&s)
			checkVerdict(t, VerdictForNullSender(s, woodgrove, enforcing()), Verdict{Action: ActionOrdinary})
		})
	}
	checkVerdict(t, VerdictForNullSender(goodSession(), woodgrove, enforcing()), secured())
	checkVerdict(t, VerdictForNullSender(goodSession(), woodgrove, nil), Verdict{Action: ActionOrdinary})
	p := enforcing()
	inTestMode(p)
	checkVerdict(t, VerdictForNullSender(goodSession(), woodgrove, p), Verdict{Action: ActionOrdinary})
	checkVerdict(t, VerdictForNullSender(SessionFacts{DirectTrust: true}, woodgrove, enforcing()), Verdict{Action: ActionUpstream})
}

func TestPermissionsFor(t *testing.T) {
	const anonymous = SMTPSubmit | SMTPAcceptAnySender | SMTPAcceptAuthoritativeDomainSender | AcceptRoutingHeaders
	both := []directory.PermissionGroup{directory.GroupAnonymousUsers, directory.GroupPartners}
	tests := []struct {
		name    string
		verdict Verdict
		groups  []directory.PermissionGroup
		want    Permissions
	}{
		{"ordinary", Verdict{Action: ActionOrdinary}, both, anonymous},
		{"ordinary, Partners only", Verdict{Action: ActionOrdinary}, both[1:], 0},
		{"secured", secured(), both, SMTPSubmit | AcceptRoutingHeaders},
		{"secured, AnonymousUsers only", secured(), both[:1], 0},
		{"secured for nobody", Verdict{Action: ActionSecure}, both, 0},
		{"refused", refused(NoTLS), both, 0},
		{"undecided", Verdict{}, both, 0},
		{"no groups", Verdict{Action: ActionOrdinary}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &directory.ReceiveConnector{PermissionGroups: tt.groups}
			if got := PermissionsFor(tt.verdict, c, false); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	inner := &directory.ReceiveConnector{
		AuthMechanism:    []directory.AuthMechanism{directory.AuthExternalAuthoritative},
		PermissionGroups: []directory.PermissionGroup{directory.GroupExchangeServers},
	}
	if got := PermissionsFor(Verdict{Action: ActionOrdinary}, inner, false); got != anonymous|SMTPAcceptAnyRecipient {
		t.Errorf("externally secured: got %v", got)
	}
	if got := PermissionsFor(refused(NoTLS), inner, false); got != 0 {
		t.Errorf("externally secured, refused: got %v", got)
	}
	users := &directory.ReceiveConnector{PermissionGroups: []directory.PermissionGroup{directory.GroupExchangeUsers, directory.GroupPartners}}
	const user = SMTPSubmit | SMTPAcceptAuthoritativeDomainSender | AcceptRoutingHeaders | SMTPAcceptAnyRecipient
	if got := PermissionsFor(Verdict{Action: ActionOrdinary}, users, true); got != user {
		t.Errorf("authenticated: got %v", got)
	}
	if got := PermissionsFor(Verdict{Action: ActionOrdinary}, users, false); got != 0 {
		t.Errorf("not authenticated: got %v", got)
	}
	if got := PermissionsFor(secured(), users, true); got != 0 {
		t.Errorf("authenticated and secured: got %v", got)
	}
	anonymousOnly := &directory.ReceiveConnector{PermissionGroups: both[:1]}
	if got := PermissionsFor(Verdict{Action: ActionOrdinary}, anonymousOnly, true); got != anonymous {
		t.Errorf("authenticated where that gives nothing: got %v", got)
	}
	if got := PermissionsFor(secured(), nil, false); got != 0 {
		t.Errorf("no connector: got %v", got)
	}
	if got, want := anonymous.String(), "SMTPSubmit SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders"; got != want {
		t.Errorf("String: got %q, want %q", got, want)
	}
	if got := Permissions(0).String(); got != "None" {
		t.Errorf("String of none: got %q", got)
	}
}

func TestReasonWords(t *testing.T) {
	// The words of contract.md, which tools and tests outside hold on to.
	contract := map[Reason]string{
		NoTLS: "NoTLS", NoOwnCertificate: "NoOwnCertificate", EmptyCertificate: "EmptyCertificate",
		UntrustedRoot: "UntrustedRoot", CertificateExpired: "CertificateExpired",
		CertificateNotYetValid: "CertificateNotYetValid", WrongUsage: "WrongUsage",
		SubjectMismatch: "SubjectMismatch", WeakSignature: "WeakSignature", Revoked: "Revoked",
		RevocationOffline: "RevocationOffline",
	}
	for r, word := range contract {
		if r.String() != word {
			t.Errorf("reason %d: got %q, want %q", r, r, word)
		}
	}
	all := Reasons()
	if want := int(HandshakeFailed); len(all) != want {
		t.Errorf("the table has %d reasons, want %d", len(all), want)
	}
	for i, r := range all {
		parsed, err := ParseReason(r.String())
		if err != nil || parsed != r {
			t.Errorf("ParseReason(%q) = %v, %v", r, parsed, err)
		}
		if i > 0 && r.Severity() >= all[i-1].Severity() {
			t.Errorf("%v is not less severe than %v", r, all[i-1])
		}
		text, err := r.MarshalText()
		var back Reason
		if err != nil || back.UnmarshalText(text) != nil || back != r {
			t.Errorf("%v does not survive as text: %q, %v, %v", r, text, back, err)
		}
		if r.Temporary() != (r == RevocationOffline || r == OwnRevocationOffline) {
			t.Errorf("%v: temporary %t", r, r.Temporary())
		}
	}
	for _, s := range []string{"", "Unknown", "notls", "NoTLS "} {
		if r, err := ParseReason(s); err == nil {
			t.Errorf("ParseReason(%q) = %v", s, r)
		}
	}
	if ReasonUnknown.String() != "Unknown" || ReasonUnknown.Severity() != 0 || ReasonUnknown.Temporary() {
		t.Error("the unknown reason has a word, a severity or may pass")
	}
	in := []Reason{RevocationOffline, Revoked, NoTLS, Revoked}
	if got := SortReasons(in); !slices.Equal(got, []Reason{NoTLS, Revoked, RevocationOffline}) || in[0] != RevocationOffline {
		t.Errorf("SortReasons: got %v, argument now %v", got, in)
	}
}
