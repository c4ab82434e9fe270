package cli

import "os"

// garbageRoom is what the garbage collector lets pile up at least, in octets,
// before it sets to work. A server lives in a few megabytes, which the collector
// would otherwise search dozens of times a second under load.
const garbageRoom = 24 << 20

// makeGarbageRoom returns memory that nobody ever touches, so that it takes up
// none of the machine's, but that counts as living when the collector reckons
// when to start next. Unlike a higher GOGC it costs the same whatever else lives:
// thousands of idle sessions do not become several times as large. It returns nil
// where GOGC is set, for then somebody has decided otherwise.
func makeGarbageRoom() []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, garbageRoom)
}
