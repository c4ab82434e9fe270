package directory

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unlimitedWord is how a limit that limits nothing is written.
const unlimitedWord = "unlimited"

// errUnit is returned for a size or duration that has no known unit.
var errUnit = errors.New("no known unit")

// errRange is returned for a size or duration that is too large to hold.
var errRange = errors.New("too large")

// sizeUnits are in the order of FormatSize. They are binary, as in Exchange.
var sizeUnits = [...]struct {
	suffix string
	octets int64
}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

// ParseSize reads a size of octets: "10MB", "64 KB", "512B", "unlimited".
// 1 KB is 1024 octets. A number without a unit is refused.
func ParseSize(s string) (int64, error) {
	if strings.EqualFold(s, unlimitedWord) {
		return Unlimited, nil
	}
	upper := strings.ToUpper(strings.TrimSpace(s))
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(upper, u.suffix)
		if !ok {
			continue
		}
		n, err := parseDigits(strings.TrimSpace(digits))
		if err != nil {
			return 0, fmt.Errorf("reading size %q: %w", s, err)
		}
		if n > (math.MaxInt64-1)/u.octets {
			return 0, fmt.Errorf("reading size %q: %w", s, errRange)
		}
		return n * u.octets, nil
	}
	return 0, fmt.Errorf("reading size %q: %w", s, errUnit)
}

// FormatSize writes a size as ParseSize reads it, in the largest unit that
// loses nothing.
func FormatSize(n int64) string {
	if n == Unlimited {
		return unlimitedWord
	}
	for _, u := range sizeUnits {
		if n >= u.octets && n%u.octets == 0 {
			return strconv.FormatInt(n/u.octets, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// durationUnits stand in the order in which a duration is written.
var durationUnits = [...]struct {
	suffix string
	unit   time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// ParseDuration reads a duration: "90s", "1m30s", "2d", "250ms", "unlimited".
// Units fall from left to right and are not repeated. A number without a unit,
// a sign and a fraction are refused, "0" apart.
func ParseDuration(s string) (time.Duration, error) {
	if strings.EqualFold(s, unlimitedWord) {
		return Unlimited, nil
	}
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, fmt.Errorf("reading duration %q: %w", s, errUnit)
	}
	var total time.Duration
	next := 0
	for rest := s; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := parseDigits(rest[:digits])
		if err != nil {
			return 0, fmt.Errorf("reading duration %q: %w", s, err)
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, "dhms"))
		unit, index := durationUnit(rest[:letters])
		if index < next {
			return 0, fmt.Errorf("reading duration %q: %w", s, errUnit)
		}
		next, rest = index+1, rest[letters:]
		if n > int64((math.MaxInt64-1-total)/unit) {
			return 0, fmt.Errorf("reading duration %q: %w", s, errRange)
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}

// durationUnit returns the unit's length and its place, or -1.
func durationUnit(suffix string) (time.Duration, int) {
	for i, u := range durationUnits {
		if u.suffix == suffix {
			return u.unit, i
		}
	}
	return time.Nanosecond, -1
}

// FormatDuration writes a duration as ParseDuration reads it. What is shorter
// than a millisecond is dropped.
func FormatDuration(d time.Duration) string {
	if d == Unlimited {
		return unlimitedWord
	}
	var b strings.Builder
	for _, u := range durationUnits {
		if d >= u.unit {
			b.WriteString(strconv.FormatInt(int64(d/u.unit), 10) + u.suffix)
			d %= u.unit
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// parseDigits reads a decimal number without sign.
func parseDigits(s string) (int64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, errUnit
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errRange
	}
	return n, nil
}

// fromTimeSpan reads Exchange's dd.hh:mm:ss, so that a message can say how the
// same duration is written here.
func fromTimeSpan(s string) (time.Duration, bool) {
	days, clock, ok := strings.Cut(s, ".")
	if !ok {
		days, clock = "0", s
	}
	parts := append([]string{days}, strings.Split(clock, ":")...)
	if len(parts) != 4 {
		return 0, false
	}
	var total time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, err := parseDigits(parts[i])
		if err != nil || n > 10000 {
			return 0, false
		}
		total += time.Duration(n) * unit
	}
	return total, true
}
