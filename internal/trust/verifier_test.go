package trust

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
	"mailpact/internal/trust/pkitest"

	"github.com/google/go-cmp/cmp"
)

const (
	woodgrove smtp.Domain = "woodgrovebank.com"
	fabrikam  smtp.Domain = "fabrikam.example"
)

// answers is a Revocation that says good unless told otherwise.
type answers struct {
	mu         sync.Mutex
	byIssuer   map[string]domainsec.RevocationStatus // by the CN of the leaf's issuer certificate's own issuer, or of path[1]
	status     domainsec.RevocationStatus
	validUntil time.Time
	asked      [][]*x509.Certificate
	generation atomic.Uint64
}

func (a *answers) CheckPath(ctx context.Context, path []*x509.Certificate) PathStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, path)
	if ctx.Err() != nil {
		return PathStatus{Detail: "interrupted"}
	}
	s := a.status
	if x, ok := a.byIssuer[path[len(path)-1].Subject.CommonName]; ok {
		s = x
	}
	return PathStatus{Status: s, Detail: "told so", ValidUntil: a.validUntil}
}

func (a *answers) Generation() uint64 { return a.generation.Load() }

func (a *answers) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func goodAnswers() *answers { return &answers{status: domainsec.RevocationGood} }

func scopeOf(domains ...smtp.Domain) directory.Scope { return directory.Scope{Domains: domains} }

func anyScope() directory.Scope { return directory.Scope{Any: true} }

// world is what a test trusts.
type world struct {
	anchors       []directory.Anchor
	intermediates []directory.Intermediate
	public        []*x509.Certificate
	revocation    Revocation
}

func (w *world) anchor(t testing.TB, scope directory.Scope, certs ...*x509.Certificate) *world {
	t.Helper()
	w.anchors = append(w.anchors, directory.Anchor{File: pkitest.WriteFile(t, "anchor.pem", pkitest.PEM(certs...)), Scope: scope})
	return w
}

func (w *world) intermediate(t testing.TB, scope directory.Scope, certs ...*x509.Certificate) *world {
	t.Helper()
	w.intermediates = append(w.intermediates, directory.Intermediate{File: pkitest.WriteFile(t, "intermediate.pem", pkitest.PEM(certs...)), Scope: scope})
	return w
}

func (w *world) verifier(t testing.TB) *Verifier {
	t.Helper()
	o := Options{
		Config:     directory.Trust{Anchors: w.anchors, Intermediates: w.intermediates, SystemRoots: len(w.public) > 0, CommonName: true},
		Revocation: w.revocation,
	}
	if len(w.public) > 0 {
		o.SystemRoots = x509.NewCertPool()
		for _, c := range w.public {
			o.SystemRoots.AddCert(c)
		}
	}
	v, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return v
}

func partner() *directory.Partner {
	return &directory.Partner{Domain: woodgrove, Mode: directory.ModeEnforce, Send: true, Receive: true}
}

// verdict is what the facts mean, as "secured" or the reasons joined by spaces,
// with "temporary" in front when it may pass.
func verdict(f *domainsec.PeerFacts, p *directory.Partner) string {
	var v domainsec.Verdict
	if f != nil && f.Direction == domainsec.Outbound {
		v = domainsec.VerdictForServer(domainsec.OutboundFacts{
			Connector:            &directory.SendConnector{DomainSecureEnabled: true, DNSRoutingEnabled: true},
			TLS:                  &domainsec.TLSFacts{PresentedOwn: true},
			CertificateRequested: true,
			Own:                  domainsec.OwnFacts{Chosen: true, Revocation: domainsec.RevocationGood},
			Peer:                 f,
		}, f.Domain, p)
	} else {
		v = domainsec.VerdictForSender(domainsec.SessionFacts{DomainSecureEnabled: true, TLS: &domainsec.TLSFacts{}, Peer: f}, p.Domain, p)
	}
	if v.Action == domainsec.ActionSecure {
		return "secured"
	}
	words := []string{}
	if v.Temporary {
		words = append(words, "temporary")
	}
	for _, r := range v.Reasons {
		words = append(words, r.String())
	}
	return strings.Join(words, " ")
}

func leafFor(name string) pkitest.LeafOptions { return pkitest.LeafOptions{Names: []string{name}} }

