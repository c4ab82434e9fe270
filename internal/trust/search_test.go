package trust

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/trust/pkitest"
)

// mesh cross-certifies n CAs with each other. It returns them, and all their
// cross-certificates.
func mesh(t testing.TB, n int) ([]*pkitest.CA, []*x509.Certificate) {
	t.Helper()
	cas := make([]*pkitest.CA, n)
	for i := range cas {
		cas[i] = pkitest.NewRoot(t, pkitest.CAOptions{Name: fmt.Sprintf("CA %d", i)})
	}
	var crosses []*x509.Certificate
	for _, parent := range cas {
		for _, child := range cas {
			if parent != child {
				crosses = append(crosses, parent.CrossSign(t, child, pkitest.CAOptions{}).Certificate)
			}
		}
	}
	return cas, crosses
}

// An anchor for each root beside many others is a path for each.
func TestManyAnchors(t *testing.T) {
	mid := pkitest.NewRoot(t, pkitest.CAOptions{}).Intermediate(t, pkitest.CAOptions{})
	w := &world{revocation: goodAnswers()}
	for i := range maxPaths + 4 {
		r := pkitest.NewRoot(t, pkitest.CAOptions{Name: fmt.Sprintf("Root %d", i)})
		w.anchor(t, anyScope(), r.Certificate).intermediate(t, anyScope(), r.CrossSign(t, mid, pkitest.CAOptions{}).Certificate)
	}
	chain := mid.Issue(t, leafFor("woodgrovebank.com")).Chain[:1]
	if got := judge(t, w.verifier(t), chain, partner()); got != "secured" {
		t.Errorf("got %q", got)
	}
}

// In a mesh there are hundreds of paths. One is enough, but no certificate that
// might be revoked, and no key that signed it, may be missing from those kept.
func TestMeshKeepsEveryLink(t *testing.T) {
	cas, crosses := mesh(t, 6)
	leaf := cas[5].Issue(t, leafFor("woodgrovebank.com"))
	presented := append([]*x509.Certificate{leaf.Certificate}, crosses...)
	good, _ := Builder{}.Build(context.Background(), BuildRequest{
		Presented: presented, Anchors: []Anchor{{Certificate: cas[0].Certificate, Issuer: true}}, Now: time.Now(),
	})
	if len(good) < maxPaths || len(good) > maxGoodPaths {
		t.Fatalf("%d good paths", len(good))
	}
	asked := map[*x509.Certificate]map[string]bool{} // by the child, the certificates above it
	for _, p := range good {
		for i, c := range p.Elements[:len(p.Elements)-1] {
			if asked[c] == nil {
				asked[c] = map[string]bool{}
			}
			asked[c][string(p.Elements[i+1].Raw)] = true
		}
	}
	for _, c := range crosses {
		// A certificate for the anchor, or by the leaf's issuer, closes a circle.
		if c.Subject.CommonName == "CA 0" || c.Issuer.CommonName == "CA 5" {
			continue
		}
		if len(asked[c]) == 0 {
			t.Errorf("%s by %s is on no path that is kept", c.Subject.CommonName, c.Issuer.CommonName)
		}
	}
	v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), cas[0].Certificate).verifier(t)
	if got := judge(t, v, presented, partner()); got != "secured" {
		t.Errorf("got %q", got)
	}
}

// Revoked on a path that adds nothing but one link is revoked.
func TestRevokedInAMesh(t *testing.T) {
	cas, crosses := mesh(t, 6)
	leaf := cas[5].Issue(t, leafFor("woodgrovebank.com"))
	last := crosses[len(crosses)-2] // CA 3 by CA 5 never counts; any other must
	for _, c := range crosses {
		if c.Subject.CommonName == "CA 4" && c.Issuer.CommonName == "CA 3" {
			last = c
		}
	}
	r := revokes{last}
	v := (&world{revocation: r}).anchor(t, scopeOf(woodgrove), cas[0].Certificate).verifier(t)
	presented := append([]*x509.Certificate{leaf.Certificate}, crosses...)
	if got := judge(t, v, presented, partner()); got != "Revoked" {
		t.Errorf("got %q", got)
	}
}

// revokes is a Revocation by which one certificate is revoked.
type revokes struct{ certificate *x509.Certificate }

func (r revokes) CheckPath(_ context.Context, path []*x509.Certificate) PathStatus {
	if slices.ContainsFunc(path, r.certificate.Equal) {
		return PathStatus{Status: domainsec.RevocationRevoked}
	}
	return PathStatus{Status: domainsec.RevocationGood}
}

func (revokes) Generation() uint64 { return 1 }

