package revocation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/domainsec"
)

// scopeValue is an issuingDistributionPoint.
type scopeValue struct {
	Point     pointName      `asn1:"optional,tag:0"`
	OnlyUser  bool           `asn1:"optional,tag:1"`
	OnlyCA    bool           `asn1:"optional,tag:2"`
	Reasons   asn1.BitString `asn1:"optional,tag:3"`
	Indirect  bool           `asn1:"optional,tag:4"`
	Attribute bool           `asn1:"optional,tag:5"`
}

type pointName struct {
	Full []asn1.RawValue `asn1:"optional,tag:0"`
}

func uri(s string) pointName {
	return pointName{Full: []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(s)}}}
}

func scoped(v scopeValue) func(*x509.RevocationList) {
	return extended(true, asn1.ObjectIdentifier{2, 5, 29, 28}, must(asn1.Marshal(v)))
}

func entryExtension(critical bool, id asn1.ObjectIdentifier, value []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(77), RevocationTime: start,
			ExtraExtensions: []pkix.Extension{{Id: id, Critical: critical, Value: value}},
		})
	}
}

// TestCheckCertificate begins with a certificate and a CRL that are all right
// and changes one thing per row.
func TestCheckCertificate(t *testing.T) {
	good, revoked, unknown := domainsec.RevocationGood, domainsec.RevocationRevoked, domainsec.RevocationUnknown
	other := newCA(t, "Contoso Root") // same name, another key
	stranger := newCA(t, "Stranger Root")
	private := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	tests := []struct {
		name   string
		crl    func(a *ca, address string) []byte
		spoil  func(*x509.Certificate) // of the authority
		want   domainsec.RevocationStatus
		detail string
	}{
		{name: "good", crl: func(a *ca, _ string) []byte { return a.crl(revoking(7, 9)) }, want: good},
		{name: "good, empty", crl: func(a *ca, _ string) []byte { return a.crl() }, want: good},
		{name: "revoked", crl: func(a *ca, _ string) []byte { return a.crl(revoking(7, 42, 9)) }, want: revoked, detail: "revoked at 2026-11-23T11:59:00Z (keyCompromise)"},
		{name: "PEM", crl: func(a *ca, _ string) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: a.crl(revoking(42))})
		}, want: revoked},
		{name: "PEM of something else", crl: func(a *ca, _ string) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.crl()})
		}, want: unknown, detail: "not a DER CertificateList"},
		{name: "expired", crl: func(a *ca, _ string) []byte { return a.crl(numbered(1, start.Add(-24*time.Hour))) }, want: unknown, detail: "the CRL expired at 2026-11-23T12:00:00Z"},
		{name: "future within tolerance", crl: func(a *ca, _ string) []byte { return a.crl(numbered(1, start.Add(5*time.Minute))) }, want: good},
		{name: "future", crl: func(a *ca, _ string) []byte { return a.crl(numbered(1, start.Add(5*time.Minute+time.Second))) }, want: unknown, detail: "not valid before"},
		{name: "signed by another key of the name", crl: func(*ca, string) []byte { return other.crl() }, want: unknown, detail: "signature"},
		{name: "of another issuer", crl: func(*ca, string) []byte { return stranger.crl() }, want: unknown, detail: `it is of "CN=Stranger Root"`},
		{name: "signer without cRLSign", crl: func(a *ca, _ string) []byte { return a.crl() }, spoil: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }, want: unknown, detail: "lacks the key usage cRLSign"},
		{name: "signer without key usage", crl: func(a *ca, _ string) []byte { return a.crl() }, spoil: func(c *x509.Certificate) { c.KeyUsage = 0 }, want: good},
		{name: "garbage", crl: func(*ca, string) []byte { return []byte("<html>not found</html>") }, want: unknown, detail: "not a DER CertificateList"},
		{name: "empty", crl: func(*ca, string) []byte { return nil }, want: unknown, detail: "not a DER CertificateList"},
		{name: "cut short", crl: func(a *ca, _ string) []byte { b := a.crl(revoking(42)); return b[:len(b)-1] }, want: unknown, detail: "not a DER CertificateList"},
		{name: "something after it", crl: func(a *ca, _ string) []byte { return append(a.crl(), 0) }, want: unknown, detail: "not a DER CertificateList"},
		{name: "changed in the entries", crl: func(a *ca, _ string) []byte {
			return []byte(strings.Replace(string(a.crl(revoking(42))), "\x02\x01\x2a", "\x02\x01\x2b", 1))
		}, want: unknown, detail: "signature"},
		{name: "unknown critical extension", crl: func(a *ca, _ string) []byte { return a.crl(extended(true, private, []byte{5, 0})) }, want: unknown, detail: "unknown critical extension 1.3.6.1.4.1.99999.1"},
		{name: "unknown extension", crl: func(a *ca, _ string) []byte { return a.crl(extended(false, private, []byte{5, 0})) }, want: good},
		{name: "unknown critical entry extension", crl: func(a *ca, _ string) []byte { return a.crl(entryExtension(true, private, []byte{5, 0})) }, want: unknown, detail: "unknown critical extension 1.3.6.1.4.1.99999.1"},
		{name: "unknown entry extension", crl: func(a *ca, _ string) []byte { return a.crl(entryExtension(false, private, []byte{5, 0})) }, want: good},
		{name: "entry of another issuer", crl: func(a *ca, _ string) []byte {
			return a.crl(entryExtension(false, asn1.ObjectIdentifier{2, 5, 29, 29}, must(asn1.Marshal([]asn1.RawValue{{Class: 2, Tag: 4, IsCompound: true, Bytes: other.certificate.RawSubject}}))))
		}, want: unknown, detail: "indirect"},
		{name: "delta", crl: func(a *ca, _ string) []byte {
			return a.crl(extended(true, asn1.ObjectIdentifier{2, 5, 29, 27}, []byte{2, 1, 1}))
		}, want: unknown, detail: "delta"},
		{name: "scope: the certificate's point", crl: func(a *ca, address string) []byte {
			return a.crl(scoped(scopeValue{Point: uri(strings.Replace(address, "http://crl.", "HTTP://CRL.", 1))}))
		}, want: good},
		{name: "scope: another point", crl: func(a *ca, _ string) []byte {
			return a.crl(scoped(scopeValue{Point: uri("http://crl.example/part2.crl")}))
		}, want: unknown, detail: "another distribution point"},
		{name: "scope: end entities", crl: func(a *ca, _ string) []byte { return a.crl(scoped(scopeValue{OnlyUser: true}), revoking(42)) }, want: revoked},
		{name: "scope: authorities", crl: func(a *ca, _ string) []byte { return a.crl(scoped(scopeValue{OnlyCA: true})) }, want: unknown, detail: "covers CA certificates only"},
		{name: "scope: attributes", crl: func(a *ca, _ string) []byte { return a.crl(scoped(scopeValue{Attribute: true})) }, want: unknown, detail: "attribute certificates only"},
		{name: "scope: indirect", crl: func(a *ca, _ string) []byte { return a.crl(scoped(scopeValue{Indirect: true})) }, want: good},
		{name: "scope: some reasons", crl: func(a *ca, _ string) []byte {
			return a.crl(scoped(scopeValue{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}}))
		}, want: unknown, detail: "only some reasons"},
		{name: "scope: malformed", crl: func(a *ca, _ string) []byte {
			return a.crl(extended(true, asn1.ObjectIdentifier{2, 5, 29, 28}, []byte{0x30, 0x80}))
		}, want: unknown, detail: "malformed issuingDistributionPoint"},
		{name: "removeFromCRL on a complete CRL", crl: func(a *ca, _ string) []byte {
			return a.crl(func(l *x509.RevocationList) {
				l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(42), RevocationTime: start, ReasonCode: 8}}
			})
		}, want: unknown, detail: "removeFromCRL"},
		{name: "removeFromCRL and revoked", crl: func(a *ca, _ string) []byte {
			return a.crl(func(l *x509.RevocationList) {
				l.RevokedCertificateEntries = []x509.RevocationListEntry{
					{SerialNumber: big.NewInt(42), RevocationTime: start, ReasonCode: 8},
					{SerialNumber: big.NewInt(42), RevocationTime: start, ReasonCode: 4},
				}
			})
		}, want: revoked, detail: "superseded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			authority := newCA(t, "Contoso Root")
			if tt.spoil != nil {
				authority = newCA(t, "Contoso Root", tt.spoil)
			}
			server := newServer(t, nil)
			server.put(tt.crl(authority, server.address()))
			leaf := authority.issue(42, server.address())
			got := open(t, newClock()).CheckCertificate(t.Context(), leaf, authority.certificate)
			if got.Status != tt.want || !strings.Contains(got.Detail, tt.detail) {
				t.Fatalf("status %v, %q; want %v, %q", got.Status, got.Detail, tt.want, tt.detail)
			}
			if strings.ContainsAny(got.Detail, "\r\n") {
				t.Errorf("the detail has line ends: %q", got.Detail)
			}
			if (got.Detail == "") != (tt.want == good) {
				t.Errorf("detail %q", got.Detail)
			}
			if got.ValidUntil.IsZero() {
				t.Error("the answer has no end")
			}
		})
	}
}