// TestReasons presents real certificates, each with one fault.
func TestReasons(t *testing.T) {
	now := time.Now()
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	mid := root.Intermediate(t, pkitest.CAOptions{})
	rsaMid := root.Intermediate(t, pkitest.CAOptions{Name: "RSA CA", KeyType: pkitest.RSA2048})
	zero := 0
	issue := func(o pkitest.LeafOptions) []*x509.Certificate {
		if o.Names == nil && o.CommonName == "" {
			o.Names = []string{"mail1.woodgrovebank.com"}
		}
		return mid.Issue(t, o).Chain
	}
	under := func(o pkitest.CAOptions) []*x509.Certificate {
		return root.Intermediate(t, o).Issue(t, leafFor("mail1.woodgrovebank.com")).Chain
	}
	named := func(o pkitest.CAOptions) []*x509.Certificate {
		return root.Intermediate(t, o).Issue(t, pkitest.LeafOptions{CommonName: "Mail1 Woodgrovebank", Names: []string{"mail1.woodgrovebank.com"}}).Chain
	}
	unknownCritical := []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	stranger := pkitest.NewRoot(t, pkitest.CAOptions{}) // of the same name as ours

	tests := []struct {
		name     string
		chain    []*x509.Certificate
		inbound  string
		outbound string // "": as inbound
	}{
		{"all good", issue(pkitest.LeafOptions{}), "secured", ""},
		{"Ed25519", issue(pkitest.LeafOptions{KeyType: pkitest.Ed25519}), "secured", ""},
		{"P-384", issue(pkitest.LeafOptions{KeyType: pkitest.P384}), "secured", ""},
		{"under an RSA CA", rsaMid.Issue(t, leafFor("mail1.woodgrovebank.com")).Chain, "secured", ""},
		{"the domain itself", issue(leafFor("woodgrovebank.com")), "secured", ""},
		{"wildcard", issue(leafFor("*.woodgrovebank.com")), "secured", ""},
		{"one label deep", issue(leafFor("mail1.woodgrovebank.com")), "secured", ""},
		{"two labels deep", issue(leafFor("mail1.us.woodgrovebank.com")), "SubjectMismatch", ""},
		{"another's name", issue(leafFor("mail.fabrikam.example")), "SubjectMismatch", ""},
		{"CN alone", issue(pkitest.LeafOptions{CommonName: "mail1.woodgrovebank.com"}), "secured", ""},
		{"CN beside another dNSName", issue(pkitest.LeafOptions{CommonName: "mail1.woodgrovebank.com", Names: []string{"x.example"}}), "secured", ""},
		{"CN that is no host name", issue(pkitest.LeafOptions{CommonName: "Woodgrove Bank"}), "SubjectMismatch", ""},
		{"CN with a Kelvin sign", issue(pkitest.LeafOptions{CommonName: "mail.woodgroveban\u212a.com"}), "SubjectMismatch", ""},
		{"no name", issue(pkitest.LeafOptions{CommonName: "-"}), "SubjectMismatch", ""},
		{"expired", issue(pkitest.LeafOptions{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)}), "CertificateExpired", ""},
		{"not yet valid", issue(pkitest.LeafOptions{NotBefore: now.Add(time.Hour), NotAfter: now.Add(48 * time.Hour)}), "CertificateNotYetValid", ""},
		{"valid in four minutes", issue(pkitest.LeafOptions{NotBefore: now.Add(4 * time.Minute), NotAfter: now.Add(48 * time.Hour)}), "secured", ""},
		{"expired a minute ago", issue(pkitest.LeafOptions{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Minute)}), "CertificateExpired", ""},
		{"intermediate expired", under(pkitest.CAOptions{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)}), "CertificateExpired", ""},
		{"serverAuth only", issue(pkitest.LeafOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), "secured", ""},
		{"clientAuth only", issue(pkitest.LeafOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), "secured", "WrongUsage"},
		{"no usage extension", issue(pkitest.LeafOptions{AnyUsage: true}), "secured", ""},
		{"any usage", issue(pkitest.LeafOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}), "secured", ""},
		{"e-mail protection only", issue(pkitest.LeafOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}), "WrongUsage", ""},
		{"no purpose common to all", root.Intermediate(t, pkitest.CAOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).
			Issue(t, pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}).Chain, "WrongUsage", ""},
		{"P-224", issue(pkitest.LeafOptions{KeyType: pkitest.P224}), "WeakSignature", ""},
		{"RSA of 1024 bits", issue(pkitest.LeafOptions{KeyType: pkitest.RSA1024}), "WeakSignature", ""},
		{"intermediate with RSA of 1024 bits", under(pkitest.CAOptions{KeyType: pkitest.RSA1024}), "WeakSignature", ""},
		{"RSA of 9000 bits", issue(pkitest.LeafOptions{PublicKey: pkitest.HugeRSA(9000)}), "WeakSignature", ""},
		{"SHA-1 by an RSA CA", rsaMid.Issue(t, pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}, Algorithm: x509.SHA1WithRSA}).Chain, "WeakSignature", ""},
		{"SHA-1 by an ECDSA CA", issue(pkitest.LeafOptions{Algorithm: x509.ECDSAWithSHA1}), "WeakSignature", ""},
		{"SHA-1 on the intermediate", under(pkitest.CAOptions{Algorithm: x509.ECDSAWithSHA1}), "WeakSignature", ""},
		{"a stranger's CA of the same name", stranger.Issue(t, leafFor("mail1.woodgrovebank.com")).Chain, "UntrustedRoot", ""},
		{"a stranger's CA, presented with its root", append(stranger.Issue(t, leafFor("mail1.woodgrovebank.com")).Chain, stranger.Certificate), "UntrustedRoot", ""},
		{"self-signed", pkitest.SelfSigned(t, leafFor("woodgrovebank.com")).Chain, "UntrustedRoot", ""},
		{"intermediate missing", issue(pkitest.LeafOptions{})[:1], "UntrustedRoot", ""},
		{"tampered", []*x509.Certificate{pkitest.Tampered(t, issue(pkitest.LeafOptions{})[0]), mid.Certificate}, "UntrustedRoot", ""},
		{"tampered intermediate", []*x509.Certificate{issue(pkitest.LeafOptions{})[0], pkitest.Tampered(t, mid.Certificate)}, "UntrustedRoot", ""},
		{"issued by a leaf", append([]*x509.Certificate{mid.Issue(t, leafFor("x.example")).AsCA().Issue(t, leafFor("woodgrovebank.com")).Certificate},
			mid.Certificate), "UntrustedRoot", ""},
		{"an issuer that is no CA", under(pkitest.CAOptions{NotCA: true}), "UntrustedRoot", ""},
		{"an issuer that may not sign", under(pkitest.CAOptions{KeyUsage: x509.KeyUsageCRLSign}), "UntrustedRoot", ""},
		{"path length exceeded", root.Intermediate(t, pkitest.CAOptions{PathLength: &zero}).Intermediate(t, pkitest.CAOptions{Name: "Deeper"}).
			Issue(t, leafFor("woodgrovebank.com")).Chain, "InvalidChain", ""},
		{"name not permitted", under(pkitest.CAOptions{PermittedDNS: []string{"fabrikam.example"}}), "InvalidChain", ""},
		{"name excluded", under(pkitest.CAOptions{ExcludedDNS: []string{"woodgrovebank.com"}}), "InvalidChain", ""},
		{"name permitted", under(pkitest.CAOptions{PermittedDNS: []string{"woodgrovebank.com"}}), "secured", ""},
		{"CN not permitted", root.Intermediate(t, pkitest.CAOptions{PermittedDNS: []string{"fabrikam.example"}}).
			Issue(t, pkitest.LeafOptions{CommonName: "mail1.woodgrovebank.com"}).Chain, "InvalidChain", ""},
		{"CN excluded by a wildcard", root.Intermediate(t, pkitest.CAOptions{ExcludedDNS: []string{"mail.woodgrovebank.com"}}).
			Issue(t, pkitest.LeafOptions{CommonName: "*.woodgrovebank.com"}).Chain, "InvalidChain", ""},
		{"CN permitted", root.Intermediate(t, pkitest.CAOptions{PermittedDNS: []string{"woodgrovebank.com"}}).
			Issue(t, pkitest.LeafOptions{CommonName: "mail1.woodgrovebank.com"}).Chain, "secured", ""},
		{"CN evading constraints beside a permitted dNSName", root.Intermediate(t, pkitest.CAOptions{PermittedDNS: []string{"fabrikam.example"}}).
			Issue(t, pkitest.LeafOptions{CommonName: "mail1.woodgrovebank.com", Names: []string{"mail.fabrikam.example"}}).Chain, "SubjectMismatch", ""},
		{"directory name not permitted, critical", named(pkitest.CAOptions{Extra: constraints(t, true, 0xa0, directoryBase)}), "InvalidChain", ""},
		{"directory name not permitted", named(pkitest.CAOptions{Extra: constraints(t, false, 0xa0, directoryBase)}), "InvalidChain", ""},
		{"directory name not permitted, and the leaf has none", under(pkitest.CAOptions{Extra: constraints(t, true, 0xa0, directoryBase)}), "secured", ""},
		{"directory name excluded", named(pkitest.CAOptions{Extra: constraints(t, false, 0xa1, commonNameBase)}), "InvalidChain", ""},
		{"another directory name excluded", named(pkitest.CAOptions{Extra: constraints(t, true, 0xa1, directoryBase)}), "secured", ""},
		{"directory name permitted", named(pkitest.CAOptions{Extra: constraints(t, true, 0xa0, commonNameBase)}), "secured", ""},
		{"directory name beside a permitted dNSName", named(pkitest.CAOptions{Extra: constraints(t, false, 0xa0, "\x82\x11woodgrovebank.com", directoryBase)}), "InvalidChain", ""},
		{"name constraint of a registered id that the leaf does not have", under(pkitest.CAOptions{Extra: constraints(t, true, 0xa0, "\x88\x03\x2a\x03\x04")}), "secured", ""},
		{"name constraint with a distance", under(pkitest.CAOptions{Extra: constraints(t, false, 0xa0, "\x82\x11woodgrovebank.com\x81\x01\x01")}), "InvalidChain", ""},
		{"constraints on an address that the leaf does not have", under(pkitest.CAOptions{Extra: constraints(t, false, 0xa1, "\x87\x08\x0a\x00\x00\x00\xff\x00\x00\x00", "\x81\x01x", "\x86\x01x")}), "secured", ""},
		{"name permitted, not critical", under(pkitest.CAOptions{Extra: constraints(t, false, 0xa0, "\x82\x11woodgrovebank.com")}), "secured", ""},
		{"unknown critical extension", issue(pkitest.LeafOptions{Extra: unknownCritical}), "InvalidChain", ""},
		{"unknown critical extension on the CA", under(pkitest.CAOptions{Extra: unknownCritical}), "InvalidChain", ""},
		{"several faults", issue(pkitest.LeafOptions{
			Names: []string{"x.example"}, KeyType: pkitest.P224, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour),
			Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		}), "WeakSignature SubjectMismatch WrongUsage CertificateExpired", ""},
		{"the root presented too", append(slices.Clone(issue(pkitest.LeafOptions{})), root.Certificate), "secured", ""},
		{"in the wrong order, with strays", append([]*x509.Certificate{issue(pkitest.LeafOptions{})[0], root.Certificate, stranger.Certificate, rsaMid.Certificate}, mid.Certificate), "secured", ""},
		{"too many certificates", append(issue(pkitest.LeafOptions{}), slices.Repeat([]*x509.Certificate{stranger.Certificate}, maxPresented-1)...), "InvalidChain", ""},
	}
	v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), root.Certificate).verifier(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for way, want := range map[domainsec.Direction]string{domainsec.Inbound: tt.inbound, domainsec.Outbound: tt.outbound} {
				if want == "" {
					want = tt.inbound
				}
				f := v.Judge(context.Background(), Request{Presented: tt.chain, Domain: woodgrove, Direction: way, Partner: partner(), Now: now})
				if got := verdict(f, partner()); got != want {
					t.Errorf("direction %d: got %q, want %q; facts %s", way, got, want, describe(f))
				}
				for _, p := range f.Paths {
					if len(p.Reasons) > 0 && p.Detail == "" {
						t.Errorf("a path with %v has no detail", p.Reasons)
					}
				}
			}
		})
	}
}