// Certificates that combine in more ways than are walked are refused, soon.
func TestHostileCombinations(t *testing.T) {
	cas, crosses := mesh(t, 9)
	leaf := cas[8].Issue(t, leafFor("woodgrovebank.com"))
	w := &world{revocation: goodAnswers()}
	w.anchor(t, anyScope(), cas[0].Certificate).intermediate(t, anyScope(), crosses...)
	v := w.verifier(t)
	start := time.Now()
	got := judge(t, v, leaf.Chain, partner())
	if got != "InvalidChain" {
		t.Errorf("got %q", got)
	}
	if d := time.Since(start); d > 10*time.Second { // a second on any machine that is not busy
		t.Errorf("it took %v", d)
	}
}

// A CA that spells its name anew at each turn is the same CA.
func TestLoopAcrossSpellings(t *testing.T) {
	key := pkitest.NewKey(t, 0)
	root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Root"})
	spelling := func(i int) *pkix.Name {
		s := []byte("loopingauthority")
		for b := range s {
			if i>>b&1 == 1 {
				s[b] -= 'a' - 'A'
			}
		}
		return &pkix.Name{CommonName: string(s)}
	}
	ca := root.Intermediate(t, pkitest.CAOptions{Subject: spelling(0), Key: key})
	leaf := ca.Issue(t, leafFor("woodgrovebank.com"))
	presented := []*x509.Certificate{leaf.Certificate, ca.Certificate}
	for i := range 12 {
		ca = ca.Intermediate(t, pkitest.CAOptions{Subject: spelling(i + 1), Key: key})
		presented = append(presented, ca.Certificate)
	}
	good, failed := Builder{}.Build(context.Background(), BuildRequest{
		Presented: presented, Anchors: []Anchor{{Certificate: root.Certificate, Issuer: true}}, Now: time.Now(),
	})
	if len(good) != 1 || len(good[0].Elements) != 3 {
		t.Errorf("%d good paths, %d that failed: %+v", len(good), len(failed), failed)
	}
}

// Names that differ in string type and case chain, and directory name constraints
// of a bridge hold for the partner behind it.
func TestBridgeConfinesByDirectoryName(t *testing.T) {
	base, err := asn1.Marshal(pkix.Name{Organization: []string{"Woodgrove"}}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	// NameConstraints { permittedSubtrees [0] { { directoryName [4] base } } }
	wrap := func(tag byte, in []byte) []byte { return append([]byte{tag, byte(len(in))}, in...) }
	constraint := pkix.Extension{
		Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true,
		Value: wrap(0x30, wrap(0xa0, wrap(0x30, wrap(0xa4, base)))),
	}
	ours := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Ours"})
	bridge := ours.Intermediate(t, pkitest.CAOptions{Name: "Bridge"})
	theirs := pkitest.NewRoot(t, pkitest.CAOptions{Subject: &pkix.Name{Organization: []string{"Woodgrove"}, CommonName: "Root"}})
	cross := bridge.CrossSign(t, theirs, pkitest.CAOptions{Extra: []pkix.Extension{constraint}})
	for organization, want := range map[string]string{"WOODGROVE": "secured", "Other": "InvalidChain", "": "InvalidChain"} {
		o := leafFor("woodgrovebank.com")
		o.Subject = &pkix.Name{CommonName: "woodgrovebank.com"}
		if organization != "" {
			o.Subject.Organization = []string{organization}
		}
		leaf := theirs.Issue(t, o)
		v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), ours.Certificate).verifier(t)
		presented := []*x509.Certificate{leaf.Certificate, cross.Certificate, bridge.Certificate}
		if got := judge(t, v, presented, partner()); got != want {
			t.Errorf("O=%s: got %q, want %q", strings.ToLower(organization), got, want)
		}
	}
}

// The cost of a chain of three beside what the standard verifier takes for it.
func BenchmarkBuild(b *testing.B) {
	root := pkitest.NewRoot(b, pkitest.CAOptions{})
	mid := root.Intermediate(b, pkitest.CAOptions{PermittedDNS: []string{"woodgrovebank.com"}})
	leaf := mid.Issue(b, leafFor("woodgrovebank.com"))
	b.Run("ours", func(b *testing.B) {
		r := BuildRequest{Presented: leaf.Chain, Anchors: []Anchor{{Certificate: root.Certificate, Issuer: true}}, Now: time.Now()}
		for b.Loop() {
			if good, _ := (Builder{}).Build(context.Background(), r); len(good) != 1 {
				b.Fatal("no path")
			}
		}
	})
	b.Run("crypto/x509", func(b *testing.B) {
		o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
		o.Roots.AddCert(root.Certificate)
		o.Intermediates.AddCert(mid.Certificate)
		for b.Loop() {
			if _, err := leaf.Certificate.Verify(o); err != nil {
				b.Fatal(err)
			}
		}
	})
}
