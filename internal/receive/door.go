package receive

import (
	"net/netip"
	"slices"
	"sort"

	"mailpact/internal/directory"
)

// door is what a listener has to know of the connectors behind it: which of
// them serves which client. It is made once per configuration and never changes.
type door struct {
	places    []place // by range, an outer one before those that it holds
	upstreams []directory.AddressRange
}

// place is one range of clients. Validation has made sure that two places are
// apart or one holds the other.
type place struct {
	directory.AddressRange
	around    int // the innermost place that holds this one; -1: none
	settings  *directory.ReceiveConnector
	connector *connector
}

// newDoors makes the doors of all listeners, by ListenerKey. state returns what
// the sessions of a connector share.
func newDoors(c *directory.Configuration, state func(*directory.ReceiveConnector) *connector) map[string]*door {
	doors := make(map[string]*door)
	for i := range c.ReceiveConnectors {
		rc := &c.ReceiveConnectors[i]
		for j, text := range rc.Bindings {
			if slices.Contains(rc.Bindings[:j], text) {
				continue // several free ports
			}
			d := doors[rc.ListenerKey(text)]
			if d == nil {
				d = &door{}
				doors[rc.ListenerKey(text)] = d
			}
			d.upstreams = append(d.upstreams, rc.ProxyProtocolFrom...)
			for _, r := range rc.RemoteIPRanges {
				d.places = append(d.places, place{AddressRange: r, settings: rc, connector: state(rc)})
			}
		}
	}
	for _, d := range doors {
		d.nest()
	}
	return doors
}

// nest sorts the places and finds what is around each.
func (d *door) nest() {
	slices.SortStableFunc(d.places, func(a, b place) int { return a.Compare(b.AddressRange) })
	for i := range d.places {
		around := i - 1
		for around >= 0 && d.places[around].Last.Less(d.places[i].First) {
			around = d.places[around].around
		}
		d.places[i].around = around
	}
}

// serves returns the place of client: the most specific range that holds it. A
// client that an upstream speaks for finds only connectors that name the
// upstream, because the others take nobody's word for an address. nil: no
// connector serves the client.
func (d *door) serves(client netip.Addr, upstream netip.AddrPort) *place {
	i := sort.Search(len(d.places), func(i int) bool { return client.Less(d.places[i].First) }) - 1
	for i >= 0 {
		p := &d.places[i]
		if p.Contains(client) && (!upstream.IsValid() || p.settings.ProxiedFrom(upstream.Addr())) {
			return p
		}
		i = p.around
	}
	return nil
}

// expectsHeader reports whether connections from a begin with a PROXY header.
func (d *door) expectsHeader(a netip.Addr) bool {
	for _, r := range d.upstreams {
		if r.Contains(a) {
			return true
		}
	}
	return false
}
