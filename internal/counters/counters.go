package counters

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Other is the label under which everything is counted that came after MaxLabels.
const Other = "other"

// MaxLabels bounds each family of labelled counters.
const MaxLabels = 1000

// Set is a set of counters. Its zero value is ready for use, and it is safe for
// concurrent use.
type Set struct {
	securedReceived, securedSent, outboundFailures      atomic.Uint64
	received, delivered, deferred, failed, fromMismatch atomic.Uint64
	refusals                                            family // reason, connector
	wouldHaveFailed                                     family // reason, partner
	usages                                              family // usage, partner
}

// New makes a set with every counter at zero.
func New() *Set { return new(Set) }

// DomainSecuredMessageReceived counts a message that was accepted and marked, from
// a partner whose certificate chain allows the purposes of usage.
func (s *Set) DomainSecuredMessageReceived(partner, usage string) {
	s.securedReceived.Add(1)
	s.usages.add(usage, partner)
}

// DomainSecuredMessageSent counts a message that a peer took over a
// domain-secured session.
func (s *Set) DomainSecuredMessageSent() { s.securedSent.Add(1) }

// DomainSecuredOutboundSessionFailure counts an outbound session, not a
// message, that could not be secured.
func (s *Set) DomainSecuredOutboundSessionFailure() { s.outboundFailures.Add(1) }

// Refusal counts a command or message that a receive connector refused for reason.
func (s *Set) Refusal(reason, connector string) { s.refusals.add(reason, connector) }

// WouldRefuse counts what enforcing the partner, which is in test mode, would
// have refused or deferred for reason, in either direction.
func (s *Set) WouldRefuse(reason, partner string) { s.wouldHaveFailed.add(reason, partner) }

// UnmarkedFromMismatch counts a message that was delivered without a mark
// because its From names a listed domain it is not secured for.
func (s *Set) UnmarkedFromMismatch() { s.fromMismatch.Add(1) }

// MessageReceived counts an accepted message.
func (s *Set) MessageReceived() { s.received.Add(1) }

// MessagesDelivered counts n recipients' deliveries.
func (s *Set) MessagesDelivered(n int) { add(&s.delivered, n) }

// MessagesDeferred counts n recipients' attempts that are to be repeated.
func (s *Set) MessagesDeferred(n int) { add(&s.deferred, n) }

// MessagesFailed counts n recipients to whom delivery has ended without success.
func (s *Set) MessagesFailed(n int) { add(&s.failed, n) }

func add(c *atomic.Uint64, n int) {
	if n > 0 {
		c.Add(uint64(n))
	}
}

// Snapshot is the state of a set, each counter read once.
type Snapshot struct {
	DomainSecuredMessagesReceived        uint64 `json:"domainSecuredMessagesReceived"`
	DomainSecuredMessagesSent            uint64 `json:"domainSecuredMessagesSent"`
	DomainSecuredOutboundSessionFailures uint64 `json:"domainSecuredOutboundSessionFailures"`
	// Refusals by reason, over all connectors.
	Refusals map[string]uint64 `json:"refusals"`
	// RefusalsByConnector has the same by connector, then reason.
	RefusalsByConnector map[string]map[string]uint64 `json:"refusalsByConnector"`
	// WouldHaveFailed is by partner, then reason: test mode only.
	WouldHaveFailed map[string]map[string]uint64 `json:"wouldHaveFailed"`
	// ReceivedByUsage counts the domain-secured messages received by partner, then
	// by the purposes that his certificates allow: a partner with serverAuth alone
	// is one whom "usage: strict" would shut out.
	ReceivedByUsage      map[string]map[string]uint64 `json:"receivedByUsage"`
	UnmarkedFromMismatch uint64                       `json:"unmarkedFromMismatch"`
	MessagesReceived     uint64                       `json:"messagesReceived"`
	// The following three count recipients.
	MessagesDelivered uint64 `json:"messagesDelivered"`
	MessagesDeferred  uint64 `json:"messagesDeferred"`
	MessagesFailed    uint64 `json:"messagesFailed"`
}

// Snapshot reads every counter. Maps are never nil.
func (s *Set) Snapshot() Snapshot {
	n := Snapshot{
		DomainSecuredMessagesReceived:        s.securedReceived.Load(),
		DomainSecuredMessagesSent:            s.securedSent.Load(),
		DomainSecuredOutboundSessionFailures: s.outboundFailures.Load(),
		Refusals:                             map[string]uint64{},
		RefusalsByConnector:                  s.refusals.byOwner(),
		WouldHaveFailed:                      s.wouldHaveFailed.byOwner(),
		ReceivedByUsage:                      s.usages.byOwner(),
		UnmarkedFromMismatch:                 s.fromMismatch.Load(),
		MessagesReceived:                     s.received.Load(),
		MessagesDelivered:                    s.delivered.Load(),
		MessagesDeferred:                     s.deferred.Load(),
		MessagesFailed:                       s.failed.Load(),
	}
	for _, reasons := range n.RefusalsByConnector {
		for reason, count := range reasons {
			n.Refusals[reason] += count
		}
	}
	return n
}

// label names one counter of a family. owner is the connector or partner.
type label struct{ reason, owner string }

// family is a set of counters by label. Reading and counting take no lock; a
// new label copies the map.
type family struct {
	mu     sync.Mutex // guards replacing counts
	counts atomic.Pointer[map[label]*atomic.Uint64]
}

func (f *family) add(reason, owner string) {
	l := label{reason: reason, owner: owner}
	if m := f.counts.Load(); m != nil {
		if c := (*m)[l]; c != nil {
			c.Add(1)
			return
		}
	}
	f.insert(l).Add(1)
}

// insert returns the counter of a label that was not there yet.
func (f *family) insert(l label) *atomic.Uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := map[label]*atomic.Uint64{}
	if m := f.counts.Load(); m != nil {
		old = *m
	}
	if len(old) >= MaxLabels {
		l = label{reason: Other, owner: Other}
	}
	if c := old[l]; c != nil {
		return c
	}
	m := maps.Clone(old)
	c := new(atomic.Uint64)
	m[l] = c
	f.counts.Store(&m)
	return c
}

// byOwner returns the counts by owner, then reason.
func (f *family) byOwner() map[string]map[string]uint64 {
	out := map[string]map[string]uint64{}
	m := f.counts.Load()
	if m == nil {
		return out
	}
	for l, c := range *m {
		if out[l.owner] == nil {
			out[l.owner] = map[string]uint64{}
		}
		out[l.owner][l.reason] = c.Load()
	}
	return out
}
