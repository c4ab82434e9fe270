// Package queue keeps accepted messages until each recipient has been
// delivered, has failed or has expired.
//
// Queue.Accept is where a message becomes durable: it returns nil only after the
// engine has committed envelope, deliveries and content, and 250 is said after
// that and nowhere else. A message's recipients are split by Key into
// deliveries: those that share a destination and what it must prove. Each key
// has a lane with workers of its own.
//
// One slow or huge destination never delays another. A lane has as many workers
// as the configuration allows for a destination, and never more than are left
// for others of its kind (crew); whoever has to wait for one is served in turn,
// after one attempt. Lanes of next hops that an administrator has named have a
// quarter of the workers that strangers' hosts cannot take. Of a backlog only the
// first thousand messages of a lane stay in memory, within the budget for
// content; of the others about half a kilobyte each.
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
//   - After kill -9 every accepted message is still there.
//   - What is suspended is not tried and does not expire; its sender is told of
//     the delay. A suspension of a queue or a message is durable before the call
//     that asks for it returns.
//   - A delivery that is being made is never interrupted. What an administrator
//     wants done to it is a wish, which is fulfilled when its attempt has ended
//     without success. Wishes are fulfilled also when the queue is stopped; a
//     kill forgets them.
//
// The window of duplicates: SMTP cannot tell a message that was taken from one
// that was not, if one side dies around the final dot (RFC 1047; RFC 5321,
// section 6.1). A delivery is repeated after a kill if its settlement had
// not been committed. That is from the moment the next hop has the final dot
// until its reply has come and the settlement, which waits 20 ms at most for
// company, is in a group commit; longer only while the store cannot be written.
// Nothing else is repeated: not on a stop, whose attempts end and are settled,
// and not by a change of an administrator's, which is one settlement. tests/crash
// kills at each step.
//
// A message that may have ended the process, because it was being delivered when
// that died, is watched: from the first attempt after a restart until an attempt
// has ended, the beginning of each is made durable first. What has begun and not
// ended twice in a row, or has ended in two panics, goes to the queue "Poison"
// and stays there until an administrator resumes or removes it. Those that had
// begun before are tried one after the other, so that the guilty one is alone as
// a rule. New messages are not watched; they cost no commit more.
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
// below it, never the other way round; no I/O happens under it. Queue.suspending
// is taken before it and keeps what the store says of a queue's suspension and
// what the schedule does in the same order.
package queue
