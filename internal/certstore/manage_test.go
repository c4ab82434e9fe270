package certstore

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailpact/internal/directory"
)

var onlySMTP = []directory.Service{directory.ServiceSMTP}

func TestNewRequest(t *testing.T) {
	s := openKeys(t)
	long := strings.Repeat("a", 63) + ".contoso.com"
	tests := []struct {
		name    string
		o       IssueOptions
		subject string
		names   string
		fault   string
	}{
		{"subject and names", IssueOptions{Subject: "C=US, O=contoso corp, CN=mail1.contoso.com", Names: []string{"Mail.Contoso.com", "contoso.com", "contoso.com."}}, "CN=mail1.contoso.com,O=contoso corp,C=US", "mail1.contoso.com mail.contoso.com contoso.com", ""},
		{"names alone", IssueOptions{Names: []string{"mail.contoso.com"}}, "CN=mail.contoso.com", "mail.contoso.com", ""},
		{"subject alone", IssueOptions{Subject: "CN=mail1.contoso.com"}, "CN=mail1.contoso.com", "mail1.contoso.com", ""},
		{"wildcard", IssueOptions{Subject: "CN=mail1.contoso.com", Names: []string{"*.contoso.com"}}, "CN=mail1.contoso.com", "mail1.contoso.com *.contoso.com", ""},
		{"a CN that is no host name", IssueOptions{Subject: "CN=Contoso mail", Names: []string{"mail.contoso.com"}}, "CN=Contoso mail", "mail.contoso.com", ""},
		{"long name", IssueOptions{Names: []string{long}}, "CN=Mailpact", long, ""},
		{"U-label", IssueOptions{Names: []string{"bücher.example"}}, "CN=xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"no host name", IssueOptions{Subject: "O=Contoso"}, "", "", "domainNames: there is no host name"},
		{"an address", IssueOptions{Names: []string{"192.0.2.1"}}, "", "", `"192.0.2.1" is no host name`},
		{"a mailbox", IssueOptions{Names: []string{"a@b.example"}}, "", "", "is no host name"},
		{"an inner wildcard", IssueOptions{Names: []string{"a.*.example"}}, "", "", "is no host name"},
		{"many names", IssueOptions{Names: manyNames(101)}, "", "", "there are 101 names; 100 are the limit"},
		{"long friendly name", IssueOptions{Names: []string{"a.example"}, FriendlyName: strings.Repeat("ä", 64)}, "", "", "friendlyName: the friendly name has more than 63 characters"},
		{"control character", IssueOptions{Names: []string{"a.example"}, FriendlyName: "a\nb"}, "", "", "control characters"},
		{"weak key", IssueOptions{Names: []string{"a.example"}, Key: "1024"}, "", "", "key: 1024 bits are too few"},
		{"unknown key", IssueOptions{Names: []string{"a.example"}, Key: "ed25519"}, "", "", "is no kind of key"},
		{"forbidden subject", IssueOptions{Subject: "C=US o=contoso corp, CN=a"}, "", "", "Put a comma before o="},
		{"unknown template", IssueOptions{Template: "0123456789"}, "", "", "there is none with this thumbprint"},
		{"no thumbprint", IssueOptions{Template: "mail1"}, "", "", "is no thumbprint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.Pending())
			p, _, err := s.NewRequest(tt.o)
			if tt.fault != "" {
				wantFault(t, err, tt.fault)
				if len(s.Pending()) != before {
					t.Error("a request was made")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Request.Subject.String(); got != tt.subject {
				t.Errorf("subject %q, want %q", got, tt.subject)
			}
			if got := strings.Join(p.Names(), " "); got != tt.names {
				t.Errorf("names %q, want %q", got, tt.names)
			}
			if err := p.Request.CheckSignature(); err != nil || p.Exportable {
				t.Errorf("signature: %v, exportable %v", err, p.Exportable)
			}
			if st, err := os.Stat(p.base + keyExtension); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("the key's file: %v, %v", st.Mode(), err)
			}
		})
	}
	again, err := Open(Options{KeysDirectory: s.keysDirectory, Now: clock})
	if err != nil || len(again.Pending()) != len(s.Pending()) {
		t.Errorf("after another start: %d pending, %v, want %d", len(again.Pending()), err, len(s.Pending()))
	}
}

func manyNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("mail%d.contoso.com", i)
	}
	return out
}

