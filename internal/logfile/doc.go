// Package logfile writes rows of text to files that begin anew each day (UTC)
// and at a size limit, and removes old ones. The protocol logs and the message
// tracking log are made of it.
//
// Invariants. Whoever appends rows never waits for the disk: rows are copied
// into a bounded buffer, and one goroutine writes them, a fifth of a second
// later at the latest, as one write. When it cannot keep up, or the disk is
// full, rows are dropped and counted, and a row says how many were lost as soon
// as one can be written again: logs never stop mail. A file has whole rows only:
// what a failed write left behind is cut off again. A day's row stands in that
// day's file. A restart goes on in today's last file.
//
// The package never reads the rows, does not call fsync, and removes no file
// whose name is not one that it makes itself.
package logfile
