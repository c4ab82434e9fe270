package certstore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// ca issues certificates for tests.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newCA(t *testing.T, name string, parent *ca) *ca {
	t.Helper()
	c := &ca{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(9, 0, 0),
	}
	if parent == nil {
		parent = &ca{cert: template, key: c.key}
	}
	c.cert = sign(t, template, parent, c.key.Public())
	return c
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, template *x509.Certificate, by *ca, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, public, by.key)
	if err != nil {
		t.Fatal(err)
	}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// leaf says what a test's certificate looks like; days count from now.
type leaf struct {
	label    string // its name in the test, put into the subject's OU
	names    []string
	cn       string
	from, to int
	self     bool
	services []directory.Service
}

func (l leaf) make(t *testing.T, issuer *ca) *Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: l.cn, OrganizationalUnit: []string{l.label}}, DNSNames: l.names,
		NotBefore: now.AddDate(0, 0, l.from), NotAfter: now.AddDate(0, 0, l.to),
	}
	by := issuer
	if l.self {
		by = &ca{cert: template, key: key}
	}
	x := sign(t, template, by, key.Public())
	services := l.services
	if services == nil {
		services = []directory.Service{directory.ServiceSMTP}
	}
	return &Certificate{
		TLS:        &tls.Certificate{Certificate: [][]byte{x.Raw}, PrivateKey: key, Leaf: x},
		SelfSigned: isSelfSigned(x), Services: services,
	}
}

func storeOf(all ...*Certificate) *Store {
	s := &Store{now: clock}
	s.current.Store(&shelf{certificates: all})
	return s
}

func labels(all []*Certificate) []string {
	var out []string
	for _, c := range all {
		out = append(out, c.Leaf().Subject.OrganizationalUnit[0])
	}
	return out
}

