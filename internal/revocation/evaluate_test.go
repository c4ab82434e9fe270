package revocation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"mailpact/internal/domainsec"
)

// distributionPoint is a DistributionPoint, for making certificates.
type distributionPoint struct {
	Name    asn1.RawValue   `asn1:"optional,tag:0"`
	Reasons asn1.BitString  `asn1:"optional,tag:1"`
	Issuer  []asn1.RawValue `asn1:"optional,tag:2"`
}

// directoryName is a directoryName of those common names, the outermost first.
func directoryName(names ...string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagDirectoryName, IsCompound: true, Bytes: rdns(names...)}
}

// rdns is a Name, DER.
func rdns(names ...string) []byte {
	var sequence pkix.RDNSequence
	for _, n := range names {
		sequence = append(sequence, pkix.Name{CommonName: n}.ToRDNSequence()...)
	}
	return must(asn1.Marshal(sequence))
}

// fullName and relativeName are a DistributionPointName in its explicit tag.
func fullName(names ...asn1.RawValue) asn1.RawValue {
	var content []byte
	for _, n := range names {
		content = append(content, must(asn1.Marshal(n))...)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: must(asn1.Marshal(
		asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}))}
}

func relativeName(name string) asn1.RawValue {
	var sequence []asn1.RawValue
	must(asn1.Unmarshal(rdns(name), &sequence))
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: must(asn1.Marshal(
		asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: sequence[0].Bytes}))}
}

// reasons is a ReasonFlags of those bits.
func reasons(bits ...int) asn1.BitString {
	b := make([]byte, 2)
	for _, n := range bits {
		b[n/8] |= 0x80 >> (n % 8)
	}
	return asn1.BitString{Bytes: b, BitLength: 9}
}

// withPoints makes a leaf with these distribution points. They are put in after
// parsing: crypto/x509 refuses names relative to the CRL issuer.
func (a *ca) withPoints(serial int64, points ...distributionPoint) *x509.Certificate {
	leaf := a.issueWith(&x509.Certificate{SerialNumber: big.NewInt(serial)}, nil)
	if points != nil {
		leaf.Extensions = append(leaf.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 31}, Value: must(asn1.Marshal(points))})
	}
	return leaf
}

// part is an issuingDistributionPoint.
type part struct {
	Name      asn1.RawValue  `asn1:"optional,tag:0"`
	OnlyUser  bool           `asn1:"optional,tag:1"`
	OnlyCA    bool           `asn1:"optional,tag:2"`
	Reasons   asn1.BitString `asn1:"optional,tag:3"`
	Indirect  bool           `asn1:"optional,tag:4"`
	Attribute bool           `asn1:"optional,tag:5"`
}

func of(p part) func(*x509.RevocationList) {
	return extended(true, asn1.ObjectIdentifier{2, 5, 29, 28}, must(asn1.Marshal(p)))
}

// deltaTo makes a CRL with this number a delta to that one.
func deltaTo(base, number int64) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		numbered(number, start)(l)
		extended(true, asn1.ObjectIdentifier{2, 5, 29, 27}, must(asn1.Marshal(base)))(l)
	}
}

// listing adds an entry; issuer is that of the certificate, nil for none stated.
func listing(serial int64, reason int, issuer []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		e := x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: start.Add(-time.Minute), ReasonCode: reason}
		if issuer != nil {
			names := []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tagDirectoryName, IsCompound: true, Bytes: issuer}}
			e.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: must(asn1.Marshal(names))}}
		}
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, e)
	}
}

// below issues a CA, or a CRL signer, with a key of its own.
func (a *ca) below(name string, serial int64, usage x509.KeyUsage) *ca {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return &ca{t: a.t, key: key, certificate: a.issueWith(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, KeyUsage: usage, IsCA: usage&x509.KeyUsageCertSign != 0,
	}, key.Public())}
}

// version1 takes version and extensions out of a CRL and signs it again.
func (a *ca) version1(der []byte) []byte {
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	must(asn1.Unmarshal(der, &outer))
	var fields []byte
	for rest := outer.TBS.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		rest = must(asn1.Unmarshal(rest, &field))
		if field.Tag != asn1.TagInteger && field.Class != asn1.ClassContextSpecific {
			fields = append(fields, field.FullBytes...)
		}
	}
	outer.TBS = asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: fields}
	message := hashOf(x509.ECDSAWithSHA256).New()
	message.Write(must(asn1.Marshal(outer.TBS)))
	outer.Signature.Bytes = must(a.key.Sign(rand.Reader, message.Sum(nil), hashOf(x509.ECDSAWithSHA256)))
	outer.Signature.BitLength = 8 * len(outer.Signature.Bytes)
	return must(asn1.Marshal(outer))
}