// directoryBase is a subtree's base: the directory name C=DE.
const directoryBase = "\xa4\x0f\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02DE"

// commonNameBase is the directory name CN=MAIL1  woodgrovebank, as a UTF8String.
const commonNameBase = "\xa4\x22\x30\x20\x31\x1e\x30\x1c\x06\x03\x55\x04\x03\x0c\x15MAIL1   WoodgroveBank"

// constraints is the extension nameConstraints with subtrees, each of which is
// given by its content, under the tag of permitted (0xa0) or excluded (0xa1).
func constraints(t *testing.T, critical bool, tag byte, subtrees ...string) []pkix.Extension {
	t.Helper()
	wrap := func(tag byte, content string) string {
		if len(content) > 127 {
			t.Fatal("the constraints are too long for this")
		}
		return string([]byte{tag, byte(len(content))}) + content
	}
	all := ""
	for _, s := range subtrees {
		all += wrap(0x30, s)
	}
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: critical, Value: []byte(wrap(0x30, wrap(tag, all)))}}
}

func describe(f *domainsec.PeerFacts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "match %q", f.MatchedName)
	for _, p := range f.Paths {
		fmt.Fprintf(&b, "; %d elements, %v %q, progress %d, usage %q, revocation %d", len(p.Elements), p.Reasons, p.Detail, p.Progress, p.Usage, p.Revocation)
	}
	return b.String()
}

