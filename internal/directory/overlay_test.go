package directory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// origin is a server with a file that has one partner and limits on CRLs.
func origin(t *testing.T, extra string) (Origin, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "mailpact.yaml")
	writeText(t, file, "server: {fqdn: mail1.contoso.com, dataDirectory: data}\npartners:\n  - {domain: fabrikam.com}\n"+extra)
	return Origin{File: file}, filepath.Join(dir, "data")
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func addPartner(domain string) func(*Configuration, *Overlay) error {
	return func(_ *Configuration, o *Overlay) error {
		o.Partners = append(o.Partners, Entry{"domain": domain, "mode": "test"})
		return nil
	}
}

func TestOverlayAddsToTheFile(t *testing.T) {
	o, _ := origin(t, "revocation: {perURL: 5s}\n")
	c, version, err := o.Change(t.Context(), OverlayChange{Edit: func(c *Configuration, o *Overlay) error {
		if c.Partner("fabrikam.com") == nil {
			t.Error("the edit does not see the file's partner")
		}
		o.Revocation = Entry{"perChain": "40s", "allowPrivateTargets": true}
		return addPartner("woodgrovebank.com")(c, o)
	}})
	if err != nil || version != 1 {
		t.Fatalf("version %d, %v", version, err)
	}
	again, err := o.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Configuration{c, again} {
		if len(c.Partners) != 2 || c.Partners[1].Domain != "woodgrovebank.com" || c.Partners[1].Mode != ModeTest || !c.Partners[1].Send {
			t.Errorf("partners %+v", c.Partners)
		}
		r := c.Revocation
		if !r.AllowPrivateTargets || r.PerURL.String() != "5s" || r.PerChain.String() != "40s" || r.MaxBytes != 64<<20 {
			t.Errorf("revocation %+v", r)
		}
	}
}

func TestOverlayFaultsNameBothPlaces(t *testing.T) {
	tests := []struct{ name, overlay, want string }{
		{
			"partner twice", "partners:\n  - {domain: woodgrovebank.com}\n  - {domain: fabrikam.com}\n",
			`DATA/directory.yaml:3:14: partners[1].domain: "fabrikam.com" is a partner here and in FILE, line 3. Delete it from the file, or take this one away: mailpact partner remove fabrikam.com.`,
		},
		{"key twice", "revocation: {perURL: 9s}\n", `DATA/directory.yaml:1:22: revocation.perURL: the key is set here and in FILE, line 4. Delete it from the file, or set it back with the command that has set it.`},
		{"foreign section", "queue: {retryInterval: 1h}\n", `DATA/directory.yaml:1:1: queue: the overlay has no key "queue". Known keys: version, partners, trust, revocation, bundles.`},
		{"value", "partners: [{domain: woodgrovebank.com, mode: tset}]\n", `DATA/directory.yaml:1:46: partners[0].mode: "tset" is not accepted here. Did you mean "test"?`},
		{"whole", "partners: [{domain: woodgrovebank.com, names: [a.example]}]\n", `DATA/directory.yaml:1:47: partners[0].names: names count with nameRule listed only, and nameRule is domain. Write nameRule: listed, or delete names.`},
		{"outside", "trust: {anchors: [{file: /etc/hosts, scope: [any]}]}\n", `DATA/directory.yaml:1:26: trust.anchors[0].file: "/etc/hosts" does not lie below the data directory. Import it again with the command that has set it.`},
		{"missing file", "trust: {anchors: [{file: anchors/x.pem, scope: [any]}]}\n", `DATA/directory.yaml:1:26: trust.anchors[0].file: DATA/anchors/x.pem: no such file or directory. Write the path of a PEM file.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, data := origin(t, "revocation: {perURL: 5s}\n")
			writeText(t, OverlayPath(data), tt.overlay)
			_, err := o.Read()
			if err == nil {
				t.Fatal("the overlay was accepted")
			}
			if got := strings.NewReplacer(data, "DATA", o.File, "FILE").Replace(err.Error()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestOverlayChangeThatFailsLeavesEverything(t *testing.T) {
	o, data := origin(t, "")
	if _, _, err := o.Change(t.Context(), OverlayChange{Edit: addPartner("woodgrovebank.com")}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(OverlayPath(data))
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	withFile := func(c *Configuration, o *Overlay) error {
		o.Trust.Anchors = []Entry{{"file": o.AddCertificates([]byte("no certificate")), "scope": []string{"woodgrovebank.com"}}}
		return nil
	}
	for name, change := range map[string]OverlayChange{
		"edit":     {Edit: func(*Configuration, *Overlay) error { return refused }},
		"conflict": {Edit: addPartner("fabrikam.com")},
		"file":     {Edit: withFile},
		"apply":    {Edit: addPartner("tailspin.example"), Apply: func(*Configuration) error { return refused }},
		"dry run":  {Edit: addPartner("tailspin.example"), DryRun: true, Apply: func(*Configuration) error { t.Error("applied"); return nil }},
		"version":  {Edit: addPartner("tailspin.example"), IfVersion: 7},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := o.Change(t.Context(), change); (err == nil) != change.DryRun {
				t.Errorf("error %v", err)
			}
			after, err := os.ReadFile(OverlayPath(data))
			if err != nil || string(after) != string(before) {
				t.Errorf("the overlay is now %s, %v", after, err)
			}
			if left, err := filepath.Glob(filepath.Join(data, overlayTrusted, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestOverlayChangesAreNotLost(t *testing.T) {
	o, _ := origin(t, "")
	const n = 8
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, _, err := o.Change(context.Background(), OverlayChange{Edit: addPartner(fmt.Sprintf("p%d.example", i))}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c, err := o.Read()
	if err != nil || len(c.Partners) != n+1 {
		t.Fatalf("%d partners, %v", len(c.Partners), err)
	}
	if _, version, err := o.Change(t.Context(), OverlayChange{Edit: addPartner("last.example"), IfVersion: n}); err != nil || version != n+1 {
		t.Errorf("version %d, %v", version, err)
	}
	if _, _, err := o.Change(t.Context(), OverlayChange{Edit: addPartner("late.example"), IfVersion: n}); !errors.Is(err, ErrOverlayChanged) {
		t.Errorf("a change of an old version: %v", err)
	}
}

// An overlay that contradicts the file can be mended by a change.
func TestOverlayChangeMendsAConflict(t *testing.T) {
	o, data := origin(t, "")
	writeText(t, OverlayPath(data), "version: 3\npartners: [{domain: fabrikam.com}]\n")
	_, version, err := o.Change(t.Context(), OverlayChange{Edit: func(_ *Configuration, o *Overlay) error {
		o.Partners = nil
		return nil
	}})
	if err != nil || version != 4 {
		t.Fatalf("version %d, %v", version, err)
	}
}

// FuzzOverlay holds that whatever the overlay says, the answer is a valid
// configuration or faults.
func FuzzOverlay(f *testing.F) {
	f.Add([]byte("version: 3\npartners: [{domain: fabrikam.com}]\ntrust: {anchors: [{file: a, scope: [any]}]}\nrevocation: {perURL: 1s}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, faults := Parse(nil, LoadOptions{Hostname: "mail1.contoso.com", DataDirectory: "/nowhere", overlay: append([]byte{'\n'}, data...)})
		if (c == nil) == (len(faults) == 0) {
			t.Fatalf("configuration %v with faults %v", c, faults)
		}
	})
}
