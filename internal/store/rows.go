package store

import "errors"

// ContentRowBytes is the most that one row of content holds, in octets. A
// message's content lies in rows of exactly this size but for the last one.
const ContentRowBytes = 256 << 10

// MaxDeliveries bounds the deliveries that a message ever has and, alike, its
// rows of content: both are numbered with 20 bits below the message's id.
const MaxDeliveries = 1 << 20

// ErrNotFound says that the store holds no such message.
var ErrNotFound = errors.New("no such message in the store")

// ErrClosed says that the engine has been closed.
var ErrClosed = errors.New("the store is closed")

// ErrFull says that the disk has no room for another message. Outcomes of
// messages that are stored already still have some.
var ErrFull = errors.New("the disk has no room for messages")

// Message is a message with its deliveries. Content and Staging are read by
// Append only; what an engine returns has neither.
type Message struct {
	ID       int64 // assigned by the engine when the message is appended
	Received int64 // milliseconds since 1970-01-01 UTC
	Size     int64 // octets of the content
	Envelope []byte
	// Deliveries are sorted by Seq. A message has at least one.
	Deliveries []Delivery

	// Content is the whole content, or what follows the staged rows: at most
	// ContentRowBytes when Staging is set. The engine does not keep the slice.
	Content []byte
	// Staging holds the rows that were stored before; nil: none were.
	Staging *Staging
}

// Delivery is the state of a message towards those of its recipients that share
// a queue.
type Delivery struct {
	Seq   uint32 // below MaxDeliveries, unique within the message and never used twice
	Due   int64  // milliseconds since 1970-01-01 UTC; 0: at once
	Queue []byte // the queue's key
	State []byte
}

// Staging is content on its way into the store, invisible until a message that
// names it is appended. Rows of a staging that nobody finished are removed when
// the engine is opened. The zero value is ready for the first row.
type Staging struct {
	ID   int64 // the future message's id, assigned with the first row
	Rows int   // rows stored so far, ContentRowBytes each
}

// Settlement is what became of a message's deliveries. It is applied whole or
// not at all.
type Settlement struct {
	Message int64
	// Remove names the deliveries that are over. When none is left, the
	// message and its content go too.
	Remove []uint32
	// Put adds deliveries or replaces those of equal Seq.
	Put []Delivery
	// Append are messages of our own that come of it: reports. They become
	// durable with the settlement or not at all.
	Append []*Message
}

// ListOptions select messages for List.
type ListOptions struct {
	After int64  // only ids greater than this
	Limit int    // at most this many messages; at least 1
	Queue []byte // only messages with a delivery in this queue; nil: all
}
