package queue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailpact/internal/directory"
)

func TestRetryDelay(t *testing.T) {
	defaults := directory.Queue{
		GlitchRetryInterval: time.Minute, GlitchRetryCount: 4,
		TransientRetryInterval: 10 * time.Minute, TransientRetryCount: 6,
		RetryInterval: 30 * time.Minute,
	}
	glitchOnly := defaults
	glitchOnly.GlitchRetryCount, glitchOnly.TransientRetryCount = directory.Unlimited, directory.Unlimited
	none := defaults
	none.GlitchRetryCount, none.TransientRetryCount = 0, 0
	for _, tt := range []struct {
		name     string
		settings directory.Queue
		want     []time.Duration // in minutes, from the first failure on
	}{
		{"defaults", defaults, []time.Duration{1, 1, 1, 1, 10, 10, 10, 10, 10, 10, 30, 30, 30}},
		{"unlimited glitches", glitchOnly, []time.Duration{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{"no short retries", none, []time.Duration{30, 30, 30}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []time.Duration
			for n := range tt.want {
				got = append(got, retryDelay(tt.settings, n+1)/time.Minute)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("minutes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHoldDelayIsTheShortestInterval(t *testing.T) {
	s := directory.Queue{GlitchRetryInterval: 5 * time.Minute, TransientRetryInterval: 2 * time.Minute, RetryInterval: 9 * time.Minute}
	if got := holdDelay(s); got != 2*time.Minute {
		t.Errorf("holdDelay is %v, want 2m", got)
	}
}