func TestKeyKinds(t *testing.T) {
	s := openKeys(t)
	for _, tt := range []struct{ kind, want string }{
		{"", "ECDSA P-256"}, {"p-256", "ECDSA P-256"}, {"P384", "ECDSA P-384"}, {"RSA2048", "RSA 2048"}, {"2048", "RSA 2048"},
	} {
		c, _, err := s.NewSelfSigned(IssueOptions{Names: []string{"a.example"}, Key: tt.kind})
		if err != nil || KeyText(c.Leaf().PublicKey) != tt.want {
			t.Errorf("%q: %v, %v, want %s", tt.kind, c, err, tt.want)
			continue
		}
		if _, isRSA := c.Leaf().PublicKey.(*rsa.PublicKey); isRSA != (c.Leaf().KeyUsage&x509.KeyUsageKeyEncipherment != 0) {
			t.Errorf("%q: key usage %b", tt.kind, c.Leaf().KeyUsage)
		}
	}
	for _, k := range []KeyKind{KeyRSA3072, KeyRSA4096} {
		if got, err := ParseKeyKind(string(k)); err != nil || got != k {
			t.Errorf("%s: %s, %v", k, got, err)
		}
	}
}

// TestClone: names and subject are taken over, the key is not.
func TestClone(t *testing.T) {
	s := openKeys(t)
	first, _, err := s.NewSelfSigned(IssueOptions{Subject: "C=US, CN=mail1.contoso.com", Names: []string{"contoso.com"}, FriendlyName: "Internet", Key: "P384", Services: onlySMTP})
	if err != nil {
		t.Fatal(err)
	}
	if until := first.Leaf().NotAfter; !until.Equal(now.AddDate(1, 0, 0)) {
		t.Errorf("it lasts until %v, not 12 months", until)
	}
	clone, _, err := s.NewSelfSigned(IssueOptions{Template: first.Thumbprint()[:8]})
	if err != nil {
		t.Fatal(err)
	}
	a, b := first.Leaf(), clone.Leaf()
	if string(a.RawSubject) != string(b.RawSubject) || !slices.Equal(a.DNSNames, b.DNSNames) || clone.FriendlyName != "Internet" ||
		b.PublicKey.(*ecdsa.PublicKey).Curve != a.PublicKey.(*ecdsa.PublicKey).Curve {
		t.Errorf("the clone is %v %v", clone, b.DNSNames)
	}
	if samePublicKey(a.PublicKey, b.PublicKey) || len(clone.Services) != 0 {
		t.Error("the clone has the key or the services of its model")
	}
	p, _, err := s.NewRequest(IssueOptions{Template: first.SHA256(), Names: []string{"other.example"}, Key: "P256"})
	if err != nil || string(p.Request.RawSubject) != string(a.RawSubject) || !slices.Equal(p.Names(), []string{"other.example"}) {
		t.Errorf("the renewal asks for %v, %v", p, err)
	}
}

