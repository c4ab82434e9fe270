package trial

import (
	"fmt"
	"strings"
)

// Cell is one kind of load.
type Cell struct {
	Name         string `json:"name"`
	Title        string `json:"title"`
	MessageBytes int    `json:"messageBytes"`
	Connections  int    `json:"connections"`
	// MessagesPerSession is how many messages a connection carries; 0: all.
	MessagesPerSession int `json:"messagesPerSession"`
	// Reach is how many times Postfix's rate Mailpact is meant to reach.
	Reach float64 `json:"reach"`
}

// Cells returns all cells; the first is measured by default. Both neighbours
// are domain-secured partners in each of them.
func Cells() []Cell {
	return []Cell{
		{Name: "10KB-64", Title: "10 KB, 64 connections", MessageBytes: 10 << 10, Connections: 64, Reach: 10},
		{Name: "10KB-8", Title: "10 KB, 8 connections", MessageBytes: 10 << 10, Connections: 8, Reach: 4},
		{Name: "10KB-1", Title: "10 KB, 1 connection", MessageBytes: 10 << 10, Connections: 1, Reach: 2.5},
		{Name: "10KB-64-new", Title: "10 KB, 64, a new session for each message", MessageBytes: 10 << 10, Connections: 64, MessagesPerSession: 1, Reach: 3},
		{Name: "2KB-64", Title: "2 KB, 64 connections", MessageBytes: 2 << 10, Connections: 64, Reach: 10},
		{Name: "100KB-8", Title: "100 KB, 8 connections", MessageBytes: 100 << 10, Connections: 8, Reach: 4},
		{Name: "1MB-8", Title: "1 MB, 8 connections", MessageBytes: 1 << 20, Connections: 8, Reach: 3},
	}
}

// Choose returns the cells that a comma-separated list names; "" is the first,
// "all" is all.
func Choose(list string) ([]Cell, error) {
	all := Cells()
	switch list {
	case "":
		return all[:1], nil
	case "all":
		return all, nil
	}
	var chosen []Cell
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, c := range all {
			if c.Name == name {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			var names []string
			for _, c := range all {
				names = append(names, c.Name)
			}
			return nil, fmt.Errorf("choosing cells: %q is none; there are %s", name, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}
