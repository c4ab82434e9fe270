package trial

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteTable prints the summaries as a Markdown table, with what is to be said
// about them below. rival is the other server's name.
func WriteTable(w io.Writer, rival string, summaries []Summary) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| Durable relay, mutual TLS on both sides | %[1]s msg/s | Mailpact msg/s | Mailpact : %[1]s | %[1]s CPU ms/msg | Mailpact CPU ms/msg | %[1]s : Mailpact | %[1]s peak MB | Mailpact peak MB | Mailpact p50 / p99 ms | Pairs |\n", rival)
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range summaries {
		r, m := s.Rival, s.Mailpact
		pairs := fmt.Sprintf("%d of %d", s.Counted, len(s.Pairs))
		if !s.Quiet {
			pairs += ", disturbed"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s / %s | %s |\n", s.Cell.Title,
			number(r.Rate, 0), number(m.Rate, 0), number(s.RateRatio, 1),
			number(r.CPUPerMsg, 3), number(m.CPUPerMsg, 3), number(s.CPURatio, 1),
			number(r.PeakMB, 0), number(m.PeakMB, 0), milliseconds(m.P50), milliseconds(m.P99), pairs)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number prints a figure; one that was not measured is a dash.
func number(v float64, decimals int) string {
	if v <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

func milliseconds(d time.Duration) string {
	return number(float64(d)/float64(time.Millisecond), 1)
}

// Line tells of one run as soon as it is over.
func (r *Result) Line() string {
	line := fmt.Sprintf("%-8s %7s msg/s  %6s ms CPU/msg (%.0f %% system)  %4.0f MB  p50 %s ms  idle %.0f %%",
		r.Server, number(r.Rate, 0), number(r.CPUPerMsg, 3), 100*part(r.CPU.System, r.CPU.Total()),
		float64(r.PeakBytes)/(1<<20), milliseconds(r.Load.P50), 100*r.Shares.Idle)
	if r.Disturbance != "" {
		line += "  [" + r.Disturbance + "]"
	}
	for _, f := range r.Faults {
		line += "\n         does not count: " + f
	}
	return line
}

func part(d, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(d) / float64(whole)
}
