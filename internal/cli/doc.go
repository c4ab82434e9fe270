// Package cli is the command line: nouns and verbs that read flags, build a
// request, call an operation of package admin and render its response, as text
// or, with --json, as the same fields in JSON.
//
// A command writes to the streams it was given, takes its context from the
// signal-aware root and returns its error; Run maps errors to the exit codes 0
// (yes), 1 (no, or failed), 2 (usage or unreadable input) and 3 (server not
// reached). It holds no rule of its own.
package cli
