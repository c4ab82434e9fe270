package receive

import (
	"mailpact/internal/directory"
	"mailpact/internal/smtp"
)

// view is a configuration with the look-ups that MAIL and RCPT need. It is made
// once per configuration and never changes.
type view struct {
	configuration *directory.Configuration
	partners      map[smtp.Domain]*directory.Partner // those we receive from
	accepted      map[smtp.Domain]*directory.AcceptedDomain
	connectors    map[string]*directory.ReceiveConnector
	doors         map[string]*door // by ListenerKey
	// home is where mail for <postmaster> and for our own address literals
	// goes: the postmaster's domain if it is accepted, else the first accepted one.
	home smtp.Domain
}

func newView(c *directory.Configuration) *view {
	v := &view{
		configuration: c,
		partners:      make(map[smtp.Domain]*directory.Partner, len(c.Partners)),
		accepted:      make(map[smtp.Domain]*directory.AcceptedDomain, len(c.AcceptedDomains)),
		connectors:    make(map[string]*directory.ReceiveConnector, len(c.ReceiveConnectors)),
	}
	for i := range c.Partners {
		if p := &c.Partners[i]; p.Receive {
			v.partners[p.Domain] = p
		}
	}
	for i := range c.AcceptedDomains {
		v.accepted[c.AcceptedDomains[i].Name] = &c.AcceptedDomains[i]
	}
	for i := range c.ReceiveConnectors {
		v.connectors[c.ReceiveConnectors[i].Name] = &c.ReceiveConnectors[i]
	}
	if len(c.AcceptedDomains) > 0 {
		v.home = c.AcceptedDomains[0].Name
	}
	if d := c.TransportConfig.Postmaster.Domain; v.accepted[d] != nil {
		v.home = d
	}
	return v
}

// currentView returns the view of the configuration in force.
func (s *Server) currentView() *view {
	c := s.o.Configuration()
	if v := s.view.Load(); v != nil && v.configuration == c {
		return v
	}
	v := newView(c)
	v.doors = newDoors(c, s.state)
	s.view.Store(v)
	return v
}

// door returns what stands behind l. A listener that the configuration in force
// no longer has serves as it did when it was opened.
func (v *view) door(l *listener) *door {
	if d := v.doors[l.key]; d != nil {
		return d
	}
	return l.bound
}

// connector returns the settings in force for the sessions of c.
func (v *view) connector(c *connector) *directory.ReceiveConnector {
	if rc := v.connectors[c.name]; rc != nil {
		return rc
	}
	return c.bound
}

// sendsFor returns the partner for a sender's domain, or nil when it is not listed.
func (v *view) sendsFor(d smtp.Domain) *directory.Partner {
	if d == "" {
		return nil
	}
	return v.partners[d]
}

// authservID is the organisation's authserv-id (RFC 8601, section 2.5).
func (v *view) authservID() string {
	if id := v.configuration.TransportConfig.AuthservID; id != "" {
		return id
	}
	return string(v.configuration.Server.FQDN)
}
