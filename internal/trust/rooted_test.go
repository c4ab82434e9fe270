package trust

import (
	"context"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"mailpact/internal/trust/pkitest"
)

// TestStrangersKeysAreHardlyUsed: whoever presents a chain of his own chooses
// its keys, and a check with a slow one takes a thousand times as long as the
// handshake's share. It must not be worth more than a few.
func TestStrangersKeysAreHardlyUsed(t *testing.T) {
	for kind, most := range map[pkitest.KeyType]int{pkitest.P256: maxStrangerChecks, pkitest.P384: 0} {
		strangersChecks(t, kind, most)
	}
}

func strangersChecks(t *testing.T, kind pkitest.KeyType, most int) {
	t.Helper()
	ca := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Same", KeyType: kind})
	for range maxPresented - 2 {
		ca = ca.Intermediate(t, pkitest.CAOptions{Name: "Same", KeyType: kind})
	}
	chain := ca.Issue(t, leafFor("woodgrovebank.com")).Chain
	if len(chain) < maxPresented-1 {
		t.Fatalf("a chain of %d certificates is none to test this with", len(chain))
	}
	ours := pkitest.NewRoot(t, pkitest.CAOptions{})
	s := newSearch(context.Background(), BuildRequest{
		Presented: chain, Anchors: []Anchor{{Certificate: ours.Certificate, Issuer: true}}, Now: time.Now(),
	})
	s.findRooted(chain[0])
	if s.checks != 0 {
		t.Errorf("%d signatures were verified although no name leads to an anchor", s.checks)
	}
	s.visit(chain[:1])
	if s.checks > most || len(s.found) > 0 || len(s.dead) == 0 {
		t.Errorf("keys of kind %v: %d signatures were verified, more than %d; %d paths, %d dead ends", kind, s.checks, most, len(s.found), len(s.dead))
	}
	w := (&world{revocation: goodAnswers()}).anchor(t, anyScope(), ours.Certificate)
	if got := judge(t, w.verifier(t), chain, partner()); got != "UntrustedRoot" {
		t.Errorf("the chain got %q", got)
	}
}

// A path is found however many strays that cannot be checked surround it.
func TestStraysDoNotHideAPath(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Same"})
	mid := root.Intermediate(t, pkitest.CAOptions{Name: "Same"})
	low := mid.Intermediate(t, pkitest.CAOptions{Name: "Same"})
	good := low.Issue(t, leafFor("woodgrovebank.com")).Chain
	strays := make([]*x509.Certificate, 0, 6)
	for range cap(strays) {
		strays = append(strays, pkitest.NewRoot(t, pkitest.CAOptions{Name: "Same"}).Certificate)
	}
	chain := slices.Concat(good[:1], strays, good[1:])
	v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), root.Certificate).verifier(t)
	if got := judge(t, v, chain, partner()); got != "secured" {
		t.Errorf("a path among %d strays got %q", len(strays), got)
	}
}