// TestWithoutNextUpdate needs a CRL that the standard library does not make.
func TestWithoutNextUpdate(t *testing.T) {
	l := &List{thisUpdate: start, nextUpdate: start.Add(lifeWithoutNextUpdate)}
	authority := newCA(t, "Contoso Root")
	parsed := must(parseList(stripNextUpdate(t, authority.crl())))
	if !parsed.nextUpdate.Equal(l.nextUpdate) {
		t.Fatalf("it counts until %s, want %s", parsed.nextUpdate, l.nextUpdate)
	}
	if err := parsed.usable(start.Add(24*time.Hour - time.Second)); err != nil {
		t.Error(err)
	}
	if parsed.usable(start.Add(24*time.Hour)) == nil {
		t.Error("usable after 24 hours")
	}
}

// stripNextUpdate takes nextUpdate out of a CRL; the signature does not matter here.
func stripNextUpdate(t *testing.T, der []byte) []byte {
	t.Helper()
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		t.Fatal(err)
	}
	var fields []byte
	rest := outer.TBS.Bytes
	for i := 0; len(rest) > 0; i++ {
		var field asn1.RawValue
		rest = must(asn1.Unmarshal(rest, &field))
		if i != 4 { // version, signature, issuer, thisUpdate, nextUpdate
			fields = append(fields, field.FullBytes...)
		}
	}
	outer.TBS = asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: fields}
	return must(asn1.Marshal(outer))
}

