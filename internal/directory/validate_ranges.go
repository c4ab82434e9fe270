package directory

import (
	"fmt"
	"slices"
)

// remoteIPRanges holds the ranges of connectors against each other: where
// connectors share a binding, every client must have one most specific range.
func (k *checker) remoteIPRanges(c *Configuration) {
	behind := map[string][]clientRange{}
	var order []string
	for i := range c.ReceiveConnectors {
		r := &c.ReceiveConnectors[i]
		path := fmt.Sprintf("receiveConnectors[%d]", i)
		if len(r.RemoteIPRanges) == 0 {
			k.fault(path+".remoteIPRanges", "the connector serves nobody", `Write remoteIPRanges: ["0.0.0.0/0", "::/0"], or delete the connector`)
		}
		for j, x := range r.ProxyProtocolFrom {
			if x.isFamily() {
				k.fault(fmt.Sprintf("%s.proxyProtocolFrom[%d]", path, j), "every client could choose its own address", "Write the upstreams' addresses")
			}
		}
		for j, text := range r.Bindings {
			key := r.ListenerKey(text)
			if slices.Contains(r.Bindings[:j], text) {
				continue
			}
			if _, seen := behind[key]; !seen {
				order = append(order, key)
			}
			for j, x := range r.RemoteIPRanges {
				behind[key] = append(behind[key], clientRange{AddressRange: x, connector: i, index: j})
			}
		}
	}
	told := map[int]bool{}
	for _, key := range order {
		k.nested(c, behind[key], told)
	}
}

// clientRange is a range with the connector that serves it.
type clientRange struct {
	AddressRange
	connector, index int
}

// nested records ranges that are equal, or overlap without one holding the
// other. One fault for a connector is enough; told keeps who has one.
func (k *checker) nested(c *Configuration, ranges []clientRange, told map[int]bool) {
	slices.SortStableFunc(ranges, func(a, b clientRange) int { return a.Compare(b.AddressRange) })
	var open []clientRange // each holds the next
	for _, r := range ranges {
		for len(open) > 0 && open[len(open)-1].Last.Less(r.First) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			k.nestedIn(c, open[len(open)-1], r, told)
		}
		open = append(open, r)
	}
}

func (k *checker) nestedIn(c *Configuration, outer, r clientRange, told map[int]bool) {
	if outer.AddressRange != r.AddressRange && r.within(outer.AddressRange) {
		return
	}
	// The fault belongs to the one that stands later in the file.
	if r.connector < outer.connector || r.connector == outer.connector && r.index < outer.index {
		outer, r = r, outer
	}
	if told[r.connector] {
		return
	}
	told[r.connector] = true
	path := fmt.Sprintf("receiveConnectors[%d].remoteIPRanges[%d]", r.connector, r.index)
	owner := "this connector"
	if r.connector != outer.connector {
		owner = "the receive connector " + quoted(c.ReceiveConnectors[outer.connector].Name) + " on the same binding"
	}
	switch {
	case r.AddressRange != outer.AddressRange:
		k.fault(path, fmt.Sprintf("%s overlaps %s of %s, and neither holds the other", r.AddressRange, outer.AddressRange, owner), "Write ranges that are apart, or one within the other")
	case r.connector == outer.connector:
		k.fault(path, fmt.Sprintf("%s is listed twice", r.AddressRange), "Delete one of the two")
	default:
		k.fault(path, fmt.Sprintf("%s is a range of %s already", r.AddressRange, owner), "Write remoteIPRanges: with other clients, or another binding")
	}
}
