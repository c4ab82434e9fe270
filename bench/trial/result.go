package trial

import (
	"fmt"
	"slices"
	"time"

	"mailpact/bench/account"
	"mailpact/bench/load"
	"mailpact/bench/sink"
)

// Result is one run of one server.
type Result struct {
	Server      string         `json:"server"`
	Rate        float64        `json:"rate"`          // messages per second, from the first accepted to the last delivered
	CPU         account.Usage  `json:"cpu"`           // of the server's processes
	CPUPerMsg   float64        `json:"cpuPerMessage"` // milliseconds
	PeakBytes   int64          `json:"peakBytes"`     // anonymous memory
	Load        load.Report    `json:"load"`
	Sink        sink.Report    `json:"sink"`
	LoadCPU     account.Usage  `json:"loadCPU"`
	SinkCPU     account.Usage  `json:"sinkCPU"`
	Shares      account.Shares `json:"shares"`
	Accounts    string         `json:"accounts"` // how CPU and memory were measured
	Faults      []string       `json:"faults"`   // why it does not count
	Disturbance string         `json:"disturbance"`
}

// The largest shares of the machine that others may have during a run.
const (
	maxForeign = 0.08
	maxStolen  = 0.05
)

// complete derives rate, cost and judgement from what was measured.
func (r *Result) complete() {
	if r.Load.Accepted > 0 {
		r.CPUPerMsg = float64(r.CPU.Total()) / float64(time.Millisecond) / float64(r.Load.Accepted)
	}
	if span := r.Sink.Last.Sub(r.Load.FirstAccepted).Seconds(); r.Sink.Distinct > 0 && span > 0 {
		r.Rate = float64(r.Sink.Distinct) / span
	}
	fault := func(bad bool, format string, args ...any) {
		if bad {
			r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
		}
	}
	fault(r.Load.Accepted == 0, "no message was accepted")
	fault(r.Sink.Distinct < r.Load.Accepted, "%d of %d accepted messages did not come", r.Load.Accepted-r.Sink.Distinct, r.Load.Accepted)
	fault(r.Sink.Distinct > r.Load.Accepted, "%d messages came that were not acknowledged", r.Sink.Distinct-r.Load.Accepted)
	fault(r.Sink.Messages-r.Sink.Unnumbered > r.Sink.Distinct, "%d messages came again", r.Sink.Messages-r.Sink.Unnumbered-r.Sink.Distinct)
	fault(r.Sink.Unnumbered > 0, "%d messages came that the load did not send", r.Sink.Unnumbered)
	fault(len(r.Load.Faults) > 0, "faults on the wire: %v", r.Load.Faults)
	switch {
	case r.Shares.Foreign > maxForeign:
		r.Disturbance = fmt.Sprintf("others used %.0f %% of the machine", 100*r.Shares.Foreign)
	case r.Shares.Stolen > maxStolen:
		r.Disturbance = fmt.Sprintf("the host took %.0f %% of the machine", 100*r.Shares.Stolen)
	}
}

// Pair is one run of each server, one after the other.
type Pair struct {
	Rival    *Result `json:"rival"` // nil: none was measured
	Mailpact *Result `json:"mailpact"`
}

// Quiet reports whether nothing disturbed the pair.
func (p Pair) Quiet() bool {
	return p.Mailpact.Disturbance == "" && (p.Rival == nil || p.Rival.Disturbance == "")
}

// Faults returns why the pair does not count.
func (p Pair) Faults() []string {
	var all []string
	for _, r := range []*Result{p.Rival, p.Mailpact} {
		if r != nil {
			for _, f := range r.Faults {
				all = append(all, r.Server+": "+f)
			}
		}
	}
	return all
}

// Figures are medians of one server's runs.
type Figures struct {
	Rate      float64       `json:"rate"`
	CPUPerMsg float64       `json:"cpuPerMessage"` // milliseconds
	PeakMB    float64       `json:"peakMB"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
}

// Summary is what a cell's pairs come to.
type Summary struct {
	Cell     Cell    `json:"cell"`
	Pairs    []Pair  `json:"pairs"`
	Counted  int     `json:"counted"`
	Quiet    bool    `json:"quiet"` // only undisturbed pairs were counted
	Rival    Figures `json:"rival"`
	Mailpact Figures `json:"mailpact"`
	// RateRatio is the median of Mailpact's rate by its rival's, pair by
	// pair; CPURatio that of the rival's CPU per message by Mailpact's.
	RateRatio float64 `json:"rateRatio"`
	CPURatio  float64 `json:"cpuRatio"`
}

// Summarise takes the medians of the sound pairs that were quiet, or of all
// sound ones when fewer than want were.
func Summarise(c Cell, pairs []Pair, want int) Summary {
	s := Summary{Cell: c, Pairs: pairs}
	var sound, quiet []Pair
	for _, p := range pairs {
		if len(p.Faults()) > 0 {
			continue
		}
		sound = append(sound, p)
		if p.Quiet() {
			quiet = append(quiet, p)
		}
	}
	counted := sound
	if s.Quiet = len(quiet) > 0 && len(quiet) >= want; s.Quiet {
		counted = quiet
	}
	s.Counted = len(counted)
	var rival, mailpact []*Result
	var rates, costs []float64
	for _, p := range counted {
		mailpact = append(mailpact, p.Mailpact)
		if p.Rival == nil {
			continue
		}
		rival = append(rival, p.Rival)
		rates = append(rates, p.Mailpact.Rate/p.Rival.Rate)
		costs = append(costs, p.Rival.CPUPerMsg/p.Mailpact.CPUPerMsg)
	}
	s.Rival, s.Mailpact = figures(rival), figures(mailpact)
	s.RateRatio, s.CPURatio = median(rates), median(costs)
	return s
}

func figures(results []*Result) Figures {
	of := func(value func(*Result) float64) float64 {
		var all []float64
		for _, r := range results {
			all = append(all, value(r))
		}
		return median(all)
	}
	return Figures{
		Rate:      of(func(r *Result) float64 { return r.Rate }),
		CPUPerMsg: of(func(r *Result) float64 { return r.CPUPerMsg }),
		PeakMB:    of(func(r *Result) float64 { return float64(r.PeakBytes) / (1 << 20) }),
		P50:       time.Duration(of(func(r *Result) float64 { return float64(r.Load.P50) })),
		P99:       time.Duration(of(func(r *Result) float64 { return float64(r.Load.P99) })),
	}
}

// median returns the middle of the values, between the middle two when their
// number is even, and 0 when there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
