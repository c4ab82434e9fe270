package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"mailpact/internal/directory"
)

// Rebind opens the listeners that c needs and this server does not have, and
// changes nothing else: after an error everything is as it was, and the error
// is a *BindError. commit, which must be called once c is in force, begins to
// accept on the new ones and closes those that c no longer has. Sessions go on.
// Calls must not overlap.
func (s *Server) Rebind(ctx context.Context, c *directory.Configuration) (commit func() error, err error) {
	before := s.bound()
	after, opened, err := s.openListeners(ctx, c, before)
	if err != nil {
		return nil, err
	}
	return func() error {
		s.mu.Lock()
		s.listeners = after
		stopping := s.isStopping()
		if s.started && !stopping {
			for _, l := range opened {
				s.accept(l)
			}
		}
		s.mu.Unlock()
		if stopping {
			return closeAll(after)
		}
		return closeAll(slices.DeleteFunc(slices.Clone(before), func(l *listener) bool { return slices.Contains(after, l) }))
	}, nil
}

// openListeners returns a listener for every binding of c, taken from have or
// opened, and which of them were opened. Connectors that name the same binding
// share its listener. After an error nothing that it opened is left open.
func (s *Server) openListeners(ctx context.Context, c *directory.Configuration, have []*listener) (all, opened []*listener, err error) {
	have = slices.Clone(have)
	for i := range c.ReceiveConnectors {
		rc := &c.ReceiveConnectors[i]
		for _, b := range rc.Bindings {
			key := rc.ListenerKey(b)
			withKey := func(l *listener) bool { return l.key == key }
			if !strings.HasSuffix(b, ":0") && slices.ContainsFunc(all, withKey) {
				continue
			}
			if at := slices.IndexFunc(have, withKey); at >= 0 {
				all = append(all, have[at])
				have = slices.Delete(have, at, at+1)
				continue
			}
			nl, err := s.o.Listen(ctx, b)
			if err != nil {
				return nil, nil, errors.Join(&BindError{Connector: rc.Name, Binding: b, Fix: bindFix(err), Err: err}, closeAll(opened))
			}
			l := &listener{Listener: nl, key: key, owner: rc.Name}
			all, opened = append(all, l), append(opened, l)
		}
	}
	doors := newDoors(c, s.state)
	for _, l := range opened {
		l.bound = doors[l.key]
	}
	return all, opened, nil
}

// bound returns the listeners as they are now. The slice is not to be changed.
func (s *Server) bound() []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listeners
}

// accept begins to take l's connections; mu is held.
func (s *Server) accept(l *listener) {
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		s.acceptLoop(l)
	}()
}

func closeAll(listeners []*listener) error {
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("closing listener %s: %w", l.Addr(), err))
		}
	}
	return errors.Join(errs...)
}
