package send

import (
	"context"
	"errors"
	"time"

	"mailpact/internal/domainsec"
	"mailpact/internal/queue"
	"mailpact/internal/routing"
	"mailpact/internal/smtp"
)

// maxConnections bounds the addresses that are tried for a message at a time.
const maxConnections = 10

// result is how an attempt ended.
type result struct {
	outcomes []queue.Outcome // one per recipient
	// reasons: no host proved what was demanded, and the message went
	// nowhere. Empty when mail was given to a host, or none was reached.
	reasons []domainsec.Reason
}

// run carries the message by attempt a: over an idle session if there is one,
// else over a new one with the first host that can be used.
func (s *Sender) run(ctx context.Context, a *attempt, j job) result {
	if f := s.namedCertificateFault(ctx, a); f != nil {
		return deferAll(j, f)
	}
	if a.level == domainsec.LevelDomainSecure {
		if f := ownFault(a); f != nil {
			return deferAll(j, f)
		}
	}
	var worst *failure
	key := a.key()
	for ctx.Err() == nil {
		c := s.pool.take(key)
		if c == nil {
			break
		}
		if f := s.proveAgain(ctx, a, c); f != nil {
			worst = f
			continue
		}
		outcomes, f := s.carry(ctx, a, c, j)
		if f == nil {
			return result{outcomes: outcomes}
		}
		// The host ended the session while it was idle, which says nothing
		// about the host. Nothing of the message was sent. Where it fell
		// silent, the other idle sessions are not waited for one by one.
		if f.silent {
			s.pool.drop(key)
		}
	}
	setUp, cancel := context.WithTimeout(ctx, s.o.SetUpTimeout)
	defer cancel()
	hosts, err := s.o.Router.Hosts(setUp, a.route)
	if err != nil {
		return routingFailed(j, err)
	}
	targets, unfit := a.targets(hosts)
	for i, t := range targets {
		if setUp.Err() != nil {
			break
		}
		outcomes, f := s.overAddress(ctx, hostShare(setUp, len(targets)-i), a, j, t)
		if f == nil {
			return result{outcomes: outcomes}
		}
		worst = worse(worst, f)
	}
	if unfit != nil {
		worst = worse(worst, unfit)
	}
	if worst == nil || ctx.Err() != nil && len(worst.reasons) == 0 {
		worst = &failure{reply: replyStopping()}
	}
	return deferAll(j, worst)
}

// targets returns the addresses to be tried, in order, and a failure for those
// that cannot be, or nil.
func (a *attempt) targets(hosts []routing.Host) (targets []target, unfit *failure) {
	for _, h := range hosts {
		if h.Socket != "" {
			targets = append(targets, target{host: h.Name, socket: h.Socket})
		}
		for _, addr := range h.Addrs {
			t := target{host: h.Name, addr: addr}
			switch {
			case a.source.IsValid() && a.source.Is4() != addr.Addr().Is4():
				unfit = worse(unfit, &failure{remote: t.String(), reply: replyNoAddress()})
			case len(targets) < maxConnections:
				targets = append(targets, t)
			}
		}
	}
	return targets, unfit
}

// overAddress opens a session of the attempt's level, which must be ready by
// deadline, and gives it the message.
func (s *Sender) overAddress(ctx context.Context, deadline time.Time, a *attempt, j job, t target) ([]queue.Outcome, *failure) {
	open := s.openOrdinary
	if a.level == domainsec.LevelDomainSecure {
		open = s.openSecured
	}
	setUp, cancel := context.WithDeadline(ctx, deadline)
	c, f := open(setUp, a, t)
	cancel()
	if f != nil {
		return nil, f
	}
	return s.carry(ctx, a, c, j)
}

// proveAgain judges an idle session again before it carries the next message.
func (s *Sender) proveAgain(ctx context.Context, a *attempt, c *session) *failure {
	if a.level != domainsec.LevelDomainSecure {
		return nil
	}
	v := s.prove(ctx, a, c, shortfall{})
	if s.passes(v, a, c) {
		return nil
	}
	return s.insecure(ctx, a, c, v)
}

// worse returns the failure that explains more: one that names a reason, else the first.
func worse(a, b *failure) *failure {
	if a == nil || len(a.reasons) == 0 && len(b.reasons) > 0 {
		return b
	}
	return a
}

// deferAll defers every recipient because of f, in the words of the described system.
func deferAll(j job, f *failure) result {
	reply := f.reply
	last := reply.String()
	if f.remote != "" {
		reply = replyFailover(f.reply)
		last = reply.String()
	}
	if f.detail != "" {
		last += " (" + f.detail + ")"
	}
	return result{
		outcomes: same(j, queue.Outcome{Disposition: queue.Deferred, Reply: reply, LastError: last, RemoteHost: f.remote, ConnectionFailed: true}),
		reasons:  f.reasons,
	}
}

// routingFailed is the result when no host could be found.
func routingFailed(j job, err error) result {
	o := queue.Outcome{Disposition: queue.Deferred, Reply: smtp.NewReply(451, smtp.EnhancedCode{4, 4, 3}, "Finding the next hop failed"), LastError: err.Error()}
	var fault *routing.Error
	if errors.As(err, &fault) {
		o.Reply = fault.Reply
		if fault.Reply.Permanent() {
			o.Disposition = queue.Failed
		}
	}
	return result{outcomes: same(j, o)}
}
