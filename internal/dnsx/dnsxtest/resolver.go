// Package dnsxtest is a dnsx.Resolver made of maps, for tests.
package dnsxtest

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"mailpact/internal/dnsx"
)

// Resolver answers from what was set. Names that were not set do not exist. It
// is safe for concurrent use; the zero value is an empty world.
type Resolver struct {
	mu        sync.Mutex
	mx        map[string][]dnsx.MX
	addresses map[string][]netip.Addr
	fails     map[string]error
	lookups   int
}

var _ dnsx.Resolver = (*Resolver)(nil)

// SetMX gives name these mail exchangers; none means that the name exists
// without any.
func (r *Resolver) SetMX(name string, mx ...dnsx.MX) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mx == nil {
		r.mx = make(map[string][]dnsx.MX)
	}
	r.mx[name] = mx
}

// SetAddresses gives host these addresses.
func (r *Resolver) SetAddresses(host string, addresses ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.addresses == nil {
		r.addresses = make(map[string][]netip.Addr)
	}
	r.addresses[host] = nil
	for _, a := range addresses {
		r.addresses[host] = append(r.addresses[host], netip.MustParseAddr(a))
	}
}

// Fail makes every look-up of name fail temporarily with err; nil ends that.
func (r *Resolver) Fail(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails == nil {
		r.fails = make(map[string]error)
	}
	r.fails[name] = err
}

// Lookups returns how many questions were asked.
func (r *Resolver) Lookups() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookups
}

// MX implements dnsx.Resolver.
func (r *Resolver) MX(ctx context.Context, name string) ([]dnsx.MX, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ask(ctx, name, "MX"); err != nil {
		return nil, err
	}
	mx := r.mx[name]
	if len(mx) == 0 {
		return nil, r.missing(name, "MX")
	}
	return slices.Clone(mx), nil
}

// Addresses implements dnsx.Resolver.
func (r *Resolver) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ask(ctx, host, "A"); err != nil {
		return nil, err
	}
	a := r.addresses[host]
	if len(a) == 0 {
		return nil, r.missing(host, "A")
	}
	return slices.Clone(a), nil
}

func (r *Resolver) ask(ctx context.Context, name, qtype string) error {
	r.lookups++
	err := r.fails[name]
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	return &dnsx.Error{Name: name, Type: qtype, Temporary: true, Err: err}
}

func (r *Resolver) missing(name, qtype string) error {
	_, hasMX := r.mx[name]
	_, hasAddresses := r.addresses[name]
	return &dnsx.Error{Name: name, Type: qtype, NXDomain: !hasMX && !hasAddresses, Err: dnsx.ErrNotFound}
}
