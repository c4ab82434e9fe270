package corpustest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLoad(t *testing.T) {
	if n := len(Load(t)); n < 200 {
		t.Errorf("%d messages, the corpus has 200", n)
	}
}

func TestReadFails(t *testing.T) {
	const columns = "file\tbytes\tsha256-16\tfeatures\n"
	// The octets of "abc" have this hash.
	const good = "a.eml\t3\tba7816bf8f01cfea\tcrlf,no-from\n"
	tests := []struct {
		name, list, file string
		ok               bool
	}{
		{"as listed", columns + good, "abc", true},
		{"no message", columns, "abc", false},
		{"an empty list", "", "abc", false},
		{"changed", columns + good, "abd", false},
		{"of another length", columns + "a.eml\t4\tba7816bf8f01cfea\t\n", "abc", false},
		{"missing", columns + "b.eml\t3\tba7816bf8f01cfea\t\n", "abc", false},
		{"too few columns", columns + "a.eml\t3\n", "abc", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"MANIFEST.tsv": tt.list, "a.eml": tt.file} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			messages, err := read(dir)
			if (err == nil) != tt.ok {
				t.Fatalf("%d messages, %v", len(messages), err)
			}
			if tt.ok && (len(messages) != 1 || !messages[0].Has("no-from") || messages[0].Has("nul")) {
				t.Errorf("got %+v", messages)
			}
		})
	}
	if _, err := read(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a list: %v", err)
	}
}

func TestWire(t *testing.T) {
	m := Message{Data: []byte("a\nb\r\nc\rd\r\r\n\n")}
	if got, want := string(m.Wire()), "a\r\nb\r\nc\r\nd\r\n\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
