// Package suites runs the public test suites of certificate path validation
// through what 'mailpact cert verify' calls, and counts the answers.
//
// PKITS is run on the certificates of the Go distribution. Its CRLs are not
// there: MAILPACT_PKITS_CRLS names a folder that has them, and without it those
// cases are left out that nothing but a CRL makes invalid. x509-limbo is run
// when MAILPACT_LIMBO names its limbo.json. BetterTLS is a module of its own, in
// the folder bettertls.
package suites

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"mailpact/internal/admin"
)

// Bounds of a single case.
const (
	MaxTime   = time.Second
	MaxOctets = 128 << 20 // allocated in all, which bounds what is used at once
)

// Case is one question of a suite.
type Case struct {
	Name, Category string
	Request        admin.CertificateVerifyRequest
	Valid          bool // the answer expected
}

// Wrong is an answer that is not the one expected.
type Wrong struct {
	Case
	// Word is "ACCEPTED", "refused" or "unanswered".
	Word string
	Got  string
}

const accepted = "ACCEPTED"

// Report is what came of a suite.
type Report struct {
	Right, Asked map[string]int // by category
	Wrong        []Wrong
	Excessive    []string // cases that took more than a bound
	Slowest      time.Duration
	Largest      uint64 // octets allocated by one case
}

// NewReport makes a Report of nothing yet.
func NewReport() *Report { return &Report{Right: map[string]int{}, Asked: map[string]int{}} }

// Run asks all cases, one after the other.
func Run(ctx context.Context, cases []Case) *Report {
	r := NewReport()
	for i := range cases {
		r.Ask(ctx, &cases[i])
	}
	return r
}

// Ask asks one case and counts the answer.
func (r *Report) Ask(ctx context.Context, c *Case) {
	r.Asked[c.Category]++
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	started := time.Now()
	answer, err := admin.VerifyCertificate(ctx, admin.VerifyEnvironment{}, c.Request)
	took := time.Since(started)
	runtime.ReadMemStats(&after)
	octets := after.TotalAlloc - before.TotalAlloc
	r.Slowest, r.Largest = max(r.Slowest, took), max(r.Largest, octets)
	if took > MaxTime || octets > MaxOctets {
		r.Excessive = append(r.Excessive, fmt.Sprintf("%s: %v, %d octets", c.Name, took, octets))
	}
	switch {
	case err != nil:
		r.Wrong = append(r.Wrong, Wrong{Case: *c, Word: "unanswered", Got: err.Error()})
	case answer.Valid == c.Valid:
		r.Right[c.Category]++
	case answer.Valid:
		r.Wrong = append(r.Wrong, Wrong{Case: *c, Word: accepted})
	default:
		r.Wrong = append(r.Wrong, Wrong{Case: *c, Word: "refused", Got: answer.Status + ": " + answer.Detail})
	}
}

// Total returns how many answers were right, and how many questions there were.
func (r *Report) Total() (right, asked int) {
	for category, n := range r.Asked {
		asked += n
		right += r.Right[category]
	}
	return right, asked
}

// String lists the counts by category and every wrong answer.
func (r *Report) String() string {
	var b strings.Builder
	right, asked := r.Total()
	fmt.Fprintf(&b, "%d of %d right; slowest %v, largest %d KiB\n", right, asked, r.Slowest, r.Largest>>10)
	categories := make([]string, 0, len(r.Asked))
	for c := range r.Asked {
		categories = append(categories, c)
	}
	slices.Sort(categories)
	for _, c := range categories {
		fmt.Fprintf(&b, "  %4d of %4d  %s\n", r.Right[c], r.Asked[c], c)
	}
	slices.SortStableFunc(r.Wrong, func(a, b Wrong) int { return cmp.Compare(a.Category, b.Category) })
	for _, w := range r.Wrong {
		fmt.Fprintf(&b, "  %s %s: %s\n", w.Word, w.Name, w.Got)
	}
	for _, e := range r.Excessive {
		fmt.Fprintf(&b, "  too much: %s\n", e)
	}
	return b.String()
}
