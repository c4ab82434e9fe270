package trust

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/directory"
	"mailpact/internal/trust/pkitest"
)

// TestLoadingFaults: the message says which file, what is wrong and how to mend it.
func TestLoadingFaults(t *testing.T) {
	root := pkitest.NewRoot(t, pkitest.CAOptions{})
	leaf := pkitest.SelfSigned(t, leafFor("woodgrovebank.com"))
	file := func(content []byte) string { return pkitest.WriteFile(t, "file.pem", content) }
	tests := []struct {
		name string
		with directory.Trust
		want []string
	}{
		{"missing file", anchorIn(filepath.Join(t.TempDir(), "none.pem"), anyScope()), []string{"trust.anchors[0]", "none.pem", "no such file"}},
		{"empty file", anchorIn(file(nil), anyScope()), []string{"BEGIN CERTIFICATE"}},
		{"DER", anchorIn(file(root.Certificate.Raw), anyScope()), []string{"in DER", "openssl x509 -inform der"}},
		{"private key", anchorIn(file(append(pkitest.PEM(root.Certificate), pkitest.KeyPEM(t, root.Key)...)), anyScope()), []string{"private key"}},
		{"something else", anchorIn(file([]byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")), anyScope()), []string{"X509 CRL"}},
		{"broken certificate", anchorIn(file([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), anyScope()), []string{"parsing certificate 1"}},
		{"too large", anchorIn(file(bytes.Repeat([]byte("x"), maxFileBytes+1)), anyScope()), []string{"octets"}},
		{"empty scope", anchorIn(file(pkitest.PEM(root.Certificate)), directory.Scope{}), []string{"scope is empty"}},
		{"a leaf for everybody", anchorIn(file(pkitest.PEM(leaf.Certificate)), anyScope()), []string{"no CA", "scope"}},
		{"unknown revocation mode", directory.Trust{Anchors: []directory.Anchor{{File: file(pkitest.PEM(root.Certificate)), Scope: anyScope(), Revocation: "later"}}}, []string{"required or none"}},
		{
			"an intermediate that is no CA",
			directory.Trust{Intermediates: []directory.Intermediate{{File: file(pkitest.PEM(leaf.Certificate)), Scope: anyScope()}}},
			[]string{"trust.intermediates[0]", "no CA", "trust.anchors"},
		},
		{"intermediate without scope", directory.Trust{Intermediates: []directory.Intermediate{{File: file(pkitest.PEM(root.Certificate))}}}, []string{"scope is empty"}},
		{"all faults at once", directory.Trust{
			Anchors:       []directory.Anchor{{File: "/none/a.pem", Scope: anyScope()}, {File: "/none/b.pem", Scope: anyScope()}},
			Intermediates: []directory.Intermediate{{File: "/none/c.pem", Scope: anyScope()}},
		}, []string{"a.pem", "b.pem", "c.pem"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Config: tt.with})
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range tt.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func anchorIn(file string, scope directory.Scope) directory.Trust {
	return directory.Trust{Anchors: []directory.Anchor{{File: file, Scope: scope}}}
}

func FuzzParseCertificates(f *testing.F) {
	root := pkitest.NewRoot(f, pkitest.CAOptions{})
	f.Add(pkitest.PEM(root.Certificate))
	f.Add(root.Certificate.Raw)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		certs, err := ParseCertificates(content)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
		for _, c := range certs {
			DescribeCertificate(c)
		}
	})
}
