//go:build !race

package sqlite

// rides is how often each kind of failing disk is tried.
const rides = 3
