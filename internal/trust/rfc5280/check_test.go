package rfc5280_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/trust/pkitest"
	"mailpact/internal/trust/rfc5280"

	"pgregory.net/rapid"
)

// Where only what the public web uses occurs, crypto/x509 agrees.
func TestStandardVerifierAgrees(t *testing.T) {
	domains := []string{"example.com", "a.example.com", "b.example.com", "example.org", "com"}
	hosts := []string{"example.com", "mail.a.example.com", "b.example.com", "x.example.org", "*.example.com", "*.a.example.com"}
	keys := []pkitest.CAOptions{{Key: pkitest.NewKey(t, 0)}, {Key: pkitest.NewKey(t, 0)}, {Key: pkitest.NewKey(t, 0)}}
	leafKey := pkitest.NewKey(t, 0)
	good, bad := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		some := func(from []string, name string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID[string]).Draw(r, name)
		}
		ca := func(i int) pkitest.CAOptions {
			o := pkitest.CAOptions{Key: keys[i].Key, Name: fmt.Sprintf("CA %d", i)}
			if rapid.IntRange(0, 2).Draw(r, "constrained") == 0 {
				o.PermittedDNS, o.ExcludedDNS = some(domains, "permitted"), some(domains, "excluded")
			}
			if n := rapid.IntRange(-4, 2).Draw(r, "path length"); n >= 0 {
				o.PathLength = &n
			}
			return o
		}
		root := pkitest.NewRoot(t, ca(0))
		path := []*x509.Certificate{root.Certificate}
		issuer := root
		for i := range rapid.IntRange(0, 2).Draw(r, "intermediates") {
			issuer = issuer.Intermediate(t, ca(i+1))
			path = append([]*x509.Certificate{issuer.Certificate}, path...)
		}
		names := some(hosts, "names")
		if len(names) == 0 {
			names = hosts[:1]
		}
		leaf := issuer.Issue(t, pkitest.LeafOptions{Key: leafKey, Names: names})
		path = append([]*x509.Certificate{leaf.Chain[0]}, path...)

		ours := rfc5280.Check(path, rfc5280.Options{IsHostName: domainsec.IsHostName})
		theirs := standard(path)
		if (ours == nil) != (theirs == nil) {
			r.Fatalf("ours: %v; crypto/x509: %v", ours, theirs)
		}
		if ours == nil {
			good++
		} else {
			bad++
		}
	})
	if good == 0 || bad == 0 {
		t.Errorf("%d paths were good and %d bad: nothing is compared", good, bad)
	}
}

func standard(path []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	o.Roots.AddCert(path[len(path)-1])
	for _, c := range path[1 : len(path)-1] {
		o.Intermediates.AddCert(c)
	}
	chains, err := path[0].Verify(o)
	if err == nil && !slices.ContainsFunc(chains, func(c []*x509.Certificate) bool { return len(c) == len(path) }) {
		return errors.New("another path")
	}
	return err
}

// A path whose names and constraints are many is refused, soon.
func TestCostIsBounded(t *testing.T) {
	var permitted, names []string
	for i := range 1000 {
		permitted = append(permitted, fmt.Sprintf("d%d.example", i))
		names = append(names, fmt.Sprintf("x.d%d.example", 999-i))
	}
	root := pkitest.NewRoot(t, pkitest.CAOptions{PermittedDNS: permitted})
	path := []*x509.Certificate{root.Issue(t, pkitest.LeafOptions{Names: names}).Chain[0], root.Certificate}
	var fault *rfc5280.Fault
	if err := rfc5280.Check(path, rfc5280.Options{}); !errors.As(err, &fault) || fault.Index != 0 {
		t.Errorf("a million comparisons: %v", err)
	}
	path[0] = root.Issue(t, pkitest.LeafOptions{Names: names[:20]}).Chain[0]
	if err := rfc5280.Check(path, rfc5280.Options{}); err != nil {
		t.Errorf("a few: %v", err)
	}
}

// What is wrong is told of the certificate that it is wrong with.
func TestFaultsNameTheirCertificate(t *testing.T) {
	zero := 0
	root := pkitest.NewRoot(t, pkitest.CAOptions{PathLength: &zero})
	middle := root.Intermediate(t, pkitest.CAOptions{})
	leaf := middle.Issue(t, pkitest.LeafOptions{Names: []string{"a.example"}})
	path := []*x509.Certificate{leaf.Chain[0], middle.Certificate, root.Certificate}
	var fault *rfc5280.Fault
	if err := rfc5280.Check(path, rfc5280.Options{}); !errors.As(err, &fault) || fault.Index != 1 {
		t.Errorf("a CA too many: %v", err)
	}
	if err := rfc5280.Check(path[2:], rfc5280.Options{}); err != nil {
		t.Errorf("an anchor alone: %v", err)
	}
	free := pkitest.NewRoot(t, pkitest.CAOptions{})
	path = []*x509.Certificate{free.Issue(t, pkitest.LeafOptions{Names: []string{"a.example"}}).Chain[0], free.Certificate}
	if err := rfc5280.Check(path, rfc5280.Options{Policy: rfc5280.PolicyInputs{RequireExplicit: true}}); !errors.As(err, &fault) || fault.Index != 0 {
		t.Errorf("no policy where one is required: %v", err)
	}
	if err := rfc5280.Check(path, rfc5280.Options{}); err != nil {
		t.Errorf("no policy where none is required: %v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	root := pkitest.NewRoot(b, pkitest.CAOptions{})
	middle := root.Intermediate(b, pkitest.CAOptions{PermittedDNS: []string{"woodgrovebank.com"}})
	leaf := middle.Issue(b, pkitest.LeafOptions{Names: []string{"mail1.woodgrovebank.com"}})
	path := []*x509.Certificate{leaf.Chain[0], middle.Certificate, root.Certificate}
	b.Run("ours, without signatures", func(b *testing.B) {
		for b.Loop() {
			if err := rfc5280.Check(path, rfc5280.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("crypto/x509, with two signatures", func(b *testing.B) {
		for b.Loop() {
			if err := standard(path); err != nil {
				b.Fatal(err)
			}
		}
	})
}
