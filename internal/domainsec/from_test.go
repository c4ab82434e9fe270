package domainsec

import (
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func fromFacts(domains ...smtp.Domain) FromFacts {
	return FromFacts{Fields: 1, Strict: domains, StrictOK: true, Union: domains}
}

// TestAlignFrom starts from a message that earns the mark and spoils one thing.
func TestAlignFrom(t *testing.T) {
	const other, stranger smtp.Domain = "contoso.example", "nobody.example"
	with := func(change func(*FromFacts)) FromFacts {
		f := fromFacts(woodgrove)
		change(&f)
		return f
	}
	ordinary := Verdict{Action: ActionOrdinary}
	unsecured := func(d ...smtp.Domain) FromVerdict {
		return FromVerdict{Unsecured: d, Reasons: []Reason{FromMismatch}}
	}
	refusal := func(temporary bool, reasons []Reason, d ...smtp.Domain) FromVerdict {
		return FromVerdict{Refuse: true, Temporary: temporary, Unsecured: d, Reasons: reasons}
	}
	tests := []struct {
		name    string
		from    FromFacts
		verdict Verdict // zero: secured for woodgrovebank.com
		exempt  bool
		partner directory.Partner // rules of every listed domain
		session Verdict
		want    FromVerdict
	}{
		{name: "aligned", from: fromFacts(woodgrove), want: FromVerdict{Mark: woodgrove}},
		{name: "two addresses in the domain", from: fromFacts(woodgrove, woodgrove), want: FromVerdict{Mark: woodgrove}},
		{name: "two fields", from: with(func(f *FromFacts) { f.Fields = 2 }), want: FromVerdict{}},
		{name: "no field", from: FromFacts{}, want: FromVerdict{}},
		{name: "strict parser refuses", from: with(func(f *FromFacts) { f.StrictOK = false }), want: FromVerdict{}},
		{name: "nothing found strictly", from: with(func(f *FromFacts) { f.Strict = nil }), want: FromVerdict{}},
		{name: "nothing found leniently", from: with(func(f *FromFacts) { f.Union = nil }), want: FromVerdict{}},
		{name: "a lenient parser finds another", from: with(func(f *FromFacts) { f.Union = []smtp.Domain{woodgrove, stranger} }), want: FromVerdict{}},
		{name: "a domain that cannot be read", from: with(func(f *FromFacts) { f.Union = []smtp.Domain{woodgrove, ""} }), want: FromVerdict{}},
		{
			name: "more than is looked at", from: with(func(f *FromFacts) { f.Incomplete = true }),
			want: FromVerdict{Refuse: true, Reasons: []Reason{FromMismatch}},
		},
		{name: "more than is looked at, exempt", from: with(func(f *FromFacts) { f.Incomplete = true }), exempt: true, want: FromVerdict{}},
		{name: "more than is looked at, direct trust", from: with(func(f *FromFacts) { f.Incomplete = true }), verdict: Verdict{Action: ActionUpstream}, want: FromVerdict{}},
		{name: "a second address elsewhere", from: fromFacts(woodgrove, stranger), want: FromVerdict{}},
		{name: "a subdomain", from: fromFacts("mail.woodgrovebank.com"), want: FromVerdict{}},
		{name: "a stranger", from: fromFacts(stranger), want: FromVerdict{}},
		{name: "a second listed domain", from: fromFacts(woodgrove, other), want: unsecured(other)},
		{name: "direct trust", from: fromFacts(other), verdict: Verdict{Action: ActionUpstream}, partner: directory.Partner{FromAlignment: directory.FromRefuse}, want: FromVerdict{}},
		{name: "authenticated", from: fromFacts(other), exempt: true, partner: directory.Partner{FromAlignment: directory.FromRefuse}, want: FromVerdict{}},
		{name: "exempt is never marked", from: fromFacts(woodgrove), exempt: true, want: FromVerdict{}},

		{name: "not secured, unmarked", from: fromFacts(woodgrove), verdict: ordinary, want: unsecured(woodgrove)},
		{name: "not secured, rule unset", from: fromFacts(woodgrove), verdict: ordinary, partner: directory.Partner{FromAlignment: ""}, want: unsecured(woodgrove)},
		{
			name: "not secured, refuse", from: fromFacts(woodgrove), verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromRefuse}, session: refused(NoTLS),
			want: refusal(false, []Reason{NoTLS, FromMismatch}, woodgrove),
		},
		{
			name: "not secured, refuse, session good for it", from: fromFacts(woodgrove), verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromRefuse}, session: secured(),
			want: refusal(false, []Reason{FromMismatch}, woodgrove),
		},
		{
			name: "not secured, refuse, session temporary", from: fromFacts(woodgrove), verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromRefuse}, session: refusedForNow(RevocationOffline),
			want: refusal(true, []Reason{RevocationOffline, FromMismatch}, woodgrove),
		},
		{
			name: "not secured, dmarc shows nothing", from: fromFacts(woodgrove), verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromDMARC}, session: refused(NoTLS),
			want: refusal(false, []Reason{NoTLS, FromMismatch}, woodgrove),
		},
		{
			name: "not secured, refuse, test mode", from: fromFacts(woodgrove), verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromRefuse, Mode: directory.ModeTest},
			want: FromVerdict{WouldRefuse: true, Unsecured: []smtp.Domain{woodgrove}, Reasons: []Reason{FromMismatch}},
		},
		{
			name: "found by one parser only", from: FromFacts{Fields: 1, Union: []smtp.Domain{stranger, woodgrove}}, verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromRefuse}, session: refused(NoTLS),
			want: refusal(false, []Reason{NoTLS, FromMismatch}, woodgrove),
		},
		{
			name: "found in the second field", from: FromFacts{Fields: 2, Union: []smtp.Domain{stranger, woodgrove}}, verdict: ordinary, partner: directory.Partner{FromAlignment: directory.FromRefuse}, session: refused(NoTLS),
			want: refusal(false, []Reason{NoTLS, FromMismatch}, woodgrove),
		},
		{
			name: "secured for one, the other refuses", from: fromFacts(woodgrove, other), partner: directory.Partner{FromAlignment: directory.FromRefuse}, session: refused(SubjectMismatch),
			want: refusal(false, []Reason{SubjectMismatch, FromMismatch}, other),
		},
		{name: "a secure action without a domain secures nothing", from: fromFacts(woodgrove), verdict: Verdict{Action: ActionSecure}, want: unsecured(woodgrove)},
		{name: "a refused verdict with a domain secures nothing", from: fromFacts(woodgrove), verdict: Verdict{Action: ActionRefuse, Domain: woodgrove}, want: unsecured(woodgrove)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.verdict.Action == ActionUnset {
				tt.verdict = secured()
			}
			got := AlignFrom(tt.from, Transaction{
				Verdict: tt.verdict,
				Exempt:  tt.exempt,
				Partner: func(d smtp.Domain) *directory.Partner {
					if d != woodgrove && d != other {
						return nil
					}
					p := tt.partner
					p.Domain, p.Receive = d, true
					return &p
				},
				Session: func(smtp.Domain) Verdict { return tt.session },
			})
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(FromVerdict{}, "Detail")); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if got.Refuse && got.Detail == "" {
				t.Error("the refusal has no detail")
			}
		})
	}
}

