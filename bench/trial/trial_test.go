package trial

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailpact/bench/account"
	"mailpact/bench/load"
	"mailpact/bench/sink"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		name string
		in   []float64
		want float64
	}{
		{"nothing", nil, 0},
		{"one", []float64{3}, 3},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 2, 9}, 3},
	}
	for _, tt := range tests {
		if got := median(tt.in); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMedianLiesInTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 30).Draw(t, "values")
		before := append([]float64(nil), values...)
		m := median(values)
		below, above := 0, 0
		for _, v := range values {
			if v < m {
				below++
			}
			if v > m {
				above++
			}
		}
		if 2*below > len(values) || 2*above > len(values) {
			t.Fatalf("%v has %d below and %d above", m, below, above)
		}
		if diff := cmp.Diff(before, values); diff != "" {
			t.Fatalf("the values were moved: %s", diff)
		}
	})
}

// sound is a result to which nothing can be objected.
func sound(server string, rate, cost float64) *Result {
	first := time.Unix(1000, 0)
	n := int64(1000)
	r := &Result{
		Server: server, CPU: account.Usage{User: time.Duration(cost * float64(n) * float64(time.Millisecond))},
		Load: load.Report{Accepted: n, FirstAccepted: first},
		Sink: sink.Report{Messages: n, Distinct: n, Last: first.Add(time.Duration(float64(n) / rate * float64(time.Second)))},
	}
	return r
}

func TestComplete(t *testing.T) {
	tests := []struct {
		name      string
		spoil     func(*Result)
		fault     string
		disturbed bool
	}{
		{"all good", func(*Result) {}, "", false},
		{"nothing accepted", func(r *Result) { r.Load.Accepted, r.Sink = 0, sink.Report{} }, "no message was accepted", false},
		{"lost", func(r *Result) { r.Sink.Distinct -= 2; r.Sink.Messages -= 2 }, "2 of 1000 accepted messages did not come", false},
		{"never acknowledged", func(r *Result) { r.Load.Accepted-- }, "1 messages came that were not acknowledged", false},
		{"twice", func(r *Result) { r.Sink.Messages += 3 }, "3 messages came again", false},
		{"a stranger's", func(r *Result) { r.Sink.Messages++; r.Sink.Unnumbered++ }, "1 messages came that the load did not send", false},
		{"faults", func(r *Result) { r.Load.Faults = map[string]int{"handshake": 1} }, "faults on the wire: map[handshake:1]", false},
		{"foreign work", func(r *Result) { r.Shares.Foreign = 0.2 }, "", true},
		{"stolen time", func(r *Result) { r.Shares.Stolen = 0.2 }, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sound("Mailpact", 500, 0.25)
			tt.spoil(r)
			r.complete()
			if got := strings.Join(r.Faults, "; "); got != tt.fault {
				t.Errorf("faults %q, want %q", got, tt.fault)
			}
			if (r.Disturbance != "") != tt.disturbed {
				t.Errorf("disturbance %q", r.Disturbance)
			}
			if tt.name == "all good" && (r.Rate != 500 || r.CPUPerMsg != 0.25) {
				t.Errorf("rate %v, CPU %v", r.Rate, r.CPUPerMsg)
			}
		})
	}
}

func pair(postfix, mailpact float64, spoil func(*Pair)) Pair {
	p := Pair{Rival: sound("Postfix", postfix, 2), Mailpact: sound("Mailpact", mailpact, 0.5)}
	spoil(&p)
	p.Rival.complete()
	p.Mailpact.complete()
	return p
}

func TestSummarise(t *testing.T) {
	fine := func(*Pair) {}
	disturbed := func(p *Pair) { p.Rival.Shares.Foreign = 0.5 }
	broken := func(p *Pair) { p.Mailpact.Sink.Distinct-- }
	tests := []struct {
		name    string
		pairs   []Pair
		want    int
		ratio   float64
		counted int
		quiet   bool
	}{
		// The rates drift together: the ratio of the medians would be 40/4.
		{"pair by pair", []Pair{pair(1, 5, fine), pair(4, 40, fine), pair(20, 100, fine)}, 3, 5, 3, true},
		{"a disturbed pair is left out", []Pair{pair(1, 50, disturbed), pair(1, 5, fine)}, 1, 5, 1, true},
		{"too few quiet ones: all count", []Pair{pair(1, 50, disturbed), pair(1, 5, fine), pair(1, 7, disturbed)}, 2, 7, 3, false},
		{"a broken pair never counts", []Pair{pair(1, 50, broken), pair(1, 5, disturbed)}, 2, 5, 1, false},
		{"none", nil, 1, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Summarise(Cell{}, tt.pairs, tt.want)
			if round(s.RateRatio) != tt.ratio || s.Counted != tt.counted || s.Quiet != tt.quiet {
				t.Errorf("ratio %v of %d pairs, quiet %v", s.RateRatio, s.Counted, s.Quiet)
			}
			if s.Counted > 0 && s.CPURatio != 4 {
				t.Errorf("CPU ratio %v", s.CPURatio)
			}
		})
	}
}

func round(f float64) float64 { return float64(int(f*1000+0.5)) / 1000 }

func TestSummariseWithoutPostfix(t *testing.T) {
	p := pair(1, 5, func(*Pair) {})
	p.Rival = nil
	s := Summarise(Cell{Title: "alone"}, []Pair{p}, 1)
	if round(s.Mailpact.Rate) != 5 || s.RateRatio != 0 || !s.Quiet {
		t.Errorf("summary %+v", s)
	}
	var b strings.Builder
	if err := WriteTable(&b, "Postfix", []Summary{s}); err != nil {
		t.Fatal(err)
	}
	if want := "| alone | - | 5 | - | - | 0.500 | - | - | - | - / - | 1 of 1 |\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("table:\n%s", b.String())
	}
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		list, want string
	}{{"", "10KB-64"}, {"2KB-64,10KB-1", "2KB-64 10KB-1"}} {
		cells, err := Choose(tt.list)
		var names []string
		for _, c := range cells {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("Choose(%q) = %s, %v", tt.list, got, err)
		}
	}
	if all, err := Choose("all"); err != nil || len(all) != len(Cells()) {
		t.Errorf("all are %d, %v", len(all), err)
	}
	if _, err := Choose("10KB"); err == nil || !strings.Contains(err.Error(), "10KB-64") {
		t.Errorf("an unknown cell: %v", err)
	}
}
