package directory

import "strings"

// nearest returns the word of words that is most likely meant by s, or "" when
// none is near enough: at most a third of the longer word may differ.
func nearest(s string, words []string) string {
	best, bestDistance := "", -1
	for _, w := range words {
		d := editDistance(strings.ToLower(s), strings.ToLower(w))
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = w, d
		}
	}
	if bestDistance < 0 || bestDistance*3 > max(len(s), len(best)) {
		return ""
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b. Strings over 64 octets are far from everything.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
