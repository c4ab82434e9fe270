package certstore

import "time"

const oneDay = 24 * time.Hour

// ExpiryThreshold returns which warning is due for a certificate that ends at
// notAfter: 30, 14 or 3 days, the least that is left no more than; 0: none yet.
// An expired one stays at 3.
func ExpiryThreshold(notAfter, now time.Time) int {
	left := notAfter.Sub(now)
	for _, days := range []int{3, 14, 30} {
		if left <= time.Duration(days)*oneDay {
			return days
		}
	}
	return 0
}

// DaysLeft returns the whole days until notAfter, 0 on its last day and after it.
func DaysLeft(notAfter, now time.Time) int { return max(0, int(notAfter.Sub(now)/oneDay)) }