// TestSelect is the selection order of the described system, with the design's
// rule that what is revoked or expired comes last.
func TestSelect(t *testing.T) {
	const mail = "mail.contoso.com"
	root := newCA(t, "Root", nil)
	tests := []struct {
		name   string
		leaves []leaf
		for_   smtp.Domain
		refuse string // the label that usable turns down
		want   []string
	}{
		{"nothing", nil, mail, "", nil},
		{"no name matches", []leaf{{label: "a", names: []string{"www.contoso.com"}, to: 90}}, mail, "", nil},
		{"no name is asked for", []leaf{{label: "a", names: []string{mail}, to: 90}}, "", "", nil},
		{"not for SMTP", []leaf{{label: "a", names: []string{mail}, to: 90, services: []directory.Service{}}}, mail, "", nil},
		{"CN counts", []leaf{{label: "a", cn: "Mail.Contoso.com", names: []string{"www.contoso.com"}, to: 90}}, mail, "", []string{"a"}},
		{"CN that is no host name", []leaf{{label: "a", cn: "Mail Server", to: 90}}, "mail server", "", nil},
		{"wildcard, one label", []leaf{{label: "a", names: []string{"*.contoso.com"}, to: 90}}, mail, "", []string{"a"}},
		{"wildcard, two labels", []leaf{{label: "a", names: []string{"*.contoso.com"}, to: 90}}, "a.mail.contoso.com", "", nil},
		{"wildcard, no label", []leaf{{label: "a", names: []string{"*.contoso.com"}, to: 90}}, "contoso.com", "", nil},
		{"wildcard inside a label", []leaf{{label: "a", names: []string{"m*.contoso.com"}, to: 90}}, mail, "", nil},
		{"newest first", []leaf{
			{label: "old", names: []string{mail}, from: -20, to: 90},
			{label: "new", names: []string{mail}, from: -1, to: 30},
			{label: "middle", names: []string{mail}, from: -10, to: 90},
		}, mail, "", []string{"new", "middle", "old"}},
		{"newest first, wildcard or not", []leaf{
			{label: "exact", names: []string{mail}, from: -2, to: 90},
			{label: "wildcard", names: []string{"*.contoso.com"}, from: -1, to: 90},
		}, mail, "", []string{"wildcard", "exact"}},
		{"issued before self-signed, however old", []leaf{
			{label: "self", names: []string{mail}, from: -1, to: 90, self: true},
			{label: "issued", names: []string{mail}, from: -300, to: 1},
		}, mail, "", []string{"issued", "self"}},
		{"self-signed before expired", []leaf{
			{label: "expired", names: []string{mail}, from: -90, to: -1},
			{label: "self", names: []string{mail}, from: -300, to: 1, self: true},
		}, mail, "", []string{"self", "expired"}},
		{"expired is used when nothing else is there", []leaf{{label: "expired", names: []string{mail}, from: -90, to: -1}}, mail, "", []string{"expired"}},
		{"not yet valid comes after self-signed", []leaf{
			{label: "early", names: []string{mail}, from: 1, to: 90},
			{label: "self", names: []string{mail}, from: -1, to: 90, self: true},
		}, mail, "", []string{"self", "early"}},
		{"revoked comes last, after expired", []leaf{
			{label: "revoked", names: []string{mail}, from: -1, to: 90},
			{label: "expired", names: []string{mail}, from: -90, to: -1},
			{label: "self", names: []string{mail}, from: -1, to: 90, self: true},
		}, mail, "revoked", []string{"self", "expired", "revoked"}},
		{"same start: exact name first", []leaf{
			{label: "wildcard", names: []string{"*.contoso.com"}, to: 99},
			{label: "exact", names: []string{mail}, to: 90},
		}, mail, "", []string{"exact", "wildcard"}},
		{"same start, same name: later end first", []leaf{
			{label: "short", names: []string{mail}, to: 80},
			{label: "long", names: []string{mail}, to: 90},
		}, mail, "", []string{"long", "short"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []*Certificate
			for _, l := range tt.leaves {
				all = append(all, l.make(t, root))
			}
			usable := func(c *Certificate) bool { return c.Leaf().Subject.OrganizationalUnit[0] != tt.refuse }
			if diff := cmp.Diff(tt.want, labels(storeOf(all...).Select(directory.CertificateName(tt.for_), usable))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestSelectTie holds that the order never depends on the order of the files.
func TestSelectTie(t *testing.T) {
	root := newCA(t, "Root", nil)
	l := leaf{label: "x", names: []string{"mail.contoso.com"}, to: 90}
	a, b := l.make(t, root), l.make(t, root)
	one := storeOf(a, b).Select("mail.contoso.com", nil)
	two := storeOf(b, a).Select("mail.contoso.com", nil)
	if one[0] != two[0] || one[0].Thumbprint() > one[1].Thumbprint() {
		t.Error("certificates alike but for the thumbprint are not in its order")
	}
}

// files is a directory with a root, an intermediate and a leaf in PEM.
type files struct {
	dir                      string
	root, intermediate, leaf *x509.Certificate
	key                      crypto.Signer
}

func newFiles(t *testing.T) *files {
	t.Helper()
	root := newCA(t, "Root", nil)
	intermediate := newCA(t, "Intermediate", root)
	f := &files{dir: t.TempDir(), root: root.cert, intermediate: intermediate.cert, key: newKey(t)}
	f.leaf = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "mail.contoso.com"}, DNSNames: []string{"mail.contoso.com"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(0, 0, 60),
	}, intermediate, f.key.Public())
	return f
}

func (f *files) write(t *testing.T, name string, blocks ...*pem.Block) string {
	t.Helper()
	var b bytes.Buffer
	for _, block := range blocks {
		if err := pem.Encode(&b, block); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certBlock(x *x509.Certificate) *pem.Block {
	return &pem.Block{Type: "CERTIFICATE", Bytes: x.Raw}
}

func keyBlock(t *testing.T, key crypto.Signer) *pem.Block {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}

func open(certificate, key string) (*Store, error) {
	return Open(Options{Now: clock, Files: []directory.CertificateFile{{
		CertificateFile: certificate, KeyFile: key, Services: []directory.Service{directory.ServiceSMTP},
	}}})
}

func TestOpenKeyFormats(t *testing.T) {
	ec := newKey(t).(*ecdsa.PrivateKey)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		key   crypto.Signer
		block *pem.Block
	}{
		{"PKCS #8, ECDSA", ec, keyBlock(t, ec)},
		{"PKCS #8, RSA", rsaKey, keyBlock(t, rsaKey)},
		{"PKCS #8, Ed25519", ed, keyBlock(t, ed)},
		{"SEC 1", ec, &pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}},
		{"PKCS #1", rsaKey, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}},
		{"PKCS #1 under another label", rsaKey, &pem.Block{Type: "PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}},
	}
	root := newCA(t, "Root", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &files{dir: t.TempDir()}
			x := sign(t, &x509.Certificate{SerialNumber: big.NewInt(4), DNSNames: []string{"m.example"}, NotAfter: now.AddDate(1, 0, 0)}, root, tt.key.Public())
			// What openssl writes before an EC key is passed over.
			parameters := &pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 1, 1}}
			s, err := open(f.write(t, "c.pem", certBlock(x)), f.write(t, "k.pem", parameters, tt.block))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Select("m.example", nil); len(got) != 1 || got[0].TLS.PrivateKey == nil || got[0].SelfSigned {
				t.Errorf("selected %v", got)
			}
		})
	}
}

