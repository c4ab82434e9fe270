package account

import (
	"context"
	"time"
)

// A machine counts as quiet after quietSpans spans with less work than
// maxQuietShare of it.
const (
	quietSpan     = time.Second
	quietSpans    = 3
	maxQuietShare = 0.08
)

// AwaitQuiet returns when the machine has little to do, or patience has passed,
// and says which.
func AwaitQuiet(ctx context.Context, patience time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, err := ReadMachine()
	if err != nil {
		return false, err
	}
	tick := time.NewTicker(quietSpan)
	defer tick.Stop()
	for quiet := 0; quiet < quietSpans; {
		select {
		case <-ctx.Done():
			return false, nil
		case <-tick.C:
		}
		now, err := ReadMachine()
		if err != nil {
			return false, err
		}
		if s := SharesOf(now.Minus(before), Usage{}); 1-s.Idle < maxQuietShare {
			quiet++
		} else {
			quiet = 0
		}
		before = now
	}
	return true, nil
}
