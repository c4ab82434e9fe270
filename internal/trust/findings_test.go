package trust

import (
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"
)

func TestFindings(t *testing.T) {
	root := pkitest.WriteFile(t, "root.pem", pkitest.PEM(pkitest.NewRoot(t, pkitest.CAOptions{}).Certificate))
	leaf := pkitest.WriteFile(t, "leaf.pem", pkitest.PEM(pkitest.SelfSigned(t, leafFor("woodgrovebank.com")).Certificate))
	scoped := func(d smtp.Domain) directory.Scope { return directory.Scope{Domains: []smtp.Domain{d}} }
	absent := []string{"AB493A0C9A6C0327162FE04EF74609CB8FB7FE24AB493A0C9A6C0327162FE04E"}
	tests := []struct {
		name   string
		config directory.Trust
		with   func(*directory.Partner)
		want   directory.Level // "": none
	}{
		{"scoped root, exact names", anchorIn(root, scoped("woodgrovebank.com")), func(*directory.Partner) {}, ""},
		{"scoped root, any host one label below", anchorIn(root, scoped("woodgrovebank.com")), func(p *directory.Partner) { p.NameRule = directory.NameRuleDomain }, directory.LevelWarning},
		{"self-signed certificate issues nothing", anchorIn(leaf, scoped("woodgrovebank.com")), func(p *directory.Partner) { p.NameRule = directory.NameRuleDomain }, ""},
		{"root for every domain may be ours", anchorIn(root, anyScope()), func(p *directory.Partner) { p.NameRule = directory.NameRuleDomain }, ""},
		{"no anchor in scope", anchorIn(root, scoped("fabrikam.com")), func(*directory.Partner) {}, directory.LevelError},
		{"thumbprint of no anchor", anchorIn(root, scoped("woodgrovebank.com")), func(p *directory.Partner) { p.Anchors = absent }, directory.LevelError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := New(Options{Config: tt.config})
			if err != nil {
				t.Fatal(err)
			}
			p := directory.Partner{Domain: "woodgrovebank.com", Mode: directory.ModeEnforce, Send: true, Receive: true, NameRule: directory.NameRuleExact}
			tt.with(&p)
			got := v.Findings([]directory.Partner{p})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("findings %v, want none", got)
			case tt.want != "" && (len(got) != 1 || got[0].Level != tt.want || got[0].Object != "partners[woodgrovebank.com]" || got[0].Fix == ""):
				t.Errorf("findings %+v, want one of level %s with a mend", got, tt.want)
			}
		})
	}
}