func TestOpenChain(t *testing.T) {
	f := newFiles(t)
	key := f.write(t, "key.pem", keyBlock(t, f.key))
	both := f.write(t, "both.pem", certBlock(f.leaf), certBlock(f.intermediate), certBlock(f.root), keyBlock(t, f.key))
	for _, tt := range []struct {
		name, cert, key string
		length          int
	}{
		{"leaf alone", f.write(t, "1.pem", certBlock(f.leaf)), key, 1},
		{"with its intermediate", f.write(t, "2.pem", certBlock(f.leaf), certBlock(f.intermediate)), key, 2},
		{"all in one file", both, "", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := open(tt.cert, tt.key)
			if err != nil {
				t.Fatal(err)
			}
			chain, err := s.All()[0].Chain()
			if err != nil || len(chain) != tt.length || !chain[0].Equal(f.leaf) {
				t.Errorf("chain of %d, %v", len(chain), err)
			}
		})
	}
}

func TestOpenFaults(t *testing.T) {
	f := newFiles(t)
	key := f.write(t, "key.pem", keyBlock(t, f.key))
	cert := f.write(t, "cert.pem", certBlock(f.leaf), certBlock(f.intermediate))
	other := f.write(t, "other.key", keyBlock(t, newKey(t)))
	var eleven []*pem.Block
	for range maxCertificates + 1 {
		eleven = append(eleven, certBlock(f.leaf))
	}
	large := filepath.Join(f.dir, "large.pem")
	if err := os.WriteFile(large, bytes.Repeat([]byte{'x'}, maxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	der := filepath.Join(f.dir, "cert.der")
	if err := os.WriteFile(der, f.leaf.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, cert, key, want string }{
		{"no file", filepath.Join(f.dir, "none.pem"), key, "cannot be opened"},
		{"too large", large, key, "more than 1048576 octets"},
		{"DER", der, key, "openssl x509 -inform DER"},
		{"a key for a certificate", key, key, "no certificate"},
		{"broken certificate", f.write(t, "broken.pem", &pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}}), key, "certificate 1 cannot be read"},
		{"too many", f.write(t, "eleven.pem", eleven...), key, "10 are the limit"},
		{"a certificate for a key", cert, cert, "no private key"},
		{"broken key", cert, f.write(t, "broken.key", &pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 0}}), "openssl pkey -noout -check"},
		{"key with a password", cert, f.write(t, "locked.key", &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0}}), "password"},
		{"key with an old kind of password", cert, f.write(t, "old.key", &pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES"}, Bytes: []byte{1}}), "password"},
		{"another key", cert, other, "must print the same"},
		{"leaf second", f.write(t, "second.pem", certBlock(f.intermediate), certBlock(f.leaf)), key, "certificate 2 of the file, not to the first"},
		{"intermediate left out", f.write(t, "gap.pem", certBlock(f.leaf), certBlock(f.root)), key, "did not issue certificate 1"},
		{"root before intermediate", f.write(t, "order.pem", certBlock(f.leaf), certBlock(f.root), certBlock(f.intermediate)), key, "did not issue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := open(tt.cert, tt.key)
			var fe *FileError
			if s != nil || !errors.As(err, &fe) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("store %v, error %v; want %q in it", s, err, tt.want)
			}
			if fe.File == "" || fe.Mend == "" {
				t.Errorf("the fault names no file or mend: %+v", fe)
			}
			faults := Check([]directory.CertificateFile{{CertificateFile: tt.cert, KeyFile: tt.key}})
			if len(faults) != 1 || faults[0].Path != "certificates[0]" || !strings.Contains(faults[0].String(), tt.want) {
				t.Errorf("Check says %v", faults)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := Open(Options{Files: []directory.CertificateFile{{CertificateFile: der, KeyFile: key}, {CertificateFile: cert, KeyFile: other}}})
		if got := strings.Count(fmt.Sprint(err), "\n"); got != 1 {
			t.Errorf("two faults in %d lines: %v", got+1, err)
		}
	})
	t.Run("a twin counts once", func(t *testing.T) {
		pair := directory.CertificateFile{CertificateFile: cert, KeyFile: key}
		s, err := Open(Options{Files: []directory.CertificateFile{pair, pair}})
		if err != nil || len(s.All()) != 1 {
			t.Errorf("%d certificates, %v", len(s.All()), err)
		}
	})
}

func TestEnsureSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "keys")
	at := now
	reopen := func() *Store {
		s, err := Open(Options{KeysDirectory: dir, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ensure := func(s *Store, names ...smtp.Domain) bool {
		created, err := s.EnsureSelfSigned(names)
		if err != nil {
			t.Fatal(err)
		}
		return created
	}
	s := reopen()
	if !ensure(s, "mail.contoso.com", "", "mail1.contoso.com", "mail.contoso.com") {
		t.Fatal("nothing was made")
	}
	c := s.Select("mail1.contoso.com", nil)[0]
	x := c.Leaf()
	if diff := cmp.Diff([]string{"mail.contoso.com", "mail1.contoso.com"}, x.DNSNames); diff != "" {
		t.Errorf("names:\n%s", diff)
	}
	if !c.SelfSigned || !x.NotAfter.Equal(now.AddDate(1, 0, 0)) || x.NotBefore.After(now) || x.IsCA {
		t.Errorf("self-signed %v, from %v to %v, CA %v", c.SelfSigned, x.NotBefore, x.NotAfter, x.IsCA)
	}
	if diff := cmp.Diff([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, x.ExtKeyUsage); diff != "" {
		t.Errorf("usage:\n%s", diff)
	}
	if k, ok := x.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("key %T", x.PublicKey)
	}
	roots := x509.NewCertPool()
	roots.AddCert(x)
	if _, err := x.Verify(x509.VerifyOptions{Roots: roots, DNSName: "mail.contoso.com", CurrentTime: now}); err != nil {
		t.Errorf("whoever trusts it cannot verify it: %v", err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, c.File: 0o600, c.KeyFile: 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", path, st.Mode(), err)
		}
	}
	if ensure(s, "mail.contoso.com") || ensure(reopen(), "mail1.contoso.com", "mail.contoso.com") {
		t.Error("a certificate that covers the names was made again")
	}
	if s = reopen(); s.All()[0].Thumbprint() != c.Thumbprint() {
		t.Error("the certificate was not read back")
	}
	if !ensure(s, "mail.contoso.com", "new.contoso.com") {
		t.Error("a new name was not covered")
	}
	at = now.AddDate(1, 0, -29)
	s = reopen()
	if !ensure(s, "mail.contoso.com") || ensure(s, "mail.contoso.com") {
		t.Error("a certificate near its end was not renewed once")
	}
	if got := s.Select("mail.contoso.com", nil)[0].Leaf().NotAfter; !got.Equal(at.AddDate(1, 0, 0)) {
		t.Errorf("the renewed certificate is not chosen; the one until %v is", got)
	}
	if n, files := len(s.All()), glob(t, dir, "*.crt"); n != 3 || len(files) != 3 {
		// The older two carry names that the newest has not.
		t.Errorf("%d certificates in the store, in %d files", n, len(files))
	}
	at = now.AddDate(1, 0, 1)
	if ensure(s, "mail.contoso.com") || len(s.All()) != 1 {
		t.Errorf("%d certificates after the first two expired", len(s.All()))
	}
	at = now.AddDate(3, 0, 0)
	if s = reopen(); len(s.All()) != 0 || !ensure(s, "mail.contoso.com") || len(s.All()) != 1 {
		t.Errorf("%d certificates long after", len(s.All()))
	}
	if left := glob(t, dir, ".new-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEnsureSelfSignedFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, dir string
		names     []smtp.Domain
		want      string
	}{
		{"no directory", "", []smtp.Domain{"a.example"}, "no keys directory"},
		{"no name", t.TempDir(), []smtp.Domain{""}, "no name"},
		{"a file in the way", filepath.Join(file, "keys"), []smtp.Domain{"a.example"}, "making the keys directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := storeOf()
			s.keysDirectory = tt.dir
			if created, err := s.EnsureSelfSigned(tt.names); created || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v; want %q", created, err, tt.want)
			}
		})
	}
}

