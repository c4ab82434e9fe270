package admin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/admin"
	"mailpact/internal/authority"
)

// A check finds what a start would stumble over, all at once and with its line.
func TestCheckConfigurationLooksIntoTheFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key, _, err := authority.IssueSelfSigned(authority.SelfSignedOptions{DNSNames: []string{"mail.fabrikam.com"}})
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, _, err := authority.IssueSelfSigned(authority.SelfSignedOptions{DNSNames: []string{"mail.fabrikam.com"}})
	if err != nil {
		t.Fatal(err)
	}
	write("leaf.pem", cert)
	write("other.key", otherKey)
	write("both.pem", append(cert, key...))
	file := write("mailpact.yaml", []byte(`server: {fqdn: mail1.contoso.com, dataDirectory: data, nonsense: 1}
certificates:
  - {certificateFile: leaf.pem, keyFile: other.key}
trust:
  anchors: [{file: leaf.pem, scope: [any]}]
  intermediates: [{file: both.pem, scope: [any]}]
`))
	r, err := admin.CheckConfiguration(admin.ConfigCheckRequest{File: file})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Faults {
		got = append(got, fmt.Sprintf("%d %s", f.Line, f.Path))
	}
	want := []string{"1 server.nonsense", "3 certificates[0]", "5 trust.anchors[0].file", "6 trust.intermediates[0].file"}
	if r.Valid || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("valid %v, faults\n%s\nwant\n%s", r.Valid, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
