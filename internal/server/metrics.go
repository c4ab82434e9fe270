package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"mailpact/internal/counters"
)

// collector shows a counters.Set to Prometheus under the names that monitoring
// holds on to. It reads the set at each scrape and keeps nothing.
type collector struct{ set *counters.Set }

// metric is one family of the exposition.
type metric struct {
	description *prometheus.Desc
	value       func(counters.Snapshot) uint64
}

func metrics() []metric {
	plain := func(name, help string, value func(counters.Snapshot) uint64) metric {
		return metric{prometheus.NewDesc("mailpact_"+name, help, nil, nil), value}
	}
	return []metric{
		plain("domain_secured_messages_received_total", "Messages accepted with the Domain Secured mark.",
			func(s counters.Snapshot) uint64 { return s.DomainSecuredMessagesReceived }),
		plain("domain_secured_messages_sent_total", "Messages taken by a peer over a domain-secured session.",
			func(s counters.Snapshot) uint64 { return s.DomainSecuredMessagesSent }),
		plain("domain_secured_outbound_session_failures_total", "Outbound sessions that could not be secured.",
			func(s counters.Snapshot) uint64 { return s.DomainSecuredOutboundSessionFailures }),
		plain("unmarked_from_mismatch_total", "Messages delivered unmarked because their From names a listed domain.",
			func(s counters.Snapshot) uint64 { return s.UnmarkedFromMismatch }),
		plain("messages_received_total", "Messages accepted.",
			func(s counters.Snapshot) uint64 { return s.MessagesReceived }),
	}
}

func refusalsDescription() *prometheus.Desc {
	return prometheus.NewDesc("mailpact_refusals_total", "Refusals for want of TLS or by Domain Security.", []string{"reason", "connector"}, nil)
}

func wouldHaveFailedDescription() *prometheus.Desc {
	return prometheus.NewDesc("mailpact_would_have_failed_total", "What enforcing a partner in test mode would have refused or deferred.", []string{"reason", "partner"}, nil)
}

func usagesDescription() *prometheus.Desc {
	return prometheus.NewDesc("mailpact_domain_secured_received_by_usage_total", "Messages accepted with the mark, by the purposes that the partner's certificates allow.", []string{"usage", "partner"}, nil)
}

// Describe sends the descriptions of all families.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range metrics() {
		ch <- m.description
	}
	ch <- refusalsDescription()
	ch <- wouldHaveFailedDescription()
	ch <- usagesDescription()
}

// Collect sends the counters as they are now.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.set.Snapshot()
	for _, m := range metrics() {
		ch <- prometheus.MustNewConstMetric(m.description, prometheus.CounterValue, float64(m.value(s)))
	}
	labelled(ch, refusalsDescription(), s.RefusalsByConnector)
	labelled(ch, wouldHaveFailedDescription(), s.WouldHaveFailed)
	labelled(ch, usagesDescription(), s.ReceivedByUsage)
}

// labelled sends one counter for each name and reason.
func labelled(ch chan<- prometheus.Metric, d *prometheus.Desc, byName map[string]map[string]uint64) {
	for name, reasons := range byName {
		for reason, n := range reasons {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), reason, name)
		}
	}
}
