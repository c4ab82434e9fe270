package certstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sealFile(t *testing.T, octets int, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), SealCredential)
	if err := os.WriteFile(path, bytes.Repeat([]byte("s"), octets), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func privateDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenSeal(t *testing.T) {
	good := sealFile(t, 32, 0o600)
	for _, tt := range []struct {
		name, path, credentials string
		seal                    bool
		want                    string
	}{
		{"nothing", "", "", false, ""},
		{"no such credential", "", t.TempDir(), false, ""},
		{"a credential", "", filepath.Dir(good), true, ""},
		{"a file", good, "", true, ""},
		{"a file of the group", sealFile(t, 4096, 0o640), "", true, ""},
		{"missing", good + "x", "", false, "cannot be opened"},
		{"short", sealFile(t, 31, 0o600), "", false, "must have from 32 to 4096 octets"},
		{"long", sealFile(t, 4097, 0o600), "", false, "must have from 32 to 4096 octets"},
		{"everybody's", sealFile(t, 32, 0o604), "", false, "everybody may read"},
		{"a directory", privateDirectory(t), "", false, "cannot be read"},
	} {
		s, err := OpenSeal(tt.path, tt.credentials)
		if (s != nil) != tt.seal {
			t.Errorf("%s: seal %v", tt.name, s)
		}
		var fe *FileError
		if tt.want != "" && (!errors.As(err, &fe) || !strings.Contains(err.Error(), tt.want)) || tt.want == "" && err != nil {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if faults := CheckSeal(good + "x"); len(faults) != 1 || faults[0].Path != "server.keySealFile" {
		t.Errorf("faults %v", faults)
	}
}

// TestSealedKeys: what is made with a seal cannot be read without it, what was
// plain stays readable and can be sealed, and no change of a file goes unseen.
func TestSealedKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	openWith := func(seal *Seal) *Store {
		t.Helper()
		s, err := Open(Options{KeysDirectory: dir, Seal: seal, Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain := openWith(nil)
	if _, _, err := plain.NewSelfSigned(IssueOptions{Names: []string{"plain.example"}}); err != nil {
		t.Fatal(err)
	}
	if f := plain.Findings(nil, false); len(f) != 1 || !strings.Contains(f[0].Text, "private keys lie there unsealed (1)") {
		t.Errorf("findings: %v", f)
	}
	_, err := plain.SealKeys()
	wantFault(t, err, "there is nothing to seal keys with")

	seal, err := newSeal(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := openWith(seal)
	if _, _, err := s.NewRequest(IssueOptions{Names: []string{"sealed.example"}}); err != nil {
		t.Fatal(err)
	}
	if len(s.All()) != 1 || len(s.Pending()) != 1 || !s.Pending()[0].keySealed {
		t.Fatal("plain and sealed keys are not read side by side")
	}
	if n, err := s.SealKeys(); n != 1 || err != nil {
		t.Fatalf("sealed %d, %v", n, err)
	}
	if f := s.Findings(nil, false); len(f) != 0 || !s.All()[0].KeySealed {
		t.Errorf("findings: %v", f)
	}
	keys := glob(t, dir, "*.key")
	for _, k := range keys {
		data, err := os.ReadFile(k)
		if err != nil || !bytes.Contains(data, []byte(sealedType)) || bytes.Contains(data, []byte("PRIVATE")) {
			t.Errorf("%s: %v\n%s", k, err, data)
		}
	}
	if again := openWith(seal); len(again.All()) != 1 || len(again.Pending()) != 1 {
		t.Error("sealed keys are not read back")
	}

	other, err := newSeal(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]*Seal{"there is none": nil, "the one at hand is " + other.id: other} {
		without := openWith(wrong)
		f := without.Findings(nil, false)
		if len(without.All()) != 0 || len(f) != 2 || !strings.Contains(f[0].Text, name) || f[0].Level != "error" {
			t.Errorf("%d certificates, findings %v", len(without.All()), f)
		}
	}
	data, err := os.ReadFile(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.LastIndexByte(bytes.TrimSpace(data), '\n') - 5 // an octet of the last line of the sealed key
	data[i] ^= 1
	if err := os.WriteFile(keys[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openWith(seal).Damage(); err == nil || !strings.Contains(err.Error(), "key is damaged") && !strings.Contains(err.Error(), "no PEM") {
		t.Errorf("a changed key: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, seal); strings.Contains(out, "0x1, 0x1") || !strings.Contains(out, seal.id) {
			t.Errorf("%s prints %s", verb, out)
		}
	}
}