func TestDistributionPoints(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	issuerName := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagDirectoryName, IsCompound: true, Bytes: authority.certificate.RawSubject}
	type distributionPoint struct {
		Name    pointName       `asn1:"optional,tag:0"`
		Reasons asn1.BitString  `asn1:"optional,tag:1"`
		Issuer  []asn1.RawValue `asn1:"optional,tag:2"`
	}
	some := asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}
	strangerName := issuerName
	strangerName.Bytes = must(asn1.Marshal(pkix.Name{CommonName: "Stranger"}.ToRDNSequence()))
	tests := []struct {
		name   string
		points []distributionPoint
		urls   []string
		err    string
	}{
		{"http", []distributionPoint{{Name: uri("http://a.example/x.crl")}}, []string{"http://a.example/x.crl"}, ""},
		{"capitals", []distributionPoint{{Name: uri("HTTP://A.example/X.crl")}}, []string{"http://a.example/X.crl"}, ""},
		{"ldap only", []distributionPoint{{Name: uri("ldap://a.example/cn=x?certificateRevocationList")}}, []string{"ldap://a.example/cn=x?certificateRevocationList"}, ""},
		{"https only", []distributionPoint{{Name: uri("https://a.example/x.crl")}}, []string{"https://a.example/x.crl"}, ""},
		{"ldap and http", []distributionPoint{{Name: uri("ldap:///cn=x")}, {Name: uri("http://a.example/x.crl")}}, []string{"ldap:///cn=x", "http://a.example/x.crl"}, ""},
		{"some reasons", []distributionPoint{{Name: uri("http://a.example/x.crl"), Reasons: some}}, []string{"http://a.example/x.crl"}, ""},
		{"only reasons", []distributionPoint{{Reasons: some}}, nil, "neither a name nor a CRL issuer"},
		{"another CRL issuer", []distributionPoint{{Name: uri("http://a.example/x.crl"), Issuer: []asn1.RawValue{strangerName}}}, []string{"http://a.example/x.crl"}, ""},
		{"the issuer itself as CRL issuer", []distributionPoint{{Name: uri("http://a.example/x.crl"), Issuer: []asn1.RawValue{issuerName}}}, []string{"http://a.example/x.crl"}, ""},
		{"directory name only", []distributionPoint{{Name: pointName{Full: []asn1.RawValue{issuerName}}}}, nil, ""},
		{"too many", slices.Repeat([]distributionPoint{{Name: uri("http://a.example/x.crl")}}, maxPoints+1), nil, "more than 8"},
		{"none", nil, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template := &x509.Certificate{SerialNumber: big.NewInt(1)}
			if tt.points != nil {
				template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: must(asn1.Marshal(tt.points))}}
			}
			points, err := distributionPoints(authority.issueWith(template, nil))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			var urls []string
			for _, p := range points {
				urls = append(urls, p.addresses...)
			}
			if diff := cmp.Diff(tt.urls, urls); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckPath(t *testing.T) {
	c := newClock()
	root := newCA(t, "Contoso Root")
	rootServer, subServer := newServer(t, nil), newServer(t, nil)
	subKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	sub := &ca{t: t, key: subKey, certificate: root.issueWith(&x509.Certificate{
		SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "Contoso Issuing"}, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, CRLDistributionPoints: []string{rootServer.address()},
	}, subKey.Public())}
	leaf := sub.issue(42, subServer.address())
	path := []*x509.Certificate{leaf, sub.certificate, root.certificate}
	down := []byte("nothing")
	tests := []struct {
		name           string
		ofRoot, ofSub  []byte
		want           domainsec.RevocationStatus
		oldest, ending time.Time
	}{
		{"good", root.crl(numbered(1, start.Add(-2*time.Hour))), sub.crl(numbered(1, start.Add(-time.Hour))), domainsec.RevocationGood, start.Add(-2 * time.Hour), start.Add(22 * time.Hour)},
		{"leaf revoked", root.crl(), sub.crl(revoking(42)), domainsec.RevocationRevoked, start, start.Add(24 * time.Hour)},
		{"issuer revoked", root.crl(revoking(5)), sub.crl(), domainsec.RevocationRevoked, start, start.Add(24 * time.Hour)},
		{"issuer revoked, leaf unknown", root.crl(revoking(5)), down, domainsec.RevocationRevoked, start, start.Add(24 * time.Hour)},
		{"issuer unknown", down, sub.crl(), domainsec.RevocationUnknown, start, start.Add(retrySoon)},
		{"both unknown", down, down, domainsec.RevocationUnknown, time.Time{}, start.Add(retrySoon)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rootServer.put(tt.ofRoot)
			subServer.put(tt.ofSub)
			got := open(t, c).CheckPath(t.Context(), path)
			if got.Status != tt.want || !got.ThisUpdate.Equal(tt.oldest) || !got.ValidUntil.Equal(tt.ending) {
				t.Errorf("%+v; want %v, oldest %s, until %s", got, tt.want, tt.oldest, tt.ending)
			}
		})
	}
	checker := open(t, c)
	if got := checker.CheckPath(t.Context(), nil); got.Status != domainsec.RevocationUnknown {
		t.Errorf("no path: %+v", got)
	}
	if got := checker.CheckPath(t.Context(), []*x509.Certificate{leaf, nil}); got.Status != domainsec.RevocationUnknown {
		t.Errorf("a nil certificate: %+v", got)
	}
	if got := checker.CheckPath(t.Context(), []*x509.Certificate{leaf, root.certificate}); got.Status != domainsec.RevocationUnknown {
		t.Errorf("a gap in the path: %+v", got)
	}
	rootServer.put(root.crl(scoped(scopeValue{OnlyUser: true})))
	subServer.put(sub.crl())
	if got := checker.CheckPath(t.Context(), path); got.Status != domainsec.RevocationUnknown || !strings.Contains(got.Detail, "end-entity certificates only") {
		t.Errorf("an authority and a CRL of end entities: %+v", got)
	}
	if got := checker.CheckPath(t.Context(), path[2:]); got.Status != domainsec.RevocationNotRequired {
		t.Errorf("an anchor alone: %+v", got)
	}
}