func judge(t testing.TB, v *Verifier, chain []*x509.Certificate, p *directory.Partner) string {
	t.Helper()
	return verdict(v.Judge(context.Background(), Request{Presented: chain, Domain: p.Domain, Direction: domainsec.Inbound, Partner: p}), p)
}

func TestStrictUsage(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), root.Certificate).verifier(t)
	chain := root.Issue(t, pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).Chain
	p := partner()
	p.Usage = directory.UsageMailServer
	if got := judge(t, v, chain, p); got != "secured" {
		t.Errorf("mailServer: %s", got)
	}
	p.Usage = directory.UsageStrict
	if got := judge(t, v, chain, p); got != "WrongUsage" {
		t.Errorf("strict: %s", got)
	}
}

func TestScopes(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	bridge := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Bridge"})
	cross := bridge.CrossSign(t, root, pkitest.CAOptions{})
	leaf := root.Issue(t, pkitest.LeafOptions{Names: []string{"woodgrovebank.com"}})
	crossed := append(slices.Clone(leaf.Chain), cross.Certificate)
	tests := []struct {
		name  string
		world func(*world)
		chain []*x509.Certificate
		want  string
	}{
		{"anchor in scope", func(w *world) { w.anchor(t, scopeOf(fabrikam, woodgrove), root.Certificate) }, leaf.Chain, "secured"},
		{"anchor with scope any", func(w *world) { w.anchor(t, anyScope(), root.Certificate) }, leaf.Chain, "secured"},
		{"anchor out of scope", func(w *world) { w.anchor(t, scopeOf(fabrikam), root.Certificate) }, leaf.Chain, "UntrustedRoot"},
		{"a subdomain's scope is not the domain's", func(w *world) { w.anchor(t, scopeOf("mail.woodgrovebank.com"), root.Certificate) }, leaf.Chain, "UntrustedRoot"},
		{"listed twice, once in scope", func(w *world) {
			w.anchor(t, scopeOf(fabrikam), root.Certificate).anchor(t, scopeOf(woodgrove), root.Certificate)
		}, leaf.Chain, "secured"},
		{"cross-certificate in scope", func(w *world) {
			w.anchor(t, anyScope(), bridge.Certificate).intermediate(t, scopeOf(woodgrove), cross.Certificate)
		}, leaf.Chain, "secured"},
		{"cross-certificate out of scope", func(w *world) {
			w.anchor(t, anyScope(), bridge.Certificate).intermediate(t, scopeOf(fabrikam), cross.Certificate)
		}, leaf.Chain, "UntrustedRoot"},
		{"cross-certificate out of scope, presented by the peer", func(w *world) {
			w.anchor(t, anyScope(), bridge.Certificate).intermediate(t, scopeOf(fabrikam), cross.Certificate)
		}, crossed, "UntrustedRoot"},
		{"cross-certificate in scope, bridge out of scope", func(w *world) {
			w.anchor(t, scopeOf(fabrikam), bridge.Certificate).intermediate(t, scopeOf(woodgrove), cross.Certificate)
		}, leaf.Chain, "UntrustedRoot"},
		{"cross-certificate presented, not stored", func(w *world) { w.anchor(t, anyScope(), bridge.Certificate) }, crossed, "secured"},
		{"cross-certificate neither presented nor stored", func(w *world) { w.anchor(t, anyScope(), bridge.Certificate) }, leaf.Chain, "UntrustedRoot"},
		{"a system root needs no scope", func(w *world) { w.public = []*x509.Certificate{root.Certificate} }, leaf.Chain, "secured"},
		{"a system root above a scoped cross-certificate", func(w *world) {
			w.public = []*x509.Certificate{bridge.Certificate}
			w.intermediate(t, scopeOf(fabrikam), cross.Certificate)
		}, crossed, "UntrustedRoot"},
		{"a system root that is also a private one out of scope", func(w *world) {
			w.public = []*x509.Certificate{root.Certificate}
			w.anchor(t, scopeOf(fabrikam), root.Certificate)
		}, leaf.Chain, "secured"},
		{"nothing is trusted", func(*world) {}, leaf.Chain, "UntrustedRoot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := goodAnswers()
			w := &world{revocation: a}
			tt.world(w)
			if got := judge(t, w.verifier(t), tt.chain, partner()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if n := a.count(); (n > 0) != (tt.want == "secured") {
				t.Errorf("revocation was asked for %d paths", n)
			}
		})
	}
}

