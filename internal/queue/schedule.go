package queue

import (
	"time"

	"mailpact/internal/directory"
)

// retryDelay is the wait after the attempt with number n, counted from 1: some
// glitch retries, some transient ones, then the retry interval for good
// (reference, section 7). n counts failed connections of a queue, or
// message-level deferrals of one delivery.
func retryDelay(s directory.Queue, n int) time.Duration {
	switch {
	case n <= s.GlitchRetryCount:
		return s.GlitchRetryInterval
	case n-s.GlitchRetryCount <= s.TransientRetryCount:
		return s.TransientRetryInterval
	default:
		return s.RetryInterval
	}
}

// holdDelay is the wait before a delivery that the router holds is looked at
// again. Nothing is connected to for that, so the shortest interval will do.
func holdDelay(s directory.Queue) time.Duration {
	return min(s.GlitchRetryInterval, s.TransientRetryInterval, s.RetryInterval)
}

// later returns now plus d, where an unlimited d is as far as time goes.
func later(now time.Time, d time.Duration) time.Time {
	if d == directory.Unlimited {
		return now.AddDate(1000, 0, 0)
	}
	return now.Add(d)
}
