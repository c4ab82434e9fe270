package send

import (
	"context"

	"mailpact/internal/directory"
	"mailpact/internal/domainsec"
	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
)

// group is the recipients of a delivery that go the same way under the same demands.
type group struct {
	route      routing.Route
	try        smtp.Domain // of a partner in test mode
	recipients []smtp.ForwardPath
	indices    []int // of recipients in the delivery
}

// job is a message for the recipients of one group.
type job struct {
	delivery   *queue.Delivery
	recipients []smtp.ForwardPath
	config     *directory.Configuration
}

// Deliver implements queue.Deliverer. What the next hop must prove is computed
// from the configuration as it is now: a domain that has been listed since the
// message was queued is secured at once, and one that was listed then stays so.
func (s *Sender) Deliver(ctx context.Context, d *queue.Delivery) []queue.Outcome {
	out := make([]queue.Outcome, len(d.Recipients))
	config := s.o.Config()
	for _, g := range s.groups(d, out) {
		j := job{delivery: d, recipients: g.recipients, config: config}
		for i, o := range s.deliverGroup(ctx, g, j) {
			out[g.indices[i]] = o
		}
	}
	return out
}

// groups sorts the recipients. Those that no way can be found for get their
// outcome in out.
func (s *Sender) groups(d *queue.Delivery, out []queue.Outcome) []group {
	groups := make([]group, 0, 1)
	var domain smtp.Domain
	last := -1 // the group of domain
	for i, to := range d.Recipients {
		if to.Mailbox.Literal != "" {
			out[i] = queue.Outcome{Disposition: queue.Failed, Reply: replyLiteral(), LastError: replyLiteral().String()}
			continue
		}
		if last < 0 || to.Mailbox.Domain != domain {
			domain = to.Mailbox.Domain
			groups, last = s.place(groups, d.Key, domain)
		}
		g := &groups[last]
		g.recipients = append(g.recipients, to)
		g.indices = append(g.indices, i)
	}
	return groups
}

// place finds the group of a recipient domain or adds it.
func (s *Sender) place(groups []group, key queue.Key, domain smtp.Domain) ([]group, int) {
	route := s.o.Router.Route(domain)
	if key.TLSDomain != "" && route.TLSDomain == "" {
		// A requirement falls only when the queue is resubmitted.
		route = s.o.Router.RouteSecured(domain)
	}
	try := smtp.Domain("")
	if p := route.Partner; p != nil && p.Send && p.Mode == directory.ModeTest && route.TLSDomain == "" {
		try = p.Domain
	}
	for i := range groups {
		r := &groups[i].route
		if groups[i].try == try && r.TLSDomain == route.TLSDomain && r.NextHopDomain == route.NextHopDomain &&
			r.Connector == route.Connector && r.DeliveryType == route.DeliveryType && r.Hold == route.Hold {
			return groups, i
		}
	}
	return append(groups, group{route: route, try: try}), len(groups)
}

// deliverGroup carries the message for one group and returns an outcome for
// each of its recipients.
func (s *Sender) deliverGroup(ctx context.Context, g group, j job) []queue.Outcome {
	route := g.route
	switch {
	case route.Hold != "":
		return same(j, queue.Outcome{Disposition: queue.Deferred, Reply: replyHeld(), LastError: route.Hold})
	case route.SendConnector != nil && j.delivery.Message.Size > route.SendConnector.MaxMessageSize && route.SendConnector.MaxMessageSize > 0:
		r := replyTooLarge(route.Connector)
		return same(j, queue.Outcome{Disposition: queue.Failed, Reply: r, LastError: r.String()})
	}
	if route.Requirement.Level == domainsec.LevelDomainSecure || route.TLSDomain != "" {
		return s.run(ctx, s.securedAttempt(ctx, route, route.TLSDomain, j.config), j).outcomes
	}
	if g.try != "" {
		if outcomes, ok := s.trySecured(ctx, g, j); ok {
			return outcomes
		}
	}
	return s.run(ctx, ordinaryAttempt(route, j.config), j).outcomes
}

// trySecured carries mail for a partner in test mode the secured way. It
// reports false when the next hop did not prove what enforcing would demand;
// that is counted, and the message is to go as for an unlisted domain, by an
// attempt of its own.
func (s *Sender) trySecured(ctx context.Context, g group, j job) ([]queue.Outcome, bool) {
	if !g.route.Requirement.TrySecured {
		s.wouldFail(g, []domainsec.Reason{domainsec.ConnectorNotDomainSecure})
		return nil, false
	}
	r := s.run(ctx, s.securedAttempt(ctx, g.route, g.try, j.config), j)
	if len(r.reasons) == 0 {
		return r.outcomes, true
	}
	s.wouldFail(g, r.reasons)
	return nil, false
}

func (s *Sender) wouldFail(g group, reasons []domainsec.Reason) {
	s.o.Counters.WouldRefuse(reasons[0].String(), string(g.try))
	s.o.Logger.Warn("a partner in test mode would not have been sent this message if it were enforced",
		"domain", g.try, "connector", g.route.Connector, "reasons", reasonWords(reasons))
}

// same returns the outcome for every recipient of the job.
func same(j job, o queue.Outcome) []queue.Outcome {
	out := make([]queue.Outcome, len(j.recipients))
	for i := range out {
		out[i] = o
	}
	return out
}
