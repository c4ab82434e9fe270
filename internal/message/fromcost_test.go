package message

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

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
