// Package queue keeps accepted messages until each recipient has been
// delivered, has failed or has expired.
//
// Queue.Accept is where a message becomes durable: it returns nil only after the
// engine has committed envelope, deliveries and content, and 250 is said after
// that and nowhere else. A message's recipients are split by Key into
// deliveries: those that share a destination and what it must prove. Each key
// has a lane with workers of its own, so that one slow destination never delays
// another.
//
// Invariants:
//
//   - A delivery is in one place: with a worker, with the engine for
//     settlement, or waiting in its lane. It is scheduled again only after the
//     engine has its last outcome, so that outcomes of one delivery are
//     committed in order.
//   - What an attempt brought about (removal, new state, reports to the sender)
//     is one settlement, which the engine applies whole or not at all. A report
//     is therefore neither lost nor doubled.
//   - No report is made for a null reverse-path (RFC 5321, section 4.5.5).
//   - The requirement in a key falls only when the queue is resubmitted; a rise
//     moves the delivery at its next attempt.
//   - After kill -9 every accepted message is still there. A delivery is
//     repeated only if its settlement had not been committed, which is at most
//     20 ms and one group commit after its outcome was known.
//
// Content of up to 256 KB stays in memory until its first attempt, within a
// budget; more is read back from the store. After a deferral nothing of the
// message but its schedule stays in memory.
//
// The package never touches a socket and never decides how mail is routed,
// secured or reported: Router, Deliverer and Reporter do. It imports no engine;
// Engine is its own interface, and queuetest holds the suite that an engine has
// to pass.
//
// Locks: Queue.mu guards the whole schedule. The engine's locks may be taken
// below it, never the other way round; no I/O happens under it.
package queue
