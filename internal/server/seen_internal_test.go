package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailpact/internal/certstore"
	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
)

const woodgrove = "woodgrovebank.com"

// shown returns what a session proves of a certificate that lasts days more.
func shown(id, subject string, now time.Time, days int, good bool) *domainsec.PeerFacts {
	p := domainsec.PathFacts{Elements: []domainsec.CertificateFacts{{Subject: subject}, {Subject: "CN=Root"}}, Usage: domainsec.UsageBoth, Progress: 100, Anchor: "AA", Revocation: domainsec.RevocationGood, ValidUntil: now.Add(time.Hour)}
	f := &domainsec.PeerFacts{
		Domain: woodgrove, Direction: domainsec.Outbound, MatchedName: "mail1." + woodgrove, Paths: []domainsec.PathFacts{p},
		Certificate: domainsec.CertificateFacts{SHA256: id, SHA1: id, Subject: subject, NotAfter: now.AddDate(0, 0, days)},
	}
	if !good {
		f.Paths = nil
	}
	return f
}

// TestSeenCertificates: good certificates of partners are remembered, over a
// restart, and their end is foretold until a successor has been seen.
func TestSeenCertificates(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	partner := &directory.Partner{Domain: woodgrove, Mode: directory.ModeEnforce, Send: true, Receive: true}
	cfg := &directory.Configuration{Partners: []directory.Partner{*partner}}
	path := filepath.Join(t.TempDir(), "partner-certificates.json")
	s, err := openSeen(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	s.note(nil, partner)
	s.note(shown("00", "CN=stranger", now, 5, true), nil)
	s.note(shown("11", "CN=forged", now, 5, false), partner)
	if got := s.list(cfg); len(got) != 0 {
		t.Fatalf("remembered %+v", got)
	}
	s.note(shown("AA", "CN=mail1", now, 29, true), partner)
	s.note(shown("BB", "CN=mail2", now, 90, true), partner)
	inbound := shown("AA", "CN=mail1", now, 29, true)
	inbound.Direction = domainsec.Inbound
	s.note(inbound, partner)
	if got := s.list(cfg); len(got) != 2 || !got[0].Inbound || !got[0].Outbound || got[1].Inbound {
		t.Errorf("remembered %+v", got)
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}

	s, err = openSeen(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		days int // from the beginning
		want string
	}{
		{0, "expires on 2026-12-22, in 29 days (CN=mail1)"},
		{20, "in 9 days"},
		{28, "in 1 days"},
		{30, "expired on 2026-12-22"},
	} {
		now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).AddDate(0, 0, step.days)
		f := s.findings(cfg)
		if len(f) != 1 || !strings.Contains(f[0].Text, step.want) || f[0].Level != directory.LevelWarning || f[0].Fix == "" {
			t.Errorf("day %d: %v, want %q", step.days, f, step.want)
		}
	}
	s.note(shown("CC", "CN=mail1", now, 90, true), partner)
	if f := s.findings(cfg); len(f) != 0 {
		t.Errorf("after the renewal: %v", f)
	}
	if got := s.list(&directory.Configuration{}); len(got) != 0 {
		t.Errorf("of no partner: %v", got)
	}
	for i := range 20 {
		now = now.Add(time.Minute)
		s.note(shown(fmt.Sprint(i), "CN=many", now, 90, true), partner)
	}
	if got := s.list(cfg); len(got) != maxSeenPerPartner || got[0].SHA256 != "19" {
		t.Errorf("%d are remembered", len(got))
	}

	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := openSeen(path, clock); err != nil || len(s.list(cfg)) != 0 {
		t.Errorf("a damaged record: %v", err)
	}
}

// TestExpiryTeller: one line for each threshold, the last one as an error.
func TestExpiryTeller(t *testing.T) {
	end := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	var teller expiryTeller
	for _, tt := range []struct {
		left time.Duration
		want string
	}{
		{31 * 24 * time.Hour, ""},
		{30 * 24 * time.Hour, "level=WARN"},
		{29 * 24 * time.Hour, ""},
		{14 * 24 * time.Hour, "level=WARN"},
		{4 * 24 * time.Hour, ""},
		{3 * 24 * time.Hour, "level=ERROR"},
		{-time.Hour, ""},
	} {
		var log bytes.Buffer
		teller.tell(slog.New(slog.NewTextHandler(&log, nil)), "ours", "AA", "AA", "CN=a", end, end.Add(-tt.left))
		if got := log.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%v left: %q, want %q", tt.left, got, tt.want)
		}
	}
	if certstore.ExpiryThreshold(end, end.AddDate(0, 0, -15)) != 30 || certstore.DaysLeft(end, end.Add(-25*time.Hour)) != 1 {
		t.Error("thresholds or days are wrong")
	}
}