func TestAlignFromWithoutLookups(t *testing.T) {
	if got := AlignFrom(fromFacts(woodgrove), Transaction{Verdict: secured()}); got.Mark != woodgrove {
		t.Errorf("nobody listed: %+v", got)
	}
	listed := func(smtp.Domain) *directory.Partner {
		return &directory.Partner{Receive: true, FromAlignment: directory.FromRefuse}
	}
	if got := AlignFrom(fromFacts(woodgrove), Transaction{Partner: listed}); !got.Refuse || got.Temporary {
		t.Errorf("no session verdict: %+v, want a permanent refusal", got)
	}
	sendOnly := func(smtp.Domain) *directory.Partner {
		return &directory.Partner{Send: true, FromAlignment: directory.FromRefuse}
	}
	if got := AlignFrom(fromFacts(woodgrove), Transaction{Partner: sendOnly}); got.Refuse || len(got.Unsecured) > 0 {
		t.Errorf("a domain listed for sending only: %+v", got)
	}
}

// TestMarkProperties: no mark without a secured transaction, one field, and
// every domain that anybody finds being the secured one.
func TestMarkProperties(t *testing.T) {
	domains := rapid.SampledFrom([]smtp.Domain{woodgrove, fabrikam, "", "nobody.example"})
	rapid.Check(t, func(t *rapid.T) {
		f := FromFacts{
			Fields:   rapid.IntRange(0, 3).Draw(t, "fields"),
			Strict:   rapid.SliceOfN(domains, 0, 3).Draw(t, "strict"),
			StrictOK: rapid.Bool().Draw(t, "ok"),
			Union:    rapid.SliceOfN(domains, 0, 3).Draw(t, "union"),
		}
		v := Verdict{Action: Action(rapid.IntRange(0, 4).Draw(t, "action")), Domain: domains.Draw(t, "domain")}
		exempt := rapid.Bool().Draw(t, "exempt")
		got := AlignFrom(f, Transaction{Verdict: v, Exempt: exempt, Partner: func(d smtp.Domain) *directory.Partner {
			if d == fabrikam {
				return &directory.Partner{Domain: d, Receive: true}
			}
			return nil
		}})
		if got.Mark == "" {
			return
		}
		if exempt || v.Action != ActionSecure || got.Mark != v.Domain || f.Fields != 1 || !f.StrictOK || got.Refuse {
			t.Fatalf("marked: %+v, %+v, %+v", f, v, got)
		}
		for _, d := range append(f.Strict, f.Union...) {
			if d != got.Mark {
				t.Fatalf("marked for %q, and From names %q", got.Mark, d)
			}
		}
	})
}