// A signature can be rewritten into another right one; such a twin of a scoped
// cross-certificate must not escape its scope.
func TestScopeOfTwin(t *testing.T) {
	c := pkitest.NewRoot(t, pkitest.CAOptions{}).Intermediate(t, pkitest.CAOptions{}).Certificate
	if signedID(c) != signedID(pkitest.Tampered(t, c)) {
		t.Error("the scope of a certificate depends on its signature's octets")
	}
}

func TestPins(t *testing.T) {
	root, other := pkitest.NewRoot(t, pkitest.CAOptions{}), pkitest.NewRoot(t, pkitest.CAOptions{Name: "Other"})
	a := goodAnswers()
	v := (&world{revocation: a}).anchor(t, anyScope(), root.Certificate, other.Certificate).verifier(t)
	chain := root.Issue(t, leafFor("woodgrovebank.com")).Chain
	p := partner()
	p.Anchors = []string{DescribeCertificate(root.Certificate).SHA256}
	if got := judge(t, v, chain, p); got != "secured" {
		t.Errorf("pinned anchor: %s", got)
	}
	p.Anchors = []string{strings.ToLower(p.Anchors[0])}
	if got := judge(t, v, chain, p); got != "secured" {
		t.Errorf("pinned anchor in lower case: %s", got)
	}
	asked := a.count()
	p.Anchors = []string{DescribeCertificate(other.Certificate).SHA256}
	if got := judge(t, v, chain, p); got != "UntrustedRoot" {
		t.Errorf("another pinned: %s", got)
	}
	p.Anchors = []string{""}
	if got := judge(t, v, chain, p); got != "UntrustedRoot" {
		t.Errorf("an empty pin: %s", got)
	}
	if a.count() != asked {
		t.Error("revocation was asked for an anchor that does not count")
	}
}

