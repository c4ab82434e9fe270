package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"mailpact/internal/directory"
	"mailpact/internal/smtp"
	"mailpact/internal/store"
)

// Engine is the durable store of the queue. An engine passes the suite in
// queuetest. It is safe for concurrent use.
type Engine interface {
	// Append makes messages durable, all of them or none, and assigns their
	// ids. This node owns them. An error means that none is visible, now or
	// later. It waits for its outcome even when ctx ends.
	Append(ctx context.Context, messages []*store.Message) error
	// Stage stores one row of store.ContentRowBytes octets ahead of its
	// message. It stays invisible until Append is given a message that names s.
	Stage(ctx context.Context, s *store.Staging, row []byte) error
	// Unstage forgets a staging.
	Unstage(s *store.Staging)
	// Settle applies settlements, all of them or none, in the order of calls.
	// It returns at once; done is called when they are durable or have
	// failed, at most 20 ms and one commit later. done must not block.
	Settle(settlements []store.Settlement, done func(error))
	// Claim returns messages with ids greater than after, in order, at most
	// limit: this node's, and those whose owner is gone, which it makes this
	// node's. An empty answer ends the list.
	Claim(ctx context.Context, after int64, limit int) ([]store.Message, error)
	// Load returns one message with its deliveries, or store.ErrNotFound.
	Load(ctx context.Context, id int64) (*store.Message, error)
	// OpenContent returns a message's content from its first octet.
	OpenContent(ctx context.Context, id int64) (io.ReadCloser, error)
	// List returns messages in order of their ids.
	List(ctx context.Context, o store.ListOptions) ([]store.Message, error)
	// SuspendQueue makes durable that the queue with this key is suspended,
	// or that it no longer is. It says so for every node, and may repeat what
	// is known already.
	SuspendQueue(ctx context.Context, queue []byte, suspended bool) error
	// SuspendedQueues returns the keys of the suspended queues, each once.
	SuspendedQueues(ctx context.Context) ([][]byte, error)
}

// Observer is told what becomes of messages. Its methods are called from many
// goroutines, must not block on a disk or a socket, and must not change what
// they are given.
type Observer interface {
	// Accepted is called after a message has become durable. A message of
	// our own (a report) has an empty Connector.
	Accepted(m *Message)
	// Delivered is called with the recipients that a next hop has taken.
	Delivered(e Event)
	// Deferred is called with the recipients that will be tried again.
	Deferred(e Event)
	// Failed is called with the recipients that were refused for good.
	Failed(e Event)
	// Expired is called with the recipients whose time is over.
	Expired(e Event)
	// Removed is called with the recipients that an administrator has taken
	// out of the queue. Their outcomes have a reply when the sender is told.
	Removed(e Event)
	// Poisoned is called with the recipients of a message that is set aside,
	// because delivering it has ended the process or in a panic.
	Poisoned(e Event)
}

// Event is what became of some recipients of a message in one attempt.
type Event struct {
	Time       time.Time
	Message    *Message
	Key        Key
	Attempt    int // 1 for the first; 0 when it expired or was held before any
	Recipients []smtp.ForwardPath
	Outcomes   []Outcome // one per recipient, in order
	NextRetry  time.Time // of Deferred
}

// The defaults of Options.
const (
	DefaultMemoryBudget    = 256 << 20
	DefaultWorkers         = 1000
	DefaultWorkersPerQueue = 20
	DefaultMaxConnections  = 64
)

// Options are what a Queue is made of. Engine, Router, Deliverer and Settings
// must be set.
type Options struct {
	Engine    Engine
	Router    Router
	Deliverer Deliverer
	Reporter  Reporter // nil: no reports are made
	Observer  Observer // nil: nobody is told
	// Settings returns the retry ladder and the limits as they are now. No
	// MaxConnectionsPerDestination is DefaultMaxConnections.
	Settings func() directory.Queue
	// Ready says why no message can be stored at the moment, so that none is
	// begun; nil from it, or no Ready: one can. For want of room it is ErrFull.
	// It must be quick: each message asks.
	Ready func() error
	// MemoryBudget bounds the content held in memory, in octets; 0: DefaultMemoryBudget.
	MemoryBudget int64
	// Workers bounds the concurrent deliveries; 0: DefaultWorkers. Those to
	// hosts that DNS has named have three quarters at most.
	Workers int
	// WorkersPerQueue is how many concurrent deliveries a key may have
	// without a backlog; 0: DefaultWorkersPerQueue. With one, Settings says.
	WorkersPerQueue int
	Logger          *slog.Logger     // nil: discards
	Now             func() time.Time // nil: time.Now
}

// ErrMemory says that the memory budget for content is spent. The client is
// asked to come back later (452 4.3.1).
var ErrMemory = errors.New("the memory budget for messages is spent")

// ErrFull says that the disk has no room for another message. The client is
// asked to come back later (452 4.3.1).
var ErrFull = store.ErrFull

// ErrStopped says that the queue has not been started or is being stopped.
var ErrStopped = errors.New("the queue is not running")

// ErrNoQueue says that no queue, or no message, has the identity asked for.
var ErrNoQueue = errors.New("no such queue or message")

// ErrAmbiguous says that several queues have the identity asked for.
var ErrAmbiguous = errors.New("several queues match: name one by its number")

// ErrSuspended says that a queue has to be resumed first.
var ErrSuspended = errors.New("the queue is suspended")

func (o Options) withDefaults() (Options, error) {
	for name, missing := range map[string]bool{
		"Engine": o.Engine == nil, "Router": o.Router == nil, "Deliverer": o.Deliverer == nil, "Settings": o.Settings == nil,
	} {
		if missing {
			return o, fmt.Errorf("opening queue: Options.%s is not set", name)
		}
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.MemoryBudget, DefaultMemoryBudget)
	setDefault(&o.Workers, DefaultWorkers)
	setDefault(&o.WorkersPerQueue, DefaultWorkersPerQueue)
	return o, nil
}

func setDefault[T int | int64](to *T, value T) {
	if *to <= 0 {
		*to = value
	}
}

// nobody is the Observer that nobody set.
type nobody struct{}

func (nobody) Accepted(*Message) {}
func (nobody) Delivered(Event)   {}
func (nobody) Deferred(Event)    {}
func (nobody) Failed(Event)      {}
func (nobody) Expired(Event)     {}
func (nobody) Removed(Event)     {}
func (nobody) Poisoned(Event)    {}