// TestSecuredProperties: whatever the facts, a session is secured only by a
// matched name and a faultless, anchored path with a known good status, and
// never beside a revoked one.
func TestSecuredProperties(t *testing.T) {
	paths := rapid.Custom(func(t *rapid.T) PathFacts {
		p := PathFacts{
			Usage:      rapid.SampledFrom([]string{"", UsageBoth, UsageServerAuth, UsageClientAuth, "other"}).Draw(t, "usage"),
			Anchor:     rapid.SampledFrom([]string{"", "AA"}).Draw(t, "anchor"),
			Revocation: RevocationStatus(rapid.IntRange(0, 4).Draw(t, "revocation")),
			Progress:   rapid.IntRange(0, 3).Draw(t, "progress"),
		}
		if rapid.Bool().Draw(t, "fault") {
			p.Reasons = []Reason{Reason(rapid.IntRange(0, 25).Draw(t, "reason"))}
		}
		return p
	})
	rapid.Check(t, func(t *rapid.T) {
		s := goodSession()
		s.Peer.Paths = rapid.SliceOfN(paths, 0, 4).Draw(t, "paths")
		s.Peer.MatchedName = rapid.SampledFrom([]string{"", "woodgrovebank.com"}).Draw(t, "matched")
		v := VerdictForSender(s, woodgrove, enforcing())
		switch v.Action {
		case ActionRefuse:
			if len(v.Reasons) == 0 || v.Detail == "" || v.Path != nil || v.Domain != "" {
				t.Fatalf("refused badly: %+v", v)
			}
		case ActionSecure:
			p := v.Path
			if s.Peer.MatchedName == "" || p == nil || len(p.Reasons) > 0 || p.Anchor == "" || p.Usage == "" || p.Usage == "other" ||
				p.Revocation != RevocationGood && p.Revocation != RevocationNotRequired {
				t.Fatalf("secured by %+v", p)
			}
			for _, p := range s.Peer.Paths {
				if p.Revocation == RevocationRevoked {
					t.Fatalf("secured beside a revoked path: %+v", s.Peer.Paths)
				}
			}
		default:
			t.Fatalf("a listed sender got %+v", v)
		}
	})
}
