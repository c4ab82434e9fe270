package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// MX is one mail exchanger of a domain. Host is lower case without the final
// dot; it is empty for the null MX of RFC 7505.
type MX struct {
	Host       string
	Preference uint16
}

// Resolver answers what mail needs to know of names. Implementations are safe
// for concurrent use. Both methods follow CNAMEs. Errors are *Error.
type Resolver interface {
	// MX returns the mail exchangers of name in the order of the answer. A
	// domain without any is ErrNotFound, not an empty list.
	MX(ctx context.Context, name string) ([]MX, error)
	// Addresses returns the IPv4 and IPv6 addresses of host, taking turns and
	// beginning with IPv4. A host without any is ErrNotFound.
	Addresses(ctx context.Context, host string) ([]netip.Addr, error)
}

// ErrNotFound says that a server answered and that the name does not exist or
// has no record of the type.
var ErrNotFound = errors.New("no such name or record")

// ErrBadName says that a name cannot be asked for. It comes inside an Error
// that is not temporary.
var ErrBadName = errors.New("not a valid domain name")

// Error is the failure of a look-up.
type Error struct {
	Name string // the name asked for
	Type string // "MX", "A"
	// NXDomain: the name itself does not exist, for any type.
	NXDomain bool
	// Temporary: nothing is known; asking again later may help.
	Temporary bool
	Err       error // ErrNotFound, ErrBadName or the cause of a temporary failure
}

// Error says what was asked and why there is no answer.
func (e *Error) Error() string { return fmt.Sprintf("resolving %s %s: %v", e.Name, e.Type, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func notFound(name, qtype string, nx bool) *Error {
	return &Error{Name: name, Type: qtype, NXDomain: nx, Err: ErrNotFound}
}

func temporary(name, qtype string, err error) *Error {
	return &Error{Name: name, Type: qtype, Temporary: true, Err: err}
}