// TestEvaluate has the shapes of NIST PKITS, sections 4.4, 4.14 and 4.15: a leaf
// with serial number 42 under "CA" under "Root". What Root says about CA is good
// unless a row says otherwise.
func TestEvaluate(t *testing.T) {
	good, revoked, unknown := domainsec.RevocationGood, domainsec.RevocationRevoked, domainsec.RevocationUnknown
	signing := x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	root := newCA(t, "Root")
	authority := root.below("CA", 5, signing)
	rollover := root.below("CA", 6, signing)                 // the same name, another key
	crlKey := authority.below("CA", 7, x509.KeyUsageCRLSign) // the CA's key for CRLs
	noSign := root.below("CA", 8, x509.KeyUsageCertSign)
	forger := newCA(t, "CA")
	other := root.below("Other", 9, signing)
	rogue := other.below("CA", 10, signing) // another authority under the anchor takes the name
	lister := root.below("Lister", 11, x509.KeyUsageCRLSign)
	point := func(name string) distributionPoint {
		return distributionPoint{Name: fullName(directoryName("CA", name))}
	}
	listed := directoryName("Lister")
	caName := authority.certificate.RawSubject
	full := directoryName("CA", "part")
	private := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	expired := func(l *x509.RevocationList) {
		l.NextUpdate = start.Add(-time.Second)
		l.ThisUpdate = start.Add(-time.Hour)
	}
	tests := []struct {
		name   string
		points []distributionPoint
		lists  [][]byte
		want   domainsec.RevocationStatus
		detail string
	}{
		// 4.4, basic certificate revocation
		{"4.4.1 no CRL", nil, nil, unknown, "no CRL is at hand"},
		{"4.4.2 CA revoked is not the leaf's affair", nil, [][]byte{authority.crl()}, good, ""},
		{"4.4.3 revoked", nil, [][]byte{authority.crl(revoking(41, 42))}, revoked, "keyCompromise"},
		{"4.4.4 bad signature", nil, [][]byte{forger.crl()}, unknown, "verifying CRL"},
		{"4.4.5 bad issuer name", nil, [][]byte{other.crl()}, unknown, "none of the 2 CRLs"},
		{"4.4.6 wrong CRL beside the right one", nil, [][]byte{root.crl(), authority.crl(revoking(42)), other.crl()}, revoked, ""},
		{"4.4.7 two CRLs, the newer revokes", nil, [][]byte{authority.crl(numbered(1, start.Add(-time.Hour))), authority.crl(numbered(2, start), revoking(42))}, revoked, ""},
		{"4.4.7 two CRLs, one forged", nil, [][]byte{forger.crl(numbered(2, start)), authority.crl(numbered(1, start.Add(-time.Hour)), revoking(42))}, revoked, ""},
		{"4.4.8 unknown critical entry extension", nil, [][]byte{authority.crl(entryExtension(true, private, []byte{5, 0}))}, unknown, ""},
		{"4.4.9 unknown critical extension", nil, [][]byte{authority.crl(extended(true, private, []byte{5, 0}))}, unknown, ""},
		{"4.4.11 old nextUpdate", nil, [][]byte{authority.crl(expired)}, unknown, "expired"},
		{"4.4.13 thisUpdate ahead", nil, [][]byte{authority.crl(numbered(1, start.Add(time.Hour)))}, unknown, "not valid before"},
		{"4.4.14 version 1", nil, [][]byte{authority.version1(authority.crl())}, good, ""},
		{"4.4.14 version 1, revoked", nil, [][]byte{authority.version1(authority.crl(func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(42), RevocationTime: start}}
		}))}, revoked, ""},
		{"4.4.19 separate CRL key", nil, [][]byte{crlKey.crl(), authority.crl(of(part{OnlyCA: true}))}, unknown, "its signer is not known to be good"},
		{"4.4.19 separate CRL key, itself good", nil, [][]byte{crlKey.crl(of(part{OnlyUser: true, Name: fullName(full)})), authority.crl(numbered(1, start.Add(-time.Hour)), revoking(41))}, good, ""},
		{"rollover to another key", nil, [][]byte{rollover.crl()}, good, ""},
		{"rollover to another key, revoked", nil, [][]byte{rollover.crl(revoking(42))}, revoked, ""},
		{"key without cRLSign", nil, [][]byte{noSign.crl()}, unknown, "verifying CRL"},
		{"another authority took the name", nil, [][]byte{rogue.crl()}, unknown, "was not issued by a CA of the certificate's path"},
		// 4.14, distribution points
		{"4.14.1 name matches", []distributionPoint{point("part")}, [][]byte{authority.crl(of(part{Name: fullName(full)}))}, good, ""},
		{"4.14.2 name matches, revoked", []distributionPoint{point("part")}, [][]byte{authority.crl(of(part{Name: fullName(full)}), revoking(42))}, revoked, ""},
		{"4.14.3 another name", []distributionPoint{point("part")}, [][]byte{authority.crl(of(part{Name: fullName(directoryName("CA", "part2"))}))}, unknown, "another distribution point"},
		{"4.14.4 CRL of no point", []distributionPoint{point("part")}, [][]byte{authority.crl()}, good, ""},
		{"4.14.5 both relative", []distributionPoint{{Name: relativeName("part")}}, [][]byte{authority.crl(of(part{Name: relativeName("part")}))}, good, ""},
		{"4.14.6 both relative, revoked", []distributionPoint{{Name: relativeName("part")}}, [][]byte{authority.crl(of(part{Name: relativeName("part")}), revoking(42))}, revoked, ""},
		{"4.14.7 relative and full", []distributionPoint{{Name: relativeName("part")}}, [][]byte{authority.crl(of(part{Name: fullName(full)}))}, good, ""},
		{"4.14.8 relative to another", []distributionPoint{{Name: relativeName("part")}}, [][]byte{authority.crl(of(part{Name: fullName(directoryName("Root", "part"))}))}, unknown, ""},
		{"names differ in case and spaces", []distributionPoint{{Name: fullName(directoryName("ca", " PART "))}}, [][]byte{authority.crl(of(part{Name: fullName(full)}))}, good, ""},
		{"4.14.10 no point in certificate, named in CRL", nil, [][]byte{authority.crl(of(part{Name: fullName(full)}))}, unknown, ""},
		{"no point in certificate, CRL names the issuer", nil, [][]byte{authority.crl(of(part{Name: fullName(directoryName("CA"))}))}, good, ""},
		{"4.14.11 only user certificates", nil, [][]byte{authority.crl(of(part{OnlyUser: true}), revoking(42))}, revoked, ""},
		{"4.14.12 only CA certificates", nil, [][]byte{authority.crl(of(part{OnlyCA: true}))}, unknown, "CA certificates only"},
		{"4.14.14 only attribute certificates", nil, [][]byte{authority.crl(of(part{Attribute: true}))}, unknown, "attribute"},
		{"4.14.15 some reasons, revoked", nil, [][]byte{authority.crl(of(part{Reasons: reasons(1)}), revoking(42))}, revoked, ""},
		{"4.14.17 some reasons only", nil, [][]byte{authority.crl(of(part{Reasons: reasons(1, 2)}))}, unknown, "cover only some reasons, not affiliationChanged"},
		{"4.14.18 reasons in two CRLs", nil, [][]byte{authority.crl(of(part{Reasons: reasons(1, 2)})), authority.crl(of(part{Reasons: reasons(3, 4, 5, 6, 7, 8)}))}, good, ""},
		{"4.14.20 reasons in two CRLs, the second revokes", nil, [][]byte{authority.crl(of(part{Reasons: reasons(1, 2)})), authority.crl(of(part{Reasons: reasons(3, 4, 5, 6, 7, 8)}), listing(42, 3, nil))}, revoked, "affiliationChanged"},
		{
			"4.14.19 reasons in two points",
			[]distributionPoint{{Name: fullName(directoryName("a")), Reasons: reasons(1, 2)}, {Name: fullName(directoryName("b")), Reasons: reasons(3, 4, 5, 6, 7, 8)}},
			[][]byte{
				authority.crl(of(part{Name: fullName(directoryName("a")), Reasons: reasons(1, 2)})),
				authority.crl(of(part{Name: fullName(directoryName("b")), Reasons: reasons(3, 4, 5, 6, 7, 8)})),
			},
			good, "",
		},
		{"a point for some reasons and a whole CRL of it", []distributionPoint{{Name: fullName(full), Reasons: reasons(1, 2)}}, [][]byte{authority.crl(of(part{Name: fullName(full)}))}, unknown, "only some reasons"},
		{"4.14.22 indirect, of its own", nil, [][]byte{authority.crl(of(part{Indirect: true}))}, good, ""},
		{"4.14.23 indirect, of its own, revoked", nil, [][]byte{authority.crl(of(part{Indirect: true}), revoking(42))}, revoked, ""},
		{"4.14.24 indirect, entry of another issuer", nil, [][]byte{authority.crl(of(part{Indirect: true}), listing(42, 1, other.certificate.RawSubject))}, good, ""},
		{"4.14.25 CRL issuer", []distributionPoint{{Name: fullName(full), Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true}))}, good, ""},
		{"4.14.25 CRL issuer, revoked", []distributionPoint{{Name: fullName(full), Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true}), listing(42, 1, caName))}, revoked, ""},
		{"the certificate issuer holds for later entries", []distributionPoint{{Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true}), listing(1, 1, caName), listing(42, 1, nil))}, revoked, ""},
		{"the last certificate issuer holds", []distributionPoint{{Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true}), listing(1, 1, caName), listing(2, 1, other.certificate.RawSubject), listing(42, 1, nil))}, good, ""},
		{"an entry before any certificate issuer is the CRL issuer's", []distributionPoint{{Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true}), listing(42, 1, nil))}, good, ""},
		{"4.14.26 CRL issuer not named", []distributionPoint{point("part")}, [][]byte{lister.crl(of(part{Indirect: true}))}, unknown, ""},
		{"4.14.27 CRL issuer, CRL not indirect", []distributionPoint{{Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl()}, unknown, "not an indirect CRL"},
		{"4.14.28 name relative to the CRL issuer", []distributionPoint{{Name: relativeName("part"), Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true, Name: fullName(directoryName("Lister", "part"))}))}, good, ""},
		{"4.14.29 name relative to both", []distributionPoint{{Name: relativeName("part"), Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true, Name: relativeName("part")}))}, good, ""},
		{"4.14.30 no point name, CRL names its issuer", []distributionPoint{{Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true, Name: fullName(listed)}))}, good, ""},
		{"no point name, CRL names another point", []distributionPoint{{Issuer: []asn1.RawValue{listed}}}, [][]byte{lister.crl(of(part{Indirect: true, Name: fullName(full)}))}, unknown, ""},
		{"entries of other issuers on a CRL that is not indirect", nil, [][]byte{authority.crl(listing(42, 1, caName))}, unknown, ""},
		// 4.15, delta CRLs
		{"4.15.1 delta without base", nil, [][]byte{authority.crl(deltaTo(1, 2))}, unknown, "delta"},
		{"4.15.2 delta", nil, [][]byte{authority.crl(), authority.crl(deltaTo(1, 2), revoking(7))}, good, ""},
		{"4.15.3 revoked on the base", nil, [][]byte{authority.crl(revoking(42)), authority.crl(deltaTo(1, 2))}, revoked, ""},
		{"4.15.4 revoked on the delta", nil, [][]byte{authority.crl(), authority.crl(deltaTo(1, 2), revoking(42))}, revoked, ""},
		{"4.15.5 removed by the delta", nil, [][]byte{authority.crl(listing(42, 6, nil)), authority.crl(deltaTo(1, 2), listing(42, 8, nil))}, good, ""},
		{"4.15.6 hold became revocation", nil, [][]byte{authority.crl(listing(42, 6, nil)), authority.crl(deltaTo(1, 2), listing(42, 1, nil))}, revoked, "keyCompromise"},
		{"two deltas, the newer removes", nil, [][]byte{authority.crl(), authority.crl(deltaTo(1, 2), listing(42, 6, nil)), authority.crl(deltaTo(1, 3), listing(42, 8, nil))}, good, ""},
		{"4.15.8 base expired, delta current", nil, [][]byte{authority.crl(expired), authority.crl(deltaTo(1, 2))}, good, ""},
		{"4.15.10 base expired and too old for the delta", nil, [][]byte{authority.crl(expired), authority.crl(deltaTo(2, 3))}, unknown, "number 2"},
		{"delta of the future for an expired base", nil, [][]byte{authority.crl(expired), authority.crl(deltaTo(1, 2), func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = start.Add(time.Hour), start.Add(2*time.Hour)
		})}, unknown, ""},
		{"delta by another key", nil, [][]byte{authority.crl(expired), rollover.crl(deltaTo(1, 2))}, unknown, ""},
		{"delta of another scope", nil, [][]byte{authority.crl(listing(42, 6, nil)), authority.crl(deltaTo(1, 2), of(part{OnlyUser: true}), listing(42, 8, nil))}, revoked, ""},
		{"delta no newer than the base", nil, [][]byte{authority.crl(numbered(3, start), listing(42, 6, nil)), authority.crl(deltaTo(1, 2), listing(42, 8, nil))}, revoked, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf := authority.withPoints(42, tt.points...)
			lists := []*List{must(ParseList("root.crl", root.crl()))}
			var parsed error
			for _, der := range tt.lists {
				l, err := ParseList("f.crl", der)
				if err != nil {
					parsed = err
					continue
				}
				lists = append(lists, l)
			}
			if parsed != nil && tt.want != unknown {
				t.Fatal(parsed)
			}
			signers := []*x509.Certificate{forger.certificate, rogue.certificate, noSign.certificate, rollover.certificate, crlKey.certificate, lister.certificate}
			path := []*x509.Certificate{leaf, authority.certificate, root.certificate}
			if tt.name == "4.4.1 no CRL" {
				lists = nil
			}
			answers := NewFiles(lists, signers).CheckPath(path, start)
			a := answers[0]
			if a.Status != tt.want || !strings.Contains(a.Detail, tt.detail) {
				t.Fatalf("status %d, %q, %+v; want %d, %q", a.Status, a.Detail, a.Sources, tt.want, tt.detail)
			}
			used := false
			for _, s := range a.Sources {
				used = used || s.Used
			}
			if a.Status != unknown && (!used || a.ThisUpdate.IsZero() || a.ValidUntil.IsZero()) || (a.Status == good) != (a.Detail == "") {
				t.Errorf("an answer that rests on nothing: %+v", a)
			}
			if lists != nil && answers[1].Status != good {
				t.Errorf("CA: %+v", answers[1])
			}
		})
	}
}

