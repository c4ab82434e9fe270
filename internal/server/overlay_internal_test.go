package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailpact/internal/directory"
)

// A change by an operation is in force at once, and one that cannot be put in
// force is taken back.
func TestChangeDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mailpact.yaml")
	text := `
server: {fqdn: mail1.contoso.com, dataDirectory: data, resolvers: ["127.0.0.1:1"]}
receiveConnectors: [{name: Inet, bindings: ["127.0.0.1:0"]}]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	origin := ConfigureOptions{File: file}.Origin()
	cfg, err := origin.Read()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), Options{Configuration: cfg, Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	add := func(domain string) directory.OverlayChange {
		return directory.OverlayChange{Edit: func(_ *directory.Configuration, o *directory.Overlay) error {
			o.Partners = append(o.Partners, directory.Entry{"domain": domain})
			return nil
		}}
	}
	if _, _, err := s.changeDirectory(t.Context(), add("woodgrovebank.com")); err != nil {
		t.Fatal(err)
	}
	if s.directory.Current().Partner("woodgrovebank.com") == nil || s.directory.Version() != 2 {
		t.Errorf("version %d in force has the partners %v", s.directory.Version(), s.directory.Current().Partners)
	}

	// The file has changed meanwhile into one that only a restart can use.
	if err := os.WriteFile(file, []byte(strings.Replace(text, `"127.0.0.1:1"`, `"127.0.0.1:2"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.changeDirectory(t.Context(), add("fabrikam.com")); err == nil || !strings.Contains(err.Error(), "server.resolvers cannot change") {
		t.Errorf("error %v", err)
	}
	o, err := directory.ReadOverlay(cfg.Server.DataDirectory)
	if err != nil || o.Version != 1 || len(o.Partners) != 1 {
		t.Errorf("overlay %+v, %v", o, err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reconfigure(t.Context()); err != nil || s.directory.Current().Partner("woodgrovebank.com") == nil {
		t.Errorf("after a reload: %v, partners %v", err, s.directory.Current().Partners)
	}
}