// TestEnable: services add up; what begins later stands by until then.
func TestEnable(t *testing.T) {
	clock := now
	s, err := Open(Options{KeysDirectory: filepath.Join(t.TempDir(), "keys"), Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	const name = directory.CertificateName("mail1.contoso.com")
	first, _, err := s.NewSelfSigned(IssueOptions{Names: []string{string(name)}, Services: onlySMTP})
	if err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Hour)
	second, _, err := s.NewSelfSigned(IssueOptions{Names: []string{string(name)}})
	if err != nil {
		t.Fatal(err)
	}
	chosen := func() string { return s.Select(name, nil)[0].Thumbprint() }
	if chosen() != first.Thumbprint() || !second.Follows(first, name, clock) || first.Follows(second, name, clock) {
		t.Error("what is not enabled is chosen, or does not stand by")
	}
	if second, err = s.Enable(second.Thumbprint(), onlySMTP, clock.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if chosen() != first.Thumbprint() || !second.Follows(first, name, clock) {
		t.Error("it is chosen before its time")
	}
	clock = clock.Add(time.Hour)
	if chosen() != second.Thumbprint() {
		t.Error("it is not chosen at its time")
	}
	second, err = s.Enable(second.Thumbprint(), []directory.Service{directory.ServiceIMAP, directory.ServiceSMTP}, time.Time{})
	if err != nil || !slices.Equal(second.Services, []directory.Service{directory.ServiceSMTP, directory.ServiceIMAP}) || !second.EnabledFrom.IsZero() {
		t.Errorf("services %v from %v, %v", second.Services, second.EnabledFrom, err)
	}
	_, err = s.Enable(second.Thumbprint(), nil, time.Time{})
	wantFault(t, err, "no service is named")
	_, err = s.Enable(second.Thumbprint(), onlySMTP, now.AddDate(2, 0, 0))
	wantFault(t, err, "will have expired by then")
	_, err = s.Enable("00000000", onlySMTP, time.Time{})
	wantFault(t, err, "there is none with this thumbprint")
}

// TestRemove: what is in use stays until another as good takes its place.
func TestRemove(t *testing.T) {
	s := openKeys(t)
	const name = directory.CertificateName("mail1.contoso.com")
	names := []directory.CertificateName{name}
	selfSigned, _, err := s.NewSelfSigned(IssueOptions{Names: []string{string(name)}, Services: onlySMTP})
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.Remove(selfSigned.Thumbprint(), names, false), "it is in use under the name mail1.contoso.com")
	p, _, err := s.NewRequest(IssueOptions{Template: selfSigned.Thumbprint()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Import(ImportOptions{Data: answerTo(t, newCA(t, "root", nil), p).Raw, Services: onlySMTP})
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.Remove(got.Certificate.Thumbprint(), names, false), "no other as good carries it")
	if err := s.Remove(selfSigned.Thumbprint(), names, true); err != nil || len(s.All()) != 2 {
		t.Errorf("dry run: %v, %d left", err, len(s.All()))
	}
	if err := s.Remove(selfSigned.Thumbprint(), names, false); err != nil || len(s.All()) != 1 {
		t.Errorf("%v, %d left", err, len(s.All()))
	}
	if left := glob(t, s.keysDirectory, "*"); len(left) != 3 {
		t.Errorf("files left: %v", left)
	}
	p, _, err = s.NewRequest(IssueOptions{Names: []string{"other.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(p.Thumbprint(), names, false); err != nil || len(s.Pending()) != 0 {
		t.Errorf("the request: %v, %d left", err, len(s.Pending()))
	}
	wantFault(t, s.Remove(p.Thumbprint(), names, false), "there is none with this thumbprint")
}

// TestConfiguredIsLeftAlone: files of the configuration are their owner's.
func TestConfiguredIsLeftAlone(t *testing.T) {
	f := newFiles(t)
	key := newKey(t)
	x := issueFor(t, newCA(t, "root", nil), key.Public(), "mail1.contoso.com")
	s, err := Open(Options{
		Files: []directory.CertificateFile{{
			CertificateFile: f.write(t, "a.pem", certBlock(x)), KeyFile: f.write(t, "a.key", keyBlock(t, key)), Services: onlySMTP,
		}},
		KeysDirectory: filepath.Join(t.TempDir(), "keys"), Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	thumbprint := s.All()[0].Thumbprint()
	wantFault(t, s.Remove(thumbprint, nil, false), "it is a file of the configuration")
	_, err = s.Enable(thumbprint, onlySMTP, time.Time{})
	wantFault(t, err, "it is a file of the configuration")
	_, err = s.ExportKey(thumbprint, "pw", false)
	wantFault(t, err, "it is a file of the configuration")
}

func TestExportKey(t *testing.T) {
	s := openKeys(t)
	c, _, err := s.NewSelfSigned(IssueOptions{Names: []string{"a.example"}, Exportable: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.ExportKey(c.Thumbprint(), "", false)
	wantFault(t, err, "password: a PFX needs a password")
	_, err = s.ExportKey(c.Thumbprint(), "\U0001F511", true)
	wantFault(t, err, "cannot be made with this password")
	for _, legacy := range []bool{false, true} {
		der, err := s.ExportKey(c.Thumbprint(), "pw", legacy)
		if err != nil {
			t.Fatal(err)
		}
		got, err := openKeys(t).Import(ImportOptions{Data: der, Password: "pw", Exportable: true})
		if err != nil || got.Certificate.SHA256() != c.SHA256() || !got.Certificate.Exportable {
			t.Errorf("legacy %v: %v, %v", legacy, got, err)
		}
	}
}

// TestChangesAfterCrash: a change is whole or has not been.
func TestChangesAfterCrash(t *testing.T) {
	s := openKeys(t)
	root := newCA(t, "root", nil)
	p, _, err := s.NewRequest(IssueOptions{Names: []string{"a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := os.ReadFile(p.base + requestExtension)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(ImportOptions{Data: answerTo(t, root, p).Raw}); err != nil {
		t.Fatal(err)
	}
	// The answer was written and its request not removed yet.
	if err := os.WriteFile(p.base+requestExtension, csr, 0o600); err != nil {
		t.Fatal(err)
	}
	// A key was written and nothing else.
	if err := s.writeKey(filepath.Join(s.keysDirectory, "cert-20260101-000000000000"), newKey(t)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Options{KeysDirectory: s.keysDirectory, Now: clock})
	if err != nil || len(again.All()) != 1 || len(again.Pending()) != 0 {
		t.Fatalf("%v: %d certificates, %d pending", err, len(again.All()), len(again.Pending()))
	}
	// What is damaged is passed over and told.
	if err := os.WriteFile(p.base+metadataExtension, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err = Open(Options{KeysDirectory: s.keysDirectory, Now: clock})
	if err != nil || len(again.All()) != 0 {
		t.Fatalf("%v: %d certificates", err, len(again.All()))
	}
	if f := again.Findings(nil, false); len(f) != 1 || !strings.Contains(f[0].Text, "the file cannot be read") {
		t.Errorf("findings: %v", f)
	}
}

// TestWriteFails: nothing counts that is not on disk.
func TestWriteFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory should be
		t.Fatal(err)
	}
	s := &Store{keysDirectory: dir, now: clock}
	s.current.Store(&shelf{})
	_, _, err := s.NewRequest(IssueOptions{Names: []string{"a.example"}})
	var f *Fault
	if err == nil || errors.As(err, &f) || len(s.Pending()) != 0 {
		t.Errorf("got %v", err)
	}
}

// TestSelectByIssuerAndSubject: a renewal by the same CA is picked up, another
// CA's certificate is not; the order of a written name does not matter.
func TestSelectByIssuerAndSubject(t *testing.T) {
	s := openKeys(t)
	contoso, other := newCA(t, "Contoso CA", nil), newCA(t, "Other CA", nil)
	imported := map[string]*Certificate{}
	for i, by := range []*ca{contoso, contoso, other} {
		p, _, err := s.NewRequest(IssueOptions{Subject: "C=US, O=Contoso, CN=mail.contoso.com"})
		if err != nil {
			t.Fatal(err)
		}
		x := sign(t, &x509.Certificate{
			SerialNumber: big.NewInt(int64(10 + i)), RawSubject: p.Request.RawSubject, DNSNames: p.Names(),
			NotBefore: now.Add(time.Duration(i-9) * time.Hour), NotAfter: now.AddDate(0, 3, 0),
		}, by, p.Request.PublicKey)
		got, err := s.Import(ImportOptions{Data: x.Raw, Services: onlySMTP})
		if err != nil {
			t.Fatal(err)
		}
		imported[fmt.Sprintf("%s %d", by.cert.Subject.CommonName, i)] = got.Certificate
	}
	newest, renewed := imported["Other CA 2"].Thumbprint(), imported["Contoso CA 1"].Thumbprint()
	for name, want := range map[directory.CertificateName]string{
		"mail.contoso.com": newest,
		"<I>CN=Contoso CA<S>C=US, O=Contoso, CN=mail.contoso.com": renewed,
		"<I>CN=contoso ca<S>CN=mail.contoso.com, O=contoso, C=us": renewed,
		"<I>CN=Contoso CA<S>CN=mail.contoso.com":                  "",
		"<I>CN=Third CA<S>C=US, O=Contoso, CN=mail.contoso.com":   "",
		directory.CertificateName(renewed):                        renewed,
	} {
		got := ""
		if found := s.Select(name, nil); len(found) > 0 {
			got = found[0].Thumbprint()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
