package certstore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"mailpact/internal/directory"
)

func openKeys(t *testing.T) *Store {
	t.Helper()
	s, err := Open(Options{KeysDirectory: filepath.Join(t.TempDir(), "keys"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readTest(t testing.TB, parts ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantFault checks that an error is a Fault that says what was broken and what to do.
func wantFault(t *testing.T, err error, words string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a fault", err)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("got %q, want %q in it", err, words)
	}
	if f.Field == "" || f.Problem == "" || f.Mend == "" {
		t.Errorf("%q does not say field, rule and mend: %+v", err, f)
	}
}

func TestImportPFX(t *testing.T) {
	tests := []struct {
		file, password string
		want           string // subject, or
		fault          string
	}{
		{"windows-certmgr-aes256.pfx", "password", "CN=*.ad.standalone.com", ""},
		{"windows-azure-tools-3des.pfx", "", "CN=Windows Azure Tools", ""},
		{"openssl-modern.pfx", "secret", "CN=mail1.contoso.com", ""},
		{"openssl-legacy.pfx", "secret", "CN=mail1.contoso.com", ""},
		{"openssl-rc2-128.pfx", "secret", "CN=mail1.contoso.com", ""},
		{"openssl-empty-password.pfx", "", "CN=mail1.contoso.com", ""},
		{"openssl-modern.pfx", "wrong", "", "PFX: the password is wrong, or the file is damaged. Give the password with which it was exported."},
		{"openssl-legacy.pfx", "", "", "the password is wrong"},
		{"windows-certmgr-aes256.pfx", "Password", "", "the password is wrong"},
		{"openssl-iterations.pfx", "secret", "", "PFX: it asks for 12000001 iterations; 5000000 are the limit"},
		{"openssl-sha384.pfx", "secret", "", "it uses a form that is not read here"},
		{"openssl-no-key.pfx", "secret", "", "it holds no key, and none of its 1 certificates answers a pending request (there are 0)"},
		{"openssl-no-key-plain.pfx", "secret", "", "it holds no key, and none of its 1"},
	}
	for _, tt := range tests {
		t.Run(tt.file+"/"+tt.password, func(t *testing.T) {
			s := openKeys(t)
			got, err := s.Import(ImportOptions{Data: readTest(t, "pfx", tt.file), Password: tt.password, Services: []directory.Service{directory.ServiceSMTP}})
			if tt.fault != "" {
				wantFault(t, err, tt.fault)
				if tt.password != "" && strings.Contains(strings.ReplaceAll(err.Error(), "the password is wrong", ""), " "+tt.password+" ") {
					t.Errorf("the password is told: %v", err)
				}
				if len(s.All()) != 0 {
					t.Error("something was taken in")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := got.Certificate
			if c.Leaf().Subject.String() != tt.want || c.Exportable || len(c.Services) != 1 || c.Leaf().IsCA && !c.SelfSigned {
				t.Errorf("got %v, exportable %v, services %v", c, c.Exportable, c.Services)
			}
			// Another start sees the same.
			again, err := Open(Options{KeysDirectory: s.keysDirectory, Now: clock})
			if err != nil || len(again.All()) != 1 || again.All()[0].SHA256() != c.SHA256() {
				t.Errorf("after another start: %v, %v", again, err)
			}
			_, err = s.Import(ImportOptions{Data: readTest(t, "pfx", tt.file), Password: tt.password})
			wantFault(t, err, "it is already present")
			_, err = s.ExportKey(c.Thumbprint(), "pw", false)
			wantFault(t, err, "its key is not exportable")
		})
	}
}

// TestImportPFXOrder: the certificate is the one of the key, wherever it stands.
func TestImportPFXOrder(t *testing.T) {
	root := newCA(t, "root", nil)
	middle := newCA(t, "middle", root)
	key := newKey(t)
	leaf := issueFor(t, middle, key.Public(), "mail1.contoso.com")
	for _, profile := range []*pkcs12.Encoder{pkcs12.Modern2023, pkcs12.Modern2026, pkcs12.LegacyDES, pkcs12.LegacyRC2} {
		der, err := profile.Encode(key, root.cert, []*x509.Certificate{middle.cert, leaf}, "pw")
		if err != nil {
			t.Fatal(err)
		}
		got, err := openKeys(t).Import(ImportOptions{Data: der, Password: "pw"})
		if err != nil {
			t.Fatal(err)
		}
		if chain := got.Certificate.TLS.Certificate; len(chain) != 2 || !bytes.Equal(chain[0], leaf.Raw) || !bytes.Equal(chain[1], middle.cert.Raw) {
			t.Errorf("the chain has %d certificates, first of %v", len(chain), got.Certificate)
		}
	}
	der, err := pkcs12.Modern2023.Encode(newKey(t), leaf, nil, "pw")
	if err != nil {
		t.Fatal(err)
	}
	_, err = openKeys(t).Import(ImportOptions{Data: der, Password: "pw"})
	wantFault(t, err, "the key belongs to none of the 1 certificates")
}

// TestPFXKeyBelowEncryption: a key inside the encrypted certificates could ask
// for any number of iterations, and nobody would know before.
func TestPFXKeyBelowEncryption(t *testing.T) {
	key := newKey(t)
	leaf := issueFor(t, newCA(t, "root", nil), key.Public(), "mail1.contoso.com")
	der, err := pkcs12.Passwordless.Encode(key, leaf, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPFX(der)
	if err != nil {
		t.Fatal(err)
	}
	faults := 0
	for _, safe := range p.plain { // stands for an encrypted one
		if _, err := probeSafe(safe, ""); err != nil {
			wantFault(t, err, "its key lies below a second encryption")
			faults++
		}
	}
	if faults != 1 {
		t.Errorf("%d faults", faults)
	}
}

// issueFor signs a certificate for a key.
func issueFor(t *testing.T, by *ca, public crypto.PublicKey, names ...string) *x509.Certificate {
	t.Helper()
	return sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), DNSNames: names, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 3, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, by, public)
}

func answerTo(t *testing.T, by *ca, p *Pending) *x509.Certificate {
	t.Helper()
	return issueFor(t, by, p.Request.PublicKey, p.Names()...)
}

func TestImportAnswer(t *testing.T) {
	root := newCA(t, "root", nil)
	middle := newCA(t, "middle", root)
	encode := func(all ...*x509.Certificate) []byte { return encodeChain(all) }
	tests := []struct {
		name  string
		make  func(leaf *x509.Certificate) []byte
		chain int
		note  string
	}{
		{"PEM, alone", func(l *x509.Certificate) []byte { return encode(l) }, 1, "holds no certificate of the issuing CA"},
		{"PEM, chain", func(l *x509.Certificate) []byte { return encode(l, middle.cert) }, 2, "does not allow clientAuth"},
		{"PEM, root first", func(l *x509.Certificate) []byte { return encode(root.cert, middle.cert, l) }, 2, ""},
		{"DER", func(l *x509.Certificate) []byte { return l.Raw }, 1, ""},
		{"PKCS #7", func(l *x509.Certificate) []byte { return bundleOf(middle.cert, l, root.cert) }, 2, ""},
		{"PKCS #7 in PEM", func(l *x509.Certificate) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: bundleOf(l, middle.cert)})
		}, 2, ""},
		{"PKCS #7 labelled as a certificate", func(l *x509.Certificate) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bundleOf(l, middle.cert)})
		}, 2, ""},
		{"with a stranger's certificate", func(l *x509.Certificate) []byte {
			return encode(newCA(t, "stranger", nil).cert, l, middle.cert)
		}, 2, ""},
		{"PFX without key", func(l *x509.Certificate) []byte {
			der, err := pkcs12.LegacyDES.EncodeTrustStore([]*x509.Certificate{middle.cert, l}, "pw")
			if err != nil {
				t.Fatal(err)
			}
			return der
		}, 2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openKeys(t)
			p, _, err := s.NewRequest(IssueOptions{Names: []string{"mail1.contoso.com"}, FriendlyName: "Internet"})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.NewRequest(IssueOptions{Names: []string{"mail1.contoso.com"}}); err != nil { // another that waits
				t.Fatal(err)
			}
			got, err := s.Import(ImportOptions{Data: tt.make(answerTo(t, middle, p)), Password: "pw"})
			if err != nil {
				t.Fatal(err)
			}
			if !got.Bound || len(got.Certificate.TLS.Certificate) != tt.chain || got.Certificate.FriendlyName != "Internet" || len(got.Certificate.Services) != 0 {
				t.Errorf("bound %v, chain of %d, %q", got.Bound, len(got.Certificate.TLS.Certificate), got.Certificate.FriendlyName)
			}
			if notes := strings.Join(got.Notes, "; "); !strings.Contains(notes, tt.note) {
				t.Errorf("notes: %s", notes)
			}
			if len(s.Pending()) != 1 {
				t.Errorf("%d requests are pending", len(s.Pending()))
			}
			if len(s.Select("mail1.contoso.com", nil)) != 0 {
				t.Error("what is not enabled is selected")
			}
		})
	}
}

