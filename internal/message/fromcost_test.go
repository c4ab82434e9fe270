package message

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailpact/internal/domainsec"
	"mailpact/internal/smtp"
)

// fromOf returns what a From field with the body says.
func fromOf(t testing.TB, body string) domainsec.FromFacts {
	t.Helper()
	h, err := ReadHeader(strings.NewReader("From: "+body+"\r\n\r\n"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return h.From()
}

// TestManyLabels: the time for a domain grows with its length, however many
// labels it has.
func TestManyLabels(t *testing.T) {
	cost := func(labels int) time.Duration {
		body := "<a@" + strings.Repeat("e\u0301.", labels) + "b>"
		best := time.Hour
		for range 5 {
			began := time.Now()
			fromOf(t, body)
			best = min(best, time.Since(began))
		}
		return best
	}
	// A cost that grows with the square would be 1024 times as high; a busy
	// machine makes the linear one look like a few times 32.
	if small, large := cost(1000), cost(32000); large > 300*small {
		t.Errorf("32 times the labels took %.1f times as long (%v, %v)", float64(large)/float64(small), small, large)
	}
}

// TestConversionsAreBounded: more internationalised domains than anybody has
// friends in are not all looked at, and that is said.
func TestConversionsAreBounded(t *testing.T) {
	list := func(n, length int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<a@%d%s.example>,", i, strings.Repeat("\u00e9\u4e00", length))
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for _, tt := range []struct {
		name       string
		body       string
		incomplete bool
	}{
		{"a hundred people", list(100, 10), false},
		{"three thousand", list(3000, 10), true},
		{"long labels of marks", marks(40), true},
		{"A-labels", strings.Repeat("<a@xn--bcher-kva.example>,", 3000), false}, // one and the same
		{"thousands of ASCII domains", strings.ReplaceAll(list(3000, 3), "\u00e9\u4e00", "x"), false},
		{"domains too long to be any", list(60, 200), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts := fromOf(t, tt.body)
			if facts.Incomplete != tt.incomplete {
				t.Errorf("Incomplete is %v; %d domains were found", facts.Incomplete, len(facts.Union))
			}
			if facts.Incomplete && facts.StrictOK {
				t.Error("StrictOK although something was left out")
			}
		})
	}
	t.Run("over many fields", func(t *testing.T) {
		var b strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&b, "From: a@%d\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9.example\r\n", i)
		}
		h, err := ReadHeader(strings.NewReader(b.String()+"\r\n"), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if facts := h.From(); !facts.Incomplete || facts.StrictOK {
			t.Errorf("Incomplete %v, StrictOK %v", facts.Incomplete, facts.StrictOK)
		}
	})
}

// marks returns n addresses with different labels that no count of letters bounds.
func marks(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<a@x%d%s>,", i, strings.Repeat("\u0301\u0302", 240))
	}
	return b.String()
}

// TestQuickLookLosesNoDomain: what the quick look drops is no domain.
func TestQuickLookLosesNoDomain(t *testing.T) {
	runes := []rune("ab-09xn.._\u3002\uff0e\uff61\u00e9\u0301\u0302\u0327\u00ad\u200b\u200d\u034f\ufe0f\u1100\u1161\u11a8\u3131\u314f\u3164\uffa1\uffa0\uff76\uff9e\uff9f\u304b\u3099\u4e00\u05d0\u0627\u09c7\u09be\u0dd9\u0dcf\U000e0100\U0001f600\u00df\u03c2\ufb01\u2168\u1e9e")
	rapid.Check(t, func(t *rapid.T) {
		// Long runs of few kinds come near the limits.
		var b strings.Builder
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			kinds := rapid.SliceOfN(rapid.SampledFrom(runes), 1, 4).Draw(t, "kinds")
			b.WriteString(strings.Repeat(string(kinds), rapid.IntRange(1, 70).Draw(t, "times")))
			if rapid.Bool().Draw(t, "dot") {
				b.WriteByte('.')
			}
		}
		s := strings.Trim(b.String(), ".")
		if d, err := smtp.ParseDomain(s); err == nil && !canBeDomain(s) {
			t.Fatalf("%q is the domain %s, and was dropped", s, d)
		}
	})
}

// The header section is a stranger's: what it costs to look through may grow
// with its length and not with its square.
func TestFromCostIsLinear(t *testing.T) {
	tests := []struct {
		name  string
		field string // with a place for a number
	}{
		{"many From fields that only a tolerant parser reads", "From:a@b%x.cc(\r\n"},
		{"many proper From fields", "From:a@b%x.cc\r\n"},
		{"many parts behind an odd line end", "X:\vFrom:a@b%x.cc\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cost := func(n int) (octets float64) {
				var b strings.Builder
				for i := range n {
					fmt.Fprintf(&b, tt.field, i)
				}
				h, err := ReadHeader(strings.NewReader(b.String()+"\r\n"), 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				facts := h.From()
				runtime.ReadMemStats(&after)
				if facts.Fields < n || len(facts.Union) < n {
					t.Fatalf("%d fields and %d domains found, want %d of each", facts.Fields, len(facts.Union), n)
				}
				return float64(after.TotalAlloc - before.TotalAlloc)
			}
			cost(100) // what is made once
			if small, large := cost(1000), cost(4000); large > 8*small {
				t.Errorf("4 times the fields took %.1f times the memory", large/small)
			}
		})
	}
}
