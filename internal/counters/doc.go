// Package counters counts what the administrator watches: domain-secured
// messages, refusals by reason, and what became of messages.
//
// Counting costs an atomic addition and no memory. Labels come from a bounded
// set: when there are too many, the rest is counted under "other", so that a
// stranger cannot fill the memory. Counters begin at zero with the process and
// never go back.
package counters
