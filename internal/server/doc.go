// Package server builds the running system from a configuration. It is the only
// place that knows every room.
//
// New opens the stores, wires the rooms and binds every listener, but serves
// nothing; Start serves; Stop undoes, in reverse order, what New and Start did,
// within a bound. A New that fails half-way leaves nothing behind. Two servers
// can live in one process: nothing here is global.
package server
