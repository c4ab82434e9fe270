// Package trial measures: it runs Postfix and Mailpact in turn under the same
// load, with load generator and sink as processes of their own, compares each
// pair of runs, and reports medians of the comparisons.
//
// A run counts only if every accepted message came to the sink exactly once. A
// pair counts only if nothing else kept the machine busy during its runs; when
// no such pair can be had, the report says so beside the figures.
package trial