// TestSecondAddress: one address that works is enough, and the one that worked is asked first.
func TestSecondAddress(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	broken, working := newServer(t, []byte("nothing")), newServer(t, authority.crl())
	leaf := authority.issue(42, broken.address(), working.address())
	checker := open(t, newClock())
	for range 3 {
		if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationGood {
			t.Fatalf("%+v", got)
		}
	}
	if b, w := broken.requests.Load(), working.requests.Load(); b != 1 || w != 1 {
		t.Errorf("%d and %d requests, want 1 and 1", b, w)
	}
}

// TestStrangersCannotBlock: a CA that names another CA's address neither uses
// nor spoils the other's CRL.
func TestStrangersCannotBlock(t *testing.T) {
	authority, mallory := newCA(t, "Contoso Root"), newCA(t, "Mallory Root")
	server := newServer(t, authority.crl())
	checker := open(t, newClock())
	if got := checker.CheckCertificate(t.Context(), mallory.issue(42, server.address()), mallory.certificate); got.Status != domainsec.RevocationUnknown {
		t.Errorf("the stranger: %+v", got)
	}
	if got := checker.CheckCertificate(t.Context(), authority.issue(42, server.address()), authority.certificate); got.Status != domainsec.RevocationGood {
		t.Errorf("the owner: %+v", got)
	}
}

