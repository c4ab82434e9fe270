package receive

import (
	"runtime/debug"

	"mailpact/internal/domainsec"
	"mailpact/internal/trust"
)

// The bounds of judging ahead.
const (
	// maxEarlyJudgements is how many sessions are judged ahead at the same
	// time; with more, the others are judged at MAIL alone.
	maxEarlyJudgements = 32
	// maxEarlyPartners is for how many of the domains that a certificate names
	// that is done.
	maxEarlyPartners = 4
)

// judgeAhead begins to judge a certificate that names a listed domain while the
// client says EHLO, so that its path is built and its CRLs are there at MAIL. The
// result is remembered by the judge and used by nobody here: the verdict falls
// at MAIL. It never waits.
func (x *session) judgeAhead() {
	s := x.server
	v := s.currentView()
	if !x.rc.DomainSecureEnabled || len(x.peer) == 0 || len(v.partners) == 0 {
		return
	}
	select {
	case s.early <- struct{}{}:
	default:
		return
	}
	request := trust.Request{Presented: x.peer, Chain: x.chain, Direction: domainsec.Inbound}
	s.wait.Add(1) // the session's own keeps the count above 0 until here
	go func() {
		defer s.wait.Done()
		defer func() { <-s.early }()
		defer func() {
			// As in a session, where the loop does this: what a stranger's
			// certificate brings about must not end the server.
			if p := recover(); p != nil {
				s.o.Logger.Error("judging a certificate ahead met an internal error", keyError, p, "stack", string(debug.Stack()))
			}
		}()
		s.judgePartners(v, request)
	}()
}

// judgePartners judges the certificate for the partners that it names. The end
// of the service ends it.
func (s *Server) judgePartners(v *view, r trust.Request) {
	for _, p := range s.matchingPartners(v, r.Presented[0], maxEarlyPartners) {
		if s.sessions.Err() != nil {
			return
		}
		r.Domain, r.Partner, r.Now = p.Domain, p, s.o.Now()
		s.o.Judge.Judge(s.sessions, r)
	}
}
