package accounts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// quick is a line with the least cost that is allowed.
func quick(name, password string) string {
	h := hash{memoryKB: minMemoryKB, passes: minPasses, threads: 1, salt: []byte("saltsaltsalt")}
	h.key = h.of(password, keyBytes)
	return name + ":" + h.String()
}

func TestCheck(t *testing.T) {
	line, err := Line("Alice@contoso.com", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	a, faults := Parse([]byte("# comment\n\n" + line + "\r\n" + quick("printer", "ink") + "\n"))
	if faults != nil {
		t.Fatal(faults)
	}
	for _, tt := range []struct {
		name, password, account string
		ok                      bool
	}{
		{"Alice@contoso.com", "correct horse", "alice@contoso.com", true},
		{"ALICE@contoso.com", "correct horse", "alice@contoso.com", true},
		{"alice@contoso.com", "Correct horse", "alice@contoso.com", false},
		{"alice@contoso.com", "", "alice@contoso.com", false},
		{"alice@contoso.com", strings.Repeat("x", 1000), "alice@contoso.com", false},
		{"printer", "ink", "printer", true},
		{"nobody", "", "", false},
		{"nobody", "ink", "", false},
		{"", "", "", false},
	} {
		account, ok, err := NewDesk().Check(t.Context(), a, tt.name, tt.password)
		if account != tt.account || ok != tt.ok || err != nil {
			t.Errorf("%q with %q: %q, %v, %v", tt.name, tt.password, account, ok, err)
		}
	}
	if account, ok, err := NewDesk().Check(t.Context(), nil, "printer", "ink"); account != "" || ok || err != nil {
		t.Error("no accounts know somebody")
	}
}

func TestParseFaults(t *testing.T) {
	good := quick("a", "b")
	_, tail, _ := strings.Cut(good, ":")
	for name, tt := range map[string]struct{ text, want string }{
		"no colon":      {"alice", "line 1: it has no colon"},
		"empty name":    {":" + tail, "line 1: a name has 1 to 255 octets"},
		"space in name": {"a b:" + tail, "line 1: a name holds printable ASCII"},
		"password":      {"a:secret", "line 1: it is not an argon2id hash"},
		"bcrypt":        {"a:$2y$10$abcdefghijklmnopqrstuv", "line 1: it is not an argon2id hash"},
		"argon2i":       {"a:" + strings.Replace(tail, "argon2id", "argon2i", 1), "line 1: it is not an argon2id hash"},
		"version":       {"a:" + strings.Replace(tail, "v=19", "v=16", 1), "line 1: its argon2 version is not v=19"},
		"little memory": {"a:" + strings.Replace(tail, "m=8192", "m=64", 1), "line 1: its m=64 is not between 8192 and 65536"},
		"much memory":   {"a:" + strings.Replace(tail, "m=8192", "m=4000000", 1), "line 1: its m=4000000 is not between"},
		"passes":        {"a:" + strings.Replace(tail, "t=1", "t=1000", 1), "line 1: its t=1000 is not between"},
		"number":        {"a:" + strings.Replace(tail, "t=1", "t=01", 1), "line 1: it is not an argon2id hash"},
		"cut off":       {"a:" + tail[:len(tail)-35], "line 1: its key has"},
		"twice":         {good + "\n" + strings.Replace(good, "a:", "A:", 1), "line 2: the name stands in line 1 already"},
		"space before":  {" " + good, "line 1: a name holds printable ASCII"},
	} {
		a, faults := Parse([]byte(tt.text))
		if a != nil || len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), tt.want) || faults[0].Mend == "" {
			t.Errorf("%s: %v", name, faults)
		}
		for _, f := range faults {
			if strings.Contains(f.Error(), "secret") {
				t.Errorf("%s: %v shows the password", name, f)
			}
		}
	}
	if _, faults := Parse([]byte("a\nb\n")); len(faults) != 2 {
		t.Errorf("of two faults: %v", faults)
	}
	if _, faults := Parse(make([]byte, maxFileBytes+1)); len(faults) != 1 {
		t.Errorf("too long a file: %v", faults)
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts")
	if _, faults := Load(file); len(faults) != 1 || !strings.Contains(faults[0].Error(), "no such file") {
		t.Errorf("missing: %v", faults)
	}
	if _, faults := Load(t.TempDir()); len(faults) != 1 {
		t.Errorf("a directory: %v", faults)
	}
	if err := os.WriteFile(file, []byte(quick("a", "b")), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, faults := Load(file); a.Len() != 1 || faults != nil {
		t.Errorf("%d accounts, %v", a.Len(), faults)
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, faults := Load(file); len(faults) != 1 || !strings.Contains(faults[0].Mend, "chmod o= ") {
		t.Errorf("readable by everybody: %v", faults)
	}
}

func TestLineRefuses(t *testing.T) {
	for name, in := range map[string][2]string{
		"no name": {"", "x"}, "colon": {"a:b", "x"}, "no password": {"a", ""},
		"line end": {"a", "x\ny"}, "long password": {"a", strings.Repeat("x", 256)}, "long name": {strings.Repeat("x", 256), "x"},
	} {
		if line, err := Line(in[0], in[1]); err == nil {
			t.Errorf("%s: %s", name, line)
		}
	}
}

// Who waits too long for a place is told to come back, and never that his
// password is wrong.
func TestBusy(t *testing.T) {
	a, _ := Parse([]byte(quick("a", "b")))
	synctest.Test(t, func(t *testing.T) {
		d := NewDesk()
		for range cap(d.places) {
			d.places <- struct{}{}
		}
		if _, ok, err := d.Check(t.Context(), a, "a", "b"); ok || !errors.Is(err, ErrBusy) {
			t.Errorf("%v, %v", ok, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok, err := d.Check(ctx, a, "a", "b"); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", ok, err)
		}
		<-d.places
		if _, ok, err := d.Check(t.Context(), a, "a", "b"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(quick("a", "b") + "\n# c\n\nx:y\n"))
	f.Add([]byte("a:$argon2id$v=19$m=8192,t=1,p=1$c2FsdHNhbHQ$"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, faults := Parse(data)
		if (a == nil) != (len(faults) > 0) {
			t.Fatalf("%v, %v", a, faults)
		}
	})
}
