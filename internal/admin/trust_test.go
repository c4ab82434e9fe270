package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/trust"
	"mailpact/internal/trust/pkitest"
)

// TestCheckTrustSeesTheEndComing moves the clock along one anchor's life.
func TestCheckTrustSeesTheEndComing(t *testing.T) {
	end := time.Now().Add(1000 * time.Hour)
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Woodgrove Root", NotAfter: end})
	pin := trust.DescribeCertificate(root.Certificate).SHA256
	cfg := &directory.Configuration{
		Trust: directory.Trust{Anchors: []directory.Anchor{{
			File:  pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)),
			Scope: directory.Scope{Domains: []smtp.Domain{"woodgrovebank.com", "fabrikam.com"}}, Revocation: directory.RevocationRequired,
		}}},
		Partners: []directory.Partner{{Domain: "woodgrovebank.com", NameRule: directory.NameRuleExact, Anchors: []string{strings.ToLower(pin)}}},
	}
	for _, tt := range []struct {
		name  string
		now   time.Time
		valid bool
		text  string
	}{
		{"far off", end.Add(-40 * 24 * time.Hour), true, ""},
		{"near", end.Add(-3*24*time.Hour - time.Minute), true, "expires in 3 days"},
		{"over", end.Add(time.Minute), false, "no longer vouches for woodgrovebank.com"},
		{"before its time", root.Certificate.NotBefore.Add(-time.Minute), true, "is not valid before"},
	} {
		r := CheckTrust(cfg, tt.now)
		found := slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.Contains(f.Text, tt.text) })
		if r.Valid != tt.valid || found != (tt.text != "" || len(r.Findings) > 0) {
			t.Errorf("%s: valid %v, findings %+v", tt.name, r.Valid, r.Findings)
		}
	}
	rows := ListTrust(cfg, time.Now()).Trusted
	if len(rows) != 1 || !slices.Equal(rows[0].TiedTo, []string{"woodgrovebank.com"}) || !slices.Equal(rows[0].Partners, []string{"woodgrovebank.com"}) {
		t.Errorf("trusted: %+v", rows)
	}
}

func TestListTrustNamesUnreadableFiles(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	any := directory.Scope{Any: true}
	cfg := &directory.Configuration{Trust: directory.Trust{
		Anchors: []directory.Anchor{{File: "/nowhere/root.pem", Scope: any}, {File: pkitest.WriteFile(t, "root.pem", pkitest.PEM(root.Certificate)), Scope: any}},
	}}
	r := ListTrust(cfg, time.Now())
	if len(r.Trusted) != 1 || len(r.Unreadable) != 1 || !strings.Contains(r.Unreadable[0], "/nowhere/root.pem") {
		t.Errorf("%+v", r)
	}
	if c := CheckTrust(cfg, time.Now()); c.Valid {
		t.Errorf("valid with an unreadable file: %+v", c)
	}
}