// TestImportWithRoot: a root that came along is left out of what is shown, and
// nothing is missing.
func TestImportWithRoot(t *testing.T) {
	root := newCA(t, "root", nil)
	s := openKeys(t)
	p, _, err := s.NewRequest(IssueOptions{Names: []string{"mail1.contoso.com"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Import(ImportOptions{Data: bundleOf(root.cert, answerTo(t, root, p))})
	if err != nil || len(got.Certificate.TLS.Certificate) != 1 || strings.Contains(strings.Join(got.Notes, "; "), "issuing CA") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestImportChainLater: the chain of a certificate that came alone is completed.
func TestImportChainLater(t *testing.T) {
	middle := newCA(t, "middle", newCA(t, "root", nil))
	s := openKeys(t)
	p, _, err := s.NewRequest(IssueOptions{Names: []string{"mail1.contoso.com"}})
	if err != nil {
		t.Fatal(err)
	}
	leaf := answerTo(t, middle, p)
	if _, err := s.Import(ImportOptions{Data: leaf.Raw}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Import(ImportOptions{Data: encodeChain([]*x509.Certificate{leaf, middle.cert})})
	if err != nil || len(got.Certificate.TLS.Certificate) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err = s.Import(ImportOptions{Data: leaf.Raw})
	wantFault(t, err, "already present")
}

// TestImportBackup: the one PFX of a key that is not exportable can be imported
// on another machine.
func TestImportBackup(t *testing.T) {
	root := newCA(t, "root", nil)
	s := openKeys(t)
	p, _, err := s.NewRequest(IssueOptions{Names: []string{"mail1.contoso.com"}})
	if err != nil {
		t.Fatal(err)
	}
	o := ImportOptions{Data: answerTo(t, root, p).Raw, Backup: true}
	_, err = s.Import(o)
	wantFault(t, err, "backupPassword: a PFX needs a password")
	if len(s.Pending()) != 1 || len(s.All()) != 0 {
		t.Fatal("something was bound without its backup")
	}
	o.BackupPassword = "safe"
	got, err := s.Import(o)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openKeys(t).Import(ImportOptions{Data: got.Backup, Password: "safe"})
	if err != nil || other.Certificate.SHA256() != got.Certificate.SHA256() {
		t.Fatalf("%v, %v", other, err)
	}
}

func TestImportFaults(t *testing.T) {
	root := newCA(t, "root", nil)
	s := openKeys(t)
	p, _, err := s.NewRequest(IssueOptions{Names: []string{"mail1.contoso.com"}})
	if err != nil {
		t.Fatal(err)
	}
	leaf := answerTo(t, root, p)
	pfx := readTest(t, "pfx", "openssl-modern.pfx")
	stranger := issueFor(t, root, newKey(t).Public(), "mail1.contoso.com")
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"too large", make([]byte, MaxImportBytes+1), "more than 524288 octets"},
		{"text", []byte("<html>"), "no PEM, DER, PKCS #7 or PFX"},
		{"DER, cut", leaf.Raw[:len(leaf.Raw)-1], "cut short"},
		{"DER, garbage within", append(bytes.Clone(leaf.Raw[:40]), make([]byte, len(leaf.Raw)-40)...), "the certificate cannot be read"},
		{"PEM, broken", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw[:100]}), "certificate 1 of the file cannot be read"},
		{"the request", p.PEM(), "the file is the request, not its answer"},
		{"an encrypted key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}), "protected by a password"},
		{"no certificate", pem.EncodeToMemory(&pem.Block{Type: "DH PARAMETERS", Bytes: []byte{1}}), "holds no certificate"},
		{"somebody else's", stranger.Raw, "none of its 1 certificates answers a pending request (there are 1)"},
		{"PFX, cut", pfx[:len(pfx)-1], "cut short"},
		{"PFX, something after it", append(bytes.Clone(pfx), 0), "it cannot be read"},
		{"PFX, wrong version", bytes.Replace(pfx, []byte{2, 1, 3}, []byte{2, 1, 4}, 1), "its version is 4, not 3"},
		{"PKCS #7, signed message", readTest(t, "signed.p7m"), "the PKCS #7 cannot be read"},
		{"many certificates", bytes.Repeat(encodeChain([]*x509.Certificate{leaf}), maxCertificates+1), "the file holds 11 certificates; 10 are the limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Import(ImportOptions{Data: tt.data, Password: "secret"})
			wantFault(t, err, tt.want)
			if len(s.Pending()) != 1 || len(s.All()) != 0 {
				t.Error("something was taken in")
			}
		})
	}
}

func TestParsePKCS7(t *testing.T) {
	if all, err := parsePKCS7(readTest(t, "openssl.p7b")); err != nil || len(all) != 2 {
		t.Errorf("OpenSSL's: %d, %v", len(all), err)
	}
	if u, err := parseUpload(readTest(t, "openssl.p7b.pem"), ""); err != nil || len(u.certificates) != 2 {
		t.Errorf("OpenSSL's in PEM: %v", err)
	}
	x := newCA(t, "x", nil).cert
	good := bundleOf(x)
	oidData := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 1}
	oidSigned := []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 2}
	tests := []struct {
		name string
		der  []byte
		want string
	}{
		{"nothing", nil, "it is not DER"},
		{"octets after it", append(bytes.Clone(good), 0), "octets follow"},
		{"another type", bytes.Replace(good, oidSigned, oidData, 1), "not signedData"},
		{"indefinite lengths", []byte{0x30, 0x80, 0, 0}, "it is not DER"},
		{"no certificate", bundleOf(), "it holds no certificate"},
		{"a signed message", readTest(t, "signed.p7m"), "text"},
		{"an enclosed type", bytes.Replace(good, oidData, oidSigned, 1), "not of type data"},
		{"many", bundleOf(x, x, x, x, x, x, x, x, x, x, x), "more than 10"},
	}
	for _, tt := range tests {
		if _, err := parsePKCS7(tt.der); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// bundleOf makes a PKCS #7 of certificates by encoding/asn1, which the parser
// under test does not use.
func bundleOf(all ...*x509.Certificate) []byte {
	type content struct{ Type asn1.ObjectIdentifier }
	type signedData struct {
		Version      int
		Digests      []asn1.RawValue `asn1:"set"`
		Content      content
		Certificates asn1.RawValue
		Signers      []asn1.RawValue `asn1:"set"`
	}
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content signedData `asn1:"explicit,tag:0"`
	}
	var raw []byte
	for _, x := range all {
		raw = append(raw, x.Raw...)
	}
	der, err := asn1.Marshal(contentInfo{
		Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2},
		Content: signedData{
			Version: 1, Content: content{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
			Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: raw},
		},
	})
	if err != nil {
		panic(err) // only test values go in
	}
	return der
}

// FuzzImport: whatever is uploaded, nothing but a Fault comes back, and what is
// accepted has a certificate whose key is there.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/pfx/*.pfx")
	if err != nil || len(files) < 9 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range append(files, "testdata/openssl.p7b", "testdata/openssl.p7b.pem", "testdata/signed.p7m") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "secret")
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		if p, err := readPFX(data); err == nil && p.iterations > 20_000 {
			return // allowed, but nothing is learnt from waiting
		}
		u, err := parseUpload(data, password)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if len(u.certificates) == 0 || len(u.certificates) > maxCertificates {
			t.Fatalf("%d certificates", len(u.certificates))
		}
	})
}

// FuzzPKCS7: what is accepted is written again and read as the same.
func FuzzPKCS7(f *testing.F) {
	for _, file := range []string{"testdata/openssl.p7b", "testdata/signed.p7m"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		all, err := parsePKCS7(der)
		if err != nil {
			return
		}
		again, err := parsePKCS7(bundleOf(all...))
		if err != nil || len(again) != len(all) {
			t.Fatalf("%d certificates, then %d, %v", len(all), len(again), err)
		}
	})
}