// TestSeveralPaths: the leaf's CA is certified by two roots.
func TestSeveralPaths(t *testing.T) {
	now := time.Now()
	a, b := pkitest.NewRoot(t, pkitest.CAOptions{Name: "Root A"}), pkitest.NewRoot(t, pkitest.CAOptions{Name: "Root B"})
	mid := a.Intermediate(t, pkitest.CAOptions{})
	crossB := b.CrossSign(t, mid, pkitest.CAOptions{})
	expiredB := b.CrossSign(t, mid, pkitest.CAOptions{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)})
	usageB := b.CrossSign(t, mid, pkitest.CAOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})
	leaf := mid.Issue(t, leafFor("woodgrovebank.com"))
	with := func(more ...*x509.Certificate) []*x509.Certificate {
		return append([]*x509.Certificate{leaf.Certificate}, more...)
	}
	say := func(rootA, rootB domainsec.RevocationStatus) *answers {
		return &answers{byIssuer: map[string]domainsec.RevocationStatus{"Root A": rootA, "Root B": rootB}}
	}
	const good, revoked, unknown = domainsec.RevocationGood, domainsec.RevocationRevoked, domainsec.RevocationUnknown
	tests := []struct {
		name    string
		chain   []*x509.Certificate
		answers *answers
		want    string
		asked   int
	}{
		{"both good", with(mid.Certificate, crossB.Certificate), say(good, good), "secured", 2},
		{"one expired", with(expiredB.Certificate, mid.Certificate), say(good, unknown), "secured", 1},
		{"one of the wrong usage", with(usageB.Certificate, mid.Certificate), say(good, unknown), "secured", 1},
		{"one unknown", with(mid.Certificate, crossB.Certificate), say(unknown, good), "secured", 2},
		{"one revoked", with(mid.Certificate, crossB.Certificate), say(good, revoked), "Revoked", 2},
		{"one revoked, the other unknown", with(mid.Certificate, crossB.Certificate), say(unknown, revoked), "Revoked", 2},
		{"one unknown, the other expired", with(mid.Certificate, expiredB.Certificate), say(unknown, good), "temporary RevocationOffline", 1},
		{"all expired", with(expiredB.Certificate), say(good, good), "CertificateExpired", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := (&world{revocation: tt.answers}).anchor(t, scopeOf(woodgrove), a.Certificate, b.Certificate).verifier(t)
			if got := judge(t, v, tt.chain, partner()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if n := tt.answers.count(); n != tt.asked {
				t.Errorf("asked about %d paths, want %d", n, tt.asked)
			}
		})
	}
	t.Run("the furthest path is reported", func(t *testing.T) {
		v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), b.Certificate).verifier(t)
		if got := judge(t, v, with(mid.Certificate, expiredB.Certificate), partner()); got != "CertificateExpired" {
			t.Errorf("got %q: the path to the unknown root A should not be the one reported", got)
		}
	})
}

func TestLongPath(t *testing.T) {
	build := func(n int) (*pkitest.CA, []*x509.Certificate) {
		root := pkitest.NewRoot(t, pkitest.CAOptions{})
		ca := root
		for i := range n - 2 {
			ca = ca.Intermediate(t, pkitest.CAOptions{Name: fmt.Sprintf("CA %d", i)})
		}
		return root, ca.Issue(t, leafFor("woodgrovebank.com")).Chain
	}
	for n, want := range map[int]string{maxPathElements: "secured", maxPathElements + 1: "InvalidChain"} {
		root, chain := build(n)
		v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), root.Certificate).verifier(t)
		if got := judge(t, v, chain, partner()); got != want {
			t.Errorf("a path of %d: got %q, want %q", n, got, want)
		}
	}
}

func TestOversizedIssuerKeyIsNotUsed(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	huge := *root.Certificate
	huge.PublicKey = pkitest.HugeRSA(16384)
	if err := verifySignature(root.Certificate, &huge); err == nil || !strings.Contains(err.Error(), "16384") {
		t.Errorf("verifySignature: %v", err)
	}
}