// TestKeysDirectoryAfterCrash holds that what a crash leaves is no fault.
func TestKeysDirectoryAfterCrash(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"self-signed-20260101-aa.key": "a key without its certificate",
		".new-1":                      "half",
		"self-signed-20260101-bb.crt": "damaged",
		"other.crt":                   "not ours",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{KeysDirectory: dir, Now: clock})
	if err != nil || len(s.All()) != 0 {
		t.Fatalf("%v, %v", s, err)
	}
	if created, err := s.EnsureSelfSigned([]smtp.Domain{"a.example"}); !created || err != nil {
		t.Fatalf("%v, %v", created, err)
	}
	found := s.Findings([]directory.CertificateName{"a.example"}, false)
	if len(found) != 2 || !strings.Contains(found[0].Object, "-bb.crt") || !strings.Contains(found[1].Text, "unsealed") {
		t.Errorf("findings %v", found)
	}
}

func TestEnsureSelfSignedConcurrently(t *testing.T) {
	s, err := Open(Options{KeysDirectory: t.TempDir(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.EnsureSelfSigned([]smtp.Domain{"a.example"}); err != nil {
				t.Error(err)
			}
			if got := s.Select("a.example", nil); len(got) != 1 {
				t.Errorf("%d certificates", len(got))
			}
		})
	}
	wg.Wait()
}

