package account

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 12 12 0 -1 4194560 900 800 0 0 150 50 30 20 20 0 1 0 99 1000 10"
	want := process{parent: 7, usage: Usage{User: 1800 * time.Millisecond, System: 700 * time.Millisecond}}
	tests := []struct {
		name, line string
		pid        int
		fails      bool
	}{
		{"plain", "12 (smtpd)" + rest, 12, false},
		{"parentheses and blanks in the name", "12 (a) b (c)" + rest, 12, false},
		{"no name", "12 smtpd" + rest, 0, true},
		{"short", "12 (smtpd) S 7 12", 0, true},
		{"letters", "12 (smtpd) S 7 12 12 0 -1 4194560 900 800 0 0 x 50 30 20 20 0", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pid, p, err := parseStat(tt.line)
			if tt.fails {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil || pid != tt.pid || p != want {
				t.Errorf("parseStat = %d, %+v, %v", pid, p, err)
			}
		})
	}
}

func TestBelow(t *testing.T) {
	all := map[int]process{1: {}, 10: {parent: 1}, 11: {parent: 10}, 12: {parent: 10}, 13: {parent: 12}, 20: {parent: 1}}
	got := below(all, 10)
	slices.Sort(got)
	if diff := cmp.Diff([]int{10, 11, 12, 13}, got); diff != "" {
		t.Error(diff)
	}
	if got := below(all, 99); len(got) != 0 {
		t.Errorf("below a process that has ended: %v", got)
	}
}

func TestParseMachine(t *testing.T) {
	m, err := parseMachine("cpu  100 10 50 800 20 5 5 10 0 0")
	want := Machine{User: 1100 * time.Millisecond, Busy: 1800 * time.Millisecond, Stolen: 100 * time.Millisecond, Total: 10 * time.Second}
	if err != nil || m != want {
		t.Errorf("parseMachine = %+v, %v; want %+v", m, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2", "cpu0 1 2 3 4 5 6 7 8", "cpu a 2 3 4 5 6 7 8"} {
		if _, err := parseMachine(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestSharesOf(t *testing.T) {
	machine := Machine{User: 6 * time.Second, Busy: 8 * time.Second, Stolen: time.Second, Total: 10 * time.Second}
	s := SharesOf(machine, Usage{User: 4 * time.Second, System: 3 * time.Second})
	for _, v := range []struct {
		name      string
		got, want float64
	}{{"idle", s.Idle, 0.2}, {"foreign", s.Foreign, 0.2}, {"stolen", s.Stolen, 0.1}} {
		if math.Abs(v.got-v.want) > 1e-9 {
			t.Errorf("%s = %v, want %v", v.name, v.got, v.want)
		}
	}
	// The two accounts are not read at the same instant.
	if s := SharesOf(machine, Usage{User: 7 * time.Second}); s.Foreign != 0 {
		t.Errorf("foreign = %v below nothing", s.Foreign)
	}
}

func TestAnonymousOf(t *testing.T) {
	if got := anonymousOf("VmRSS:\t  500 kB\nRssAnon:\t     420 kB\nRssFile:\t80 kB\n"); got != 420<<10 {
		t.Errorf("anonymousOf = %d", got)
	}
	if got := anonymousOf("VmRSS:\t  500 kB\n"); got != 0 {
		t.Errorf("without the line: %d", got)
	}
}

func TestProcessTreeAccountsForItsProcess(t *testing.T) {
	g := &processTree{}
	if _, err := g.Usage(); err == nil {
		t.Error("an account of nothing")
	}
	cmd := g.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if _, err := g.Usage(); err != nil {
		t.Error(err)
	}
	if n, err := g.AnonymousBytes(); err != nil || n == 0 {
		t.Errorf("AnonymousBytes = %d, %v", n, err)
	}
}
