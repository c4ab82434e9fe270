package domainsec

import (
	"slices"
	"testing"
	"time"

	"mailpact/internal/directory"
)

func TestMatchHost(t *testing.T) {
	tests := []struct {
		names []string
		host  string
		want  string
	}{
		{[]string{"Mail1.Woodgrovebank.com"}, "mail1.woodgrovebank.com", "mail1.woodgrovebank.com"},
		{[]string{"a.example", "*.woodgrovebank.com"}, "mail1.woodgrovebank.com", "*.woodgrovebank.com"},
		{[]string{"*.woodgrovebank.com"}, "woodgrovebank.com", ""},
		{[]string{"*.woodgrovebank.com"}, "a.mail1.woodgrovebank.com", ""},
		{[]string{"mail1.woodgrovebank.com"}, "woodgrovebank.com", ""},
		{[]string{"*.com"}, "woodgrovebank.com", ""},
		{[]string{"m*.woodgrovebank.com", "mail1.*.com", "*"}, "mail1.woodgrovebank.com", ""},
		{[]string{"mail1.woodgrovebank.com."}, "mail1.woodgrovebank.com", ""},
		{[]string{"127.0.0.1"}, "127.0.0.1", "127.0.0.1"}, // who asks for an address does not ask here
		{nil, "mail1.woodgrovebank.com", ""},
		{[]string{""}, "", ""},
	}
	for _, tt := range tests {
		if got := MatchHost(tt.names, tt.host); got != tt.want {
			t.Errorf("MatchHost(%q, %q) = %q, want %q", tt.names, tt.host, got, tt.want)
		}
	}
}

// TestFactsOfAnotherNameCheckSecureNothing: a certificate that was judged for a
// host, or for no name, proves nothing to a session.
func TestFactsOfAnotherNameCheckSecureNothing(t *testing.T) {
	for _, check := range []NameCheck{NamesByHost, NamesUnchecked} {
		facts := &PeerFacts{
			Domain: "woodgrovebank.com", Direction: Inbound, NameCheck: check, MatchedName: "woodgrovebank.com",
			Paths: []PathFacts{{Anchor: "AA", Usage: UsageBoth, Revocation: RevocationGood}},
		}
		if v := VerdictForCertificate(facts, nil); v.Action != ActionSecure {
			t.Errorf("check %d: not valid for what it was judged for: %v", check, v.Reasons)
		}
		v := secureOrRefuse(facts, question{domain: "woodgrovebank.com", way: Inbound})
		if v.Action != ActionRefuse || !slices.Equal(v.Reasons, []Reason{SubjectMismatch}) {
			t.Errorf("check %d secured a session: %+v", check, v)
		}
	}
}

func TestVerdictForCertificate(t *testing.T) {
	good := PathFacts{Anchor: "AA", Usage: UsageServerAuth, Revocation: RevocationGood}
	strict := &directory.Partner{Domain: "woodgrovebank.com", Usage: directory.UsageStrict}
	tests := []struct {
		name    string
		facts   *PeerFacts
		partner *directory.Partner
		want    []Reason
	}{
		{"nothing", nil, nil, []Reason{EmptyCertificate}},
		{"zero", &PeerFacts{}, nil, []Reason{SubjectMismatch}},
		{"good", &PeerFacts{Domain: "woodgrovebank.com", Direction: Inbound, MatchedName: "woodgrovebank.com", Paths: []PathFacts{good}}, nil, nil},
		{"strict", &PeerFacts{Domain: "woodgrovebank.com", Direction: Inbound, MatchedName: "woodgrovebank.com", Paths: []PathFacts{good}}, strict, []Reason{WrongUsage}},
		{"no direction", &PeerFacts{Domain: "woodgrovebank.com", MatchedName: "woodgrovebank.com", Paths: []PathFacts{good}}, nil, []Reason{WrongUsage}},
		{"no name", &PeerFacts{Domain: "woodgrovebank.com", Direction: Inbound, Paths: []PathFacts{good}}, nil, []Reason{SubjectMismatch}},
		{"names unchecked", &PeerFacts{Direction: Inbound, NameCheck: NamesUnchecked, Paths: []PathFacts{good}}, nil, nil},
		{"no path", &PeerFacts{Direction: Inbound, NameCheck: NamesUnchecked}, nil, []Reason{UntrustedRoot}},
	}
	for _, tt := range tests {
		v := VerdictForCertificate(tt.facts, tt.partner)
		if !slices.Equal(v.Reasons, tt.want) || (v.Action == ActionSecure) != (tt.want == nil) {
			t.Errorf("%s: %v (action %d), want %v", tt.name, v.Reasons, v.Action, tt.want)
		}
		if tt.facts == nil || len(tt.facts.Paths) == 0 {
			continue
		}
		if got := PathReasons(tt.facts, &tt.facts.Paths[0], tt.partner); !slices.Equal(got, tt.want) {
			t.Errorf("%s: the path's reasons are %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestIsHostName(t *testing.T) {
	for name, want := range map[string]bool{
		"mail1.woodgrovebank.com": true, "*.woodgrovebank.com": true, "1.2.3.example": true, "127.0.0.1x": true,
		"127.0.0.1": false, "1.2": false, "localhost": false, "": false, ".": false, "a.": false, ".a": false, "*.": false,
		"Test Root": false, "a_b.example": false, "exämple.com": false, "*.*.example": false,
	} {
		if got := IsHostName(name); got != want {
			t.Errorf("IsHostName(%q) = %v", name, got)
		}
	}
}

// TestOverrideOutbound: an override passes over unknown revocation of the
// server's certificate and over nothing else, and secures nothing.
func TestOverrideOutbound(t *testing.T) {
	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	unknown := func(o *OutboundFacts) { o.Peer.Paths[0].Revocation = RevocationUnknown }
	tests := []struct {
		name   string
		until  time.Duration
		change func(*OutboundFacts)
		want   Action
	}{
		{"in force", time.Hour, unknown, ActionOrdinary},
		{"over", -time.Second, unknown, ActionRefuse},
		{"too far ahead", directory.MaxOverride + time.Second, unknown, ActionRefuse},
		{"none", 0, unknown, ActionRefuse},
		{"not needed", time.Hour, func(*OutboundFacts) {}, ActionSecure},
		{"revoked", time.Hour, func(o *OutboundFacts) { o.Peer.Paths[0].Revocation = RevocationRevoked }, ActionRefuse},
		{"another fault besides", time.Hour, func(o *OutboundFacts) { unknown(o); o.CertificateRequested = false }, ActionRefuse},
		{"our own unknown", time.Hour, func(o *OutboundFacts) { o.Own.Revocation = RevocationUnknown }, ActionRefuse},
		{"no clock", time.Hour, func(o *OutboundFacts) { unknown(o); o.Now = time.Time{} }, ActionRefuse},
	}
	for _, tt := range tests {
		o, p := goodOutbound(), enforcing()
		peer := *o.Peer
		peer.Paths = slices.Clone(peer.Paths)
		o.Peer, o.Now = &peer, now
		if tt.until != 0 {
			p.OverrideUntil = now.Add(tt.until)
		}
		tt.change(&o)
		v := VerdictForServer(o, woodgrove, p)
		if v.Action != tt.want || v.Unmarked != (tt.want == ActionOrdinary) {
			t.Errorf("%s: action %d, unmarked %v, %v", tt.name, v.Action, v.Unmarked, v.Reasons)
		}
	}
}
