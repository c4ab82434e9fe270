package counters

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSnapshot(t *testing.T) {
	s := New()
	s.DomainSecuredMessageReceived("woodgrovebank.com", "serverAuth")
	s.DomainSecuredMessageSent()
	s.DomainSecuredMessageSent()
	s.DomainSecuredOutboundSessionFailure()
	s.Refusal("NoTLS", "Inet")
	s.Refusal("NoTLS", "Inet")
	s.Refusal("NoTLS", "Other")
	s.Refusal("Revoked", "Inet")
	s.WouldRefuse("SubjectMismatch", "woodgrovebank.com")
	s.UnmarkedFromMismatch()
	s.MessageReceived()
	s.MessagesDelivered(2)
	s.MessagesDeferred(3)
	s.MessagesFailed(4)
	s.MessagesFailed(-1)
	want := Snapshot{
		DomainSecuredMessagesReceived: 1, DomainSecuredMessagesSent: 2, DomainSecuredOutboundSessionFailures: 1,
		Refusals: map[string]uint64{"NoTLS": 3, "Revoked": 1},
		RefusalsByConnector: map[string]map[string]uint64{
			"Inet": {"NoTLS": 2, "Revoked": 1}, "Other": {"NoTLS": 1},
		},
		WouldHaveFailed:      map[string]map[string]uint64{"woodgrovebank.com": {"SubjectMismatch": 1}},
		ReceivedByUsage:      map[string]map[string]uint64{"woodgrovebank.com": {"serverAuth": 1}},
		UnmarkedFromMismatch: 1, MessagesReceived: 1, MessagesDelivered: 2, MessagesDeferred: 3, MessagesFailed: 4,
	}
	if diff := cmp.Diff(want, s.Snapshot()); diff != "" {
		t.Error(diff)
	}
}

// The names are part of the contract with other tools.
func TestJSON(t *testing.T) {
	s := New()
	s.Refusal("NoTLS", "Inet")
	got, err := json.Marshal(s.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"domainSecuredMessagesReceived":0,"domainSecuredMessagesSent":0,"domainSecuredOutboundSessionFailures":0,` +
		`"refusals":{"NoTLS":1},"refusalsByConnector":{"Inet":{"NoTLS":1}},"wouldHaveFailed":{},"receivedByUsage":{},"unmarkedFromMismatch":0,` +
		`"messagesReceived":0,"messagesDelivered":0,"messagesDeferred":0,"messagesFailed":0}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if got, err := json.Marshal(New().Snapshot()); err != nil || string(got[len(got)-1]) != "}" || !json.Valid(got) {
		t.Errorf("an empty set is %s, %v", got, err)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	s := New()
	for i := range MaxLabels + 50 {
		s.Refusal(fmt.Sprint("reason", i), "Inet")
	}
	s.Refusal("reason0", "Inet")
	n := s.Snapshot()
	if len(n.Refusals) != MaxLabels+1 || n.Refusals[Other] != 50 || n.RefusalsByConnector[Other][Other] != 50 || n.Refusals["reason0"] != 2 {
		t.Errorf("%d labels, %d others, reason0 %d", len(n.Refusals), n.Refusals[Other], n.Refusals["reason0"])
	}
}

func TestCountingTogether(t *testing.T) {
	s := New()
	const goroutines, rounds = 8, 500
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range rounds {
				s.Refusal(fmt.Sprint(i%50), "Inet")
				s.MessageReceived()
			}
		})
	}
	wg.Wait()
	n := s.Snapshot()
	var sum uint64
	for _, c := range n.Refusals {
		sum += c
	}
	if sum != goroutines*rounds || n.MessagesReceived != goroutines*rounds || len(n.Refusals) != 50 {
		t.Errorf("%d refusals of %d reasons, %d messages, want %d, 50 and %d", sum, len(n.Refusals), n.MessagesReceived, goroutines*rounds, goroutines*rounds)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := New()
	s.Refusal("NoTLS", "Inet")
	if n := testing.AllocsPerRun(100, func() {
		s.Refusal("NoTLS", "Inet")
		s.DomainSecuredMessageReceived("woodgrovebank.com", "serverAuth")
		s.MessagesDelivered(1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
