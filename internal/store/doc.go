// Package store holds the rows that the storage engines keep, and the errors
// that every engine reports alike. The engines are packages below it:
// store/sqlite is the default.
//
// The rows are spoken in ground types and byte slices. What an envelope, a
// queue key or a delivery's state means is known to the room that writes them
// (internal/queue), which also owns the interface that an engine stands behind
// and the conformance suite that each engine passes (internal/queue/queuetest).
//
// Invariants of every engine:
//
//   - A message is visible with its envelope, its deliveries and its whole
//     content, or not at all.
//   - A message disappears, content included, in the same transaction that
//     removes its last delivery.
//   - Content lies in rows of at most ContentRowBytes, kept octet for octet.
//   - Message ids grow and are never used twice, also after a crash.
package store