// TestSignerOfEachPath: a list verified by way of one certificate of an
// authority does not serve for another that may not sign CRLs.
func TestSignerOfEachPath(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, authority.crl())
	leaf := authority.issue(42, server.address())
	may := *authority.certificate
	mayNot := *authority.certificate
	mayNot.KeyUsage = x509.KeyUsageCertSign
	checker := open(t, newClock())
	if got := checker.CheckCertificate(t.Context(), leaf, &may); got.Status != domainsec.RevocationGood {
		t.Errorf("with cRLSign: %+v", got)
	}
	if got := checker.CheckCertificate(t.Context(), leaf, &mayNot); got.Status != domainsec.RevocationUnknown {
		t.Errorf("without: %+v", got)
	}
	parsed := must(parseList(authority.crl()))
	if err := parsed.verify(&mayNot); err == nil || !strings.Contains(err.Error(), "cRLSign") {
		t.Errorf("verifying: %v", err)
	}
	parsed.signed.algorithm = x509.ECDSAWithSHA1
	if err := parsed.verify(&may); err == nil || !strings.Contains(err.Error(), "too weak") {
		t.Errorf("verifying SHA-1: %v", err)
	}
}

func TestSingleFlight(t *testing.T) {
	authority := newCA(t, "Contoso Root")
	server := newServer(t, nil)
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	body := authority.crl()
	server.handle(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = w.Write(body)
	})
	leaf := authority.issue(42, server.address())
	checker := open(t, newClock())
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan Status)
	go func() { left <- checker.CheckCertificate(impatient, leaf, authority.certificate) }()
	<-arrived
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := checker.CheckCertificate(t.Context(), leaf, authority.certificate); got.Status != domainsec.RevocationGood {
				t.Errorf("%+v", got)
			}
		})
	}
	leave()
	if got := <-left; got.Status != domainsec.RevocationUnknown {
		t.Errorf("who left: %+v", got)
	}
	close(release)
	wg.Wait()
	if n := server.requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory": {Resolver: hosts{}},
		"no resolver":  {Directory: t.TempDir()},
	} {
		if _, err := Open(o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestReasonText(t *testing.T) {
	for code, want := range map[Reason]string{0: "unspecified", 6: "certificateHold", 10: "aACompromise", 11: "reason 11"} {
		if got := code.String(); got != want {
			t.Errorf("%d: %s", code, got)
		}
	}
	if got := fmt.Sprint(when(time.Time{})); got != "" {
		t.Errorf("no date: %q", got)
	}
}