func TestFindings(t *testing.T) {
	root := newCA(t, "Root", nil)
	names := []string{"mail.contoso.com"}
	tests := []struct {
		name string
		leaf leaf
		mode uint32
		want []directory.Level
		text string
	}{
		{"good", leaf{label: "a", names: names, from: -1, to: 90}, 0, nil, ""},
		{"no certificate", leaf{label: "a", names: []string{"www.contoso.com"}, to: 90}, 0, []directory.Level{directory.LevelError}, "STARTTLS is not offered"},
		{"expired", leaf{label: "a", names: names, from: -90, to: -1}, 0, []directory.Level{directory.LevelError}, "expired on 2026-11-22"},
		{"not yet valid", leaf{label: "a", names: names, from: 1, to: 90}, 0, []directory.Level{directory.LevelError}, "not valid before"},
		{"expires soon", leaf{label: "a", names: names, from: -1, to: 29}, 0, []directory.Level{directory.LevelWarning}, "expires on"},
		{"self-signed", leaf{label: "a", names: names, from: -1, to: 90, self: true}, 0, []directory.Level{directory.LevelWarning}, "self-signed"},
		{"open key", leaf{label: "a", names: names, from: -1, to: 90}, 0o040, []directory.Level{directory.LevelWarning}, "others than its owner"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.leaf.make(t, root)
			c.keyReadable = tt.mode
			var got []directory.Level
			for _, f := range storeOf(c).Findings([]directory.CertificateName{"mail.contoso.com"}, true) {
				got = append(got, f.Level)
				if !strings.Contains(f.Text, tt.text) || f.Fix == "" {
					t.Errorf("finding %s", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOpenNotesReadableKey(t *testing.T) {
	f := newFiles(t)
	key := f.write(t, "key.pem", keyBlock(t, f.key))
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := open(f.write(t, "cert.pem", certBlock(f.leaf)), key)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Findings(nil, false); len(got) != 1 || got[0].Fix != "Run chmod 600 "+key {
		t.Errorf("findings %v", got)
	}
}

// TestKeyIsNeverPrinted prints a certificate in every way and looks for its key.
func TestKeyIsNeverPrinted(t *testing.T) {
	c := leaf{label: "a", names: []string{"mail.contoso.com"}, to: 90}.make(t, newCA(t, "Root", nil))
	raw, err := c.TLS.PrivateKey.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := new(big.Int).SetBytes(raw)
	list := strings.Trim(fmt.Sprintf("%d", raw), "[]")
	secrets := []string{d.String(), fmt.Sprintf("%x", d), fmt.Sprintf("%X", d), list}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		fmt.Fprintf(&printed, verb, c)
		fmt.Fprintf(&printed, verb, *c)
		fmt.Fprintf(&printed, verb, []*Certificate{c})
		fmt.Fprintf(&printed, verb, struct{ Own Certificate }{*c})
	}
	slog.New(slog.NewTextHandler(&printed, nil)).Info("x", slog.Any("c", c))
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("x", slog.Any("c", []*Certificate{c}))
	if err := json.NewEncoder(&printed).Encode(c); err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if strings.Contains(printed.String(), s) {
			t.Fatalf("the key was printed:\n%s", printed.String())
		}
	}
	if !strings.Contains(printed.String(), c.Thumbprint()) {
		t.Error("the certificate is not named")
	}
	if got := (Certificate{}).String(); got == "" {
		t.Error("the zero value prints nothing")
	}
}

// TestHandshake holds that what Select returns serves a handshake on both sides.
func TestHandshake(t *testing.T) {
	s, err := Open(Options{KeysDirectory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	long := smtp.Domain(strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example")
	if _, err := s.EnsureSelfSigned([]smtp.Domain{long, "mail.contoso.com"}); err != nil {
		t.Fatal(err)
	}
	own := s.Select("mail.contoso.com", nil)[0]
	roots := x509.NewCertPool()
	roots.AddCert(own.Leaf())
	server, client := pipe(t)
	done := make(chan error, 1)
	go func() {
		done <- tls.Server(server, &tls.Config{Certificates: []tls.Certificate{*own.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}).Handshake()
	}()
	if err := tls.Client(client, &tls.Config{Certificates: []tls.Certificate{*own.TLS}, RootCAs: roots, ServerName: "mail.contoso.com"}).Handshake(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