// TestSelfSignedLeaf: a partner's certificate trusted by itself.
func TestSelfSignedLeaf(t *testing.T) {
	now := time.Now()
	self := func(o pkitest.LeafOptions) *pkitest.Leaf {
		if o.Names == nil {
			o.Names = []string{"mail.woodgrovebank.com"}
		}
		return pkitest.SelfSigned(t, o)
	}
	tests := []struct {
		name  string
		leaf  *pkitest.Leaf
		scope directory.Scope
		want  string
	}{
		{"good", self(pkitest.LeafOptions{}), scopeOf(woodgrove), "secured"},
		{"CA:TRUE, as openssl makes it", self(pkitest.LeafOptions{IsCA: true}), scopeOf(woodgrove), "secured"},
		{"out of scope", self(pkitest.LeafOptions{}), scopeOf(fabrikam), "UntrustedRoot"},
		{"expired", self(pkitest.LeafOptions{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-time.Hour)}), scopeOf(woodgrove), "CertificateExpired"},
		{"not yet valid", self(pkitest.LeafOptions{NotBefore: now.Add(time.Hour)}), scopeOf(woodgrove), "CertificateNotYetValid"},
		{"weak key", self(pkitest.LeafOptions{KeyType: pkitest.P224}), scopeOf(woodgrove), "WeakSignature"},
		{"wrong usage", self(pkitest.LeafOptions{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}), scopeOf(woodgrove), "WrongUsage"},
		{"wrong name", self(pkitest.LeafOptions{Names: []string{"fabrikam.example"}}), scopeOf(woodgrove), "SubjectMismatch"},
		{"its distribution point is not asked", self(pkitest.LeafOptions{CRLs: []string{"http://crl.example/x.crl"}}), scopeOf(woodgrove), "secured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &answers{}
			v := (&world{revocation: a}).anchor(t, tt.scope, tt.leaf.Certificate).verifier(t)
			if got := judge(t, v, tt.leaf.Chain, partner()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if a.count() > 0 {
				t.Error("revocation was asked for an anchor")
			}
		})
	}
	for _, isCA := range []bool{false, true} {
		t.Run(fmt.Sprintf("never an issuer, CA %t", isCA), func(t *testing.T) {
			leaf := self(pkitest.LeafOptions{IsCA: isCA})
			v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), leaf.Certificate).verifier(t)
			issued := leaf.AsCA().Issue(t, leafFor("woodgrovebank.com"))
			for _, chain := range [][]*x509.Certificate{{issued.Certificate}, {issued.Certificate, leaf.Certificate}} {
				if got := judge(t, v, chain, partner()); got != "UntrustedRoot" {
					t.Errorf("presenting %d: got %q", len(chain), got)
				}
			}
		})
	}
	t.Run("a system root is no leaf", func(t *testing.T) {
		root := pkitest.NewRoot(t, pkitest.CAOptions{Name: "mail.woodgrovebank.com"})
		v := (&world{revocation: goodAnswers(), public: []*x509.Certificate{root.Certificate}}).verifier(t)
		if got := judge(t, v, []*x509.Certificate{root.Certificate}, partner()); got != "UntrustedRoot" {
			t.Errorf("got %q", got)
		}
	})
}

