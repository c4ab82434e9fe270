//go:build race

package sqlite

// rides is how often each kind of failing disk is tried. The race detector makes
// a ride several times as long and learns nothing from a second one.
const rides = 1