// TestSignerRevoked: a CRL by a key that is itself revoked says nothing (PKITS
// 4.4.21), and two signers that vouch for one another neither.
func TestSignerRevoked(t *testing.T) {
	root := newCA(t, "Root")
	authority := root.below("CA", 5, x509.KeyUsageCertSign|x509.KeyUsageCRLSign)
	signer := root.below("CA", 6, x509.KeyUsageCRLSign)
	leaf := authority.withPoints(42)
	path := []*x509.Certificate{leaf, authority.certificate, root.certificate}
	for name, tt := range map[string]struct {
		root []byte
		want domainsec.RevocationStatus
	}{
		"good":    {root.crl(), domainsec.RevocationGood},
		"revoked": {root.crl(revoking(6)), domainsec.RevocationUnknown},
		"unknown": {root.crl(of(part{OnlyCA: true})), domainsec.RevocationUnknown},
	} {
		lists := []*List{must(ParseList("r", tt.root)), must(ParseList("c", signer.crl()))}
		a := Evaluate(Question{Path: path, Lists: lists, Signers: []*x509.Certificate{signer.certificate}, Now: start})[0]
		if a.Status != tt.want {
			t.Errorf("%s: %+v", name, a)
		}
		a = Evaluate(Question{Path: path, Lists: lists, Now: start})[0]
		if a.Status != domainsec.RevocationUnknown {
			t.Errorf("%s, signer not at hand: %+v", name, a)
		}
	}
	// Both issued by the authority, each with its name and a list of the other.
	one, two := authority.below("CA", 7, x509.KeyUsageCRLSign), authority.below("CA", 8, x509.KeyUsageCRLSign)
	lists := []*List{must(ParseList("r", root.crl())), must(ParseList("1", one.crl())), must(ParseList("2", two.crl()))}
	a := Evaluate(Question{Path: path, Lists: lists, Signers: []*x509.Certificate{one.certificate, two.certificate}, Now: start})[0]
	if a.Status != domainsec.RevocationUnknown {
		t.Errorf("a circle: %+v", a)
	}
	if got := Evaluate(Question{Path: path[2:]}); len(got) != 0 {
		t.Errorf("an anchor alone: %+v", got)
	}
}