func TestRevocation(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	leaf := root.Issue(t, leafFor("woodgrovebank.com"))
	plain := func(status domainsec.RevocationStatus) *world { return &world{revocation: &answers{status: status}} }
	tests := []struct {
		name  string
		world *world
		want  string
	}{
		{"good", plain(domainsec.RevocationGood), "secured"},
		{"revoked", plain(domainsec.RevocationRevoked), "Revoked"},
		{"unknown", plain(domainsec.RevocationUnknown), "temporary RevocationOffline"},
		{"no such status", plain(99), "temporary RevocationOffline"},
		{"not checked", &world{}, "temporary RevocationOffline"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.world.anchor(t, scopeOf(woodgrove), root.Certificate).verifier(t)
			if got := judge(t, v, leaf.Chain, partner()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("revocation none", func(t *testing.T) {
		a := &answers{}
		w := (&world{revocation: a}).anchor(t, scopeOf(woodgrove), root.Certificate)
		w.anchors[0].Revocation = directory.RevocationNone
		f := w.verifier(t).Judge(context.Background(), Request{Presented: leaf.Chain, Domain: woodgrove, Direction: domainsec.Inbound, Partner: partner()})
		if got := verdict(f, partner()); got != "secured" || f.Paths[0].Revocation != domainsec.RevocationNotRequired || a.count() > 0 {
			t.Errorf("got %q, %s, asked %d", got, describe(f), a.count())
		}
		if !f.Paths[0].ValidUntil.Equal(leaf.Certificate.NotAfter) {
			t.Errorf("valid until %v", f.Paths[0].ValidUntil)
		}
	})
	t.Run("nothing is asked for strangers", func(t *testing.T) {
		a := goodAnswers()
		v := (&world{revocation: a}).anchor(t, anyScope(), root.Certificate).verifier(t)
		v.Judge(context.Background(), Request{Presented: leaf.Chain, Domain: woodgrove, Direction: domainsec.Inbound})
		v.Judge(context.Background(), Request{Presented: root.Issue(t, leafFor("x.example")).Chain, Domain: woodgrove, Direction: domainsec.Inbound, Partner: partner()})
		if a.count() > 0 {
			t.Errorf("asked %d times", a.count())
		}
	})
}

func TestShortLived(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	old := pkitest.CAOptions{NotBefore: now.AddDate(-1, 0, 0)}
	root := pkitest.NewRoot(t, old)
	mid := root.Intermediate(t, old)
	const day = 24 * time.Hour
	leaf := func(ca *pkitest.CA, from time.Time, d time.Duration, o pkitest.LeafOptions) []*x509.Certificate {
		o.Names, o.NotBefore, o.NotAfter = []string{"woodgrovebank.com"}, from, from.Add(d-time.Second)
		return ca.Issue(t, o).Chain
	}
	before := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		chain   []*x509.Certificate
		now     time.Time
		private bool
		want    string
		asked   int
	}{
		{"seven days", leaf(root, now, 7*day, pkitest.LeafOptions{}), now, false, "secured", 0},
		{"a second more", leaf(root, now, 7*day+time.Second, pkitest.LeafOptions{}), now, false, "temporary RevocationOffline", 1},
		{"ten days, before the change", leaf(root, before, 10*day, pkitest.LeafOptions{}), before.Add(day), false, "secured", 0},
		{"a second more, before the change", leaf(root, before, 10*day+time.Second, pkitest.LeafOptions{}), before.Add(day), false, "temporary RevocationOffline", 1},
		{"with a distribution point", leaf(root, now, 7*day, pkitest.LeafOptions{CRLs: []string{"http://crl.example/"}}), now, false, "temporary RevocationOffline", 1},
		{"with OCSP", leaf(root, now, 7*day, pkitest.LeafOptions{OCSP: []string{"http://ocsp.example/"}}), now, false, "temporary RevocationOffline", 1},
		{"private", leaf(root, now, 7*day, pkitest.LeafOptions{}), now, true, "temporary RevocationOffline", 1},
		{"its intermediate is still asked about", leaf(mid, now, 7*day, pkitest.LeafOptions{}), now, false, "temporary RevocationOffline", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &answers{}
			w := &world{revocation: a, public: []*x509.Certificate{root.Certificate}}
			if tt.private {
				w.public = nil
				w.anchor(t, anyScope(), root.Certificate)
			}
			f := w.verifier(t).Judge(context.Background(), Request{Presented: tt.chain, Domain: woodgrove, Direction: domainsec.Inbound, Partner: partner(), Now: tt.now})
			if got := verdict(f, partner()); got != tt.want || a.count() != tt.asked {
				t.Errorf("got %q, asked %d; want %q, %d", got, a.count(), tt.want, tt.asked)
			}
		})
	}
}

func TestListedNamesByDirection(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	v := (&world{revocation: goodAnswers()}).anchor(t, scopeOf(woodgrove), root.Certificate).verifier(t)
	p := partner()
	p.NameRule, p.Names = directory.NameRuleListed, []string{"mx.provider.example"}
	chain := root.Issue(t, leafFor("mx.provider.example")).Chain
	got := map[domainsec.Direction]string{}
	for _, way := range []domainsec.Direction{domainsec.Inbound, domainsec.Outbound} {
		got[way] = verdict(v.Judge(context.Background(), Request{Presented: chain, Domain: woodgrove, Direction: way, Partner: p}), p)
	}
	want := map[domainsec.Direction]string{domainsec.Inbound: "SubjectMismatch", domainsec.Outbound: "secured"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if m := v.NameMatches(chain[0], p); m != "" {
		t.Errorf("NameMatches: %q", m)
	}
	if m := v.NameMatches(chain[0], nil); m != "" {
		t.Errorf("NameMatches without a partner: %q", m)
	}
	if m := v.NameMatches(root.Issue(t, leafFor("Mail.WoodgroveBank.com")).Certificate, partner()); m != "mail.woodgrovebank.com" {
		t.Errorf("NameMatches: %q", m)
	}
}

func TestNoCertificate(t *testing.T) {
	v := (&world{}).verifier(t)
	for _, chain := range [][]*x509.Certificate{nil, {}, {nil}} {
		if f := v.Judge(context.Background(), Request{Presented: chain, Domain: woodgrove, Direction: domainsec.Inbound, Partner: partner()}); f != nil {
			t.Errorf("%v: %+v", chain, f)
		}
	}
}
